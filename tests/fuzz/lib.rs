//! The bodies of the targets, and what they share with the integration tests.

pub mod bodies;

#[path = "../it/oracle.rs"]
mod oracle;
#[allow(dead_code, unused_imports, reason = "the tests of it are not built here")]
#[path = "../it/policy_properties.rs"]
mod policy_properties;
#[path = "../it/random_policy.rs"]
mod random_policy;
