//! From token to token.

use crate::json::records::space;

/// Goes from token to token.
pub(super) struct Walk<'a> {
    body: &'a [u8],
    /// Never on a blank.
    pub at: usize,
    /// There were blanks.
    pub blank: bool,
}

impl<'a> Walk<'a> {
    pub fn from(body: &'a [u8], at: usize) -> Self {
        let mut walk = Self { body, at, blank: false };
        walk.go(at);
        walk
    }

    /// Goes to what is at or behind this.
    pub fn go(&mut self, to: usize) {
        self.at = space(self.body, to);
        self.blank |= self.at != to;
    }

    pub fn take(&mut self, token: &[u8]) -> Option<()> {
        let is_there = self.body.get(self.at..)?.starts_with(token);
        is_there.then(|| self.go(self.at + token.len()))
    }

    pub fn all<const N: usize>(&mut self, tokens: [&[u8]; N]) -> Option<()> {
        tokens.iter().try_for_each(|token| self.take(token))
    }
}
