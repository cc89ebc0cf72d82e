//! What a caller may do with a feature.

use std::fmt;

/// The four permissions, most restrictive first (policy.md, Permissions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Permission {
    /// Neither computed nor returned; what is derived from it is denied too.
    Deny = 0,
    /// Computed and used, never returned.
    AllowInternal = 1,
    /// Computed and returned.
    Allow = 2,
    /// Returned, and clears what is derived from it alone.
    AllowDownstream = 3,
}

impl Permission {
    /// All four, most restrictive first.
    pub const ALL: [Self; 4] = [Self::Deny, Self::AllowInternal, Self::Allow, Self::AllowDownstream];

    /// The spelling in files and in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::AllowInternal => "AllowInternal",
            Self::Allow => "Allow",
            Self::AllowDownstream => "AllowDownstream",
        }
    }

    /// Reads exactly one of the four spellings.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == text)
    }

    /// Whether a value may be returned.
    pub fn returnable(self) -> bool {
        self >= Self::Allow
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
