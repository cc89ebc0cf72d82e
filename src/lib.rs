//! tagwarden: a reverse-proxy authorization sidecar in front of a feature server. One central, hot-reloaded policy of
//! tags holds for every query.
//!
//! # The way of a request
//!
//! ```text
//!  caller                                                                                feature server
//!    |  POST /get-online-features, Authorization: Bearer …                                      ^
//!    v                                                                                          |
//!  server ── proxy::handle ─ route ─ authenticate ─ read ─ decide ─ rewrite ─ forward ──────────┘
//!  accept      one snapshot   closed   auth: JWS     dialect  policy   dialect   upstream
//!  TLS, h1,    for all of it  list     -> Caller     strict   tables   only what      |
//!  h2c, caps                                                  cached   was checked    v
//!    ^                                                                             answer
//!    └──────────────── answer ─ audit, metrics ─ filter: every column verified by name, cut ─┘
//! ```
//!
//! Every failure on the way becomes an answer in one table, [`proxy::respond`].
//!
//! # The map
//!
//! A file uses the floors below its own, and its own children; a test holds this.
//!
//! | floor | modules |
//! |---|---|
//! | commands | [`cli`] |
//! | what engines are held against | [`conformance`] |
//! | composition | [`app`]; [`admin`], [`server`]; [`live`] (what loads and reloads) |
//! | a request | [`proxy`], and the [`snapshot`] that it reads |
//! | who asks | [`auth`] |
//! | the tokens of our own | [`issuer`] |
//! | what is asked | [`dialect`], [`import`] (registries -> catalogues): pure |
//! | what is allowed | [`policy`]: pure |
//! | records, the way upstream | [`audit`], [`metrics`], [`trace`]; [`upstream`] |
//! | files, wires | [`config`], [`reload`], [`tls`], [`fetch`], [`grpc`] |
//! | what Chalk's exports, queries and settings share | [`chalk`]: pure |
//! | texts | [`json`], [`yaml`], [`schema`], [`diagnostic`], [`hex`]: pure |
//!
//! # The threat model in ten lines
//!
//! 1. Asset: feature values; who may have which is said by the policy alone.
//! 2. Callers are hostile: their tokens, paths, headers and bodies are read strictly or refused.
//! 3. What goes upstream is built from what was understood, never the caller's bytes.
//! 4. The feature server is trusted to compute, not to filter: every column of its answer is verified by name.
//! 5. It may change behind the catalogue: an unknown, unasked, doubled or missing column stops the answer.
//! 6. A name that is not in the catalogue is denied; denied and unknown read alike.
//! 7. Policy files are written by trusted people who make mistakes: a bad one keeps the last good one, loudly.
//! 8. The issuer's keys decide who a caller is; the token never chooses algorithm, key set or rules.
//! 9. Upstream errors can carry values: their bodies are replaced.
//! 10. Out of scope: network paths that go round the sidecar, and what a permitted value tells by itself.

pub mod admin;
pub mod app;
pub mod audit;
pub mod auth;
pub mod chalk;
pub mod cli;
pub mod config;
pub mod conformance;
pub mod diagnostic;
pub mod dialect;
pub mod fetch;
pub mod grpc;
pub mod hex;
pub mod import;
pub mod issuer;
pub mod json;
pub mod live;
pub mod metrics;
pub mod policy;
pub mod proxy;
pub mod reload;
pub mod schema;
pub mod server;
pub mod snapshot;
pub mod tls;
pub mod trace;
pub mod upstream;
pub mod yaml;
