//! The `X-Chalk-*` headers of requests, and the metadata of gRPC of the same names (wire-chalk.md, section 2.4).

use std::collections::BTreeSet;

use super::query::Switch;
use crate::dialect::{Invalid, shown};

/// Bytes of a value.
const LONGEST: usize = 256;

const ENVIRONMENT: &str = "x-chalk-env-id";
const BRANCH: &str = "branch";

/// What the headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// `X-Chalk-Features-Versioned` is `true`: a name without a version means version 1, not the default one.
    pub versioned: bool,
    /// Parts of the query that need a permission of their own.
    pub switches: BTreeSet<Switch>,
    /// `X-Chalk-Env-Id`; it is the configured environment.
    pub environment: Option<String>,
    /// Names in lower case and values that go upstream. The configured environment is always among them: a token that is
    /// good for several would choose another by itself.
    pub forward: Vec<(&'static str, String)>,
}

/// What is done with a header.
enum Rule {
    /// `true` is forwarded, `false` is as if it were not there.
    Versioned,
    /// It must name the configured environment.
    Environment,
    /// It selects another graph.
    Branch,
    /// It is forwarded where it is one of these; `branch` among them leads to another graph.
    OneOf(&'static [&'static str]),
    /// It is forwarded where it is plain.
    Plain,
    /// It is not forwarded: a label, or a claim that nothing proves.
    Dropped,
}

/// Every header of the name that chalkpy 2.166.1 has a word for. The table is closed.
const TABLE: &[(&str, Rule)] = &[
    ("x-chalk-features-versioned", Rule::Versioned),
    (ENVIRONMENT, Rule::Environment),
    ("x-chalk-branch-id", Rule::Branch),
    ("x-chalk-preview-deployment", Rule::Branch),
    ("x-chalk-deployment-tag", Rule::Branch),
    ("x-chalk-deployment-type", Rule::OneOf(&["engine", "engine-grpc", BRANCH])),
    ("x-chalk-server", Rule::OneOf(&["engine", "go-api"])),
    ("x-chalk-trace-id", Rule::Plain),
    ("x-chalk-client-id", Rule::Dropped),
    ("x-chalk-query-name", Rule::Dropped),
];

/// Whether a header, its name in lower case, is for this table to judge: `_`, `.` and the like are as `-`, which some
/// servers read alike.
pub fn is_chalk(name: &str) -> bool {
    const PREFIX: &str = "x-chalk";
    let mut plain = name.bytes().map(|b| if b.is_ascii_alphanumeric() { b } else { b'-' });
    PREFIX.bytes().all(|b| plain.next() == Some(b)) && plain.next().is_none_or(|b| b == b'-')
}

/// Reads the headers of a request, names in lower case; those that are not Chalk's are passed over. `environment`:
/// `chalk.environment` of the configuration.
///
/// # Errors
/// A name that is not in the table or is spelled without its `-`, a name twice, a value that is not plain ASCII or not
/// one of those that are known, another environment than the configured one.
pub fn read<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    environment: Option<&str>,
) -> Result<Read, Invalid> {
    let mut read = Read::default();
    let mut seen = BTreeSet::new();
    for (name, value) in headers.into_iter().filter(|(name, _)| is_chalk(name)) {
        let Some((name, rule)) = TABLE.iter().find(|(known, _)| *known == name) else {
            return Err(Invalid(format!("the header `{}` is not known", shown(name))));
        };
        if !seen.insert(*name) {
            return Err(Invalid(format!("the header `{name}` stands twice")));
        }
        if matches!(rule, Rule::Dropped) {
            continue;
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/@+=".contains(&b);
        let value = std::str::from_utf8(value).ok();
        let Some(value) = value.filter(|value| value.len() <= LONGEST && value.bytes().all(plain)) else {
            return Err(Invalid(format!("the header `{name}` has a value that is not plain")));
        };
        if value.is_empty() {
            continue;
        }
        match rule {
            Rule::Versioned => match value {
                "true" => read.versioned = true,
                // Chalk reads it by its presence or by its value; without it there is one reading.
                "false" => continue,
                _ => return Err(Invalid(format!("the header `{name}` is neither `true` nor `false`"))),
            },
            Rule::Environment => {
                self::environment(value, environment)?;
                read.environment = Some(value.to_owned());
            }
            Rule::Branch => {
                read.switches.insert(Switch::Branch);
            }
            Rule::OneOf(known) if !known.contains(&value) => {
                return Err(Invalid(format!(
                    "the header `{name}` has the value `{}`, which is not known",
                    shown(value)
                )));
            }
            Rule::OneOf(_) if value == BRANCH => {
                read.switches.insert(Switch::Branch);
            }
            Rule::OneOf(_) | Rule::Plain | Rule::Dropped => {}
        }
        read.forward.push((name, value.to_owned()));
    }
    if let (None, Some(environment)) = (&read.environment, environment) {
        read.forward.push((ENVIRONMENT, environment.to_owned()));
    }
    Ok(read)
}

/// Whether an environment that a caller names, in a header or in `context.environment`, is the configured one.
///
/// # Errors
/// It is another one, or none is configured.
pub fn environment(named: &str, configured: Option<&str>) -> Result<(), Invalid> {
    match configured {
        Some(configured) if configured == named => Ok(()),
        Some(_) => Err(Invalid(format!("the environment `{}` is not the one that is served here", shown(named)))),
        None => Err(Invalid(format!("the environment `{}` is named, and none is configured", shown(named)))),
    }
}

#[cfg(test)]
mod tests;
