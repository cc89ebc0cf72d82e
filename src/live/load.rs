//! Files -> what they say, once: texts, policies, settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::HeaderValue;

use super::graph::{Graph, GraphError};
use super::widening::gains;
use crate::auth::{Auth, AuthError};
use crate::config::{self, Config, Dialect, UpstreamAuthorization, Widening};
use crate::diagnostic::{Place, Report, SourceFile};
use crate::dialect::json::Description;
use crate::issuer::{Issuer, IssuerError};
use crate::metrics::Metrics;
use crate::policy::diff::Side;
use crate::policy::explain::Files as LayersOf;
use crate::policy::file::{self, Layer, LayerKind};
use crate::policy::{self, Policy, Sources};
use crate::proxy::route::Routes;
use crate::reload::{self, Digest, Files, ReadError, Source};
use crate::snapshot::{Authorization, Settings, Subjects, Written};
use crate::tls::{self, TlsError};
use crate::trace::TraceError;
use crate::upstream::Upstream;

/// Why the sidecar does not start, or a reload is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Spans.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Mistakes in files, each with its place.
    #[error("{0}")]
    Report(Report),
    /// Files that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file that is not UTF-8.
    #[error("`{0}` is not utf-8")]
    NotText(PathBuf),
    /// Keys.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The built-in issuer has no file of clients.
    #[error("`{0}` does not exist: `tagwarden client add` makes it")]
    NoClients(PathBuf),
    /// The built-in issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A secret of ours.
    #[error("`{path}` cannot be used: {why}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Without its content.
        why: String,
    },
    /// A reload that loses too much.
    #[error("the new policy has {now} {what} where {before} are served; set `allow_shrink` if that is meant")]
    Shrunk {
        /// Roles, bindings or tagged features.
        what: &'static str,
        /// How many are served.
        before: usize,
        /// How many it has.
        now: usize,
    },
    /// A live graph that loses too much.
    #[error("the new graph has {now} features where {before} are served; set `allow_shrink` if that is meant")]
    GraphShrunk {
        /// How many are served.
        before: usize,
        /// How many it has.
        now: usize,
    },
    /// A live graph that permits more.
    #[error("the new graph is held, for it gives more ({0}); change the policy, or set `widening: allow`")]
    Widens(String),
    /// The live graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Nothing watches.
    #[error(transparent)]
    Watch(#[from] reload::WatchError),
    /// Metrics.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A configuration's file as it was read: what is watched, and from which content on.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Where.
    pub path: PathBuf,
    pub(super) held: Digest,
}

/// Reads a configuration file.
///
/// # Errors
/// Not readable, or mistakes in it.
pub fn read_config(path: &Path) -> Result<(Config, ConfigFile), LoadError> {
    let files = reload::read(&Source::yaml([path]))?;
    let config = parse_config(path, &files)?;
    Ok((config, ConfigFile { path: path.to_owned(), held: files.digest }))
}

pub(super) fn parse_config(path: &Path, files: &Files) -> Result<Config, LoadError> {
    let texts = texts(files)?;
    let Some(file) = texts.first() else { return Err(ReadError::NoPath.into()) };
    let folder = path.parent().unwrap_or(Path::new("."));
    let (config, report) = config::read(file, folder, &|name| std::env::var(name).ok());
    config.ok_or(LoadError::Report(report))
}

/// The texts of what was read.
///
/// # Errors
/// One is not UTF-8.
pub fn texts(files: &Files) -> Result<Vec<Arc<SourceFile>>, LoadError> {
    let text = |file: &reload::File| match String::from_utf8(file.bytes.clone()) {
        Ok(text) => Ok(Arc::new(SourceFile { name: file.path.display().to_string(), text })),
        Err(_) => Err(LoadError::NotText(file.path.clone())),
    };
    files.files.iter().map(text).collect()
}

/// Policy or catalogue files, as text.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    files: Vec<Arc<SourceFile>>,
    pub(super) digest: String,
    pub(super) held: Option<Digest>,
}

impl Texts {
    pub(super) fn new(files: &Files) -> Result<Self, LoadError> {
        Ok(Self { files: texts(files)?, digest: files.digest.to_string(), held: Some(files.digest) })
    }

    fn none() -> Self {
        Self { files: Vec::new(), digest: "none".to_owned(), held: None }
    }
}

/// What lies below the policy: files, and the live graph.
#[derive(Clone, Debug)]
pub(super) struct Below {
    pub(super) files: Texts,
    pub(super) graph: Option<Arc<Graph>>,
}

impl Below {
    /// Its texts, the graph's behind the files'.
    fn all(&self) -> Vec<Arc<SourceFile>> {
        let graph = self.graph.iter().map(|graph| Arc::clone(&graph.file));
        self.files.files.iter().cloned().chain(graph).collect()
    }

    /// Of the graph; empty without one.
    pub(super) fn graph_digest(&self) -> String {
        self.graph.as_ref().map(|graph| graph.digest.clone()).unwrap_or_default()
    }
}

/// A policy over what lies below it, and what both were made of.
pub(super) struct Laid {
    pub(super) policy: Policy,
    rules: Layer,
    imported: Layer,
}

impl Laid {
    fn side(&self) -> Side<'_> {
        Side { policy: &self.policy, files: LayersOf { rules: &self.rules, imported: &self.imported } }
    }
}

/// What credentials a configuration accepts.
pub fn sources(config: &Config) -> Sources {
    let certificates = config.listen.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let opaque = usize::from(config.opaque.is_some());
    let own = usize::from(config.issuer.is_some());
    Sources { count: config.issuers.len() + own + opaque + usize::from(certificates), certificates }
}

/// Lays a policy over what is below it, under a configuration.
///
/// # Errors
/// Any mistake in them.
pub(super) fn lay(config: &Config, policy: &Texts, below: &Below) -> Result<Laid, LoadError> {
    let mut report = Report::default();
    let files = below.all();
    let rules = file::read(LayerKind::Policy, &policy.files, &mut report);
    let mut imported = file::read(LayerKind::Catalogue, &files, &mut report);
    if let Some(graph) = &below.graph {
        imported.label(&graph.labels, &Place::file(&graph.file));
    }
    policy::empty_catalogue(&files, &imported, &mut report);
    let loaded = policy::assemble(&rules, &imported, &mut report);
    if let Some(policy) = loaded {
        policy.check_sources(sources(config), &mut report);
        if config.upstream.dialect == Dialect::Chalk {
            policy.check_chalk(&mut report);
        }
        if !report.has_errors() {
            return Ok(Laid { policy, rules, imported });
        }
    }
    report.sort();
    Err(LoadError::Report(report))
}

/// Lays a policy over what is below it, where something is served already: neither may be lost what `allow_shrink` guards,
/// nor may a graph give more than the last good one, unless that is allowed. `good`: what that one is served with; `None`:
/// there is none to compare with.
///
/// # Errors
/// Any mistake in the files, and what is not allowed.
pub(super) fn relay(
    config: &Config,
    served: &Policy,
    good: Option<&(Texts, Below)>,
    (policy, below): (&Texts, &Below),
) -> Result<Policy, LoadError> {
    let before = good.and_then(|good| Some((good, good.1.graph.as_ref()?)));
    let graphs = below.graph.as_ref().zip(before).filter(|(new, (_, old))| new.digest != old.digest);
    if let (Some((new, (_, old))), false) = (&graphs, config.allow_shrink)
        && lost_half(old.features, new.features)
    {
        return Err(LoadError::GraphShrunk { before: old.features, now: new.features });
    }
    let laid = lay(config, policy, below)?;
    if !config.allow_shrink {
        check_shrink(served, &laid.policy)?;
    }
    if let (Some((_, (good, old))), Some(settings)) = (graphs, &config.chalk_graph) {
        // Under one policy, so that what the policy gives is not counted; where that needs the new graph, under the served one.
        let with_old = Below { files: below.files.clone(), graph: Some(Arc::clone(old)) };
        let before = lay(config, policy, &with_old).or_else(|_| lay(config, &good.0, &good.1))?;
        match (gains(before.side(), laid.side()), settings.widening) {
            (None, _) => {}
            (Some(gains), Widening::Hold) => return Err(LoadError::Widens(gains.to_string())),
            (Some(gains), Widening::Allow) => tracing::warn!(%gains, "the new graph gives more, and is taken"),
        }
    }
    Ok(laid.policy)
}

fn lost_half(before: usize, now: usize) -> bool {
    before > now && (before - now) * 2 >= before
}

/// A reload may not lose half of the roles, bindings or tagged features unless that is allowed.
///
/// # Errors
/// [`LoadError::Shrunk`].
pub fn check_shrink(before: &Policy, now: &Policy) -> Result<(), LoadError> {
    let tagged = |policy: &Policy| {
        let classes = &policy.catalogue.classes;
        let tagged = |class: u32| classes.get(class as usize).is_some_and(|class| !class.all_tags.is_empty());
        policy.catalogue.features().iter().filter(|feature| tagged(feature.class)).count()
    };
    let counts = [
        ("roles", before.roles.len(), now.roles.len()),
        ("bindings", before.bindings.len(), now.bindings.len()),
        ("tagged features", tagged(before), tagged(now)),
    ];
    for (what, before, now) in counts {
        if lost_half(before, now) {
            return Err(LoadError::Shrunk { what, before, now });
        }
    }
    Ok(())
}

pub(super) fn read_catalogue(config: &Config) -> Result<Texts, LoadError> {
    if config.catalogue.is_empty() {
        return Ok(Texts::none());
    }
    Texts::new(&reload::read(&Source::yaml(&config.catalogue))?)
}

/// One word for policy and catalogue together, with a live graph behind the files.
pub(super) fn digest(policy: &Texts, below: &Below) -> String {
    let graph = below.graph.iter().map(|graph| format!("+{}", graph.digest));
    format!("{}+{}{}", policy.digest, below.files.digest, graph.collect::<String>())
}

/// The texts that a policy over what is below it was read from.
pub(super) fn written(policy: &Texts, below: &Below) -> Written {
    let graph = below.graph.as_ref();
    Written {
        policy: policy.files.clone(),
        below: below.all(),
        dashboard: graph.map(|graph| (graph.labels.clone(), Place::file(&graph.file))),
    }
}

pub(super) fn server_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, LoadError> {
    let Some(tls) = &config.listen.tls else { return Ok(None) };
    Ok(Some(Arc::new(tls::server_config(tls)?)))
}

/// The bytes of a secret's file.
///
/// # Errors
/// Not readable, or empty; the error shows nothing of it.
pub fn secret(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unusable = |why: String| LoadError::Secret { path: path.to_owned(), why };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    if bytes.trim_ascii().is_empty() { Err(unusable("it is empty".to_owned())) } else { Ok(bytes) }
}

pub(super) fn settings(
    config: &Config,
    auth: Arc<Auth>,
    issuer: Option<Arc<Issuer>>,
    description: Option<Arc<Description>>,
    metrics: &Metrics,
) -> Result<Settings, LoadError> {
    let authorization = match &config.upstream.authorization {
        UpstreamAuthorization::Drop => Authorization::Drop,
        UpstreamAuthorization::Forward => Authorization::Forward,
        UpstreamAuthorization::BearerFile(path) => {
            let token = secret(path)?;
            let value = HeaderValue::from_bytes(&[b"Bearer ", token.trim_ascii()].concat());
            let why = "it holds no token that fits in a header".to_owned();
            let mut value = value.map_err(|_| LoadError::Secret { path: path.clone(), why })?;
            value.set_sensitive(true);
            Authorization::Own(value)
        }
    };
    let subjects = match (&config.audit.hash_subjects, &config.audit.key_file) {
        (false, _) => Subjects::Plain,
        (true, None) => Subjects::Hashed(None),
        (true, Some(path)) => {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret(path)?.trim_ascii());
            Subjects::Hashed(Some(Box::new(key)))
        }
    };
    let upstream = Upstream::new(&config.upstream)?;
    // Without an address of its own it is the same, connections and all.
    let engine = match &config.upstream.engine {
        Some(_) => Upstream::new(&config.upstream.of_engine())?,
        None => upstream.clone(),
    };
    Ok(Settings {
        auth,
        routes: Routes::new(config, description.as_deref(), metrics),
        description,
        upstream,
        engine,
        dialect: config.upstream.dialect,
        public_url: config.listen.public_url.clone().unwrap_or_default(),
        environment: config.chalk.environment.clone(),
        issuer,
        authorization,
        upstream_timeout: config.upstream.timeout,
        limits: config.limits,
        name_members: config.name_members,
        enforcement: config.enforcement,
        audit_permitted: config.audit.permitted,
        subjects,
    })
}
