//! What Chalk's clients need of an issuer: beside the token all that tells them where to go on, which is us; and the same over
//! gRPC (wire-chalk.md, sections 2.1 to 2.3).

use std::collections::BTreeMap;
use std::net::IpAddr;

use hyper::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::Issuer;
use super::clients::time;
use super::endpoints::{MAX_BODY, Parameters, credentials};
use super::grants::Denied;
use crate::dialect::chalk::proto::{GetTokenRequest, GetTokenResponse, Timestamp};

/// Why `AuthService/GetToken` gives no token. The caller may see the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// INVALID_ARGUMENT.
    #[error("{0}")]
    Request(&'static str),
    /// UNAUTHENTICATED: no such client, or not its secret.
    #[error("client authentication failed")]
    Client,
    /// RESOURCE_EXHAUSTED: the same, too often of late.
    #[error("client authentication failed, too often by now")]
    TooMany {
        /// Seconds to wait.
        retry_after: u64,
    },
    /// UNAVAILABLE, for a second or more.
    #[error("the issuer cannot do this right now")]
    Unavailable,
}

impl From<Denied> for TokenRefused {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Request(why) => Self::Request(why),
            Denied::Unsupported => Self::Request("the grant is client_credentials"),
            // Nobody refreshes here.
            Denied::Client | Denied::Grant => Self::Client,
            Denied::TooMany { retry_after } => Self::TooMany { retry_after },
            Denied::Busy | Denied::Unavailable | Denied::Failed => Self::Unavailable,
        }
    }
}

impl Issuer {
    /// An answer of the token endpoint; with the Chalk dialect it says that everything is at `listen.public_url`, in the one
    /// environment that there is. `expires`: unix seconds.
    pub(super) fn with_places<const N: usize>(&self, answer: [(&str, Value); N], expires: u64) -> Value {
        let mut answer: Map<String, Value> = answer.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let settings = self.settings();
        if let Some(environment) = &settings.chalk_environment {
            let engines = json!({environment: settings.public_url});
            answer.insert("api_server".to_owned(), json!(settings.public_url));
            answer.insert("engines".to_owned(), engines.clone());
            answer.insert("grpc_engines".to_owned(), engines);
            answer.insert("primary_environment".to_owned(), json!(environment));
            answer.insert("environment_id_to_name".to_owned(), json!({environment: environment}));
            answer.insert("expires_at".to_owned(), json!(time::shown(expires)));
        }
        Value::Object(answer)
    }

    /// `AuthService/GetToken`: the grant of `/v1/oauth/token` for client credentials, with its limits. `headers` are the call's
    /// metadata, for one credential a request is all that there may be; `now`: unix seconds. How long the token holds is the
    /// issuer's to say (RFC 6749, 5.1), so `expires_at` is not looked at, and neither is `scope`.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub async fn get_token(
        &self,
        request: &GetTokenRequest,
        headers: &HeaderMap,
        address: IpAddr,
        now: u64,
    ) -> Result<GetTokenResponse, TokenRefused> {
        if request.grant_type != "client_credentials" {
            return Err(Denied::Unsupported.into());
        }
        // As much as a body may hold over HTTP: a name that failed is remembered.
        if request.client_id.len().saturating_add(request.client_secret.len()) > MAX_BODY {
            return Err(Denied::Request("the credentials are too long").into());
        }
        let sent = [("client_id", &request.client_id), ("client_secret", &request.client_secret)];
        let parameters: Parameters = sent.map(|(name, value)| (name.to_owned(), value.clone())).into();
        let credentials = credentials(headers, &parameters)?.ok_or(Denied::Client)?;
        let minted = self.by_secret(&credentials, address, now).await?;
        let settings = self.settings();
        let of = |value: &String| -> BTreeMap<String, String> {
            settings.chalk_environment.iter().map(|environment| (environment.clone(), value.clone())).collect()
        };
        Ok(GetTokenResponse {
            access_token: minted.token,
            token_type: "Bearer".to_owned(),
            expires_in: i32::try_from(minted.expires_in).unwrap_or(i32::MAX),
            expires_at: i64::try_from(minted.expires).ok().map(|seconds| Timestamp { seconds, nanos: 0 }),
            api_server: settings.public_url.clone(),
            primary_environment: settings.chalk_environment.clone(),
            engines: of(&settings.public_url),
            grpc_engines: of(&settings.public_url),
            environment_id_to_name: settings.chalk_environment.iter().map(|e| (e.clone(), e.clone())).collect(),
            environment_id_to_authority: BTreeMap::new(),
            service_prefixes: BTreeMap::new(),
        })
    }
}
