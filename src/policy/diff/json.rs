//! A comparison for programs; docs/diff.md describes the shape. Written row by row: there can be many millions.

use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Callers, Diff, Shown, Way, When};

impl When {
    /// The word of the JSON form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::WithKeys => "with_keys",
            Self::WithValues => "with_values",
            Self::Supplied => "supplied",
        }
    }
}

/// Writes all of it.
///
/// # Errors
/// What `out` says.
pub fn write(diff: &Diff<'_>, out: &mut dyn Write) -> fmt::Result {
    write!(out, "{{\"summary\":{}", text(&diff.summary())?)?;
    for (name, new) in [("added", true), ("removed", false)] {
        write!(out, ",\"roles_{name}\":{}", text(&diff.roles_only(new))?)?;
        write!(out, ",\"features_{name}\":{}", diff.features_only(new))?;
    }
    write!(out, ",\"settings\":{},\"bindings\":{}", text(&diff.settings)?, text(&diff.bindings)?)?;
    for (way, name) in [(Way::Gained, "gained"), (Way::Lost, "lost")] {
        for callers in [Callers::Roles, Callers::Sets] {
            let prefix = if callers == Callers::Roles { "" } else { "sets_" };
            write!(out, ",\n\"{prefix}{name}\":[")?;
            let (mut first, mut outcome) = (true, Ok(()));
            diff.each(way, callers, &mut |row| {
                if outcome.is_ok() {
                    outcome = rows(diff, row, callers, &mut first, out);
                }
            });
            outcome?;
            out.write_str("]")?;
        }
    }
    if let Some(queries) = &diff.queries {
        write!(out, ",\n\"queries\":{}", text(queries)?)?;
    }
    out.write_str("}\n")
}

fn text(value: &impl Serialize) -> Result<String, fmt::Error> {
    serde_json::to_string(value).map_err(|_| fmt::Error)
}

fn rows(diff: &Diff<'_>, row: &Shown, callers: Callers, first: &mut bool, out: &mut dyn Write) -> fmt::Result {
    let state = &row.state;
    let rule = |rule: u8| if rule == 0 { Value::Null } else { rule.into() };
    let permission = |permission: Option<crate::policy::Permission>| permission.map(|permission| permission.name());
    let rest = json!({
        "feature": diff.feature(row.feature),
        "when": state.when.word(),
        "returned": state.returned(),
        "old": permission(state.old),
        "new": permission(state.new),
        "old_rule": rule(state.old_rule),
        "new_rule": rule(state.new_rule),
        "through": row.through.map(|at| diff.feature(at)),
        "cause": diff.cause(row.cause),
    })
    .to_string();
    let rest = rest.strip_prefix('{').unwrap_or_default();
    for caller in &row.callers {
        let [old, new] = diff.roles_of(*caller);
        let comma = if std::mem::take(first) { "" } else { "," };
        match callers {
            Callers::Roles => {
                let role = new.first().or(old.first()).copied().unwrap_or_default();
                write!(out, "{comma}\n{{\"role\":{},{rest}", Value::from(role))?;
            }
            Callers::Sets => {
                write!(out, "{comma}\n{{\"old_roles\":{},\"new_roles\":{},{rest}", json!(old), json!(new))?
            }
        }
    }
    Ok(())
}
