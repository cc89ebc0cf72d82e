//! tagwarden
pub mod diagnostic;
pub mod policy;
pub mod yaml;
