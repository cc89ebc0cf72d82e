//! The settings of a policy (policy.md, The files); the first variant of each is the default.

/// What a name outside the catalogue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownFeatures {
    /// `Deny`, before any tag or pattern.
    #[default]
    Deny,
    /// Resolved like a feature without inputs.
    Default,
}

/// How several roles of one caller go together (Resolution 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// Over all roles at once, the most restrictive.
    #[default]
    MostRestrictive,
    /// Each role answers alone, the least restrictive answer holds.
    MostPermissive,
}

/// What a clearing tag over a denied input does (rule 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Declassification {
    /// A `Deny` in the lineage wins.
    #[default]
    Strict,
    /// A reviewed aggregate is returnable although what lies below is denied.
    Boundary,
}

/// Whether an untagged copy of an internal feature is internal (rule 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Internal {
    /// It takes the role's default.
    #[default]
    Stays,
    /// It is at most `AllowInternal`.
    Flows,
}

/// What a tag counts that only a catalogue gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatalogueTags {
    /// It can make a feature stricter, never lift it.
    #[default]
    Restrict,
    /// Like any tag.
    Trust,
    /// Nothing.
    Ignore,
}

/// Which values callers may supply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supplies {
    /// Whatever the feature server takes.
    #[default]
    Any,
    /// Keys alone.
    Keys,
}

/// What happens to a query of which some outputs are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It fails whole.
    #[default]
    Reject,
    /// The refused outputs are taken out.
    Filter,
}
