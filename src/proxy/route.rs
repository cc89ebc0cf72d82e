//! The closed list of routes, matched on a path that means itself.

use std::sync::Arc;

use hyper::Method;
use hyper::http::request::Parts;

use crate::chalk::paths;
use crate::config::feast::Door as FeastDoor;
use crate::config::{Config, Dialect, ISSUER_PATHS, units};
use crate::dialect::chalk::{integrations, rpc as queries};
use crate::dialect::feast::{self, rpc as calls};
use crate::dialect::json::description::{Description, Method as Described};
use crate::dialect::json::request::variables;
use crate::dialect::json::template::Template;
use crate::issuer::endpoints::Endpoint;
use crate::metrics::{Metrics, RouteMetrics};
use crate::proxy::respond::{Failure, Form};
use crate::proxy::rpc;
use crate::snapshot::Snapshot;

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The exact path, or as a description writes it.
    pub path: String,
    /// What each segment is, where there are variables in it; else empty.
    segments: Vec<Template>,
    /// The methods that it takes.
    pub methods: Vec<Method>,
    /// What happens on it.
    pub kind: Kind,
    /// Where it is counted.
    pub metrics: Arc<RouteMetrics>,
}

/// What happens on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Feast's online query: read, decided, rewritten, filtered.
    Query,
    /// A method of Feast's gRPC, read and decided; who may call it, by the names of roles.
    FeastCall(calls::Method, Option<Vec<String>>),
    /// Another of Feast's doors, read and decided; who may come, by the names of roles.
    Feast(FeastDoor, Option<Vec<String>>),
    /// The upstream's health: its status, no token asked.
    Health,
    /// One of Chalk's, read and decided; of an optional one who may come, by the names of roles.
    Chalk(Door, Option<Vec<String>>),
    /// The built-in issuer answers.
    Own(Endpoint),
    /// Who the caller of any accepted credential is; with the built-in issuer or the Chalk dialect.
    WhoAmI,
    /// One of a description, by its number there.
    Described(usize),
    /// Passed on as it is.
    Pass {
        /// Who may, by the names of roles; `None`: any caller with a role.
        roles: Option<Vec<String>>,
        /// No token asked.
        public: bool,
    },
}

/// A door of the Chalk dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `POST /v1/query/online`.
    Online,
    /// `POST /v1/query/feather`.
    Feather,
    /// `POST /v1/oauth/token`, where the deployment issues the tokens.
    Token,
    /// `POST /v1/upload_features`.
    Upload,
    /// `POST /v1/upload_features/multi`.
    UploadMulti,
    /// `QueryService/Ping`.
    Ping,
    /// A query by gRPC or Connect.
    Query(queries::Method),
    /// `AuthService/GetToken`.
    GetToken,
    /// Of `IntegrationsService` what is about data sources.
    Sources(integrations::Method),
    /// `TeamService/GetAgent`.
    Agent,
    /// `QueryService/UploadFeatures`.
    UploadFeatures,
    /// `QueryService/UploadFeaturesBulk`.
    UploadFeaturesBulk,
}

impl Door {
    /// The doors that are there without being listed: path and method.
    const ALWAYS: [(&'static str, Self); 8] = [
        (paths::ONLINE, Self::Online),
        (paths::FEATHER, Self::Feather),
        ("/chalk.engine.v1.QueryService/Ping", Self::Ping),
        ("/chalk.engine.v1.QueryService/OnlineQuery", Self::Query(queries::Method::OnlineQuery)),
        ("/chalk.engine.v1.QueryService/OnlineQueryBulk", Self::Query(queries::Method::OnlineQueryBulk)),
        ("/chalk.engine.v1.QueryService/OnlineQueryMulti", Self::Query(queries::Method::OnlineQueryMulti)),
        ("/chalk.server.v1.AuthService/GetToken", Self::GetToken),
        ("/chalk.server.v1.TeamService/GetAgent", Self::Agent),
    ];
    /// Those that `routes` opens.
    const OPTIONAL: [(&'static str, Self); 4] = [
        ("/v1/upload_features", Self::Upload),
        ("/v1/upload_features/multi", Self::UploadMulti),
        ("/chalk.engine.v1.QueryService/UploadFeatures", Self::UploadFeatures),
        ("/chalk.engine.v1.QueryService/UploadFeaturesBulk", Self::UploadFeaturesBulk),
    ];
}

/// In which form failures on a request are told; `kind` is that of its route, where there is one.
pub fn form(snapshot: &Snapshot, parts: &Parts, kind: Option<&Kind>) -> Form {
    match (snapshot.settings.dialect, kind) {
        (Dialect::Feast, Some(Kind::FeastCall(..))) => rpc::Form::of(parts).map_or(Form::Plain, Form::Rpc),
        // A method that is not open.
        (Dialect::Feast, None) if rpc::Form::of(parts) == Some(rpc::Form::Grpc) => Form::Rpc(rpc::Form::Grpc),
        (Dialect::Feast | Dialect::Json, _) | (Dialect::Chalk, Some(Kind::Own(_))) => Form::Plain,
        (Dialect::Chalk, Some(Kind::Chalk(Door::Online, _))) => Form::ChalkQuery,
        (Dialect::Chalk, Some(Kind::Chalk(Door::Upload | Door::UploadMulti, _))) => Form::ChalkUpload,
        (Dialect::Chalk, _) => rpc::Form::of(parts).map_or(Form::Chalk, Form::Rpc),
    }
}

/// All routes.
#[derive(Clone, Debug)]
pub struct Routes {
    routes: Vec<Route>,
    /// Where requests are counted that are on no route.
    pub other: Arc<RouteMetrics>,
}

impl Routes {
    /// The dialect's own, the issuer's where there is one, and the configured ones.
    pub fn new(config: &Config, description: Option<&Description>, metrics: &Metrics) -> Self {
        let route = |path: &str, methods: Vec<Method>, kind| Route {
            path: path.to_owned(),
            segments: Vec::new(),
            methods,
            kind,
            metrics: metrics.route(path),
        };
        let mut routes = match config.upstream.dialect {
            Dialect::Feast => vec![
                route(feast::QUERY_PATH, vec![Method::POST], Kind::Query),
                route(feast::HEALTH_PATH, vec![Method::GET], Kind::Health),
            ],
            Dialect::Json => Vec::new(),
            Dialect::Chalk => {
                let mut routes = vec![route(paths::PING, vec![Method::GET], Kind::Health)];
                let own = config.issuer.is_some();
                let token = [(paths::TOKEN, Door::Token)].into_iter().filter(|_| !own);
                let sources = integrations::Method::ALL.map(|method| (method.path(), Door::Sources(method)));
                for (path, door) in Door::ALWAYS.into_iter().chain(sources).chain(token) {
                    routes.push(route(path, vec![Method::POST], Kind::Chalk(door, None)));
                }
                routes.extend((!own).then(|| route(paths::WHO_AM_I, vec![Method::GET], Kind::WhoAmI)));
                routes
            }
        };
        let described = description.iter().flat_map(|description| &description.routes);
        for (number, one) in described.enumerate() {
            let method = match one.method {
                Described::Get => Method::GET,
                Described::Post => Method::POST,
            };
            let variable = one.segments.iter().any(|segment| segment.variables().next().is_some());
            let segments = if variable { one.segments.clone() } else { Vec::new() };
            routes.push(Route { segments, ..route(&one.path, vec![method], Kind::Described(number)) });
        }
        let health = description.and_then(|description| description.health.as_deref());
        routes.extend(health.map(|path| route(path, vec![Method::GET], Kind::Health)));
        for path in ISSUER_PATHS.iter().filter(|_| config.issuer.is_some()) {
            let (kind, method) = match Endpoint::at(path) {
                Some((endpoint, method)) => (Kind::Own(endpoint), method),
                None => (Kind::WhoAmI, Method::GET),
            };
            routes.push(route(path, vec![method], kind));
        }
        for extra in &config.routes {
            let methods = extra.methods.iter().filter_map(|method| method.parse().ok()).collect();
            let opened = Door::OPTIONAL.into_iter().filter(|_| config.upstream.dialect == Dialect::Chalk);
            let is_feast = config.upstream.dialect == Dialect::Feast;
            let called = calls::Method::at(&extra.path).filter(|_| is_feast);
            let opened_of_feast = FeastDoor::at(&extra.path).filter(|_| is_feast);
            let kind = match (opened.into_iter().find(|(path, _)| extra.path == *path), called, opened_of_feast) {
                (Some((_, door)), _, _) => Kind::Chalk(door, extra.roles.clone()),
                (None, Some(method), _) => Kind::FeastCall(method, extra.roles.clone()),
                (None, None, Some(door)) => Kind::Feast(door, extra.roles.clone()),
                (None, None, None) => Kind::Pass { roles: extra.roles.clone(), public: extra.public },
            };
            routes.push(route(&extra.path, methods, kind));
        }
        Self { routes, other: metrics.route("other") }
    }

    /// The route of a request.
    ///
    /// # Errors
    /// `NotFound` for every spelling but the listed one: escapes, dot segments, doubled or trailing slashes,
    /// `;params` and other case mean another path to some server, so none of them is mended. `MethodNotAllowed`.
    pub fn find(&self, method: &Method, path: &str) -> Result<&Route, Failure> {
        let path = units::plain_path(path).ok_or(Failure::NotFound)?;
        let mut allowed = Vec::new();
        let at = |route: &&Route| match &route.kind {
            Kind::Feast(door, _) => door.matches(path),
            _ if route.segments.is_empty() => route.path == path,
            _ => variables(&route.segments, path).is_some(),
        };
        let exact = self.routes.iter().filter(|route| route.segments.is_empty() && at(route));
        // A path as it stands comes before one with variables.
        for route in exact.chain(self.routes.iter().filter(|route| !route.segments.is_empty() && at(route))) {
            if route.methods.contains(method) {
                return Ok(route);
            }
            allowed.extend(route.methods.iter().map(Method::as_str));
        }
        if allowed.is_empty() { Err(Failure::NotFound) } else { Err(Failure::MethodNotAllowed(allowed.join(", "))) }
    }
}
