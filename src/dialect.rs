//! What a feature server speaks: request -> query; query and decision -> rewritten request; answer -> filtered answer.
//!
//! A dialect is pure: bytes and the policy are arguments. What it cannot read, it refuses ([`Invalid`]); an answer that
//! it cannot verify, it does not pass on ([`Unreadable`]). Messages of gRPC are read by their [`shape`], [`strict`]ly.

pub mod chalk;
pub mod feast;
pub mod json;
mod names;
mod pieces;
mod plan;
pub mod shape;
pub mod strict;

pub use names::{Names, Recorded};
pub use pieces::Pieces;
pub use plan::{Asker, Decision, Index, Outcome, Permit, Plan, Query, Refusal};

/// A request that cannot be read or that means two things: INVALID_QUERY, with what is in the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// An answer that cannot be verified: UPSTREAM_UNREADABLE. The text is for the operator's log; it names columns, never
/// values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// A verified answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may pass byte for byte.
    AsItCame,
    /// What is left of it.
    Cut {
        /// The new body.
        body: Pieces,
        /// How many fields and columns were dropped.
        dropped: usize,
    },
}

/// Appends a part to a fingerprint: what it is, its length, itself; so no two lists of parts read the same.
fn fingerprint_part(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Shows a name that came from outside: cut at 128 bytes, all but printable ASCII escaped (config.md, Audit line).
pub fn shown(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if out.len() >= 128 {
            out.push('…');
            break;
        }
        if c.is_ascii_graphic() || c == ' ' { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}
