//! A provider of keys: where its set is found, and the copy of it that outlives a restart.
//!
//! The set has an address of its own (`jwks_url`), or the issuer's metadata names it: OpenID Connect Discovery 1.0, 4, and
//! where there is none, RFC 8414, 3. What metadata says counts only for the issuer that it was asked of (RFC 8414, 3.3).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::pace::freshness;
use super::source::{MAX_BYTES, SourceError, read};
use crate::fetch::{Answer, Client, FetchError, Url};
use crate::json::strict_object;

/// By how many seconds a kept set may be from the future, for a clock that was set right since.
const CLOCK_SET_BACK: u64 = 300;

/// A JWK set that is fetched.
pub(in crate::auth) struct Provider {
    pub(in crate::auth) location: Location,
    pub(in crate::auth) client: Arc<Client>,
    /// How long keys are used past the moment when newer ones were due.
    pub(in crate::auth) stale_if_error: Duration,
    /// Where the last good set is kept over a restart.
    pub(in crate::auth) kept: Option<PathBuf>,
}

/// Where a set is found.
pub(in crate::auth) enum Location {
    /// At this address.
    Set(Url),
    /// Where the issuer's metadata says.
    Metadata(Metadata),
}

impl Location {
    /// What is asked first.
    pub(in crate::auth) fn url(&self) -> &Url {
        match self {
            Location::Set(url) => url,
            Location::Metadata(Metadata { documents: [openid, _], .. }) => openid,
        }
    }
}

/// Where an issuer says of itself where its keys are.
pub(in crate::auth) struct Metadata {
    issuer: String,
    documents: [Url; 2],
}

/// A set as it came.
pub(super) struct Fetched {
    pub(super) body: Bytes,
    /// For how long it is fresh.
    pub(super) fresh: Duration,
}

/// A set that was kept.
pub(super) struct Kept {
    pub(super) set: Vec<u8>,
    /// Since it was fetched.
    pub(super) age: Duration,
    /// For how long it was fresh then.
    pub(super) fresh: Duration,
}

impl Metadata {
    /// The two places: `issuer` and `/.well-known/openid-configuration` behind it; `/.well-known/oauth-authorization-server`
    /// between its host and its path.
    ///
    /// # Errors
    /// The issuer's name is no address.
    pub(in crate::auth) fn of(issuer: &str) -> Result<Self, FetchError> {
        let base = issuer.trim_end_matches('/');
        let after_scheme = base.find("://").map_or(0, |at| at + 3);
        let (scheme, rest) = base.split_at(after_scheme);
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let documents = [
            Url::parse(&format!("{base}/.well-known/openid-configuration"))?,
            Url::parse(&format!("{scheme}{host}/.well-known/oauth-authorization-server{path}"))?,
        ];
        Ok(Self { issuer: issuer.to_owned(), documents })
    }

    async fn set(&self, client: &Client, deadline: Duration) -> Result<Url, SourceError> {
        let [openid, oauth] = &self.documents;
        let answer = match get(client, openid, deadline).await {
            Err(SourceError::Status(404)) => get(client, oauth, deadline).await?,
            other => other?,
        };
        let metadata = strict_object(&answer.body).ok_or(SourceError::Metadata("it is no json object"))?;
        if metadata.get("issuer").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err(SourceError::Metadata("it is of another issuer"));
        }
        let address = metadata.get("jwks_uri").and_then(Value::as_str);
        let url = Url::parse(address.ok_or(SourceError::Metadata("it names no `jwks_uri`"))?)?;
        if openid.is_https() && !url.is_https() {
            return Err(SourceError::Metadata("its `jwks_uri` is not https"));
        }
        Ok(url)
    }
}

impl Provider {
    /// One exchange, or two or three where metadata comes first; all of them within `deadline`.
    pub(super) async fn fetch(&self, deadline: Duration) -> Result<Fetched, SourceError> {
        let exchanges = async {
            let answer = match &self.location {
                Location::Set(url) => get(&self.client, url, deadline).await?,
                Location::Metadata(metadata) => {
                    let url = metadata.set(&self.client, deadline).await?;
                    get(&self.client, &url, deadline).await?
                }
            };
            Ok(Fetched { fresh: freshness(&answer.headers), body: answer.body })
        };
        tokio::time::timeout(deadline, exchanges)
            .await
            .unwrap_or_else(|_| Err(FetchError::Deadline { url: self.location.url().to_string(), deadline }.into()))
    }

    /// Keeps a set that was read without fault. A folder that cannot be written is told and changes nothing else.
    pub(super) async fn keep(&self, issuer: &str, fetched: &Fetched) {
        let Some(path) = self.kept.clone() else { return };
        let Ok(set) = serde_json::from_slice::<Box<RawValue>>(&fetched.body) else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = json!({"issuer": issuer, "fetched": now, "fresh": fetched.fresh.as_secs(), "set": set});
        let write = move || write(&path, text.to_string().as_bytes()).map_err(|error| (path, error));
        if let Ok(Err((path, error))) = tokio::task::spawn_blocking(write).await {
            tracing::warn!(path = %path.display(), %error, "keys cannot be kept for a restart");
        }
    }

    /// What was kept of this issuer, unless it is too old to be used.
    pub(super) fn restore(&self, issuer: &str) -> Option<Kept> {
        let path = self.kept.as_ref()?;
        let kept = strict_object(&read(path).ok()?)?;
        let number = |name: &str| kept.get(name).and_then(Value::as_u64);
        let (fetched, fresh) = (number("fetched")?, Duration::from_secs(number("fresh")?));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let age = Duration::from_secs(now.saturating_sub(fetched));
        // Of a set from the future nobody knows how old it is: it would be new at every start.
        let counts = kept.get("issuer").and_then(Value::as_str) == Some(issuer)
            && fetched.saturating_sub(now) <= CLOCK_SET_BACK
            && age < fresh.saturating_add(self.stale_if_error);
        let set = serde_json::to_vec(kept.get("set")?).ok()?;
        counts.then_some(Kept { set, age, fresh })
    }
}

async fn get(client: &Client, url: &Url, deadline: Duration) -> Result<Answer, SourceError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    let answer = client.get(url, headers, MAX_BYTES, deadline).await?;
    match answer.status.as_u16() {
        200 => Ok(answer),
        other => Err(SourceError::Status(other)),
    }
}

/// Whole or not at all, for us alone.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
