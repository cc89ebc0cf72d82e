//! The rules of policy.md, Resolution 3, for 64 callers at once: bit n of each word is caller n.
//!
//! What [`Table`](crate::policy::resolve::Table) does for one caller feature by feature, this does with words, since a
//! comparison resolves every feature for every role on both sides and under several sets of supplied values. A property
//! test holds the two together.

use crate::policy::Policy;
use crate::policy::catalogue::{Class, Edge, Feature, FeatureId};
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, own_of_role};
use crate::policy::settings::{Declassification, Internal, Supplies};

/// How many callers one word has.
pub const LANES: usize = 64;

/// 64 permissions: `high` and `low` are the two bits of [`Permission`] as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// May be returned.
    pub high: u64,
    /// The lower bit.
    pub low: u64,
}

impl Permissions {
    /// Where it is more than `Deny`.
    pub fn usable(self) -> u64 {
        self.high | self.low
    }

    /// Where it is `AllowInternal`.
    fn internal(self) -> u64 {
        !self.high & self.low
    }

    /// Where it is `AllowDownstream`.
    fn clears(self) -> u64 {
        self.high & self.low
    }

    /// Where both are the same.
    pub fn same(self, other: Self) -> u64 {
        !((self.high ^ other.high) | (self.low ^ other.low))
    }

    /// The less restrictive of the two.
    pub fn max(self, other: Self) -> Self {
        let mine = self.above(other);
        Self { high: self.high | other.high, low: (self.low & mine) | (other.low & !mine) }
    }

    /// Where it permits more than the other.
    pub fn above(self, other: Self) -> u64 {
        (self.high & !other.high) | (!(self.high ^ other.high) & self.low & !other.low)
    }

    /// That of one caller.
    pub fn of(self, lane: usize) -> Permission {
        match ((self.high >> lane) & 1, (self.low >> lane) & 1) {
            (0, 0) => Permission::Deny,
            (0, _) => Permission::AllowInternal,
            (_, 0) => Permission::Allow,
            (_, _) => Permission::AllowDownstream,
        }
    }

    fn set(&mut self, lane: usize, permission: Permission) {
        let number = permission as u64;
        self.high |= (number >> 1) << lane;
        self.low |= (number & 1) << lane;
    }
}

/// What features' own tags give.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// The most restrictive of what the tags map to.
    pub permissions: Permissions,
    /// Where for one of the roles no tag is mapped (rule 6).
    pub defaulted: u64,
}

/// A feature resolved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell {
    /// What may be done with it.
    pub permissions: Permissions,
    /// Where it or something below it is out of reach (rule 2).
    pub barred: u64,
}

/// A feature resolved, and by which rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decided {
    /// What came of it.
    pub cell: Cell,
    /// Where rule 1 to 6 decided; rule 7 elsewhere.
    rules: [u64; 6],
}

impl Decided {
    /// The rule of one caller.
    pub fn rule(&self, lane: usize) -> u8 {
        self.rules.iter().zip(1..).find(|(mask, _)| (**mask >> lane) & 1 == 1).map_or(7, |(_, rule)| rule)
    }

    /// What the own permission gives by itself, under this rule (1 or 7).
    pub fn by_own(own: Own, rule: u8) -> Self {
        let mut rules = [0; 6];
        if let (1, Some(first)) = (rule, rules.first_mut()) {
            *first = u64::MAX;
        }
        Self { cell: Cell { permissions: own.permissions, barred: 0 }, rules }
    }

    /// The less restrictive of two answers, for each caller.
    pub fn or(self, other: Self) -> Self {
        let mine = !other.cell.permissions.above(self.cell.permissions);
        let mut rules = self.rules;
        for (rule, theirs) in rules.iter_mut().zip(other.rules) {
            *rule = (*rule & mine) | (theirs & !mine);
        }
        let permissions = self.cell.permissions.max(other.cell.permissions);
        Self { cell: Cell { permissions, barred: self.cell.barred & other.cell.barred }, rules }
    }
}

/// What a query supplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Given {
    /// Nothing.
    Nothing,
    /// Every key.
    Keys,
    /// Whichever keys permit most. Not shown by itself: what [`Given::Values`] finds off the row.
    SomeKeys,
    /// Whichever values permit most: no set of supplied values permits more.
    Values,
}

/// A feature as one that is derived from it sees it.
#[derive(Clone, Copy, Debug)]
pub struct Below {
    /// It as computed, or as supplied.
    pub cell: Cell,
    /// Where it is supplied.
    pub given: u64,
    /// It is a key.
    pub key: bool,
    /// An input (else a join).
    pub input: bool,
}

/// What a feature is besides its own permission and what lies below it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Rule 5 can clear it.
    pub pure: bool,
    /// `declassification: boundary`.
    pub boundary: bool,
    /// `internal: flows`.
    pub flows: bool,
}

/// The first rule that applies (Resolution 3), for features that are not supplied themselves.
pub fn decide(own: Own, reach: u64, shape: Shape, below: impl Iterator<Item = Below>) -> Decided {
    let all = |on: bool| if on { u64::MAX } else { 0 };
    let (mut barred, mut denied, mut internal, mut cleared) = (reach, 0, 0, all(shape.pure));
    for Below { cell, given, key, input } in below {
        barred |= cell.barred & !given;
        denied |= !cell.permissions.usable();
        if input {
            internal |= cell.permissions.internal();
            cleared &= (given & all(key)) | cell.permissions.clears();
        }
    }
    let mut open = !barred;
    let boundary = open & all(shape.boundary) & own.permissions.clears();
    open &= !boundary;
    let denied = open & denied;
    open &= !denied;
    let cleared = open & cleared;
    open &= !cleared;
    let flows = open & all(shape.flows) & own.defaulted & internal;
    open &= !flows;
    let permissions = Permissions {
        high: boundary | cleared | (open & own.permissions.high),
        low: boundary | cleared | (open & own.permissions.low) | (flows & own.permissions.usable()),
    };
    Decided { cell: Cell { permissions, barred }, rules: [0, barred, boundary, denied, cleared, flows] }
}

/// Every feature of a policy for up to 64 callers, each a set of roles that answers at once.
#[derive(Debug)]
pub struct Planes<'p> {
    policy: &'p Policy,
    own: Vec<Own>,
    reach: Vec<u64>,
    cells: [Vec<Cell>; 4],
}

impl<'p> Planes<'p> {
    /// Resolves everything. A caller without roles gets nothing.
    pub fn new(policy: &'p Policy, callers: &[Vec<RoleId>]) -> Self {
        let catalogue = &policy.catalogue;
        let own = catalogue.classes.iter().map(|class| own(policy, callers, class)).collect();
        let barred = |set: &[u32]| {
            let mut mask = 0;
            for (roles, lane) in callers.iter().zip(0..LANES) {
                let out = set.iter().any(|source| roles.iter().any(|role| !policy.reaches(*role, *source)));
                mask |= u64::from(out) << lane;
            }
            mask
        };
        let reach = catalogue.source_sets.iter().map(|set| barred(set)).collect();
        let mut planes = Self { policy, own, reach, cells: [const { Vec::new() }; 4] };
        for given in [Given::Nothing, Given::Keys, Given::SomeKeys, Given::Values] {
            if let Some(cells) = planes.cells.get_mut(given as usize) {
                cells.reserve_exact(catalogue.features().len());
            }
            for feature in catalogue.features() {
                let cell = planes.decided(feature, given).cell;
                if let Some(cells) = planes.cells.get_mut(given as usize) {
                    cells.push(cell);
                }
            }
        }
        planes
    }

    /// What a feature's own tags give.
    pub fn own(&self, feature: &Feature) -> Own {
        self.own.get(feature.class as usize).copied().unwrap_or_default()
    }

    /// Where a feature itself reads what is out of reach.
    pub fn reach(&self, feature: &Feature) -> u64 {
        self.reach.get(feature.source_set as usize).copied().unwrap_or(u64::MAX)
    }

    /// A feature resolved.
    pub fn cell(&self, id: FeatureId, given: Given) -> Cell {
        let cells = self.cells.get(given as usize);
        cells.and_then(|cells| cells.get(id as usize)).copied().unwrap_or(Cell { barred: u64::MAX, ..Cell::default() })
    }

    /// What a feature is, under this policy.
    pub fn shape(&self, feature: &Feature) -> Shape {
        Shape {
            pure: feature.pure,
            boundary: self.policy.settings.declassification == Declassification::Boundary,
            flows: self.policy.settings.internal == Internal::Flows,
        }
    }

    /// What the reader at the other end of an edge sees.
    pub fn below(&self, edge: &Edge, given: Given) -> Below {
        let input = edge.input;
        let Some(feature) = self.policy.catalogue.feature(edge.to) else {
            return Below { cell: Cell { barred: u64::MAX, ..Cell::default() }, given: 0, key: false, input };
        };
        let key = feature.key;
        // Off the row that is asked for only keys count.
        let given = if given == Given::Values && edge.off_row { Given::SomeKeys } else { given };
        let cell = self.cell(edge.to, given);
        let taken = match given {
            Given::Nothing => false,
            Given::Keys | Given::SomeKeys => key,
            Given::Values => key || self.policy.settings.supplies == Supplies::Any,
        };
        if !taken {
            return Below { cell, given: 0, key, input };
        }
        let own = self.own(feature).permissions;
        match given {
            Given::Nothing | Given::Keys => Below { cell, given: u64::MAX, key, input },
            // Supplied or not, whichever permits more.
            Given::SomeKeys | Given::Values => {
                let cell = Cell { permissions: own.max(cell.permissions), ..cell };
                Below { cell, given: own.usable(), key, input }
            }
        }
    }

    /// Resolves one feature over those below it.
    pub fn decided(&self, feature: &Feature, given: Given) -> Decided {
        if given == Given::Keys && feature.key {
            return Decided::by_own(self.own(feature), 1);
        }
        let edges = self.policy.catalogue.edges(feature);
        let below = edges.iter().map(|edge| self.below(edge, given));
        decide(self.own(feature), self.reach(feature), self.shape(feature), below)
    }
}

/// What a class gives to each caller: the most restrictive over its roles.
pub fn own(policy: &Policy, callers: &[Vec<RoleId>], class: &Class) -> Own {
    let mut own = Own::default();
    for (roles, lane) in callers.iter().zip(0..LANES) {
        let each = || roles.iter().map(|role| own_of_role(policy, *role, class));
        let permission = each().map(|own| own.permission).min().unwrap_or(Permission::Deny);
        own.permissions.set(lane, permission);
        own.defaulted |= u64::from(roles.is_empty() || each().any(|own| own.defaulted)) << lane;
    }
    own
}

/// The callers of a mask.
pub fn lanes(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = mask.trailing_zeros() as usize;
        (lane < LANES).then(|| {
            mask &= mask - 1;
            lane
        })
    })
}
