//! Who asks in the demo: clients of the built-in issuer, with secrets made at start.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;

use super::tour::{LARGEST_ANSWER, PATIENCE};
use crate::issuer::random_hex;
use crate::issuer::secret::Secret;

/// `iss`, as `policies/demo/policy.yaml` binds it.
pub const ISSUER: &str = "https://issuer.demo.example/";
/// `aud`.
pub const AUDIENCE: &str = "feature-server";

/// Somebody who asks.
pub struct Caller {
    /// How the tour calls it, and the name of its token file.
    pub name: &'static str,
    /// `client_id`.
    pub client: &'static str,
    /// `/realm_access/roles`; empty: no such claim.
    groups: &'static [&'static str],
}

/// A service that scores baskets.
pub const FRAUD: Caller = Caller { name: "fraud-svc", client: "fraud-svc", groups: &[] };
/// A service that picks offers.
pub const MARKETING: Caller = Caller { name: "marketing", client: "marketing-web", groups: &[] };
/// A person who looks after customers.
pub const DANA: Caller = Caller { name: "dana", client: "dana", groups: &["customer-desk"] };
/// All of them.
pub const CALLERS: &[&Caller] = &[&FRAUD, &MARKETING, &DANA];

/// What the callers prove themselves with: a secret and an API key each.
pub struct Secrets(Vec<(&'static str, Secret, Secret)>);

impl Secrets {
    /// New ones.
    ///
    /// # Errors
    /// No random bytes.
    pub fn new() -> Result<Self, String> {
        let make = |id: &str| Secret::generate(id).map_err(|error| error.to_string());
        let one = |caller: &&Caller| Ok((caller.client, make("s1")?, make("k1")?));
        CALLERS.iter().map(one).collect::<Result<_, String>>().map(Self)
    }

    /// clients.yaml.
    pub fn file(&self) -> String {
        let mut text =
            "# Who may have tokens; `tagwarden client` writes such a file.\nversion: 1\nclients:\n".to_owned();
        for (caller, (id, secret, key)) in CALLERS.iter().zip(&self.0) {
            text.push_str(&format!("  {id}:\n    secrets: [{{id: s1, hash: \"{}\"}}]\n", secret.kept()));
            text.push_str(&format!("    api_keys: [{{id: k1, hash: \"{}\"}}]\n", key.kept()));
            if !caller.groups.is_empty() {
                text.push_str(&format!("    claims: {{realm_access: {{roles: [{}]}}}}\n", caller.groups.join(", ")));
            }
        }
        text
    }

    /// The secret and the API key of a caller.
    pub fn of(&self, caller: &Caller) -> Option<(&Secret, &Secret)> {
        self.0.iter().find(|(id, ..)| *id == caller.client).map(|(_, secret, key)| (secret, key))
    }

    /// An access token, as any OAuth client gets one from the sidecar at this address.
    ///
    /// # Errors
    /// It gave none.
    pub async fn token(
        &self,
        client: &Client<HttpConnector, Full<Bytes>>,
        sidecar: &str,
        caller: &Caller,
    ) -> Result<String, String> {
        let failed = |why: String| format!("no token for {}: {why}", caller.name);
        let (secret, _) = self.of(caller).ok_or_else(|| failed("it is no client".to_owned()))?;
        let form =
            format!("grant_type=client_credentials&client_id={}&client_secret={}", caller.client, secret.expose());
        let request = Request::post(format!("{sidecar}/oauth/token"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let body = client.request(request).await.map_err(|error| failed(error.to_string()))?.into_body();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| failed(error.to_string()))?;
            let answer: Value = serde_json::from_slice(&body.to_bytes()).map_err(|error| failed(error.to_string()))?;
            let token = answer.get("access_token").and_then(Value::as_str);
            token.map(str::to_owned).ok_or_else(|| failed("the answer holds none".to_owned()))
        };
        tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| failed("no answer in time".to_owned()))?
    }
}

/// A name for the demo's folder that nobody can guess.
///
/// # Errors
/// The machine has no random bytes.
pub fn unguessable() -> Result<String, String> {
    random_hex().map_err(|_| "the machine gives no random bytes".to_owned())
}
