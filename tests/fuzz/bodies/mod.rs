//! What each fuzz target does with its bytes. The fuzzer calls it by `targets`, and `cargo test` with the kept corpus and
//! changes of it: `tests/it/fuzz.rs`.

pub mod calls;
pub mod configuration;
pub mod containers;
pub mod described;
pub mod described_requests;
pub mod expressions;
pub mod feast;
pub mod online;
pub mod paths;
pub mod policies;
pub mod resolver;
pub mod spans;
pub mod tables;
pub mod tokens;

/// One run of a target.
pub type Run = fn(&[u8]);

/// All of them by name.
pub const ALL: [(&str, Run); 14] = [
    ("calls", calls::run),
    ("configuration", configuration::run),
    ("containers", containers::run),
    ("described", described::run),
    ("described_requests", described_requests::run),
    ("expressions", expressions::run),
    ("feast", feast::run),
    ("online", online::run),
    ("paths", paths::run),
    ("policies", policies::run),
    ("resolver", resolver::run),
    ("spans", spans::run),
    ("tables", tables::run),
    ("tokens", tokens::run),
];

/// The parts of an input, between bytes 0; so many, empty where there are fewer.
pub fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
