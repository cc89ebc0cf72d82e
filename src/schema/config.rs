//! The shape of `tagwarden.yaml` (config.md, Configuration), as this version reads it: what it knows by name and
//! refuses may only be null.

mod auth;
mod catalogue;
mod issuer;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Count, One, Switch, Text, Var};
use auth::Auth;
use catalogue::Catalogue;
use issuer::Issuer;

texts! {
    /// A time: `250ms`, `30s`, `5m`, `1h`, `30d`.
    Duration r"^[0-9]+(ms|s|m|h|d)$" ["250ms", "30s", "5m", "1h", "30d"];
    /// A time that is not 0.
    AWhile r"^0*[1-9][0-9]*(ms|s|m|h|d)$" ["60s"];
    /// A time in whole seconds, from 1 on.
    Life r"^0*[1-9][0-9]*(000ms|s|m|h|d)$" ["1h", "30d"];
    /// The address of a Redis. One with a password is a variable.
    RedisUrl r"^rediss?://[^@\s]+$" ["redis://127.0.0.1:6379"];
    /// A time of 10 seconds or more.
    Refresh r"^0*([1-9][0-9]{4,}ms|[1-9][0-9]+s|[1-9][0-9]*[mhd])$" ["5m"];
    /// A number of bytes: `512B`, `64KiB`, `8MiB`, `1GiB`. Not 0.
    Bytes r"^0*[1-9][0-9]*(B|KiB|MiB|GiB)$" ["64KiB", "8MiB"];
    /// An address and a port, no name.
    Address r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):[0-9]{1,5}$" ["127.0.0.1:8080", "[::]:8080"];
    /// Where a feature server listens: `http://host:port`, `https://host:port` or `unix:/path`.
    Target r"^(https?://[^@/?#\s]+/?|unix:.+)$" ["http://127.0.0.1:6566", "unix:/run/feast.sock"];
    /// An address of the web.
    Url r"^https?://.+$" ["https://idp.example/.well-known/jwks.json"];
    /// An address of the web without a user.
    Endpoint r"^https?://[^@/?#\s]+([/?#]\S*)?$" ["https://idp.example/oauth2/introspect"];
    /// An address of the web that paths are put behind.
    Base r"^https?://[^@/?#\s]+(/[^?#\s]*)?$" ["https://features.example"];
    /// The name of a machine, without a port.
    HostName r"^[0-9A-Za-z._-]+$" ["tagwarden.example"];
    /// An exact path: ASCII, no escapes, no empty, `.` or `..` segments.
    RoutePath r#"^/$|^(/(\.{0,2}[!"$&'()*+,\-0-9:<=>@A-Z\[\]^_`a-z{|}~][!"$&'()*+,\-.0-9:<=>@A-Z\[\]^_`a-z{|}~]*|\.{3}[!"$&'()*+,\-.0-9:<=>@A-Z\[\]^_`a-z{|}~]*))+$"# ["/v1/items"];
    /// The name of an environment.
    Environment r"^[!-~]+$" ["prod"];
}

/// A method, in capitals. Without a look ahead, which not every validator has (Go's, so Helm's).
struct Method;

impl JsonSchema for Method {
    fn schema_name() -> Cow<'static, str> {
        "Method".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A method, in capitals.",
            "type": "string",
            "pattern": "^[A-Z]+$",
            "not": {"enum": ["CONNECT", "TRACE"]},
            "examples": ["GET", "POST"],
        })
    }
}

/// The configuration of the sidecar. Relative paths start at this file's folder; every scalar may be, or hold, an
/// environment variable; secrets are files. All but `listen`, `metrics`, `admin` and `issuer.store` reloads by itself. Somebody
/// must be accepted: by `auth`, by `issuer`, or by a client certificate.
#[derive(JsonSchema)]
#[schemars(title = "tagwarden configuration", deny_unknown_fields, extend(
    "anyOf" = [
        {"required": ["auth"], "properties": {"auth": {"type": "object", "anyOf": [
            {"required": ["issuers"], "properties": {"issuers": {"type": "array", "minItems": 1}}},
            {"required": ["opaque"], "properties": {"opaque": {"type": "object"}}}
        ]}}},
        {"required": ["issuer"], "properties": {"issuer": {"type": "object"}}},
        {"required": ["listen"], "properties": {"listen": {"type": "object", "required": ["tls"], "properties": {"tls": {
            "type": "object", "required": ["client_ca"], "properties": {"client_ca": {"type": "string"}}
        }}}}}
    ],
    "allOf" = [
        {
            "if": {"required": ["upstream"], "properties": {"upstream": {"required": ["dialect"], "properties": {
                "dialect": {"const": "feast"}
            }}}},
            "then": {"properties": {
                "chalk": {"type": "null"}, "json": {"type": "null"}, "catalogue": {"items": {"type": "string"}}
            }}
        },
        {
            "if": {"required": ["upstream"], "properties": {"upstream": {"required": ["dialect"], "properties": {
                "dialect": {"const": "json"}
            }}}},
            "then": {"required": ["json"], "properties": {
                "json": {"type": "string"}, "chalk": {"type": "null"}, "catalogue": {"items": {"type": "string"}},
                "upstream": {"properties": {"engine_url": {"type": "null"}}}
            }}
        },
        {
            "if": {"required": ["upstream"], "properties": {"upstream": {"required": ["dialect"], "properties": {
                "dialect": {"const": "chalk"}
            }}}},
            "then": {"required": ["listen"], "properties": {
                "listen": {"type": "object", "required": ["public_url"], "properties": {"public_url": {
                    "type": "string", "pattern": r"^https?://[^/]+/*$|\$\{"
                }}},
                "json": {"type": "null"}
            }}
        },
        {
            "if": {"required": ["catalogue"], "properties": {
                "catalogue": {"type": "array", "contains": {"type": "object"}}
            }},
            "then": {"required": ["chalk"], "properties": {
                "chalk": {"type": "object", "required": ["environment"], "properties": {
                    "environment": {"type": "string"}
                }}
            }}
        }
    ]
))]
pub(super) struct Config {
    /// 1.
    version: Var<One>,
    /// Worker threads. Default: the cores.
    threads: Option<Var<Count<1>>>,
    /// What callers reach.
    listen: Option<Listen>,
    /// The listener of `/metrics`, `/livez` and `/readyz`: what the kubelet and Prometheus reach.
    metrics: Option<Metrics>,
    /// The listener of operators: `/status` and the explorer page.
    admin: Option<Admin>,
    /// The feature server behind.
    upstream: Upstream,
    /// Whose tokens are accepted, besides those of our own `issuer`.
    auth: Option<Auth>,
    /// The policy: a file, or a folder of `*.yaml` files.
    policies: Text,
    /// A reload that loses half of the roles, bindings or tagged features is taken all the same. Default: false.
    allow_shrink: Option<Var<bool>>,
    /// What lies below the policy: files as `tagwarden catalogue import` writes them; with `dialect: chalk` the
    /// deployment's own graph, once.
    #[schemars(extend("contains" = {"type": "object"}, "minContains" = 0, "maxContains" = 1))]
    catalogue: Option<Vec<Catalogue>>,
    /// Whether decisions hold. Default: enforce.
    enforcement: Option<Var<Enforcement>>,
    /// A candidate policy, decided beside the live one; disagreements are counted and logged.
    shadow: Option<Shadow>,
    /// Decisions that are kept.
    decision_cache: Option<DecisionCache>,
    /// Routes besides the dialect's own. What is not listed is 404.
    routes: Option<Vec<Route>>,
    /// Sizes, counts and deadlines of what is read.
    limits: Option<Limits>,
    /// What SIGTERM does: not ready, serve on for `delay`, then finish what is in flight.
    drain: Option<Drain>,
    /// The log of decisions.
    audit: Option<Audit>,
    /// What errors on the wire tell.
    errors: Option<Errors>,
    /// The Chalk deployment behind; with `dialect: chalk` alone.
    chalk: Option<Chalk>,
    /// The program's own log, on standard error.
    #[schemars(rename = "tracing")]
    log: Option<Tracing>,
    /// The description of the server behind, a file; with `dialect: json` alone, and required there. It reloads.
    json: Option<Text>,
    /// The built-in token issuer. Left out: none.
    issuer: Option<Issuer>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Listen {
    /// HTTP/1.1 and HTTP/2 on one port. Default: 127.0.0.1:8080.
    address: Option<Var<Address>>,
    /// Serve TLS. Left out: plain.
    tls: Option<ListenTls>,
    /// What clients call us: where the issuer's metadata says that its endpoints are, and where Chalk's clients are sent, for
    /// whom no path may follow the host. Default: the issuer's `url`, but for Chalk's.
    public_url: Option<Var<Base>>,
}

/// `cert` and `key` go together.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["cert", "key"], "properties": {"cert": {"type": "string"}, "key": {"type": "string"}}},
        {"properties": {"cert": {"type": "null"}, "key": {"type": "null"}, "client_ca": {"type": "null"}}}
    ]
))]
struct ListenTls {
    /// The certificate chain, a PEM file; it reloads.
    cert: Option<Text>,
    /// Its key, a PEM file; it reloads.
    key: Option<Text>,
    /// Whose client certificates are accepted: trust roots, a PEM file; it reloads. A client may show one, and one that does
    /// not verify ends the handshake. Left out: none is asked for.
    client_ca: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Metrics {
    /// Default: 127.0.0.1:9902.
    address: Option<Var<Address>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Admin {
    /// One that is not loopback needs `token_file`. Default: 127.0.0.1:9901.
    address: Option<Var<Address>>,
    /// The token that `/status` and the explorer's data are asked with, a file of 16 characters or more; it reloads. Left out:
    /// none is asked for.
    token_file: Option<Text>,
    /// Further names that the explorer answers to, besides `localhost` and literal addresses: names in `Host`, without a port.
    hosts: Option<Vec<Var<HostName>>>,
    /// The explorer page, `/explore`. Default: true.
    explore: Option<Var<bool>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Upstream {
    /// Where it listens.
    url: Var<Target>,
    /// Where Chalk's queries go, or calls of Feast's gRPC (`feast listen`), over the same `tls`. Default: `url`.
    engine_url: Option<Var<Target>>,
    /// What it speaks.
    dialect: Var<Dialect>,
    /// How it is reached over https.
    tls: Option<UpstreamTls>,
    /// Until there is a connection. Default: 1s.
    connect_timeout: Option<Var<Duration>>,
    /// From the request sent to the last byte of the answer. Default: 30s.
    timeout: Option<Var<Duration>>,
    /// What it sees as `Authorization`. Default: drop.
    authorization: Option<Authorization>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Dialect {
    /// Feast's feature server.
    Feast,
    /// A Chalk deployment. Needs a `listen.public_url` without a path.
    Chalk,
    /// Any server that speaks JSON over HTTP, as `json` describes it.
    Json,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Chalk {
    /// The environment that the deployment is; queries must mean it. Default: nobody says, so a query may name none. A live
    /// catalogue needs it.
    environment: Option<Var<Environment>>,
    /// Switches that any caller may use; a role has its own.
    allow: Option<Vec<Var<Switch>>>,
}

/// `cert` and `key` go together.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["cert", "key"], "properties": {"cert": {"type": "string"}, "key": {"type": "string"}}},
        {"properties": {"cert": {"type": "null"}, "key": {"type": "null"}}}
    ]
))]
struct UpstreamTls {
    /// Trust roots, a PEM file. Default: the machine's.
    ca: Option<Text>,
    /// A client certificate, a PEM file.
    cert: Option<Text>,
    /// Its key, a PEM file.
    key: Option<Text>,
    /// The name that its certificate must have. Default: the host of `url`.
    server_name: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Authorization {
    Word(Var<AuthorizationWord>),
    Bearer(Bearer),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum AuthorizationWord {
    /// Nothing.
    Drop,
    /// What the caller sent.
    Forward,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Bearer {
    /// A file with a bearer token of ours.
    bearer_file: Text,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct DecisionCache {
    /// How many. Default: 100000.
    entries: Option<Var<Count<0>>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Enforcement {
    /// What the policy refuses is refused.
    Enforce,
    /// What the policy refuses is recorded and passes; tokens, routes and limits hold.
    Audit,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Shadow {
    /// The candidate: a file or a folder.
    policies: Text,
}

/// A route that passes through, or a door of the dialect that is off until it stands here. A public one is GET and HEAD alone
/// and has no `roles`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "if" = {"required": ["public"], "properties": {"public": {"const": true}}},
    "then" = {"properties": {
        "methods": {"items": {"anyOf": [{"enum": ["GET", "HEAD"]}, {"$ref": "#/$defs/Variable"}]}},
        "roles": {"type": "null"}
    }}
))]
struct Route {
    /// The exact path; of Feast's doors with `{id}` in it as they are documented. None that the dialect serves anyway, or
    /// cannot check.
    path: Var<RoutePath>,
    /// Methods that pass.
    #[schemars(length(min = 1))]
    methods: Vec<Var<Method>>,
    /// Who may. Left out: any caller with a role.
    roles: Option<Vec<Text>>,
    /// No token is asked for. Default: false.
    public: Option<Var<bool>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// Bytes of a request's body. Default: 8MiB, with `dialect: chalk` 100MiB.
    request_body: Option<Size>,
    /// Bytes of the upstream's answer. Default: 64MiB, with `dialect: chalk` 100MiB.
    response_body: Option<Size>,
    /// Bytes of a token. Default: 16KiB.
    token_bytes: Option<Size>,
    /// Until the protocol of a connection is known, TLS handshake included. Default: 5s.
    first_byte_timeout: Option<Var<Duration>>,
    /// Bytes of a request's head, from 8KiB on. Default: 32KiB.
    header_bytes: Option<Size>,
    /// Connections at once. Default: 10000.
    connections: Option<Var<Count<1>>>,
    /// Requests at once. Default: 4096.
    inflight: Option<Var<Count<1>>>,
    /// From the first byte of a head to its last. Default: 10s.
    header_timeout: Option<Var<Duration>>,
    /// From the head to the last byte of the body. Default: 30s.
    body_timeout: Option<Var<Duration>>,
    /// Between requests on one connection. Default: 75s.
    idle_timeout: Option<Var<Duration>>,
}

/// A size with its unit, or a number of bytes.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Size {
    Text(Var<Bytes>),
    Number(Count<1>),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Drain {
    /// Not ready, and serving on. Default: 5s.
    delay: Option<Var<Duration>>,
    /// For what is in flight after that. Default: 25s.
    timeout: Option<Var<Duration>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Audit {
    /// `stdout`, `stderr` or a file. Default: stdout.
    log: Option<Text>,
    /// The share of permitted decisions that is logged, 0 to 1; refusals always are. Default: 1.0.
    permitted: Option<Var<Share>>,
    /// How callers are named. Default: hash.
    subject: Option<Var<Subject>>,
    /// The key of the chain's HMAC and of the subject hash, a file.
    key_file: Option<Text>,
    /// When the log does not keep up: requests wait, or are refused. Default: block.
    on_full: Option<Var<OnFull>>,
}

struct Share;

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0, "maximum": 1})
    }
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Subject {
    /// By a hash.
    Hash,
    /// By their names.
    Plain,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum OnFull {
    /// Requests wait.
    Block,
    /// Requests are refused.
    Refuse,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Errors {
    /// Name the members of a bundle or namespace, not only what the caller wrote. Default: false.
    name_members: Option<Var<bool>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Tracing {
    /// The least level that is logged. Default: info.
    level: Option<Var<Level>>,
    /// How lines are written. Default: json.
    format: Option<Var<Format>>,
    /// Spans over OTLP; the OTEL_* variables say where to. Default: false.
    otlp: Option<Var<bool>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Off,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
