//! The clients of the issuer: clients.yaml (config.md), read whole with every mistake at once, and who proves to be one of them.
//!
//! What a stranger can learn: nothing. Unknown, disabled and wrong are one answer. A text of the generated form is compared by
//! SHA-256, which costs the same for anybody. Any other text costs as many argon2id verifications as it would for the client that
//! has most of them, whoever is named ([`Clients::authenticate`]).

pub mod edit;
mod read;
#[cfg(test)]
mod tests;
pub mod time;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Map, Value};

use super::secret::imported::{Cost, Imported, Trial};
use super::secret::{self, Gate, is_generated};
use crate::hex::hex;
pub use read::{claim_error, id_error, read};

/// How many secrets of a client may live at once: the one in use, and the one that takes its place.
pub const LIVE_SECRETS: usize = 2;

/// One generation of clients.yaml.
#[derive(Default)]
pub struct Clients {
    by_id: BTreeMap<String, Arc<Client>>,
    /// The client of each API key, by the key's hash.
    by_key: HashMap<[u8; 32], String>,
    /// What a text that is no generated secret costs: for each cost in the file, as many verifications as any client can need.
    rounds: Vec<(Cost, usize)>,
}

/// Who may have tokens of the issuer.
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// What its tokens say besides the issuer's own claims.
    pub claims: Map<String, Value>,
    /// Whether it gets no tokens, and those that it has are ended.
    pub disabled: bool,
    /// What it proves itself with, expired ones too.
    pub secrets: Vec<ClientSecret>,
    /// Its keys for `X-API-Key`, expired ones too.
    pub api_keys: Vec<ApiKey>,
}

/// A secret of a client, as a hash.
pub struct ClientSecret {
    /// Names it in logs and commands.
    pub id: String,
    /// From when on it is worth nothing, in unix seconds; `None`: it does not end.
    pub expires: Option<u64>,
    proof: Proof,
}

enum Proof {
    Generated([u8; 32]),
    Imported(Imported),
}

/// An API key of a client, as a hash.
pub struct ApiKey {
    /// Names it, and is part of the key.
    pub id: String,
    /// When it was made, as the file says it.
    pub created: Option<String>,
    /// From when on it is worth nothing, in unix seconds; `None`: it does not end.
    pub expires: Option<u64>,
    hash: [u8; 32],
}

/// Why somebody is not taken for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such client, a disabled one, or another secret: 401.
    Wrong,
    /// Too many argon2id verifications at once: 503.
    Busy,
}

impl Clients {
    /// Nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// The client of an id, disabled or not.
    pub fn get(&self, id: &str) -> Option<&Arc<Client>> {
        self.by_id.get(id)
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.by_id.values()
    }

    /// The client of an API key at a time in unix seconds. `None`: an unknown key, one of a disabled client, or an expired one.
    pub fn by_api_key(&self, key: &str, now: u64) -> Option<&Arc<Client>> {
        let hash = secret::sha256(key);
        // Who finds a hash by the time that this takes knows nothing of the key.
        let client = self.get(self.by_key.get(&hash)?).filter(|client| !client.disabled)?;
        let is = |kept: &ApiKey| verify_slices_are_equal(&kept.hash, &hash).is_ok() && lives(kept.expires, now);
        client.api_keys.iter().any(is).then_some(client)
    }

    /// The client that proves with a secret to be `id`, at a time in unix seconds. `suspect`: its address has failed often for
    /// this client lately, and waits for its turn behind others of that kind alone.
    ///
    /// A text of the generated form is compared with the generated secrets alone. Any other is compared with the imported ones,
    /// where the file has any, and then costs the same argon2id verifications for every id, known or not.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn authenticate(
        &self,
        id: &str,
        secret: &str,
        now: u64,
        gate: &Gate,
        suspect: bool,
    ) -> Result<Arc<Client>, Denied> {
        let client = self.get(id).filter(|client| !client.disabled);
        let live = client.into_iter().flat_map(|client| &client.secrets).filter(|kept| lives(kept.expires, now));
        if is_generated(secret) {
            let sent = secret::sha256(secret);
            let right = live.fold(false, |right, kept| right | kept.is_generated_as(&sent));
            return client.filter(|_| right).cloned().ok_or(Denied::Wrong);
        }
        if self.rounds.is_empty() {
            return Err(Denied::Wrong);
        }
        let live: Vec<&Imported> = live.filter_map(ClientSecret::imported).collect();
        let trials = self.rounds.iter().flat_map(|(cost, count)| {
            let own = live.iter().filter(|imported| imported.cost == *cost).map(|own| Trial::Real((*own).clone()));
            own.chain(std::iter::repeat_with(|| Trial::Padding(*cost))).take(*count)
        });
        let verified = gate.verify(secret.to_owned(), trials.collect(), suspect).await;
        let right = verified.map_err(|secret::Full| Denied::Busy)?;
        client.filter(|_| right).cloned().ok_or(Denied::Wrong)
    }

    /// Of clients whose ids and keys are told apart.
    fn new(clients: Vec<Client>) -> Self {
        let mut rounds: BTreeMap<Cost, usize> = BTreeMap::new();
        for client in &clients {
            let mut own: BTreeMap<Cost, usize> = BTreeMap::new();
            for imported in client.secrets.iter().filter_map(ClientSecret::imported) {
                *own.entry(imported.cost).or_default() += 1;
            }
            for (cost, count) in own {
                // More of them never live at once.
                let most = rounds.entry(cost).or_default();
                *most = count.min(LIVE_SECRETS).max(*most);
            }
        }
        let keys = clients.iter().flat_map(|client| client.api_keys.iter().map(|key| (key.hash, client.id.clone())));
        let by_key = keys.collect();
        let by_id = clients.into_iter().map(|client| (client.id.clone(), Arc::new(client))).collect();
        Self { by_id, by_key, rounds: rounds.into_iter().collect() }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.by_id.len())
    }
}

impl Client {
    /// Whether it has a secret, be it expired: one without has API keys at most.
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Whether the API key of a [`mark`] is still there, expired or not.
    pub fn has_key(&self, marked: &str) -> bool {
        self.api_keys.iter().any(|key| mark(&key.hash) == marked)
    }

    /// Whether it is worth something at a time in unix seconds.
    pub fn has_live_key(&self, marked: &str, now: u64) -> bool {
        self.api_keys.iter().any(|key| lives(key.expires, now) && mark(&key.hash) == marked)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.id)
    }
}

impl ClientSecret {
    /// Whether somebody brought it; else it was generated.
    pub fn is_imported(&self) -> bool {
        self.imported().is_some()
    }

    fn imported(&self) -> Option<&Imported> {
        match &self.proof {
            Proof::Imported(imported) => Some(imported),
            Proof::Generated(_) => None,
        }
    }

    fn is_generated_as(&self, sent: &[u8; 32]) -> bool {
        match &self.proof {
            Proof::Generated(hash) => verify_slices_are_equal(hash, sent).is_ok(),
            Proof::Imported(_) => false,
        }
    }
}

/// What tells an API key from others, and nothing of the key: the first 32 bits of its hash, in hex.
pub fn mark(hash: &[u8; 32]) -> String {
    hex(hash.first_chunk::<4>().map_or(&[], |first| first))
}

/// Whether something that ends then is worth anything now.
pub(super) fn lives(expires: Option<u64>, now: u64) -> bool {
    expires.is_none_or(|expires| now < expires)
}
