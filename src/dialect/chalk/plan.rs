//! The decision on a query to Chalk: which of the spelled-out outputs are asked for, and which fields may come back.

mod deciding;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::expression::Expression;
use super::names::{Budget, Names, Part, spelled};
pub use super::names::{MOST_FEATURES, too_many};
use super::query::{Field, Fields, Permit, Query, Switch};
use crate::dialect::{self, Asker, Invalid, Outcome, Plan, Refusal, fingerprint_part, shown};
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::permission::Permission;
use crate::policy::resolve::Table;
use crate::policy::settings::{Mode, Supplies};
use deciding::{Asked, Deciding};

/// What the configuration says of queries to Chalk.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Switches that any role may use.
    pub allow: BTreeSet<Switch>,
}

impl Query<'_> {
    /// Everything that a decision reads of it.
    pub fn fingerprint(&self, out: &mut Vec<u8>) {
        let mut bytes = |tag: u8, bytes: &[u8]| fingerprint_part(out, tag, bytes);
        let mut part = |tag: u8, text: &str| bytes(tag, text.as_bytes());
        part(if self.versioned { b'V' } else { b'U' }, "");
        self.outputs.iter().for_each(|output| part(b'o', output));
        self.inputs.iter().for_each(|input| part(if input.has_null { b'n' } else { b'i' }, &input.name));
        self.name.iter().for_each(|name| part(b'q', name));
        self.version.iter().for_each(|version| part(b'v', version));
        self.switches.iter().for_each(|switch| part(b's', switch.name()));
        self.named.iter().for_each(|name| part(b'd', name));
        for expression in &self.expressions {
            bytes(b'x', expression.namespace.as_bytes());
            bytes(b'a', expression.name.as_bytes());
            bytes(b'e', &expression.encoded);
        }
    }
}

/// Decides a query, and notes in the plan what is recorded.
///
/// # Errors
/// [`Invalid`]: a switch that nobody allows, an alias that is taken, a query without outputs, or one that stands for more than
/// [`MOST_FEATURES`].
pub fn decide(
    plan: &mut Plan,
    policy: &Policy,
    settings: &Settings,
    asker: Asker<'_>,
    query: &Query<'_>,
) -> Result<Outcome, Invalid> {
    let tables = tables(policy, settings, asker.tables, &query.switches)?;
    let budget = Budget::new();
    let names = Names { policy, versioned: query.versioned, budget: &budget };
    let mut inputs: Vec<Name<'_>> = query.inputs.iter().map(|input| Name::of(policy, &input.name)).collect();
    for (input, name) in query.inputs.iter().zip(&mut inputs) {
        let Name::Known(id) = *name else { continue };
        if policy.catalogue.relation(id).is_none() {
            continue;
        }
        if tables.iter().any(|table| table.cell(id).permission != Permission::Deny) {
            return Err(Invalid(format!("the input `{}` holds rows, which are not followed", shown(&input.name))));
        }
        // One that is denied reads like one that there is not.
        *name = Name::Unknown(input.name.as_ref().into());
    }
    // A null supplies nothing; one for what nobody knows is not passed on either, and tells nothing by that.
    let unknown: HashSet<&str> = (query.inputs.iter().zip(&inputs))
        .filter(|(_, name)| matches!(name, Name::Unknown(_)))
        .map(|(input, _)| input.name.as_ref())
        .collect();
    let supplied = (query.inputs.iter().zip(inputs))
        .filter(|(input, _)| !input.has_null)
        .map(|(input, name)| (input.name.as_ref(), name));
    // Of a name that may be either of two versions nobody knows which one is supplied: neither, and it must be neither's to deny.
    let either = |name: &Name<'_>| match name {
        Name::Known(id) if !query.versioned => names.default_version(*id).map(|(other, _)| [*id, other.unwrap_or(*id)]),
        Name::Known(_) | Name::Unknown(_) => None,
    };
    let (unclear, supplied): (Vec<_>, Vec<_>) = supplied.partition(|(_, name)| either(name).is_some());
    let given: Vec<Name<'_>> = supplied.iter().map(|(_, name)| name.clone()).collect();
    plan.supplied = supplied.iter().map(|(written, _)| shown(written).into()).collect();
    let resolved = Resolved::new(policy, &tables, &given);
    let keys: HashSet<FeatureId> =
        given.iter().filter_map(|name| if let Name::Known(id) = name { Some(*id) } else { None }).collect();
    let mut deciding = Deciding { policy, resolved, plan, budget: &budget, supplied: keys };

    let named: Vec<String> = query.named.iter().filter(|name| !deciding.may_be_named(&names, name)).cloned().collect();
    if !named.is_empty() {
        return Ok(Outcome::Refuse(named));
    }
    let mut denied_supplies = deciding.denied_supplies(&supplied);
    for (written, name) in &unclear {
        if policy.settings.supplies == Supplies::Any && deciding.denies(&either(name).unwrap_or_default()) {
            deciding.refuse(name, written, Verdict { permission: Permission::Deny, rule: 1 });
            denied_supplies.push((*written).to_owned());
        }
    }
    let mut refused: Vec<String> = Vec::new();
    let mut kept: Vec<Part> = Vec::new();
    let bundle;
    let outputs: &[Cow<'_, str>] = match (&query.name, query.outputs.is_empty() && query.expressions.is_empty()) {
        (_, false) => &query.outputs,
        (None, true) => return Err(Invalid("neither `outputs` nor `query_name` is given".to_owned())),
        (Some(name), true) => {
            let full = query.version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}@{version}"));
            deciding.plan.bundle = Some(full.clone());
            let Some(found) = policy.catalogue.bundles.get(&full) else {
                // A named query that is not known reads like one that is denied.
                deciding.plan.outputs.push(shown(&full).into());
                return Ok(Outcome::Refuse(vec![full]));
            };
            bundle = found
                .members
                .iter()
                .map(|member| member.alias.as_deref().unwrap_or_else(|| policy.catalogue.name(member.feature)).into())
                .collect::<Vec<Cow<'_, str>>>();
            &bundle
        }
    };
    for written in outputs {
        deciding.plan.outputs.push(shown(written).into());
        let before = deciding.plan.refused.len();
        let parts = names.output(written);
        budget.taken()?;
        match parts {
            Some(parts) => kept.extend(parts.into_iter().filter_map(|part| deciding.part(part))),
            None => {
                let unknown = Verdict { permission: Permission::Deny, rule: 7 };
                deciding.refuse(&Name::Unknown((&**written).into()), written, unknown);
            }
        }
        if deciding.plan.refused.len() > before {
            refused.push(written.clone().into_owned());
        }
    }
    let mut fields = fields(&kept);
    let mut expressions = Vec::new();
    let asked = Asked::of(query);
    for (position, expression) in query.expressions.iter().enumerate() {
        let answered = deciding.answered(expression, &asked, &fields)?;
        let field = answered.first().cloned().unwrap_or_default();
        deciding.plan.outputs.push(shown(&field).into());
        if deciding.expression(expression, &field) {
            expressions.push(position);
            fields.extend(answered.into_iter().map(|field| (field, Field::Value)));
        } else {
            refused.push(field);
        }
        budget.taken()?;
    }
    deciding.plan.cost = budget.taken()?;
    refused.dedup();
    if (kept.is_empty() && expressions.is_empty()) || (asker.mode == Mode::Reject && !refused.is_empty()) {
        // Of a named query its name alone: a denied input named beside it would tell it from one that does not exist.
        let names = deciding.plan.bundle.clone().map(|bundle| vec![bundle]);
        return Ok(Outcome::Refuse(names.unwrap_or_else(|| denied_supplies.into_iter().chain(refused).collect())));
    }
    if !denied_supplies.is_empty() {
        return Ok(Outcome::Refuse(denied_supplies));
    }
    if kept.is_empty() && query.name.is_some() && deciding.plan.bundle.is_none() {
        // A server that takes it for a query without outputs adds those of that name, which nobody looked at.
        return Err(Invalid("`query_name` stands beside expressions alone".to_owned()));
    }
    let roots = kept.iter().map(Part::way).filter_map(|way| way.split('.').next());
    let of_expressions = expressions.iter().filter_map(|at| query.expressions.get(*at)).flat_map(Expression::roots);
    // A value that is reached over a has-one is answered with the key of its own row, or with that of the first.
    let of_rows = kept.iter().filter_map(|part| match part {
        Part::Value(leaf) => policy.catalogue.name(leaf.feature).rsplit_once('.').map(|(namespace, _)| namespace),
        Part::Rows { .. } => None,
    });
    let roots: BTreeSet<&str> = roots.chain(of_rows).chain(of_expressions).collect();
    let primary_key = !roots.is_empty() && roots.iter().all(|root| deciding.primary_key(root));
    let forwarded = query.inputs.iter().filter(|input| {
        let is_key =
            policy.catalogue.id(&input.name).and_then(|id| policy.catalogue.feature(id)).is_some_and(|f| f.key);
        (policy.settings.supplies == Supplies::Any || is_key) && !unknown.contains(input.name.as_ref())
    });
    Ok(Outcome::Permit(dialect::Permit::Chalk(Permit {
        outputs: spelled(&kept),
        expressions,
        inputs: forwarded.map(|input| input.name.clone().into_owned()).collect(),
        fields,
        primary_key,
        filtered: refused.len(),
    })))
}

/// The tables of those who may use all switches: under `most_permissive` a role that may not drops out.
fn tables(
    policy: &Policy,
    settings: &Settings,
    tables: &[Arc<Table>],
    switches: &BTreeSet<Switch>,
) -> Result<Vec<Arc<Table>>, Invalid> {
    let wanted: Vec<Switch> = switches.iter().copied().filter(|switch| !settings.allow.contains(switch)).collect();
    let may = |table: &&Arc<Table>| wanted.iter().all(|switch| policy.allows(&table.roles, *switch));
    let left: Vec<Arc<Table>> = tables.iter().filter(may).cloned().collect();
    match wanted.iter().find(|switch| !tables.iter().any(|table| policy.allows(&table.roles, **switch))) {
        Some(switch) => Err(Invalid(format!("`{}` is not allowed for this caller", switch.name()))),
        None if left.is_empty() && !wanted.is_empty() => {
            let names: Vec<&str> = wanted.iter().map(|switch| switch.name()).collect();
            Err(Invalid(format!("`{}` are not allowed together for this caller", names.join("`, `"))))
        }
        None => Ok(left),
    }
}

/// Decides an upload: every feature is one that the roles may write (policy.md, `writes`), and so is each version that a name
/// may stand for where it is not `versioned`.
///
/// # Errors
/// [`Invalid`]: a switch that nobody allows.
pub fn decide_upload(
    plan: &mut Plan,
    policy: &Policy,
    settings: &Settings,
    asker: Asker<'_>,
    (features, switches, versioned): (&[String], &BTreeSet<Switch>, bool),
) -> Result<Outcome, Invalid> {
    tables(policy, settings, asker.tables, switches)?;
    plan.outputs = features.iter().map(|name| shown(name)).collect();
    let names = Names { policy, versioned, budget: &Budget::new() };
    let writes = |name: &str| {
        let other = policy.catalogue.id(name).and_then(|id| names.default_version(id)).filter(|_| !versioned);
        policy.writes(asker.roles, name)
            && other.is_none_or(|(_, version)| policy.writes(asker.roles, &format!("{name}@{version}")))
    };
    let refused: Vec<String> = features.iter().filter(|name| !writes(name)).cloned().collect();
    for name in &refused {
        plan.refused.push(Refusal { feature: shown(name).into(), permission: Permission::Deny, rule: 0, tag: None });
    }
    if refused.is_empty() {
        Ok(Outcome::Permit(dialect::Permit::Chalk(Permit::default())))
    } else {
        Ok(Outcome::Refuse(refused))
    }
}

/// What a decision reads of an upload, which no query is mistaken for.
pub fn fingerprint_of_upload(features: &[String], switches: &BTreeSet<Switch>, versioned: bool, out: &mut Vec<u8>) {
    let mut part = |tag: u8, text: &str| fingerprint_part(out, tag, text.as_bytes());
    part(if versioned { b'W' } else { b'Y' }, "");
    features.iter().for_each(|name| part(b'w', name));
    switches.iter().for_each(|switch| part(b's', switch.name()));
}

/// Everything that was asked for; what comes back is not looked at.
pub fn unenforced(query: &Query<'_>) -> Permit {
    Permit {
        outputs: query.outputs.iter().cloned().map(Cow::into_owned).collect(),
        expressions: (0..query.expressions.len()).collect(),
        inputs: query.inputs.iter().map(|input| input.name.clone().into_owned()).collect(),
        fields: Fields::default(),
        primary_key: true,
        filtered: 0,
    }
}

/// The fields as which parts are answered.
fn fields(parts: &[Part]) -> Fields {
    let mut fields = Fields::default();
    for part in parts {
        match part {
            Part::Value(leaf) => {
                fields.insert(leaf.way.clone(), Field::Value);
                // The default version may be answered under its own name.
                fields.extend(leaf.or.iter().map(|(_, way)| (way.clone(), Field::Value)));
            }
            Part::Rows { way, columns, .. } => {
                let new = self::fields(columns);
                match fields.get_mut(way) {
                    Some(Field::Rows(old)) => merge(old, new),
                    Some(Field::Value) | None => {
                        fields.insert(way.clone(), Field::Rows(new));
                    }
                }
            }
        }
    }
    fields
}

fn merge(old: &mut Fields, new: Fields) {
    for (name, field) in new {
        match (old.get_mut(&name), field) {
            (Some(Field::Rows(old)), Field::Rows(new)) => merge(old, new),
            (_, field) => {
                old.insert(name, field);
            }
        }
    }
}

#[cfg(test)]
mod tests;
