//! The one integration binary: the sidecar as it runs, between a client and an upstream that both play foul.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

mod advisories;
mod attacks;
mod audit_chain;
mod audit_mode;
mod bench;
mod chalk;
mod chalk_agent;
mod chalk_attacks;
mod chalk_calls;
mod chalk_graph;
mod chalk_settings;
mod chalk_sources;
mod cli;
mod client;
mod client_certificates;
mod conformance;
mod demo;
mod dialects;
mod diff;
mod docs;
mod examples;
mod explain;
mod explore;
mod feast_calls;
mod feast_doors;
mod findings;
mod floors;
mod fuzz;
mod golden;
mod init;
mod issuer;
mod keys;
mod log;
mod matrix;
mod mended;
mod mended_config;
mod observe;
mod observe_full;
mod observe_secrets;
mod opaque;
mod oracle;
mod otlp;
mod overload;
mod policy_files;
mod policy_properties;
mod proxy_bodies;
mod proxy_http2;
mod proxy_hygiene;
mod proxy_limits;
mod proxy_slow;
mod proxy_smuggling;
mod proxy_upstream;
mod proxy_way;
mod proxy_way_tokens;
mod random_policy;
mod reload;
mod reload_files;
mod reload_torn;
mod rpc;
mod schema;
mod security_doc;
mod shadow;
mod shutdown;
mod shutdown_signals;
mod slow_readers;
mod soak;
mod stack_policies;
mod store;
mod store_redis;
mod tls;
mod tls_doors;
mod tokens_many;
mod unit_explained;
mod upstream_faults;
