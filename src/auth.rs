//! Who calls: a bearer token becomes a [`Verified`], and that a [`Caller`], which nothing but this module can make.
//!
//! A token is accepted when an issuer of the configuration signed it (config.md, `auth`), it is written canonically, its claims
//! follow the issuer's rules, and it is within its time. The issuer is the one whose name equals `iss`; keys, algorithms and
//! rules are its own, so a token of one issuer is never measured by those of another. What verified once is remembered under
//! the SHA-256 of the whole token; the time, and whether the issuer's keys are still the same, are looked at on every request.
//! Its claims are not kept: a request brings them along, and they are read once for each generation of the policy.
//!
//! A token that is no JWS is nobody's unless `auth.opaque` says whom to ask; a JWS never gets there, whatever is wrong with it.
//!
//! Tokens of the built-in issuer are verified like anybody's; then, on every request, `own` asks whether they were ended. An API
//! key is a credential of that issuer alone.
//!
//! [`Auth`] holds the issuers and the cache; `issuer` is one of them, `verify` reads tokens, `keys` holds and fetches keys,
//! `cache` remembers, `opaque` asks.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::fetch::Client;
use crate::issuer::endpoints::API_KEY;
use crate::issuer::secret::is_issued;
use crate::issuer::{Issued, Issuer as BuiltIn};
use cache::{Entry, TokenCache};
use issuer::{Issuer, KeyPart};
use keys::pace::Pace;
use keys::source::Unverified;
use opaque::Opaque;
use own::Own;
use verify::{Jws, Known};

mod bearer;
mod cache;
mod caller;
mod certificate;
mod issuer;
mod keys;
mod opaque;
mod own;
mod settings;
#[cfg(test)]
mod tests;
mod verify;

pub use bearer::{Credential, credential};
pub use cache::CacheStatus;
pub use caller::{Caller, Memo, Verified, issuer_of, subject_of, thumbprint_of};
pub use certificate::PeerCertificate;
pub use keys::KeyError;
pub use keys::source::SourceError;
pub use settings::{Audiences, AuthError, IssuerSettings, JudgeSettings, KeySource, OpaqueSettings};

/// `limits.token_bytes` where the configuration says nothing.
pub const DEFAULT_TOKEN_BYTES: usize = 16 * 1024;

/// Why a request has no caller. What it displays may be shown to whoever sent the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No bearer token was sent (RFC 6750, 3.1: the answer then carries no error code).
    #[error("no access token was sent")]
    Missing,
    /// A token that does not verify, or credentials that cannot be read in one way: one text for all causes.
    #[error("the access token is not valid")]
    Invalid {
        /// The cause, for the debug log and metrics: one of a closed set of literals, nothing of the token.
        reason: &'static str,
    },
    /// The signature is good, the issuer's rules are kept, and `exp` is past.
    #[error("the access token has expired")]
    Expired,
    /// The keys that could tell are not here, or the server that could does not: ours to mend, 503.
    #[error("the keys of the issuer are not available")]
    KeysUnavailable {
        /// When to try again; at least a second.
        retry_after: Duration,
    },
}

/// How the keys of an issuer stand, for metrics and `/status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// Its name.
    pub issuer: String,
    /// How often its keys were read; from files too.
    pub fetches_ok: u64,
    /// How often that failed.
    pub fetches_failed: u64,
    /// Since the keys in use were read; `None`: never.
    pub age: Option<Duration>,
    /// The last reading failed: keys in use are those of an earlier one.
    pub stale: bool,
    /// How many keys there are to verify with.
    pub keys: usize,
}

/// The issuers, their keys, and the tokens that verified.
pub struct Auth {
    issuers: Vec<Issuer>,
    by_name: HashMap<String, usize>,
    cache: TokenCache,
    opaque: Option<Arc<Opaque>>,
    own: Option<Own>,
}

/// Who says what is worth something, beside the issuers.
#[derive(Default)]
struct Judges {
    opaque: Option<OpaqueSettings>,
    own: Option<Arc<BuiltIn>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({} issuers)", self.issuers.len())
    }
}

impl Auth {
    /// Sets the issuers up. Files are read now; what is fetched waits for [`Auth::spawn_refresh`], or for the first token.
    /// `token_cache_entries` is how many verified tokens are remembered; 0: none.
    ///
    /// # Errors
    /// The first [`AuthError`]: settings that contradict each other, or a key file that cannot be used.
    pub fn new(issuers: Vec<IssuerSettings>, token_cache_entries: u64) -> Result<Arc<Auth>, AuthError> {
        Auth::with_pace(issuers, token_cache_entries, &Pace::default(), None)
    }

    /// [`Auth::new`] with a judge of opaque tokens and the built-in issuer, in the place of `before`: issuers whose keys come from where they came
    /// from keep those that they have, for their provider may not be there just now; so it is with what the judge said.
    ///
    /// # Errors
    /// The same.
    pub fn load(
        before: Option<&Auth>,
        issuers: Vec<IssuerSettings>,
        opaque: Option<OpaqueSettings>,
        own: Option<Arc<BuiltIn>>,
        token_cache_entries: u64,
    ) -> Result<Arc<Auth>, AuthError> {
        let judges = Judges { opaque, own };
        Auth::at_pace(issuers, judges, token_cache_entries, &Pace::default(), before)
    }

    fn with_pace(
        settings: Vec<IssuerSettings>,
        token_cache_entries: u64,
        pace: &Pace,
        before: Option<&Auth>,
    ) -> Result<Arc<Auth>, AuthError> {
        Auth::at_pace(settings, Judges::default(), token_cache_entries, pace, before)
    }

    fn at_pace(
        mut settings: Vec<IssuerSettings>,
        judges: Judges,
        token_cache_entries: u64,
        pace: &Pace,
        before: Option<&Auth>,
    ) -> Result<Arc<Auth>, AuthError> {
        let client = Arc::new(Client::new());
        let mut auth = Auth {
            issuers: Vec::with_capacity(settings.len()),
            by_name: HashMap::new(),
            cache: TokenCache::new(token_cache_entries),
            opaque: None,
            own: None,
        };
        if let Some(own) = judges.own {
            let trusted = own.trusted();
            auth.own = Some(Own::new(own, settings.len()));
            settings.push(trusted);
        }
        for settings in settings {
            let keys = KeyPart::of(&settings);
            let mut issuer = Issuer::new(settings, &client, pace)?;
            let known = before.and_then(|before| before.issuers.iter().find(|issuer| issuer.keys == keys));
            if let Some(known) = known {
                issuer.source = Arc::clone(&known.source);
            }
            let (name, place) = (issuer.name.clone(), auth.issuers.len());
            if auth.by_name.insert(name, place).is_some() {
                return Err(AuthError::Twice { issuer: issuer.name });
            }
            issuer.reload()?;
            issuer.source.restore();
            auth.issuers.push(issuer);
        }
        if let Some(settings) = judges.opaque {
            let known = before.and_then(|before| before.opaque.as_ref());
            auth.opaque = Some(match known.filter(|known| known.is_of(&settings, token_cache_entries)) {
                Some(known) => {
                    known.reload()?;
                    Arc::clone(known)
                }
                None => Arc::new(Opaque::new(settings, token_cache_entries, &client, pace)?),
            });
        }
        Ok(Arc::new(auth))
    }

    /// Starts fetching the keys that are fetched: at once, then before they are due (by `Cache-Control: max-age`, 1 minute to 1
    /// hour, else 5 minutes), after a failure from 1 s to 1 minute later. The tasks run on the tokio runtime that this is called
    /// on and end when this `Auth` is dropped; a second call starts nothing.
    pub fn spawn_refresh(self: &Arc<Self>) {
        for issuer in &self.issuers {
            issuer.source.spawn();
        }
    }

    /// [`Auth::authenticate_within`] with [`DEFAULT_TOKEN_BYTES`], on a connection without a client certificate.
    ///
    /// # Errors
    /// The same.
    pub async fn authenticate<'t>(&self, token: &'t str, now: SystemTime) -> Result<Verified<'t>, Refusal> {
        self.authenticate_within(token, DEFAULT_TOKEN_BYTES, now, None).await
    }

    /// The caller that a token of at most `max_bytes` speaks for at `now`. Valid while `nbf - leeway <= now < exp + leeway`.
    /// Waits for the issuer's provider only where no key here fits, at most as long as one fetch; for the judge of opaque tokens
    /// where nothing is remembered of the token. A token that is bound to a certificate (`cnf`) is held against `peer`, that of
    /// the connection, each time (RFC 8705, 3).
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Expired`] or [`Refusal::KeysUnavailable`].
    pub async fn authenticate_within<'t>(
        &self,
        token: &'t str,
        max_bytes: usize,
        now: SystemTime,
        peer: Option<&PeerCertificate>,
    ) -> Result<Verified<'t>, Refusal> {
        if token.len() > max_bytes {
            return Err(invalid("longer than the limit"));
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(opaque) = self.opaque.as_ref().filter(|_| !opaque::is_jws(token)) {
            // Nobody else is to see what our own issuer gave out, and nobody else speaks for it.
            if self.own.is_some() && is_issued(token) {
                return Err(invalid("a secret or refresh token of the built-in issuer"));
            }
            let claims = opaque.caller(token, now, peer).await?;
            let ours = self.own.as_ref().is_some_and(|own| own.issuer.settings().url == issuer_of(&claims.map));
            let caller = Verified::of(claims);
            return if ours { Err(invalid("issuer of an opaque token is the built-in one")) } else { Ok(caller) };
        }
        let key = TokenCache::key(token);
        let current = |entry: &Entry| {
            let issuer = self.issuers.get(entry.issuer);
            issuer.and_then(|issuer| issuer.source.generation()) == Some(entry.generation)
        };
        if let Some(entry) = self.cache.get(&key, now, current)
            && let Some(issuer) = self.issuers.get(entry.issuer)
        {
            let accepted = issuer.accept(&entry.known, now, peer).and_then(|()| self.stands(entry.issued.as_deref()));
            if matches!(accepted, Err(Refusal::Expired)) {
                self.cache.remove(&key);
            }
            return accepted.map(|()| Verified::again(entry.known, token));
        }
        let mut jws = Jws::parse(token).map_err(invalid)?;
        let place = jws.issuer().and_then(|name| self.by_name.get(name));
        let Some((place, issuer)) = place.and_then(|p| Some((*p, self.issuers.get(*p)?))) else {
            return Err(invalid("issuer not known"));
        };
        if !issuer.algorithms.contains(&jws.algorithm) {
            return Err(invalid("algorithm not allowed"));
        }
        // Before the signature: a token that could not be accepted anyway is not worth a fetch.
        let claims = issuer.rules.check(&mut jws).map_err(invalid)?;
        let generation = issuer.source.verify(&jws).await.map_err(|why| match why {
            Unverified::Wrong => invalid("signature wrong"),
            Unverified::Unknown => invalid("key not known"),
            Unverified::Unavailable { retry_after } => Refusal::KeysUnavailable { retry_after },
        })?;
        issuer.accept(&claims.known, now, peer)?;
        let issued = match self.own.as_ref().filter(|own| own.place == place) {
            Some(_) => Some(Arc::new(Issued::of(&claims.map).ok_or(invalid(own::ENDED))?)),
            None => None,
        };
        self.stands(issued.as_deref())?;
        let entry = Entry { known: Arc::clone(&claims.known), issuer: place, generation, issued, since: now.as_secs() };
        self.cache.put(key, entry);
        Ok(Verified::of(Arc::new(claims)))
    }

    /// The last step for a token of the built-in issuer, cached or not.
    fn stands(&self, issued: Option<&Issued>) -> Result<(), Refusal> {
        match (issued, &self.own) {
            (Some(issued), Some(own)) => own.stands(issued),
            (None, _) => Ok(()),
            // That cannot be: the issuer lives as long as this.
            (Some(_), None) => Err(invalid(own::ENDED)),
        }
    }

    /// The caller of an API key of the built-in issuer at `now`.
    ///
    /// # Errors
    /// [`Refusal::Missing`] where API keys are no credentials; [`Refusal::Invalid`].
    pub fn by_api_key(&self, key: &str, now: SystemTime) -> Result<Verified<'static>, Refusal> {
        let own = self.own.as_ref().filter(|own| own.issuer.settings().api_keys).ok_or(Refusal::Missing)?;
        own.caller(key, now.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// Verifies with these keys of the built-in issuer (a JWK set) from now on; whether they are others than before.
    ///
    /// # Errors
    /// None of them can be used.
    pub fn use_own_keys(&self, jwks: &str) -> Result<bool, AuthError> {
        let Some(issuer) = self.own.as_ref().and_then(|own| self.issuers.get(own.place)) else { return Ok(false) };
        let replaced = issuer.source.replace(jwks.as_bytes());
        replaced.map_err(|reason| AuthError::Text { issuer: issuer.name.clone(), reason })
    }

    /// The key files, to be watched.
    pub fn files(&self) -> Vec<PathBuf> {
        let sources = self.issuers.iter().map(|issuer| &issuer.source);
        let files = sources.filter_map(|source| source.file().map(Into::into));
        files.chain(self.opaque.as_ref().and_then(|opaque| opaque.file())).collect()
    }

    /// Reads the key files again: for each, whether its keys are others now. One that cannot be used leaves the keys that were
    /// there. Reads from the disk, so not for a thread that serves.
    pub fn reload_files(&self) -> Vec<(PathBuf, Result<bool, AuthError>)> {
        let files = self.issuers.iter().filter_map(|issuer| {
            let path = issuer.source.file()?.to_owned();
            Some((path, issuer.reload()))
        });
        let opaque = self.opaque.as_ref().and_then(|opaque| Some((opaque.file()?, opaque.reload())));
        files.chain(opaque).collect()
    }

    /// How the keys of each issuer stand.
    pub fn status(&self) -> Vec<IssuerStatus> {
        let status = |issuer: &Issuer| {
            let source = issuer.source.status();
            IssuerStatus {
                issuer: issuer.name.clone(),
                fetches_ok: source.read_ok,
                fetches_failed: source.read_failed,
                age: source.age,
                stale: source.failing,
                keys: source.keys,
            }
        };
        self.issuers.iter().map(status).collect()
    }

    /// How the token cache does.
    pub fn cache_status(&self) -> CacheStatus {
        self.cache.status()
    }

    /// How the caches of opaque tokens do; `None`: there are no such tokens.
    pub fn opaque_status(&self) -> Option<CacheStatus> {
        self.opaque.as_ref().map(|opaque| opaque.status())
    }
}

/// A token that is bound to a certificate is worth something beside that one alone (RFC 8705, 3).
fn proven(known: &Known, now: Duration, peer: Option<&PeerCertificate>) -> Result<(), Refusal> {
    match &known.bound {
        Some(bound) if !peer.is_some_and(|peer| peer.is(bound, now)) => Err(invalid(verify::NO_PROOF)),
        Some(_) | None => Ok(()),
    }
}

fn invalid(reason: &'static str) -> Refusal {
    Refusal::Invalid { reason }
}
