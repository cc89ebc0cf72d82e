//! What the messages of calls consist of: the tables that the strict reader of requests goes by, and what JSON is translated with.
//!
//! Numbers, names and types are those of chalkpy 2.166.1. What a table leaves out is unknown, and refused.

pub use crate::dialect::shape::{Field, Kind, Rule, Shape};
use crate::dialect::shape::{many, map, of, one};

pub mod answer;
pub mod arrow;
pub mod expression;
pub mod methods;
pub mod query;
pub mod server;
