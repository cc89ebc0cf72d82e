//! Tokens against issuers, through the front door.

mod attacks;
mod claims;
mod clock;
mod discovery;
mod rotation;
mod settings;
pub(in crate::auth) mod support;
mod wycheproof;
