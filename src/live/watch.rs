//! Which files a configuration names, beside the policy and the catalogue, and what they held.

use std::path::PathBuf;

use crate::config::{Config, JudgeSettings, KeySource, UpstreamAuthorization};
use crate::reload::{self, Digest, Source};

/// What key and certificate files held before they were loaded: a change since then is told.
pub(super) struct Held {
    pub(super) keys: Option<Digest>,
    pub(super) certificates: Option<Digest>,
    pub(super) upstream: Option<Digest>,
    pub(super) clients: Option<Digest>,
    pub(super) graph: Option<Digest>,
    pub(super) description: Option<Digest>,
    pub(super) admin: Option<Digest>,
}

impl Held {
    pub(super) fn before(config: &Config) -> Self {
        let digest = |source: Option<Source>| source.and_then(|source| reload::read(&source).ok()).map(|f| f.digest);
        Self {
            keys: digest(key_source(config)),
            certificates: digest(certificate_source(config)),
            upstream: digest(upstream_source(config)),
            clients: digest(client_source(config)),
            graph: digest(graph_source(config)),
            description: digest(description_source(config)),
            admin: digest(admin_source(config)),
        }
    }
}

/// Files that tokens are verified with. Of `who_am_i` they are those that its connections are made with.
pub(super) fn key_source(config: &Config) -> Option<Source> {
    let mut files: Vec<&PathBuf> = config
        .issuers
        .iter()
        .filter_map(|issuer| match &issuer.keys {
            KeySource::JwksFile(path) | KeySource::PemFile(path) | KeySource::SecretFile(path) => Some(path),
            KeySource::Discovery | KeySource::JwksUrl(_) | KeySource::Static(_) => None,
        })
        .collect();
    match config.opaque.as_ref().map(|opaque| &opaque.judge) {
        Some(JudgeSettings::Introspection { secret_file, .. }) => files.push(secret_file),
        Some(JudgeSettings::WhoAmI { upstream, .. }) => files.extend(upstream.tls_files()),
        None => {}
    }
    // A folder.
    files.extend(config.issuer.as_ref().map(|issuer| &issuer.keys));
    (!files.is_empty()).then(|| Source::pem(files))
}

/// The clients of the built-in issuer.
pub(super) fn client_source(config: &Config) -> Option<Source> {
    config.issuer.as_ref().map(|issuer| Source::yaml([&issuer.clients]))
}

/// The description of the server behind.
pub(super) fn description_source(config: &Config) -> Option<Source> {
    config.json.as_ref().map(|path| Source::yaml([path]))
}

/// The token of the admin listener.
pub(super) fn admin_source(config: &Config) -> Option<Source> {
    config.admin.token_file.as_ref().map(|path| Source::pem([path]))
}

/// Our credentials where the live graph is.
pub(super) fn graph_source(config: &Config) -> Option<Source> {
    config.chalk_graph.as_ref().map(|graph| Source::pem([graph.credentials.file()]))
}

/// Files of our own side of the upstream: a token, certificates.
pub(super) fn upstream_source(config: &Config) -> Option<Source> {
    let mut files: Vec<&PathBuf> = config.upstream.tls_files().collect();
    if let UpstreamAuthorization::BearerFile(path) = &config.upstream.authorization {
        files.push(path);
    }
    (!files.is_empty()).then(|| Source::pem(files))
}

pub(super) fn certificate_source(config: &Config) -> Option<Source> {
    config.listen.tls.as_ref().map(|tls| Source::pem(tls.files()))
}
