//! What the issuer gives, and to whom: tokens for secrets, API keys and refresh tokens; their end, and their state.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::clients::{self, Client, mark};
use super::endpoints::Credentials;
use super::keys::Use;
use super::secret::{is_generated, sha256};
use super::store::{Ends, Family, Hash, Revocation, Rotation, StoreError, WINDOW_SECONDS};
use super::{Issued, Issuer, IssuerError, LEEWAY, Minted, Standing, random_hex, refresh_token};

/// So many failed secrets of a client, from one address within a window, are answered 401; those after them 429.
const ATTEMPTS: u32 = 10;
/// A client assertion says no later `exp` than so many seconds from now: its 60, and what clocks are apart.
const ASSERTION_SECONDS: u64 = 90;
/// `client_assertion_type` of an assertion that is a JWT (RFC 7523, 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The request makes no sense: a literal, which the caller may see.
    Request(&'static str),
    /// No such client, or not its secret, or not its API key.
    Client,
    /// The same, too often of late.
    TooMany { retry_after: u64 },
    /// No such refresh token, or another client's.
    Grant,
    /// A grant that there is not.
    Unsupported,
    /// Too many slow hashes at once.
    Busy,
    /// The store is down, or was not heard from for too long.
    Unavailable,
    /// No random numbers.
    Failed,
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        tracing::debug!(%error, "the token store does not answer");
        Self::Unavailable
    }
}

impl From<IssuerError> for Denied {
    fn from(error: IssuerError) -> Self {
        tracing::error!(%error, "no token was made");
        Self::Failed
    }
}

/// An access token with its refresh token.
pub(super) struct Pair {
    pub(super) access_token: String,
    pub(super) expires_in: u64,
    /// Of the access token, in unix seconds.
    pub(super) expires: u64,
    pub(super) refresh_token: String,
}

fn pair(minted: Minted, refresh_token: String) -> Pair {
    let Minted { token, expires_in, expires } = minted;
    Pair { access_token: token, expires_in, expires, refresh_token }
}

/// The [`mark`] of the API key that a family began with.
pub(super) fn key_of(family: &str) -> Option<&str> {
    family.split_once('-').map(|(_, marked)| marked)
}

impl Issuer {
    /// Client authentication (RFC 6749, 2.3). A right secret is never refused for the wrong ones before it.
    pub(super) async fn client(
        &self,
        credentials: &Credentials,
        address: IpAddr,
        now: u64,
    ) -> Result<Arc<Client>, Denied> {
        let clients = self.clients();
        for (id, secret) in &credentials.spellings {
            // What is compared by SHA-256 takes no place that another could want.
            let suspect = !is_generated(secret) && self.is_suspect(id, address, now);
            match clients.authenticate(id, secret, now, &self.gate, suspect).await {
                Ok(client) => return Ok(client),
                Err(clients::Denied::Busy) => return Err(Denied::Busy),
                Err(clients::Denied::Wrong) => {}
            }
        }
        // Every name that was tried counts, so that no spelling is free.
        let mut denied = Denied::Client;
        let mut named: Vec<&str> = credentials.spellings.iter().map(|(id, _)| id.as_str()).collect();
        named.dedup();
        for id in named {
            let this = self.failed(id, address, now).await;
            if denied == Denied::Client {
                denied = this;
            }
        }
        Err(denied)
    }

    /// Whether an address failed often lately: for this client, or for one client after the other.
    fn is_suspect(&self, client: &str, address: IpAddr, now: u64) -> bool {
        self.store.failures(client, address, now) >= ATTEMPTS || self.store.clients_failed(address, now) >= ATTEMPTS
    }

    async fn failed(&self, client: &str, address: IpAddr, now: u64) -> Denied {
        if self.store.failed(client, address, now).await <= ATTEMPTS {
            return Denied::Client;
        }
        Denied::TooMany { retry_after: WINDOW_SECONDS - now % WINDOW_SECONDS }
    }

    /// RFC 6749, 4.4.
    pub(super) async fn by_secret(
        &self,
        credentials: &Credentials,
        address: IpAddr,
        now: u64,
    ) -> Result<Minted, Denied> {
        let client = self.client(credentials, address, now).await?;
        Ok(self.mint(&client, None, now)?)
    }

    /// A new family of refresh tokens for an API key.
    pub(super) async fn by_api_key(&self, key: &str, address: IpAddr, now: u64) -> Result<Pair, Denied> {
        let clients = self.clients();
        let Some(client) = clients.by_api_key(key, now) else {
            return Err(self.failed("", address, now).await);
        };
        // So that it ends with the key.
        let family = format!("{}-{}", random_hex()?, mark(&sha256(key)));
        let minted = self.mint(client, Some(&family), now)?;
        let refresh_token = refresh_token()?;
        let family = Family { id: family, client: client.id.clone(), ends: self.ends(&minted, now) };
        self.store.begin(&family, &Hash::of(&refresh_token), now).await?;
        Ok(pair(minted, refresh_token))
    }

    fn ends(&self, minted: &Minted, now: u64) -> Ends {
        Ends { refresh: now.saturating_add(self.settings().refresh_token_ttl.as_secs()), access: minted.expires }
    }

    /// Whether a refresh token may be used without client authentication: by a client that has no secret (RFC 6749, 6).
    pub(super) async fn may_refresh_without_secret(
        &self,
        token: &str,
        named: Option<&str>,
        now: u64,
    ) -> Result<(), Denied> {
        let standing = self.store.family_of(&Hash::of(token), now).await?.ok_or(Denied::Grant)?;
        let owner = standing.family.client;
        if named.is_some_and(|named| named != owner) {
            return Err(Denied::Grant);
        }
        let clients = self.clients();
        if clients.get(&owner).is_some_and(|client| client.has_secrets()) { Err(Denied::Client) } else { Ok(()) }
    }

    /// Uses a refresh token, of `owner` where one authenticated (RFC 9700, 4.14).
    pub(super) async fn refreshed(&self, token: &str, owner: Option<&str>, now: u64) -> Result<Pair, Denied> {
        let hash = Hash::of(token);
        let family = self.store.family_of(&hash, now).await?.ok_or(Denied::Grant)?.family;
        let clients = self.clients();
        let client = clients.get(&family.client).filter(|client| !client.disabled).ok_or(Denied::Grant)?;
        if key_of(&family.id).is_some_and(|marked| !client.has_live_key(marked, now)) {
            return Err(Denied::Grant);
        }
        if owner.is_some_and(|owner| owner != family.client) {
            // Not used, so that nobody can use up what is another's.
            return Err(Denied::Grant);
        }
        let minted = self.mint(client, Some(&family.id), now)?;
        let refresh_token = refresh_token()?;
        let ends = self.ends(&minted, now);
        match self.store.rotate(&hash, &Hash::of(&refresh_token), ends, now).await? {
            Rotation::Rotated(_) | Rotation::Repeated(_) => Ok(pair(minted, refresh_token)),
            Rotation::Reused(family) => {
                let Family { id, client, .. } = family;
                tracing::warn!(family = id, client, "a refresh token was used twice: its family is revoked");
                Err(Denied::Grant)
            }
            Rotation::Ended => Err(Denied::Grant),
        }
    }

    /// Ends whatever the command line names.
    pub(super) async fn revoke_any(
        &self,
        token: Option<&str>,
        jti: Option<&str>,
        family: Option<&str>,
        now: u64,
    ) -> Result<(), Denied> {
        let until = now.saturating_add(self.longest());
        let what = match (token, jti, family) {
            (Some(token), None, None) => return self.revoke_token(None, token, now).await,
            (None, Some(jti), None) => Revocation::Token { jti: jti.to_owned(), until },
            (None, None, Some(id)) => Revocation::Family { id: id.to_owned(), until },
            _ => return Err(Denied::Request("not exactly one of `token`, `jti` and `family`")),
        };
        Ok(self.store.revoke(&what, now).await?)
    }

    /// Ends a token, of `owner` where one authenticated (RFC 7009, 2.1): what is unknown or another's is ended already, as far as it
    /// may know.
    pub(super) async fn revoke_token(&self, owner: Option<&str>, token: &str, now: u64) -> Result<(), Denied> {
        let others = |client: &str| owner.is_some_and(|owner| owner != client);
        if let Some(standing) = self.store.family_of(&Hash::of(token), now).await? {
            let Family { id, client, ends } = standing.family;
            if others(&client) {
                return Ok(());
            }
            return Ok(self.store.revoke(&Revocation::Family { id, until: ends.access }, now).await?);
        }
        // As long as it is accepted it can be revoked.
        let Some(claims) = self.verified(token, now.saturating_sub(LEEWAY.as_secs())) else { return Ok(()) };
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        if others(text("client_id")) {
            return Ok(());
        }
        let until = claims.get("exp").and_then(Value::as_u64).unwrap_or_else(|| now.saturating_add(self.longest()));
        Ok(self.store.revoke(&Revocation::Token { jti: text("jti").to_owned(), until }, now).await?)
    }

    /// RFC 7662, 2.2, of a client's own token: of another's no more than that it is not active.
    pub(super) async fn introspected(&self, client: &str, token: &str, now: u64) -> Result<Value, Denied> {
        if let Some(mut claims) = self.verified(token, now) {
            let own = claims.get("client_id").and_then(Value::as_str) == Some(client);
            let standing = Issued::of(&claims).map_or(Standing::Ended, |issued| self.standing(&issued));
            match standing {
                Standing::Good if own => {}
                Standing::Unknown if own => return Err(Denied::Unavailable),
                Standing::Good | Standing::Unknown | Standing::Ended => return Ok(json!({"active": false})),
            }
            claims.insert("active".to_owned(), json!(true));
            claims.insert("token_type".to_owned(), json!("Bearer"));
            return Ok(Value::Object(claims));
        }
        let standing = self.store.family_of(&Hash::of(token), now).await?;
        let own = standing.filter(|standing| standing.newest && standing.family.client == client);
        Ok(match own {
            Some(standing) => json!({
                "active": true,
                "client_id": client,
                "token_type": "refresh_token",
                "exp": standing.family.ends.refresh,
            }),
            None => json!({"active": false}),
        })
    }

    /// The claims of an access token of ours that has not expired.
    fn verified(&self, token: &str, now: u64) -> Option<Map<String, Value>> {
        let settings = self.settings();
        self.keys().verify(Use::Access, token, &settings.url, &settings.audience, now)
    }

    /// Whether whoever asks proved to hold our own signing key (`tagwarden token revoke`); `false`: it did not try. A proof is
    /// worth something once (RFC 7523, 3, `jti`), for it ends any token.
    pub(super) async fn asserted(
        &self,
        parameters: &std::collections::BTreeMap<String, String>,
        now: u64,
    ) -> Result<bool, Denied> {
        let Some(assertion) = parameters.get("client_assertion") else { return Ok(false) };
        if parameters.get("client_assertion_type").map(String::as_str) != Some(ASSERTION_TYPE) {
            return Err(Denied::Request("`client_assertion_type` is not that of a JWT"));
        }
        let url = &self.settings().url;
        let claims = self.keys().verify(Use::Assertion, assertion, url, url, now).ok_or(Denied::Client)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let (Some(exp), Some(jti)) = (claims.get("exp").and_then(Value::as_u64), text("jti")) else {
            return Err(Denied::Client);
        };
        let short = exp <= now.saturating_add(ASSERTION_SECONDS);
        let used = self.store.revocations().ended(jti, None, "", now);
        if !short || text("sub") != Some(url) || used {
            return Err(Denied::Client);
        }
        self.store.revoke(&Revocation::Token { jti: jti.to_owned(), until: exp }, now).await?;
        Ok(true)
    }
}
