//! The built-in issuer (config.md, `issuer`): tokens for teams that have no identity provider.
//!
//! [`endpoints`] (over Chalk's gRPC [`chalk`]) reads a request and writes the answer, by way of `grants`; [`Issuer`] mints and judges tokens; [`clients`] and
//! [`keys`] are files that reload; [`store`] remembers what must outlive a request: refresh families and revocations.
//!
//! Access tokens are JWTs (RFC 9068) that [`auth`](crate::auth) verifies like anybody's. What is asked of them beside that, on
//! every request and without a wait, is [`Issuer::standing`].

pub mod chalk;
pub mod clients;
pub mod endpoints;
mod grants;
pub mod keys;
pub mod revocations;
pub mod secret;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::config::{Audiences, BuiltInIssuer, IssuerSettings, KeySource, StoreSettings};
use crate::hex::hex;
use clients::{Client, Clients};
pub use grants::ASSERTION_TYPE;
use keys::{SigningKeys, Use};
use secret::Gate;
use store::{Revocation, Store, StoreError};

/// How far the clocks of replicas may be apart.
const LEEWAY: Duration = Duration::from_secs(30);
/// How often what has expired is dropped from the store.
const SWEEP: Duration = Duration::from_secs(300);

/// Why the issuer cannot be set up, or a token not be signed. Holds nothing of a key, a secret or a token.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The folder of signing keys, or a file in it.
    #[error("`{path}` cannot be used as `issuer.keys`: {why}")]
    Keys {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No random numbers.
    #[error("no token can be signed")]
    Sign,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a verified token of ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Good,
    /// It was revoked, its family was, its client or API key is gone, its client is disabled, or it would outlive its revocation.
    Ended,
    /// Nobody can say: the store was not heard from for too long.
    Unknown,
}

/// What the standing of an access token of ours hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    jti: Box<str>,
    client: Box<str>,
    /// Unix seconds.
    iat: u64,
    exp: u64,
    family: Option<Box<str>>,
}

impl Issued {
    /// By the token's claims; `None`: one of them is missing, and none of ours is without.
    pub fn of(claims: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(Box::from);
        let time = |name: &str| claims.get(name).and_then(Value::as_u64);
        let (jti, client, iat, exp) = (text("jti")?, text("client_id")?, time("iat")?, time("exp")?);
        Some(Self { jti, client, iat, exp, family: text("family") })
    }
}

/// How the store stands, for metrics, `/readyz` and `/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// For how long it was not heard from; zero for a file. `None`: it was never heard.
    pub silence: Option<Duration>,
    /// That is too long (`revocations.max_stale`): tokens of ours are answered 503.
    pub stale: bool,
}

/// The issuer: its settings, and what changes under them.
#[derive(Debug)]
pub struct Issuer {
    settings: BuiltInIssuer,
    keys: ArcSwap<SigningKeys>,
    /// Shared with the issuer of the configuration before: a request that is on its way there counts with those of now.
    clients: Arc<ArcSwap<Clients>>,
    store: Arc<Store>,
    gate: Arc<Gate>,
}

/// An access token that was just made.
struct Minted {
    token: String,
    /// Seconds.
    expires_in: u64,
    /// Unix seconds.
    expires: u64,
}

impl Issuer {
    /// Reads the keys (with a store of this process alone they are made where there are none: replicas must share theirs) and
    /// opens the store, or takes that of the issuer before it where it is the same. Its clients are still to be given.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub async fn open(settings: BuiltInIssuer, before: Option<&Issuer>) -> Result<Arc<Self>, IssuerError> {
        let keys = match settings.store {
            StoreSettings::Embedded(_) => SigningKeys::read_or_make(&settings.keys)?,
            StoreSettings::Redis(_) => SigningKeys::read(&settings.keys)?,
        };
        let known = before.filter(|before| before.settings.store == settings.store);
        let (store, clients) = match known {
            Some(known) => (Arc::clone(&known.store), Arc::clone(&known.clients)),
            None => {
                let store = Arc::new(Store::open(&settings.store).await?);
                tokio::spawn(sweep(Arc::downgrade(&store)));
                (store, Arc::new(ArcSwap::from_pointee(Clients::none())))
            }
        };
        let gate = known.map_or_else(|| Arc::new(Gate::new()), |known| Arc::clone(&known.gate));
        Ok(Arc::new(Self { settings, keys: ArcSwap::from_pointee(keys), clients, store, gate }))
    }

    /// What it was made of.
    pub fn settings(&self) -> &BuiltInIssuer {
        &self.settings
    }

    /// Its clients as they are now.
    pub fn clients(&self) -> Arc<Clients> {
        self.clients.load_full()
    }

    /// Its keys as they are now.
    pub fn keys(&self) -> Arc<SigningKeys> {
        self.keys.load_full()
    }

    /// Signs with these from now on. Whoever verifies must have them before.
    pub fn use_keys(&self, keys: SigningKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// Serves these clients from now on. Whoever is gone or disabled is out at once; that its tokens stay ended when it comes back
    /// is written to the store, which is tried until it is done.
    pub fn use_clients(&self, clients: Clients) {
        let clients = Arc::new(clients);
        let before = self.clients.swap(Arc::clone(&clients));
        let out = |id: &str| clients.get(id).is_none_or(|client| client.disabled);
        let known = before.iter().chain(clients.iter()).map(|client| client.id.as_str());
        let ended: BTreeSet<String> = known.filter(|id| out(id)).map(str::to_owned).collect();
        if ended.is_empty() {
            return;
        }
        let (store, now) = (Arc::downgrade(&self.store), unix_now());
        let until = now.saturating_add(self.longest());
        let end = |id| Revocation::Client { id, issued_before: now.saturating_add(1), until };
        let ended: Vec<Revocation> = ended.into_iter().map(end).collect();
        // Before anybody comes back, though the store be down.
        self.store.revocations().add(ended.iter().cloned());
        tokio::spawn(async move {
            for what in ended {
                while let Some(store) = store.upgrade() {
                    match store.revoke(&what, now).await {
                        Ok(()) => break,
                        Err(error) => tracing::warn!(%error, "the tokens of a client are not yet ended in the store"),
                    }
                    drop(store);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
    }

    /// As what its tokens are verified: the keys of now, ES256, `at+jwt`, its name and its audience.
    pub fn trusted(&self) -> IssuerSettings {
        let keys = KeySource::Static(self.keys.load().jwks.clone().into_bytes());
        let require = ["sub", "client_id", "iat", "jti"].map(str::to_owned).to_vec();
        IssuerSettings {
            issuer: self.settings.url.clone(),
            audiences: Audiences::OneOf(vec![self.settings.audience.clone()]),
            algorithms: vec![jsonwebtoken::Algorithm::ES256],
            keys,
            stale_if_error: Duration::ZERO,
            keys_folder: None,
            leeway: LEEWAY,
            require,
            require_typ: Some("at+jwt".to_owned()),
        }
    }

    /// How an access token stands whose signature and times are good.
    pub fn standing(&self, issued: &Issued) -> Standing {
        let Issued { jti, client, iat, exp, family } = issued;
        // Revocations are kept for so long.
        if exp.saturating_sub(*iat) > self.longest() {
            return Standing::Ended;
        }
        let family = family.as_deref();
        let key = family.and_then(grants::key_of);
        let lives = |client: &Arc<Client>| !client.disabled && key.is_none_or(|marked| client.has_key(marked));
        let live = self.clients.load().get(client).is_some_and(lives);
        let revocations = self.store.revocations();
        if !live || revocations.ended(jti, family, client, *iat) {
            return Standing::Ended;
        }
        if self.store_status().stale { Standing::Unknown } else { Standing::Good }
    }

    /// How its store stands now.
    pub fn store_status(&self) -> StoreStatus {
        let silence = self.store.revocations().silence();
        StoreStatus {
            silence: Some(silence).filter(|silence| *silence < Duration::MAX),
            stale: silence > self.settings.max_stale,
        }
    }

    /// The claims of a client that has no token but its API key.
    pub fn claims_of(&self, client: &Client) -> Map<String, Value> {
        claims_of(&self.settings, client)
    }

    /// [`longest`].
    fn longest(&self) -> u64 {
        longest(&self.settings)
    }

    fn mint(&self, client: &Client, family: Option<&str>, now: u64) -> Result<Minted, IssuerError> {
        let expires_in = self.settings.access_token_ttl.as_secs();
        let (claims, expires) = access_claims(&self.settings, client, family, expires_in, now)?;
        let token = self.keys.load().sign(Use::Access, &claims)?;
        Ok(Minted { token, expires_in, expires })
    }
}

/// The longest that a token of a client can live: an access token, or one that the command line made. In seconds.
pub fn longest(settings: &BuiltInIssuer) -> u64 {
    settings.access_token_ttl.max(settings.refresh_token_ttl).as_secs()
}

fn claims_of(settings: &BuiltInIssuer, client: &Client) -> Map<String, Value> {
    let mut claims = client.claims.clone();
    let own = [("iss", &settings.url), ("sub", &client.id), ("client_id", &client.id), ("aud", &settings.audience)];
    claims.extend(own.map(|(name, value)| (name.to_owned(), json!(value))));
    claims
}

/// The claims of an access token (RFC 9068, 2.2) that begins at `now` and holds for `ttl` seconds; and when it expires.
///
/// # Errors
/// [`IssuerError::Sign`]: no random numbers.
pub fn access_claims(
    settings: &BuiltInIssuer,
    client: &Client,
    family: Option<&str>,
    ttl: u64,
    now: u64,
) -> Result<(Map<String, Value>, u64), IssuerError> {
    let mut claims = claims_of(settings, client);
    let expires = now.saturating_add(ttl);
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(expires));
    claims.insert("jti".to_owned(), json!(random_hex()?));
    match family {
        Some(family) => claims.insert("family".to_owned(), json!(family)),
        None => claims.remove("family"),
    };
    Ok((claims, expires))
}

/// What `tagwarden token revoke` shows to a running issuer (RFC 7523, 2.2): for a minute, signed by the key that both have.
///
/// # Errors
/// [`IssuerError::Sign`].
pub fn assertion(keys: &SigningKeys, url: &str, now: u64) -> Result<String, IssuerError> {
    let claims = [
        ("iss", json!(url)),
        ("sub", json!(url)),
        ("aud", json!(url)),
        ("iat", json!(now)),
        ("exp", json!(now.saturating_add(60))),
        ("jti", json!(random_hex()?)),
    ];
    keys.sign(Use::Assertion, &claims.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

/// Drops what has expired, for as long as there is the store.
async fn sweep(store: std::sync::Weak<Store>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.sweep(unix_now()).await {
            tracing::warn!(%error, "the token store was not swept");
        }
    }
}

/// The time, in unix seconds.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// 128 random bits in hex.
pub fn random_hex() -> Result<String, IssuerError> {
    let mut random = [0u8; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| IssuerError::Sign)?;
    Ok(hex(&random))
}

/// A refresh token: 256 random bits.
fn refresh_token() -> Result<String, IssuerError> {
    let mut random = [0u8; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| IssuerError::Sign)?;
    Ok(format!("{}{}", secret::REFRESH, URL_SAFE_NO_PAD.encode(random)))
}
