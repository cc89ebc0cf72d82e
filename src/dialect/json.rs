//! Any feature server that speaks JSON over HTTP, as a description says (docs/dialects/README.md).
//!
//! A [`Description`] says of each route where a request names its outputs and what it supplies, how the names of the wire
//! become those of the catalogue, and where in the answer the features stand. What it does not mention does not pass.

pub mod answer;
pub mod description;
pub mod filter;
pub mod plan;
pub mod pointer;
pub mod reader;
pub mod request;
pub mod template;

pub use description::Description;
pub use reader::{Taken, load, load_beside};

#[cfg(test)]
mod tests;
