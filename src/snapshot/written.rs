//! What the rules were made of: the texts, which are there in any case for the places of their words. Who wants to tell why
//! something is so reads them again; a request needs nothing of them.

use std::sync::Arc;

use crate::diagnostic::{Place, Report, SourceFile};
use crate::policy::file::{self, Labels, Layer, LayerKind};

/// The files of a policy and of what lies below it.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The policy's.
    pub policy: Vec<Arc<SourceFile>>,
    /// The catalogue's, with a live graph behind them.
    pub below: Vec<Arc<SourceFile>>,
    /// Tags of a dashboard, and where they are said to stand.
    pub dashboard: Option<(Vec<Labels>, Place)>,
}

impl Written {
    /// What the policy says. It was read without a mistake before.
    pub fn rules(&self) -> Layer {
        file::read(LayerKind::Policy, &self.policy, &mut Report::default())
    }

    /// What lies below it. Costs as much as a reload of it.
    pub fn imported(&self) -> Layer {
        let mut imported = file::read(LayerKind::Catalogue, &self.below, &mut Report::default());
        if let Some((labels, place)) = &self.dashboard {
            imported.label(labels, place);
        }
        imported
    }

    /// Whether the same lies below both.
    pub fn same_below(&self, other: &Self) -> bool {
        let labels = |one: &Self| one.dashboard.as_ref().map(|(labels, _)| labels.clone());
        self.below.len() == other.below.len()
            && self.below.iter().zip(&other.below).all(|(one, other)| Arc::ptr_eq(one, other))
            && labels(self) == labels(other)
    }
}
