//! A query to a described server, as it was read.

use std::borrow::Cow;

use crate::dialect::fingerprint_part;
use crate::dialect::json::description::{Place, Route, Takes};
use crate::dialect::json::reader::NAME;
use crate::dialect::json::request::made;

/// What a caller asked for.
#[derive(Clone, Debug)]
pub struct Query<'b> {
    /// How the request was read.
    pub route: &'b Route,
    /// The number of the route in its description.
    pub number: usize,
    /// The variables of the request.
    pub variables: Vec<(&'b str, Cow<'b, str>)>,
    /// What is to be answered.
    pub asked: Asked<'b>,
    /// What the caller gives.
    pub supplied: Vec<Supply<'b>>,
}

/// What is to be answered.
#[derive(Clone, Debug)]
pub enum Asked<'b> {
    /// These.
    Outputs(Vec<Output<'b>>),
    /// What this name stands for.
    Bundle(Cow<'b, str>),
    /// The request does not say.
    Nothing,
    /// It did not say, and this is what the answer has.
    Answered {
        /// Each of them once.
        outputs: Vec<Output<'b>>,
        /// The name that the request gave to all of it.
        bundle: Option<Cow<'b, str>>,
    },
}

/// A feature that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output<'b> {
    /// As the wire writes it.
    pub written: Cow<'b, str>,
    /// Its name in the catalogue.
    pub feature: String,
}

/// A value that the caller gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply<'b> {
    /// Where, by the number in the description.
    pub place: usize,
    /// As the wire writes it.
    pub written: Cow<'b, str>,
    /// Its name in the catalogue; `None`: none can be made.
    pub feature: Option<String>,
    /// What the server takes there.
    pub takes: Takes,
    /// In some row it has no value.
    pub has_null: bool,
}

/// Names that one query may have as outputs, and as supplied. What is decided and audited of each is many times longer.
pub const MOST_NAMES: usize = 10_000;

impl<'b> Query<'b> {
    /// What is asked for, once the answer to a request that did not say so is there.
    pub fn answered(&self, outputs: Vec<Output<'b>>) -> Asked<'b> {
        let bundle = match &self.asked {
            Asked::Bundle(name) => Some(name.clone()),
            Asked::Answered { bundle, .. } => bundle.clone(),
            Asked::Outputs(_) | Asked::Nothing => None,
        };
        Asked::Answered { outputs, bundle }
    }
}

impl Query<'_> {
    /// The catalogue's name of what an answer with these variables calls `written`.
    pub fn feature(&self, written: &str, variables: &[(&str, Cow<'_, str>)]) -> Option<String> {
        if variables.is_empty() {
            return made(&self.route.names, written, &self.variables);
        }
        let all: Vec<_> = variables.iter().chain(&self.variables).cloned().collect();
        made(&self.route.names, written, &all)
    }

    /// Everything that a decision on this query reads, besides the caller and the policy.
    pub fn fingerprint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u32::try_from(self.number).unwrap_or(u32::MAX).to_le_bytes());
        let mut part = |tag: u8, text: &str| fingerprint_part(out, tag, text.as_bytes());
        for (name, value) in &self.variables {
            part(b'v', name);
            part(b'=', value);
        }
        match &self.asked {
            Asked::Outputs(outputs) => outputs.iter().for_each(|output| part(b'o', &output.written)),
            Asked::Bundle(name) => part(b'b', name),
            Asked::Nothing => part(b'0', ""),
            Asked::Answered { outputs, bundle } => {
                part(b'a', bundle.as_deref().unwrap_or_default());
                // The variables of the answer are in the names.
                for output in outputs {
                    part(b'o', &output.written);
                    part(b'f', &output.feature);
                }
            }
        }
        for supply in &self.supplied {
            part(if supply.has_null { b'n' } else { b's' }, &supply.written);
            part(b'@', &supply.place.to_string());
        }
    }

    /// Whether a name of the wire has no meaning before the answer is there, for want of a variable.
    pub(super) fn means_later(&self) -> bool {
        let given = |variable: &str| self.variables.iter().any(|(own, _)| *own == variable);
        self.route.names.variables().any(|variable| variable != NAME && !given(variable))
    }

    /// Whether a supplied value can be taken out of what goes upstream.
    pub(super) fn can_drop(&self, supply: &Supply<'_>) -> bool {
        let request = &self.route.request;
        let place = request.supplied.get(supply.place).map(|described| &described.at);
        !request.untouched && !matches!(place, Some(Place::Path(_)))
    }

    /// Whether what is refused can be taken out of what goes upstream.
    pub(super) fn can_cut(&self) -> bool {
        let request = &self.route.request;
        !request.untouched && !matches!(request.outputs, Some(Place::Path(_)))
    }
}
