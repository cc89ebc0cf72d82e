//! tagwarden
pub mod config;
pub mod diagnostic;
pub mod dialect;
pub mod import;
pub mod json;
pub mod policy;
pub mod yaml;
