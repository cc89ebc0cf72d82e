//! The messages of Chalk's gRPC, written by hand from its descriptors (chalkpy 2.166.1).
//!
//! Those of requests have every field of their [shape](super::shape), so that nothing is dropped. Those of answers have
//! what may pass; prost drops the rest when they are written again. What prints as `Debug` has no secret in it.

mod query;
mod request;
mod server;
mod well_known;

pub use query::*;
pub use server::*;
pub use well_known::*;
