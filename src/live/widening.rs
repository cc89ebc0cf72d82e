//! What a new graph would give that the one before did not, under one policy (config.md, `widening`).
//!
//! Compared as `tagwarden diff` does: every role alone and those that are given together, with nothing supplied, with every
//! key, and with the values that open most. A feature that is new gave nothing before, so it is no widening.

use crate::policy::diff::text::{notes, states, who};
use crate::policy::diff::{Callers, Comparison, Side, Way};

/// How many gains are told.
const SHOWN: usize = 10;

/// Features that were known before, and of which a role has more.
#[derive(Debug, Default)]
pub(super) struct Gains {
    /// The first of them, as they are told.
    rows: Vec<String>,
    /// How many there are besides.
    more: usize,
}

impl std::fmt::Display for Gains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.rows.join("; "))?;
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

/// `None`: nobody gains. O(roles x (features + lineage edges)).
pub(super) fn gains(old: Side<'_>, new: Side<'_>) -> Option<Gains> {
    let comparison = Comparison::new(old, new);
    let blocks = (0..comparison.blocks()).map(|number| comparison.block(number)).collect();
    let diff = comparison.finish(blocks);
    let mut gains = Gains::default();
    for callers in [Callers::Roles, Callers::Sets] {
        diff.each(Way::Gained, callers, &mut |row| {
            if row.state.old.is_none() {
                return;
            }
            if gains.rows.len() >= SHOWN {
                gains.more += 1;
                return;
            }
            let (feature, roles) = (diff.feature(row.feature), who(&diff, row, callers));
            gains.rows.push(format!("{roles}: `{feature}` {}{}", states(row), notes(&diff, row)));
        });
    }
    (!gains.rows.is_empty()).then_some(gains)
}
