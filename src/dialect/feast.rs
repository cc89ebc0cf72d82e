//! The Feast feature server, `POST /get-online-features` and its gRPC ([`rpc`]) (wire-feast.md, section 2).
//!
//! [`read`] takes a request apart, strictly. [`decide`] says of it: what goes upstream, which columns may come back,
//! and under which names. [`rewrite`] builds the body that goes upstream from what was understood. [`filter`] verifies
//! the answer column by column, by name, and cuts what may not pass.
//!
//! Upstream is always asked for full feature names, `view__feature`, so that a service that changed behind the catalogue
//! cannot slip another view's column under a short name; the names are given back as the caller wanted them.

mod answer;
mod plan;
mod request;
pub mod rpc;
pub mod search;
pub mod write;

pub use answer::{Answered, filter, filter_columns};
pub use plan::{Column, Columns, Features, Index, Permit, Sent, Views, decide, unenforced};
pub use request::{Asked, Entity, Request, Wanted, read, rewrite};
pub use search::Search;
pub use write::{Write, Written};

/// The route that is read and decided.
pub const QUERY_PATH: &str = "/get-online-features";
/// The route that is open.
pub const HEALTH_PATH: &str = "/health";

#[cfg(test)]
mod tests;
