//! The built-in issuer through the running sidecar (config.md, `issuer`).

mod attacks;
mod clients;
mod command;
mod grants;
mod refresh;
mod revoke;
mod store;

use std::path::Path;

use serde_json::{Value, json};
use tagwarden::issuer::secret::Secret;

use crate::support::client::{Answer, request};
use crate::support::sidecar::{FINE, POLICY, Setup, Sidecar};
use crate::support::tokens::ISSUER as OTHER;
use crate::support::upstream::Upstream;

/// `iss` of its tokens, which is not where it listens.
pub const URL: &str = "https://tokens.example";
/// What clients call it.
pub const PUBLIC: &str = "https://features.example";

/// A sidecar with an issuer, and what its clients prove themselves with.
pub struct World {
    pub sidecar: Sidecar,
    pub upstream: Upstream,
    pub secrets: Secrets,
}

/// `svc` and `other` have a secret and a key; `keyed` has a key alone; `nobody` has a secret and no role.
pub struct Secrets {
    pub svc: Secret,
    pub svc_key: Secret,
    pub other: Secret,
    pub other_key: Secret,
    pub keyed_key: Secret,
    pub nobody: Secret,
}

impl Secrets {
    pub fn new() -> Self {
        let secret = |id: &str| Secret::generate(id).unwrap();
        Self {
            svc: secret("s1"),
            svc_key: secret("k1"),
            other: secret("s1"),
            other_key: secret("k1"),
            keyed_key: secret("k1"),
            nobody: secret("s1"),
        }
    }

    /// clients.yaml, with these members of `svc` besides.
    pub fn file(&self, svc: &str) -> String {
        let secret = |secret: &Secret| format!("secrets: [{{id: s1, hash: \"{}\"}}]", secret.kept());
        let key = |key: &Secret| format!("api_keys: [{{id: k1, hash: \"{}\", created: 2026-11-22}}]", key.kept());
        format!(
            "version: 1\nclients:\n  \
               svc: {{{}, {}, claims: {{groups: [scoring], tier: 2}}{svc}}}\n  \
               other: {{{}, {}, claims: {{groups: [scoring]}}}}\n  \
               keyed: {{{}, claims: {{groups: [cutters]}}}}\n  \
               nobody: {{{}}}\n",
            secret(&self.svc),
            key(&self.svc_key),
            secret(&self.other),
            key(&self.other_key),
            key(&self.keyed_key),
            secret(&self.nobody),
        )
    }
}

/// Bindings by the issuer's own tokens, beside those of another issuer.
pub fn policy() -> String {
    let (bindings, end) = (POLICY.find("bindings:").unwrap(), POLICY.find("features:").unwrap());
    let bound = format!(
        "bindings:\n  - {{roles: [reader], when: {{iss: \"{URL}\", groups: scoring}}}}\n  \
         - {{roles: [cutter], when: {{iss: \"{URL}\", groups: cutters}}}}\n  \
         - {{roles: [writer], when: {{iss: \"{OTHER}\", groups: readers}}}}\n"
    );
    format!("{}{bound}{}", &POLICY[..bindings], &POLICY[end..])
}

/// The section, with these members besides.
pub fn section(more: &str) -> String {
    format!("issuer: {{url: \"{URL}\", audience: feature-server{more}}}")
}

/// Files for a sidecar with an issuer.
pub fn setup(upstream: &Upstream, secrets: &Secrets, more: &str) -> Setup {
    let setup = Setup::new(upstream).policy(&policy()).with(&section(more));
    let setup = setup.with(&format!("listen: {{address: \"127.0.0.1:0\", public_url: \"{PUBLIC}/\"}}"));
    setup.folder.write("clients.yaml", secrets.file(""));
    setup
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    pub async fn with(more: &str) -> Self {
        let (upstream, secrets) = (Upstream::start().await, Secrets::new());
        let sidecar = setup(&upstream, &secrets, more).start().await;
        Self { sidecar, upstream, secrets }
    }

    /// A form to an endpoint.
    pub async fn form(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        self.form_with(path, "", pairs).await
    }

    pub async fn form_with(&self, path: &str, headers: &str, pairs: &[(&str, &str)]) -> Answer {
        form_at(&self.sidecar, path, headers, pairs).await
    }

    /// A JSON body to an endpoint.
    pub async fn json(&self, path: &str, body: Value) -> Answer {
        let headers = "content-type: application/json\r\n";
        self.sidecar.ask(request("POST", path, headers, body.to_string())).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.sidecar.ask(request("GET", path, "", "")).await
    }

    /// An access token of `svc`, by its secret.
    pub async fn token(&self) -> String {
        let credentials = [("client_id", "svc"), ("client_secret", self.secrets.svc.expose())];
        let grant = ("grant_type", "client_credentials");
        let answer = self.form("/oauth/token", &[grant, credentials[0], credentials[1]]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer.json()["access_token"])
    }

    /// An access and a refresh token of `svc`, by its API key.
    pub async fn pair(&self) -> (String, String) {
        pair(&self.json("/api/v1/auth/token", json!({"api_key": self.secrets.svc_key.expose()})).await)
    }

    /// What a refresh token gets.
    pub async fn refresh(&self, token: &str) -> Answer {
        self.json("/api/v1/auth/refresh", json!({"refresh_token": token})).await
    }

    /// The status of a query with this token.
    pub async fn status(&self, token: &str) -> u16 {
        self.sidecar.query(token, FINE).await.status
    }

    /// Writes clients.yaml anew.
    pub fn clients(&self, text: &str) {
        self.sidecar.setup.folder.write("clients.yaml", text);
    }
}

pub async fn form_at(sidecar: &Sidecar, path: &str, headers: &str, pairs: &[(&str, &str)]) -> Answer {
    let mut body = form_urlencoded::Serializer::new(String::new());
    let headers = format!("content-type: application/x-www-form-urlencoded\r\n{headers}");
    sidecar.ask(request("POST", path, &headers, body.extend_pairs(pairs).finish())).await
}

/// The two tokens of an answer of `/api/v1/auth/*`.
#[track_caller]
pub fn pair(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = &answer.json()["data"];
    (text(&data["access_token"]), text(&data["refresh_token"]))
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The claims of a token, not verified.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

pub fn part(token: &str, number: usize) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Every file below a folder, as it is on the disk.
pub fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(std::fs::read(&path).unwrap());
        }
    }
    all
}
