//! Who is asked what an opaque token is worth, and how the answer is read. What a server does not say in order is its failure,
//! and never the token's: only an answer that was understood refuses one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use serde_json::{Map, Value};

use crate::auth::keys::source::{SourceError, read};
use crate::auth::verify::{Claims, Reason};
use crate::auth::{AuthError, JudgeSettings};
use crate::config;
use crate::fetch::{Client, FetchError, Url, form_text};
use crate::json::strict_object;
use crate::upstream::{Protocol, Upstream, UpstreamError};

/// No answer is larger. In bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Why a server did not say what a token is worth. Holds nothing of the token, of a secret or of an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The exchange.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The exchange with the upstream.
    #[error("no answer: {0}")]
    Upstream(String),
    /// It took too long.
    #[error("no answer in {} ms", .0.as_millis())]
    Deadline(Duration),
    /// A status that says nothing of the token.
    #[error("it answered {0}")]
    Status(u16),
    /// Not a JSON object with every member once, or larger than what is read.
    #[error("its answer cannot be read")]
    Unreadable,
    /// What we are to send fits in no request.
    #[error("the request cannot be made")]
    Request,
}

/// What an answer says: claims, or why there are none.
pub(super) type Verdict = Result<Claims, Reason>;

/// Who is asked.
pub(super) enum Judge {
    Introspection(Box<Introspection>),
    WhoAmI(Box<WhoAmI>),
}

/// An endpoint of RFC 7662.
pub(super) struct Introspection {
    url: Url,
    issuer: String,
    client: Arc<Client>,
    client_id: String,
    secret_file: PathBuf,
    /// RFC 6749, 2.3.1.
    authorization: ArcSwap<HeaderValue>,
}

/// The upstream's `/v1/who-am-i` (Chalk).
pub(super) struct WhoAmI {
    team_id: String,
    environment_id: String,
    settings: config::Upstream,
    upstream: ArcSwap<Upstream>,
}

impl Judge {
    pub(super) fn new(settings: &JudgeSettings, client: &Arc<Client>) -> Result<Judge, AuthError> {
        Ok(match settings {
            JudgeSettings::Introspection { url, issuer, client_id, secret_file } => {
                if !url.is_https() && !url.is_loopback() {
                    tracing::warn!(
                        server = issuer,
                        "tokens and a secret are sent without tls: whoever is on the way has them"
                    );
                }
                let authorization = ArcSwap::from_pointee(basic(client_id, secret_file)?);
                let (url, issuer, client) = (url.clone(), issuer.clone(), Arc::clone(client));
                let (client_id, secret_file) = (client_id.clone(), secret_file.clone());
                Judge::Introspection(Box::new(Introspection {
                    url,
                    issuer,
                    client,
                    client_id,
                    secret_file,
                    authorization,
                }))
            }
            JudgeSettings::WhoAmI { team_id, environment_id, upstream } => Judge::WhoAmI(Box::new(WhoAmI {
                team_id: team_id.clone(),
                environment_id: environment_id.clone(),
                settings: (**upstream).clone(),
                upstream: ArcSwap::from_pointee(way(upstream)?),
            })),
        })
    }

    /// Its address: the `iss` of callers where the answer names none.
    pub(super) fn issuer(&self) -> &str {
        match self {
            Judge::Introspection(judge) => &judge.issuer,
            Judge::WhoAmI(judge) => &judge.settings.url,
        }
    }

    /// Its host, for a span.
    pub(super) fn host(&self) -> &str {
        match self {
            Judge::Introspection(judge) => judge.url.host(),
            Judge::WhoAmI(judge) => judge.settings.host(),
        }
    }

    pub(super) fn file(&self) -> Option<PathBuf> {
        match self {
            Judge::Introspection(judge) => Some(judge.secret_file.clone()),
            Judge::WhoAmI(judge) => judge.settings.tls_files().next().cloned(),
        }
    }

    /// Reads files again; whether a secret is another now (certificates are not compared: others tell of them).
    pub(super) fn reload(&self) -> Result<bool, AuthError> {
        match self {
            Judge::Introspection(judge) => {
                let authorization = basic(&judge.client_id, &judge.secret_file)?;
                Ok(*judge.authorization.swap(Arc::new(authorization.clone())) != authorization)
            }
            Judge::WhoAmI(judge) => {
                judge.upstream.store(Arc::new(way(&judge.settings)?));
                Ok(false)
            }
        }
    }

    /// One exchange.
    ///
    /// # Errors
    /// The server did not say.
    pub(super) async fn ask(&self, token: &str, deadline: Duration) -> Result<Verdict, Fault> {
        match self {
            Judge::Introspection(judge) => judge.ask(token, deadline).await,
            Judge::WhoAmI(judge) => match tokio::time::timeout(deadline, judge.ask(token)).await {
                Ok(answer) => answer,
                Err(_) => Err(Fault::Deadline(deadline)),
            },
        }
    }
}

impl Introspection {
    /// RFC 7662, 2.1 and 2.2.
    async fn ask(&self, token: &str, deadline: Duration) -> Result<Verdict, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::clone(&self.authorization.load()));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let form = format!("token={}&token_type_hint=access_token", form_text(token.as_bytes()));
        let answer = self.client.post_form(&self.url, headers, form, MAX_BYTES, deadline).await?;
        // 401 too: it is our secret that is wrong then, not the token (RFC 7662, 2.3).
        if answer.status != StatusCode::OK {
            return Err(Fault::Status(answer.status.as_u16()));
        }
        Ok(self.read(object(&answer.body)?))
    }

    fn read(&self, mut answer: Map<String, Value>) -> Verdict {
        if answer.get("active") != Some(&Value::Bool(true)) {
            return Err("not active");
        }
        // A server of one mind with many: it may name any `iss`, and policy.md has it that this one counts.
        match answer.get("iss") {
            None => drop(answer.insert("iss".to_owned(), Value::String(self.issuer.clone()))),
            Some(Value::String(_)) => {}
            Some(_) => return Err("iss not a string"),
        }
        // RFC 7662 leaves it open, and there are servers that say it of access tokens alone: a refresh token of theirs is
        // active, and nothing else tells it from an access token.
        if !KINDS.iter().any(|member| answer.contains_key(*member)) {
            return Err("of no kind that is said");
        }
        claims(answer)
    }
}

impl WhoAmI {
    /// A GET with the token and nothing else of the caller's.
    async fn ask(&self, token: &str) -> Result<Verdict, Fault> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Fault::Request)?;
        bearer.set_sensitive(true);
        let upstream = self.upstream.load_full();
        let request = || {
            let mut request = Request::new(Full::default());
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
            request
        };
        let answer =
            upstream.send(&request, "/v1/who-am-i", Protocol::Http1, true).await.map_err(|error| match error {
                UpstreamError::Path => Fault::Request,
                UpstreamError::Connect(why) | UpstreamError::Broken(why) => Fault::Upstream(why),
            })?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(Err("not known to the upstream")),
            status => return Err(Fault::Status(status.as_u16())),
        }
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|_| Fault::Unreadable)?;
        Ok(self.read(object(&body.to_bytes())?))
    }

    fn read(&self, mut answer: Map<String, Value>) -> Verdict {
        let is = |name: &str, wanted: &str| answer.get(name).and_then(Value::as_str) == Some(wanted);
        if !is("team_id", &self.team_id) {
            return Err("of another team");
        }
        if !is("environment_id", &self.environment_id) {
            return Err("of another environment");
        }
        // Whatever it says itself: it speaks for nobody else.
        answer.insert("iss".to_owned(), Value::String(self.settings.url.clone()));
        if let (Some(user @ Value::String(_)), None) = (answer.get("user").cloned(), answer.get("sub")) {
            answer.insert("sub".to_owned(), user);
        }
        claims(answer)
    }
}

/// What counts of an answer. Members that are null say nothing.
fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    let mut answer = strict_object(body).ok_or(Fault::Unreadable)?;
    answer.retain(|_, value| !value.is_null());
    Ok(answer)
}

/// Where servers say of what kind a token is: RFC 7662, 2.2; Hydra and Cognito; Keycloak.
const KINDS: [&str; 3] = ["token_type", "token_use", "typ"];

/// The claims of an access token; a refresh token is none, nor an id token.
fn claims(answer: Map<String, Value>) -> Verdict {
    const ACCESS: &[&str] = &["bearer", "access_token", "access", "at+jwt", "application/at+jwt", "jwt"];
    for member in KINDS {
        let access =
            |value: &Value| value.as_str().is_some_and(|kind| ACCESS.iter().any(|a| kind.eq_ignore_ascii_case(a)));
        if !answer.get(member).is_none_or(access) {
            return Err("not an access token");
        }
    }
    Claims::told(answer)
}

/// `client_secret_basic` (RFC 6749, 2.3.1): both parts go through the form encoding before they are joined.
fn basic(client_id: &str, secret_file: &std::path::Path) -> Result<HeaderValue, AuthError> {
    let unusable = |reason| AuthError::Secret { path: secret_file.to_owned(), reason };
    let text = read(secret_file).map_err(unusable)?;
    let secret = text.strip_suffix(b"\n").map_or(&*text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    if secret.is_empty() {
        return Err(unusable(SourceError::Empty));
    }
    let pair = format!("{}:{}", form_text(client_id.as_bytes()), form_text(secret));
    // Base64 fits in any header.
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)))
        .map_err(|_| unusable(SourceError::TooLarge))?;
    value.set_sensitive(true);
    Ok(value)
}

fn way(upstream: &config::Upstream) -> Result<Upstream, AuthError> {
    Upstream::new(upstream).map_err(|error| AuthError::WhoAmI { url: upstream.url.clone(), reason: error.to_string() })
}
