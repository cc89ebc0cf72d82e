//! The built-in issuer (config.md, `issuer`): tokens for teams that have no identity provider.

pub mod clients;
pub mod revocations;
pub mod secret;
pub mod store;
