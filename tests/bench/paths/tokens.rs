//! Tokens verified, and known ones looked up.

use super::Case;

pub fn cases() -> Vec<Case> {
    Vec::new()
}
