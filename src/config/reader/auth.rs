//! Where tokens come from.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use crate::config::reader::ConfigReader;
use crate::config::{Audiences, IssuerSettings, JudgeSettings, KeySource, OpaqueSettings, Upstream, units};
use crate::diagnostic::Code;
use crate::fetch::Url;
use crate::yaml::{Fields, Node, Value};

impl ConfigReader<'_, '_> {
    /// `others`: there are credentials besides these.
    pub(super) fn auth(
        &mut self,
        node: &Node,
        upstream: Option<&Upstream>,
        others: bool,
    ) -> Option<(Vec<IssuerSettings>, Option<OpaqueSettings>, bool)> {
        let fields = self.r.fields(node, "`auth`", &["issuers", "opaque", "token_cache", "api_keys"])?;
        // Without the built-in issuer there are none, whatever this says.
        let api_keys = fields.get("api_keys").and_then(|node| self.r.boolean(node, "`api_keys`")).unwrap_or(true);
        let items = match fields.get("issuers") {
            Some(issuers) => self.r.list(issuers, "`auth.issuers`")?,
            None => &[],
        };
        if items.is_empty() && fields.get("opaque").is_none() && !others {
            self.r.error(node, Code::Missing, "`auth.issuers` names no issuer, so no token would be accepted");
        }
        let read: Vec<(&Node, IssuerSettings)> =
            items.iter().filter_map(|item| Some((item, self.issuer(item)?))).collect();
        for (item, issuer) in &read {
            if read.iter().filter(|(_, other)| other.issuer == issuer.issuer).count() > 1 {
                self.r.error(item, Code::DuplicateName, format!("issuer `{}` stands twice", issuer.issuer));
            }
        }
        let opaque = fields.get("opaque").and_then(|node| self.opaque(node, upstream));
        Some((read.into_iter().map(|(_, issuer)| issuer).collect(), opaque, api_keys))
    }

    fn opaque(&mut self, node: &Node, upstream: Option<&Upstream>) -> Option<OpaqueSettings> {
        let fields = self.r.fields(node, "`auth.opaque`", &["introspection", "who_am_i", "ttl", "negative_ttl"])?;
        let introspection = fields.get("introspection").map(|node| self.introspection(node));
        let who_am_i = fields.get("who_am_i").map(|node| self.who_am_i(node, upstream));
        let judge = match (introspection, who_am_i) {
            (Some(judge), None) | (None, Some(judge)) => judge,
            (Some(_), Some(_)) | (None, None) => {
                let message = "`auth.opaque` names not exactly one of `introspection` and `who_am_i`";
                self.r.error(node, Code::Keys, message);
                None
            }
        };
        let ttl = self.duration(&fields, "ttl", Duration::from_secs(30));
        let negative_ttl = self.duration(&fields, "negative_ttl", Duration::from_secs(5));
        Some(OpaqueSettings { judge: judge?, ttl, negative_ttl })
    }

    fn introspection(&mut self, node: &Node) -> Option<JudgeSettings> {
        let fields = self.r.fields(node, "`introspection`", &["url", "client_id", "secret_file"])?;
        let url = self.wanted(node, &fields, "introspection", "url").and_then(|text| {
            let read = Url::parse(text).map(|url| (url, text.split(['?', '#']).next().unwrap_or_default().to_owned()));
            let place = fields.get("url").unwrap_or(node);
            read.map_err(|why| self.r.error(place, Code::Url, format!("`introspection.url`: {why}"))).ok()
        });
        let client_id = self.wanted(node, &fields, "introspection", "client_id");
        let secret = self.wanted(node, &fields, "introspection", "secret_file");
        let (url, issuer) = url?;
        let secret_file = self.folder.join(secret?);
        Some(JudgeSettings::Introspection { url, issuer, client_id: client_id?.to_owned(), secret_file })
    }

    fn who_am_i(&mut self, node: &Node, upstream: Option<&Upstream>) -> Option<JudgeSettings> {
        let fields = self.r.fields(node, "`who_am_i`", &["team_id", "environment_id"])?;
        let team_id = self.wanted(node, &fields, "who_am_i", "team_id");
        let environment_id = self.wanted(node, &fields, "who_am_i", "environment_id");
        Some(JudgeSettings::WhoAmI {
            team_id: team_id?.to_owned(),
            environment_id: environment_id?.to_owned(),
            upstream: Box::new(upstream?.clone()),
        })
    }

    /// A text without which a section has no meaning.
    pub(super) fn wanted<'n>(
        &mut self,
        node: &Node,
        fields: &Fields<'n>,
        section: &str,
        name: &str,
    ) -> Option<&'n str> {
        match fields.get(name) {
            Some(node) => self.r.text(node, &format!("`{section}.{name}`")),
            None => {
                self.r.error(node, Code::Missing, format!("`{section}.{name}` is missing"));
                None
            }
        }
    }

    fn issuer(&mut self, node: &Node) -> Option<IssuerSettings> {
        let keys = &[
            "issuer",
            "audiences",
            "algorithms",
            "keys",
            "stale_if_error",
            "keys_folder",
            "leeway",
            "require",
            "require_typ",
        ];
        let fields = self.r.fields(node, "an issuer", keys)?;
        let issuer = match fields.get("issuer") {
            Some(node) => self.r.text(node, "`issuer`").map(str::to_owned),
            None => {
                self.r.error(node, Code::Missing, "an issuer without `issuer`");
                None
            }
        };
        let audiences = match fields.get("audiences") {
            Some(Node { value: Value::Str(word), .. }) if word == "unchecked" => Some(Audiences::Unchecked),
            Some(list) => {
                let names = self.texts(Some(list), "`audiences`");
                if names.is_empty() {
                    self.r.error(
                        list,
                        Code::Audiences,
                        "`audiences` is empty; the word `unchecked` turns the check off",
                    );
                }
                Some(Audiences::OneOf(names))
            }
            None => {
                self.r.error(node, Code::Audiences, "`audiences` is missing; the word `unchecked` turns the check off");
                None
            }
        };
        let source = match fields.get("keys") {
            Some(node) => self.keys(node),
            None => Some(KeySource::Discovery),
        };
        if let (Some(name), Some(KeySource::Discovery)) = (&issuer, &source)
            && !(name.starts_with("https://") || name.starts_with("http://"))
        {
            let message = format!("`{name}` is no address, so its keys cannot be discovered; give `keys`");
            self.r.error(fields.get("issuer").unwrap_or(node), Code::Url, message);
        }
        let secret = matches!(source, Some(KeySource::SecretFile(_)));
        let algorithms = match fields.get("algorithms") {
            Some(node) => self.algorithms(node, secret),
            None => source.as_ref().map(KeySource::default_algorithms).unwrap_or_default(),
        };
        Some(IssuerSettings {
            issuer: issuer?,
            audiences: audiences?,
            algorithms,
            keys: source?,
            stale_if_error: self.duration(&fields, "stale_if_error", Duration::from_secs(24 * 3600)),
            keys_folder: fields.get("keys_folder").and_then(|node| self.path(node, "`keys_folder`")),
            leeway: self.duration(&fields, "leeway", Duration::from_secs(30)),
            require: self.texts(fields.get("require"), "`require`"),
            require_typ: fields.get("require_typ").and_then(|n| self.r.text(n, "`require_typ`")).map(str::to_owned),
        })
    }

    fn keys(&mut self, node: &Node) -> Option<KeySource> {
        if matches!(node.value, Value::Str(_)) {
            return self.r.word(node, "`keys`", &[("discovery", ())]).map(|()| KeySource::Discovery);
        }
        let fields = self.r.fields(node, "`keys`", &["jwks_url", "jwks_file", "pem_file", "secret_file"])?;
        let mut sources = Vec::new();
        if let Some(node) = fields.get("jwks_url") {
            let text = self.r.text(node, "`jwks_url`")?;
            if !(text.starts_with("https://") || text.starts_with("http://")) {
                self.r.error(node, Code::Url, "`jwks_url` is neither http nor https");
            }
            sources.push(KeySource::JwksUrl(text.to_owned()));
        }
        type FromFile = fn(PathBuf) -> KeySource;
        let files: [(&str, FromFile); 3] = [
            ("jwks_file", KeySource::JwksFile),
            ("pem_file", KeySource::PemFile),
            ("secret_file", KeySource::SecretFile),
        ];
        for (name, source) in files {
            if let Some(node) = fields.get(name) {
                sources.extend(self.path(node, &format!("`{name}`")).map(source));
            }
        }
        if sources.len() != 1 {
            self.r.error(node, Code::Keys, "`keys` names not exactly one source");
        }
        sources.pop()
    }

    fn algorithms(&mut self, node: &Node, secret: bool) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for item in self.r.list(node, "`algorithms`").unwrap_or_default() {
            let words = if secret { units::SYMMETRIC } else { units::ASYMMETRIC };
            let other = if secret { units::ASYMMETRIC } else { units::SYMMETRIC };
            if let Value::Str(text) = &item.value
                && other.iter().any(|(name, _)| name == text)
            {
                let message = if secret {
                    format!("algorithm `{text}` does not go with a `secret_file`")
                } else {
                    format!("algorithm `{text}` goes only with a `secret_file`")
                };
                self.r.error(item, Code::Algorithm, message);
                continue;
            }
            algorithms.extend(self.r.word(item, "an algorithm", words));
        }
        if algorithms.is_empty() {
            self.r.error(node, Code::Algorithm, "`algorithms` is empty, so no token would be accepted");
        }
        algorithms
    }
}
