//! The issuer over HTTP: requests -> parameters -> [`grants`](super::grants) -> answers, each as its own standard writes it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::Issuer;
use super::grants::{Denied, Pair};
use crate::json::strict_object;

/// No request to the issuer has a larger body. In bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// The header of API keys.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// RFC 6749, 3.2.
    Token,
    /// An API key -> a pair of tokens.
    ApiKey,
    /// A refresh token -> a pair of tokens.
    Refresh,
    /// RFC 7009.
    Revoke,
    /// RFC 7662.
    Introspect,
    /// RFC 8414, and OpenID Connect Discovery 1.0.
    Metadata,
    /// RFC 7517, 5.
    Jwks,
}

impl Endpoint {
    /// The endpoint of each of [`ISSUER_PATHS`](crate::config::ISSUER_PATHS), and its one method. `None`: `/v1/who-am-i`, which
    /// asks for a token of any issuer.
    pub fn at(path: &str) -> Option<(Self, Method)> {
        Some(match path {
            "/v1/oauth/token" | "/oauth/token" => (Self::Token, Method::POST),
            "/api/v1/auth/token" => (Self::ApiKey, Method::POST),
            "/api/v1/auth/refresh" => (Self::Refresh, Method::POST),
            "/oauth/revoke" => (Self::Revoke, Method::POST),
            "/oauth/introspect" => (Self::Introspect, Method::POST),
            "/.well-known/jwks.json" => (Self::Jwks, Method::GET),
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" => {
                (Self::Metadata, Method::GET)
            }
            _ => return None,
        })
    }
}

/// A request, read to its end. `Debug` shows nothing of what was sent.
pub struct Asked<'r> {
    /// What for.
    pub endpoint: Endpoint,
    /// Its headers.
    pub headers: &'r HeaderMap,
    /// Its body, at most [`MAX_BODY`].
    pub body: &'r [u8],
    /// Who sent it, as far as the connection tells.
    pub address: IpAddr,
    /// Unix seconds.
    pub now: u64,
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asked({:?})", self.endpoint)
    }
}

/// An answer in a form of its own. `Debug` shows its status alone.
#[derive(Clone, PartialEq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body, JSON.
    pub body: Value,
    /// Seconds, for Retry-After.
    pub retry_after: Option<u64>,
    /// Whether the caller is asked for HTTP Basic (RFC 6749, 5.2).
    pub basic: bool,
    /// Whether it may be kept (`false`: it holds a token, or says what one is worth).
    pub public: bool,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.status)
    }
}

impl Reply {
    /// 200, not to be kept.
    pub fn of(body: Value) -> Self {
        Self { status: StatusCode::OK, body, retry_after: None, basic: false, public: false }
    }

    /// RFC 6749, 5.2.
    fn error(status: StatusCode, error: &str, description: &str) -> Self {
        let body = json!({"error": error, "error_description": description});
        Self { status, body, retry_after: None, basic: false, public: false }
    }
}

/// Why an API key or a refresh token gets nothing at `/api/v1/auth/*`, which answer as the rest of the sidecar does (config.md,
/// Errors on the wire).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// UNAUTHORIZED `Invalid API key`.
    ApiKey,
    /// INVALID_REFRESH_TOKEN.
    RefreshToken,
    /// INVALID_QUERY.
    Unreadable(String),
    /// TOO_MANY_ATTEMPTS, with seconds to wait.
    TooMany(u64),
    /// KEYS_UNAVAILABLE: the store is down.
    Unavailable,
}

/// The parameters of a request.
pub(super) type Parameters = BTreeMap<String, String>;

impl Issuer {
    /// Answers a request to an endpoint.
    ///
    /// # Errors
    /// [`Refused`], from `/api/v1/auth/*`.
    pub async fn answer(&self, asked: &Asked<'_>) -> Result<Reply, Refused> {
        match asked.endpoint {
            Endpoint::Metadata => Ok(Reply { public: true, ..Reply::of(self.metadata()) }),
            Endpoint::Jwks => {
                let set = serde_json::from_str(&self.keys().jwks).unwrap_or_default();
                Ok(Reply { public: true, ..Reply::of(set) })
            }
            Endpoint::ApiKey | Endpoint::Refresh => self.pair(asked).await.map(|pair| {
                let Pair { access_token, expires_in, refresh_token, expires: _ } = pair;
                let data = json!({
                    "access_token": access_token,
                    "refresh_token": refresh_token,
                    "token_type": "Bearer",
                    "expires_in": expires_in,
                });
                Reply::of(json!({"data": data}))
            }),
            Endpoint::Token => Ok(oauth(self.token(asked).await, asked.headers)),
            Endpoint::Revoke => Ok(oauth(self.revoke(asked).await, asked.headers)),
            Endpoint::Introspect => Ok(oauth(self.introspect(asked).await, asked.headers)),
        }
    }

    async fn pair(&self, asked: &Asked<'_>) -> Result<Pair, Refused> {
        let parameters = parameters(asked).map_err(Refused::Unreadable)?;
        let one = |name: &str| {
            let found = parameters.get(name).map(String::as_str);
            found.ok_or_else(|| Refused::Unreadable(format!("`{name}` is missing")))
        };
        let refused = |wrong: Refused| {
            move |denied: Denied| match denied {
                Denied::TooMany { retry_after } => Refused::TooMany(retry_after),
                Denied::Busy | Denied::Unavailable | Denied::Failed => Refused::Unavailable,
                Denied::Request(why) => Refused::Unreadable(why.to_owned()),
                Denied::Client | Denied::Grant | Denied::Unsupported => wrong,
            }
        };
        if asked.endpoint == Endpoint::ApiKey {
            let pair = self.by_api_key(one("api_key")?, asked.address, asked.now).await;
            return pair.map_err(refused(Refused::ApiKey));
        }
        let pair = self.refreshed(one("refresh_token")?, None, asked.now).await;
        pair.map_err(refused(Refused::RefreshToken))
    }

    /// RFC 6749, 3.2.
    async fn token(&self, asked: &Asked<'_>) -> Result<Reply, Denied> {
        let form = Form::read(asked)?;
        match form.get("grant_type") {
            Some("client_credentials") => {
                let minted = self.by_secret(form.credentials()?, asked.address, asked.now).await?;
                let answer = [
                    ("access_token", json!(minted.token)),
                    ("token_type", json!("Bearer")),
                    ("expires_in", json!(minted.expires_in)),
                ];
                Ok(Reply::of(self.with_places(answer, minted.expires)))
            }
            Some("refresh_token") => {
                let token = form.want("refresh_token", "`refresh_token` is missing")?;
                let client = match &form.credentials {
                    Some(credentials) => Some(self.client(credentials, asked.address, asked.now).await?.id.clone()),
                    None => None,
                };
                if client.is_none() {
                    self.may_refresh_without_secret(token, form.get("client_id"), asked.now).await?;
                }
                let pair = self.refreshed(token, client.as_deref(), asked.now).await?;
                let answer = [
                    ("access_token", json!(pair.access_token)),
                    ("token_type", json!("Bearer")),
                    ("expires_in", json!(pair.expires_in)),
                    ("refresh_token", json!(pair.refresh_token)),
                ];
                Ok(Reply::of(self.with_places(answer, pair.expires)))
            }
            Some(_) => Err(Denied::Unsupported),
            None => Err(Denied::Request("`grant_type` is missing")),
        }
    }

    /// RFC 7009, 2.1.
    async fn revoke(&self, asked: &Asked<'_>) -> Result<Reply, Denied> {
        let form = Form::read(asked)?;
        if self.asserted(&form.parameters, asked.now).await? {
            self.revoke_any(form.get("token"), form.get("jti"), form.get("family"), asked.now).await?;
        } else {
            let client = self.client(form.credentials()?, asked.address, asked.now).await?;
            self.revoke_token(Some(&client.id), form.want("token", NO_TOKEN)?, asked.now).await?;
        }
        Ok(Reply::of(json!({})))
    }

    /// RFC 7662, 2.1.
    async fn introspect(&self, asked: &Asked<'_>) -> Result<Reply, Denied> {
        let form = Form::read(asked)?;
        let client = self.client(form.credentials()?, asked.address, asked.now).await?;
        Ok(Reply::of(self.introspected(&client.id, form.want("token", NO_TOKEN)?, asked.now).await?))
    }

    /// RFC 8414, 2. Addresses are the configured ones, whatever Host says.
    fn metadata(&self) -> Value {
        let settings = self.settings();
        let at = |path: &str| format!("{}{path}", settings.public_url);
        let methods = ["client_secret_basic", "client_secret_post"];
        json!({
            "issuer": settings.url,
            "token_endpoint": at("/oauth/token"),
            "jwks_uri": at("/.well-known/jwks.json"),
            "revocation_endpoint": at("/oauth/revoke"),
            "introspection_endpoint": at("/oauth/introspect"),
            "grant_types_supported": ["client_credentials", "refresh_token"],
            // Required, and not to be empty; there is no authorization endpoint.
            "response_types_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": methods,
        })
    }
}

const NO_TOKEN: &str = "`token` is missing";

/// A request to an endpoint of OAuth, read.
struct Form {
    parameters: Parameters,
    credentials: Option<Credentials>,
}

impl Form {
    fn read(asked: &Asked<'_>) -> Result<Self, Denied> {
        let parameters = parameters(asked).map_err(|_| Denied::Request("the body cannot be read"))?;
        let credentials = credentials(asked.headers, &parameters)?;
        Ok(Self { parameters, credentials })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    fn want(&self, name: &str, missing: &'static str) -> Result<&str, Denied> {
        self.get(name).ok_or(Denied::Request(missing))
    }

    fn credentials(&self) -> Result<&Credentials, Denied> {
        self.credentials.as_ref().ok_or(Denied::Client)
    }
}

fn oauth(done: Result<Reply, Denied>, headers: &HeaderMap) -> Reply {
    done.unwrap_or_else(|denied| oauth_error(&denied, headers))
}

/// RFC 6749, 5.2. 429 and 503 are HTTP's own (RFC 6585, 4; RFC 9110, 15.6.4).
fn oauth_error(denied: &Denied, headers: &HeaderMap) -> Reply {
    let (status, error, description) = match denied {
        Denied::Request(why) => (StatusCode::BAD_REQUEST, "invalid_request", *why),
        Denied::Client => (StatusCode::UNAUTHORIZED, "invalid_client", "client authentication failed"),
        Denied::Grant => (StatusCode::BAD_REQUEST, "invalid_grant", "the refresh token is invalid or expired"),
        Denied::Unsupported => {
            let known = "the grants are client_credentials and refresh_token";
            (StatusCode::BAD_REQUEST, "unsupported_grant_type", known)
        }
        Denied::TooMany { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "invalid_client", "client authentication failed, too often by now")
        }
        Denied::Busy | Denied::Unavailable | Denied::Failed => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the issuer cannot do this right now")
        }
    };
    let mut reply = Reply::error(status, error, description);
    reply.basic = *denied == Denied::Client && headers.contains_key(AUTHORIZATION);
    reply.retry_after = match denied {
        Denied::TooMany { retry_after } => Some(*retry_after),
        Denied::Busy | Denied::Unavailable | Denied::Failed => Some(1),
        Denied::Request(_) | Denied::Client | Denied::Grant | Denied::Unsupported => None,
    };
    reply
}

/// Reads a form or a JSON object of texts; what stands twice is refused (RFC 6749, 3.2).
fn parameters(asked: &Asked<'_>) -> Result<Parameters, String> {
    let mut kinds = asked.headers.get_all(CONTENT_TYPE).iter();
    let (kind, second) = (kinds.next(), kinds.next());
    if second.is_some() {
        return Err("the type of the body is said twice".to_owned());
    }
    if asked.headers.contains_key(CONTENT_ENCODING) {
        return Err("a body with a content-encoding is not read".to_owned());
    }
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut parameters = Parameters::new();
    match kind.as_str() {
        "application/json" => {
            let object = strict_object(asked.body).ok_or("the body is no JSON object with every member once")?;
            for (name, value) in object {
                match value {
                    Value::String(text) => drop(parameters.insert(name, text)),
                    Value::Null => {}
                    // Not of ours, for all of ours are texts.
                    _ if !KNOWN.contains(&name.as_str()) => {}
                    _ => return Err(format!("`{name}` is no text")),
                }
            }
        }
        "application/x-www-form-urlencoded" => {
            for (name, value) in form_urlencoded::parse(asked.body) {
                if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                    // Nothing but a name of ours is shown: a body that is none of a form's could be a secret.
                    let known = KNOWN.iter().find(|known| **known == name);
                    return Err(
                        known.map_or("a parameter stands twice".to_owned(), |name| format!("`{name}` stands twice"))
                    );
                }
            }
        }
        _ => return Err("the body is neither application/json nor application/x-www-form-urlencoded".to_owned()),
    }
    Ok(parameters)
}

/// Every parameter that is read.
const KNOWN: [&str; 11] = [
    "grant_type",
    "client_id",
    "client_secret",
    "refresh_token",
    "api_key",
    "token",
    "token_type_hint",
    "jti",
    "family",
    "client_assertion",
    "client_assertion_type",
];

/// Who somebody says to be, and the secrets that may be meant: HTTP Basic carries them form-encoded (RFC 6749, 2.3.1), and most
/// clients leave that out.
pub(super) struct Credentials {
    pub(super) spellings: Vec<(String, String)>,
}

/// The credentials of a client, if it sent any.
pub(super) fn credentials(headers: &HeaderMap, parameters: &Parameters) -> Result<Option<Credentials>, Denied> {
    // RFC 6749, 2.3; and one credential a request, whatever it is for (config.md, "Credentials").
    let sent = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all(API_KEY)).count();
    let more = ["client_secret", "client_assertion"].iter().filter(|name| parameters.contains_key(**name)).count();
    if sent + more > 1 {
        return Err(Denied::Request("more than one way of client authentication"));
    }
    let Some(value) = headers.get(AUTHORIZATION) else {
        let secret = parameters.get("client_secret");
        return Ok(secret.map(|secret| Credentials {
            spellings: vec![(parameters.get("client_id").cloned().unwrap_or_default(), secret.clone())],
        }));
    };
    let (id, secret) = basic(value.as_bytes()).ok_or(Denied::Client)?;
    if parameters.get("client_id").is_some_and(|named| *named != id && *named != decoded(&id)) {
        return Err(Denied::Request("two clients are named"));
    }
    let plain = (decoded(&id), decoded(&secret));
    let mut spellings = vec![(id, secret)];
    if !spellings.contains(&plain) {
        spellings.push(plain);
    }
    Ok(Some(Credentials { spellings }))
}

/// RFC 7617, 2.
fn basic(value: &[u8]) -> Option<(String, String)> {
    use base64::Engine as _;
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// One form-encoded text.
fn decoded(text: &str) -> String {
    let form = format!("={}", text.replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
