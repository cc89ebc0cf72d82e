//! Changes of permissions as they are kept: small, since there can be many millions.

use crate::policy::diff::causes::Key;
use crate::policy::diff::planes::Given;
use crate::policy::permission::Permission;

/// A caller that is compared: a role, or roles together.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Common numbers of the roles on either side; none: the side has no such caller.
    pub old: Vec<u32>,
    /// Likewise.
    pub new: Vec<u32>,
    /// The cause of all its changes, where they have but one.
    pub cause: Option<Key>,
}

impl Subject {
    /// The roles that are shown: the new side's, else the old one's.
    pub fn roles(&self) -> &[u32] {
        if self.new.is_empty() { &self.old } else { &self.new }
    }
}

/// The way of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// More is permitted.
    Gained,
    /// Less is.
    Lost,
}

/// What a row of the result is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// Nothing is supplied.
    Always,
    /// All keys are.
    WithKeys,
    /// Some values are, keys or not.
    WithValues,
    /// The feature itself is supplied.
    Supplied,
}

impl When {
    /// As what lies below a feature is asked for it.
    pub(super) fn given(self) -> Given {
        match self {
            Self::Always => Given::Nothing,
            Self::WithKeys => Given::Keys,
            Self::WithValues | Self::Supplied => Given::Values,
        }
    }
}

/// What changed of one feature for one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// Under which supplied values.
    pub when: When,
    /// Before; `None`: there was no such role or feature.
    pub old: Option<Permission>,
    /// After.
    pub new: Option<Permission>,
    /// Which of rules 1 to 7 decided.
    pub old_rule: u8,
    /// Which of rules 1 to 7 decides.
    pub new_rule: u8,
}

impl State {
    /// Whether a value may newly be returned (or no longer be).
    pub fn returned(&self) -> bool {
        let returnable = |permission: Option<Permission>| permission.is_some_and(Permission::returnable);
        returnable(self.old) != returnable(self.new)
    }
}

/// One caller's change of the entry's feature: its number in the block (6 bits), [`pack`]ed state (14), cause (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane(u64);

impl Lane {
    /// All in one word: vectors of these are compared and hashed in one go.
    pub(super) fn new(lane: usize, state: u16, cause: u32) -> Self {
        Self(lane as u64 & 63 | u64::from(state) << 6 | u64::from(cause) << 32)
    }

    /// The caller.
    pub(super) fn lane(self) -> u32 {
        u32::try_from(self.0 & 63).unwrap_or(0)
    }

    /// What changed, packed.
    pub(super) fn state(self) -> u16 {
        u16::try_from((self.0 >> 6) & 0x3fff).unwrap_or(0)
    }

    /// The number of the cause in the block.
    pub(super) fn cause(self) -> usize {
        (self.0 >> 32) as usize
    }
}

/// Changes of one feature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) feature: u32,
    pub(super) way: Way,
    /// The input or join that brings the change; `u32::MAX`: it is the feature's own.
    pub(super) through: u32,
    /// Where its lanes begin, and how many they are.
    pub(super) lanes: (u32, u8),
}

/// The changes of some callers.
#[derive(Debug, Default)]
pub struct Block {
    pub(super) entries: Vec<Entry>,
    pub(super) lanes: Vec<Lane>,
    /// What was found, by number.
    pub causes: Vec<Key>,
    /// For each feature the callers that gain something of it, and those that lose something.
    pub changed: [Vec<u64>; 2],
    /// Those for whom it may newly be returned, and those for whom it no longer may.
    pub returned: [Vec<u64>; 2],
    /// Callers and features that may be returned on both sides, nothing supplied.
    pub still: u64,
}

impl Block {
    /// Changes in one way, by feature in the order of names.
    pub(super) fn entries(&self, way: Way) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.way == way)
    }

    /// Whom an entry is about.
    pub(super) fn lanes(&self, entry: &Entry) -> &[Lane] {
        let (start, count) = (entry.lanes.0 as usize, usize::from(entry.lanes.1));
        self.lanes.get(start..start + count).unwrap_or_default()
    }
}

const WHEN: [When; 4] = [When::Always, When::WithKeys, When::WithValues, When::Supplied];

/// In 14 bits.
pub(super) fn pack(state: State) -> u16 {
    let permission = |p: Option<Permission>| p.map_or(4, |p| p as u16);
    (state.when as u16)
        | permission(state.old) << 2
        | permission(state.new) << 5
        | u16::from(state.old_rule) << 8
        | u16::from(state.new_rule) << 11
}

/// What [`pack`] made.
pub(super) fn unpack(packed: u16) -> State {
    let permission = |at: u16| Permission::ALL.get(usize::from((packed >> at) & 7)).copied();
    let rule = |at: u16| u8::try_from((packed >> at) & 7).unwrap_or(7);
    let when = WHEN.get(usize::from(packed & 3)).copied().unwrap_or(When::Always);
    State { when, old: permission(2), new: permission(5), old_rule: rule(8), new_rule: rule(11) }
}
