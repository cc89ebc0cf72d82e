//! Requests read and rewritten.

use super::Case;

pub fn cases() -> Vec<Case> {
    Vec::new()
}
