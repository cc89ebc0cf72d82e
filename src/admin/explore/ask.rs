//! What is asked of the explorer, read strictly: no member twice, none that is not known, nothing without end.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::refused::Refused;
use crate::json::strict_value;
use crate::policy::Permission;

/// Rows of a list that are answered at once.
pub(super) const MOST_ROWS: usize = 200;
/// Names of one list in a question.
const MOST_NAMES: usize = 200;
/// Bytes of a name.
const LONGEST_NAME: usize = 1024;

/// Which question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Roles,
    Caller,
    Features,
    Feature,
    Query,
    Compare,
}

impl Kind {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "roles" => Self::Roles,
            "caller" => Self::Caller,
            "features" => Self::Features,
            "feature" => Self::Feature,
            "query" => Self::Query,
            "compare" => Self::Compare,
            _ => return None,
        })
    }
}

/// A question.
#[derive(Debug)]
pub(super) enum Ask {
    Roles(Rows),
    Caller(OfCaller),
    Features(Listed),
    Feature(OneFeature),
    Query(OneQuery),
    Compare(Listed),
}

/// Whose permissions are asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Asker {
    /// A caller with these roles.
    Roles(Vec<String>),
    /// One with these claims, which go through the bindings.
    Claims(Map<String, Value>),
}

/// Which part of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    #[serde(default)]
    pub search: String,
    #[serde(default)]
    pub offset: usize,
    pub limit: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfCaller {
    pub caller: Asker,
}

/// Features of a caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub caller: Asker,
    #[serde(default)]
    pub search: String,
    /// Names of permissions, or of changes; left out: all.
    #[serde(default)]
    pub only: Option<Vec<String>>,
    #[serde(default)]
    pub offset: usize,
    pub limit: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneFeature {
    pub caller: Asker,
    pub feature: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneQuery {
    pub caller: Asker,
    pub outputs: Vec<String>,
    #[serde(default)]
    pub supplied: Vec<String>,
}

/// Reads a question.
pub(super) fn read(kind: Kind, text: &[u8]) -> Result<Ask, Refused> {
    let asked = |error: serde_json::Error| Refused::Asked(format!("the question cannot be read: {error}"));
    let value = strict_value(text).map_err(asked)?;
    let ask = match kind {
        Kind::Roles => serde_json::from_value(value).map(Ask::Roles),
        Kind::Caller => serde_json::from_value(value).map(Ask::Caller),
        Kind::Features => serde_json::from_value(value).map(Ask::Features),
        Kind::Feature => serde_json::from_value(value).map(Ask::Feature),
        Kind::Query => serde_json::from_value(value).map(Ask::Query),
        Kind::Compare => serde_json::from_value(value).map(Ask::Compare),
    };
    let ask = ask.map_err(asked)?;
    check(&ask)?;
    Ok(ask)
}

fn check(ask: &Ask) -> Result<(), Refused> {
    match ask {
        Ask::Roles(Rows { search, limit, .. }) => few(*limit).and(short(search)),
        Ask::Caller(OfCaller { caller }) => asker(caller),
        Ask::Features(Listed { caller, search, only, limit, .. }) => {
            let known = |name: &String| Permission::parse(name).is_some();
            words(only.as_deref(), known)?;
            few(*limit).and(short(search)).and(asker(caller))
        }
        Ask::Compare(Listed { caller, search, only, limit, .. }) => {
            words(only.as_deref(), |name| name == "wider" || name == "narrower")?;
            few(*limit).and(short(search)).and(asker(caller))
        }
        Ask::Feature(OneFeature { caller, feature }) => short(feature).and(asker(caller)),
        Ask::Query(OneQuery { caller, outputs, supplied }) => {
            if outputs.is_empty() && supplied.is_empty() {
                return Err(Refused::Asked("name an output, or something that is supplied".to_owned()));
            }
            names("outputs", outputs)?;
            names("supplied", supplied)?;
            asker(caller)
        }
    }
}

fn asker(caller: &Asker) -> Result<(), Refused> {
    match caller {
        Asker::Roles(roles) if roles.is_empty() => Err(Refused::Asked("name a role".to_owned())),
        Asker::Roles(roles) => names("roles", roles),
        Asker::Claims(_) => Ok(()),
    }
}

fn names(what: &str, names: &[String]) -> Result<(), Refused> {
    if names.len() > MOST_NAMES {
        return Err(Refused::Asked(format!("`{what}` has more than {MOST_NAMES} names")));
    }
    names.iter().try_for_each(|name| short(name))
}

fn words(only: Option<&[String]>, known: impl Fn(&String) -> bool) -> Result<(), Refused> {
    let unknown = only.into_iter().flatten().any(|word| !known(word));
    if unknown { Err(Refused::Asked("`only` names something that there is not".to_owned())) } else { Ok(()) }
}

fn few(limit: usize) -> Result<(), Refused> {
    let message = || Refused::Asked(format!("`limit` is not from 1 to {MOST_ROWS}"));
    if (1..=MOST_ROWS).contains(&limit) { Ok(()) } else { Err(message()) }
}

fn short(name: &str) -> Result<(), Refused> {
    let message = || Refused::Asked(format!("a name is longer than {LONGEST_NAME} bytes"));
    if name.len() <= LONGEST_NAME { Ok(()) } else { Err(message()) }
}
