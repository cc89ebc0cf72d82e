//! clients.yaml -> [`Clients`]. No line of the file is ever shown: it holds hashes, and by mistake perhaps a secret.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json};

use super::{ApiKey, Client, ClientSecret, Clients, LIVE_SECRETS, Proof, lives, time};
use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::issuer::secret::imported::{HashError, Imported};
use crate::issuer::secret::is_id;
use crate::yaml::{self, Fields, Key, Node, Reader};

/// The longest id of a client.
const ID_LETTERS: usize = 128;

/// Claims that the issuer sets, or that would make a token look like something else: RFC 7519 (4.1), `cnf` (RFC 7800),
/// `client_id` (RFC 9068) and `azp` (OpenID Connect), who acts for whom (RFC 8693), `family` (which revocation goes by), and
/// what introspection answers (RFC 7662) and says of the kind of a token. Not `scope`, `groups`, `roles` and the like (RFC 9068,
/// 2.2.3): who writes the file grants them, and they are what bindings go by.
const RESERVED: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "cnf",
    "client_id",
    "azp",
    "act",
    "may_act",
    "family",
    "active",
    "token_type",
    "token_use",
    "typ",
];
/// Claims of client certificates, which no token has (policy.md, Bindings).
const CERTIFICATE: &str = "cert.";

/// What is wrong with an id of a client, for a message: `client id `x` …`.
pub fn id_error(id: &str) -> Option<&'static str> {
    if id.is_empty() {
        return Some("is empty");
    }
    if id.len() > ID_LETTERS {
        return Some("is longer than 128 letters");
    }
    let plain = id.bytes().all(|b| b.is_ascii_graphic() && b != b':' && b != b'"');
    (!plain).then_some("has what is no ASCII letter, digit or sign, or a `:` or `\"`")
}

/// What is wrong with the name of a claim, for a message: `claim `x` …`.
pub fn claim_error(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("has no name");
    }
    if RESERVED.contains(&name) {
        return Some("is the issuer's to set");
    }
    name.starts_with(CERTIFICATE).then_some("is for client certificates")
}

/// Reads the clients of one file. With an error there are none.
///
/// What counts as a third secret depends on the time: expired ones may stay. A file that loads today loads tomorrow.
pub fn read(file: &Arc<SourceFile>) -> (Option<Clients>, Report) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    read_at(file, now)
}

pub(super) fn read_at(file: &Arc<SourceFile>, now: u64) -> (Option<Clients>, Report) {
    let mut report = Report::default();
    let blind = Arc::new(SourceFile { name: file.name.clone(), text: String::new() });
    let clients = match yaml::parse(file) {
        Ok(node) => {
            let reader = Reader { file: Arc::clone(&blind), report: &mut report };
            ClientsReader { r: reader, now, keys: HashMap::new() }.file(&node)
        }
        Err(mut diagnostic) => {
            diagnostic.place.file = blind;
            if diagnostic.help.take().is_some() {
                // It quotes the word.
                diagnostic.message = "a word that begins with `*` is an alias, and names nothing here".to_owned();
            }
            report.push(*diagnostic);
            None
        }
    };
    report.sort();
    (clients.filter(|_| !report.has_errors()).map(Clients::new), report)
}

struct ClientsReader<'r> {
    r: Reader<'r>,
    now: u64,
    /// Hashes of API keys, and whose they are.
    keys: HashMap<[u8; 32], String>,
}

impl ClientsReader<'_> {
    fn file(&mut self, node: &Node) -> Option<Vec<Client>> {
        let fields = self.r.fields(node, "the clients' file", &["version", "clients"])?;
        self.r.version(node, &fields);
        let Some(clients) = fields.get("clients") else {
            self.r.error(node, Code::Missing, "`clients` is missing: a map of clients by their id");
            return None;
        };
        let entries = self.r.entries(clients, "`clients`")?;
        Some(entries.into_iter().filter_map(|(key, node)| self.client(key, node)).collect())
    }

    fn key_error(&mut self, key: &Key, code: Code, message: String) {
        let place = self.r.key_place(key);
        self.r.report.push(Diagnostic::new(code, &place, message));
    }

    fn client(&mut self, key: &Key, node: &Node) -> Option<Client> {
        if let Some(why) = id_error(&key.name) {
            self.key_error(key, Code::ClientId, format!("client id `{}` {why}", key.name));
        }
        let of = format!("client `{}`", key.name);
        let fields = self.r.fields(node, &of, &["secrets", "api_keys", "claims", "disabled"])?;
        let secrets = self.secrets(fields.get("secrets"), &of);
        let api_keys = self.api_keys(fields.get("api_keys"), &of);
        let claims = fields.get("claims").map(|claims| self.claims(claims, &of)).unwrap_or_default();
        let disabled = fields.get("disabled").and_then(|node| self.r.boolean(node, &format!("`disabled` of {of}")));
        Some(Client { id: key.name.clone(), claims, disabled: disabled.unwrap_or(false), secrets, api_keys })
    }

    fn secrets(&mut self, node: Option<&Node>, of: &str) -> Vec<ClientSecret> {
        let items = node.and_then(|node| self.r.list(node, &format!("`secrets` of {of}"))).unwrap_or_default();
        let (mut ids, mut live) = (Ids::new(), 0);
        let mut secrets = Vec::new();
        for item in items {
            let what = format!("a secret of {of}");
            let Some(fields) = self.r.fields(item, &what, &["id", "hash", "expires"]) else { continue };
            let id = self.id(item, &fields, &what, &mut ids);
            let hash = self.hash(item, &fields, &what);
            let proof = hash.and_then(|(node, hash)| {
                let proof = proof(hash);
                if let Err(why) = &proof {
                    self.r.error(node, Code::Hash, format!("`hash` of {what} {why}"));
                }
                proof.ok()
            });
            let node = fields.get("expires");
            let expires = self.expires(node, &what);
            // One that cannot be read is a mistake of its own.
            if lives(expires, self.now) && node.is_some() == expires.is_some() {
                live += 1;
                if live == LIVE_SECRETS + 1 {
                    let message = format!("{of} has a third secret that has not expired, and two may live at once");
                    self.r.error(item, Code::TooManySecrets, message);
                }
            }
            if let (Some(id), Some(proof)) = (id, proof) {
                secrets.push(ClientSecret { id, expires, proof });
            }
        }
        secrets
    }

    fn api_keys(&mut self, node: Option<&Node>, of: &str) -> Vec<ApiKey> {
        let items = node.and_then(|node| self.r.list(node, &format!("`api_keys` of {of}"))).unwrap_or_default();
        let mut ids = Ids::new();
        let mut keys = Vec::new();
        for item in items {
            let what = format!("an API key of {of}");
            let Some(fields) = self.r.fields(item, &what, &["id", "hash", "created", "expires"]) else { continue };
            let id = self.id(item, &fields, &what, &mut ids);
            let hash = self.hash(item, &fields, &what).and_then(|(node, text)| {
                let hash = sha256(text);
                if hash.is_none() {
                    let message = format!("`hash` of {what} is not `sha256:` and 64 hex digits in lower case");
                    self.r.error(node, Code::Hash, message);
                }
                Some((node, hash?))
            });
            let created = fields.get("created").and_then(|node| {
                let text = self.r.text(node, &format!("`created` of {what}"))?;
                if !time::is_day_or_instant(text) {
                    let message = format!("`created` of {what} is `{text}`, neither a date nor a time of RFC 3339");
                    self.time_error(node, message);
                }
                Some(text.to_owned())
            });
            let expires = self.expires(fields.get("expires"), &what);
            let Some((node, hash)) = hash else { continue };
            if let Some(other) = self.keys.insert(hash, of.to_owned()) {
                let message = format!("{what} is also a key of {other}, and tells nobody apart");
                self.r.error(node, Code::DuplicateName, message);
            }
            keys.extend(id.map(|id| ApiKey { id, created, expires, hash }));
        }
        keys
    }

    fn id(&mut self, item: &Node, fields: &Fields<'_>, what: &str, ids: &mut Ids) -> Option<String> {
        let Some(node) = fields.get("id") else {
            self.r.error(item, Code::Missing, format!("{what} has no `id`"));
            return None;
        };
        let id = self.r.text(node, &format!("`id` of {what}"))?;
        if !is_id(id) {
            // It is not shown: secrets have been pasted into more likely places.
            let message = format!("`id` of {what} is not 1 to 16 of `a` to `z` and `0` to `9`");
            self.r.error(node, Code::SecretId, message);
            return None;
        }
        if let Some(line) = ids.insert(id.to_owned(), node.line) {
            let message = format!("`id` of {what} is `{id}` like that of the one in line {line}");
            self.r.error(node, Code::DuplicateName, message);
        }
        Some(id.to_owned())
    }

    fn hash<'n>(&mut self, item: &Node, fields: &Fields<'n>, what: &str) -> Option<(&'n Node, &'n str)> {
        let Some(node) = fields.get("hash") else {
            self.r.error(item, Code::Missing, format!("{what} has no `hash`"));
            return None;
        };
        Some((node, self.r.text(node, &format!("`hash` of {what}"))?))
    }

    fn expires(&mut self, node: Option<&Node>, what: &str) -> Option<u64> {
        let node = node?;
        let text = self.r.text(node, &format!("`expires` of {what}"))?;
        let time = time::instant(text);
        if time.is_none() {
            let message = format!("`expires` of {what} is `{text}`, not a time of RFC 3339");
            self.time_error(node, message);
        }
        time
    }

    fn time_error(&mut self, node: &Node, message: String) {
        let place = self.r.place(node);
        let example = "a time is written `2026-11-23T08:00:00Z`";
        self.r.report.push(Diagnostic::new(Code::Time, &place, message).help(example));
    }

    fn claims(&mut self, node: &Node, of: &str) -> Map<String, Json> {
        let entries = self.r.entries(node, &format!("`claims` of {of}")).unwrap_or_default();
        let mut claims = Map::new();
        for (key, node) in entries {
            if let Some(why) = claim_error(&key.name) {
                self.key_error(key, Code::Claim, format!("claim `{}` of {of} {why}", key.name));
            }
            let value = self.r.json(node, &format!("claim `{}` of {of}", key.name), Code::Claim);
            claims.extend(value.map(|value| (key.name.clone(), value)));
        }
        claims
    }
}

/// Ids in one list, and their lines.
type Ids = HashMap<String, u32>;

fn proof(hash: &str) -> Result<Proof, HashError> {
    match sha256(hash) {
        Some(hash) => Ok(Proof::Generated(hash)),
        None => Imported::parse(hash).map(Proof::Imported),
    }
}

/// `sha256:` and 64 hex digits in lower case.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:")?.as_bytes();
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let bytes: Option<Vec<u8>> =
        hex.chunks(2).map(|two| Some(digit(*two.first()?)? << 4 | digit(*two.get(1)?)?)).collect();
    bytes?.try_into().ok()
}
