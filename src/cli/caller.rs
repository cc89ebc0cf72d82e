//! Who asks and for what, for the commands that take roles or claims, and features.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::diagnostic::nearest;
use crate::policy::Policy;
use crate::policy::bindings::{self, BindingSeen};
use crate::policy::file::Layer;
use crate::policy::resolve::RoleId;
use crate::policy::settings::UnknownFeatures;

/// The query that a command is about, and the policy that decides it.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// The policy: a file or a folder
    #[arg(long, value_name = "PATH")]
    pub policies: PathBuf,
    /// A generated file below the policy
    #[arg(long, value_name = "FILE")]
    pub catalogue: Vec<PathBuf>,
    /// A role of the caller
    #[arg(long, value_name = "ROLE", num_args = 1.., required_unless_present = "claims", conflicts_with = "claims")]
    pub role: Vec<String>,
    /// The caller's claims, JSON, in the place of roles: they go through the bindings, which are explained too
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// What the query supplies
    #[arg(long, value_name = "FEATURE", num_args = 1..)]
    pub supplied: Vec<String>,
    /// What the query asks for
    #[arg(long, value_name = "FEATURE", num_args = 1..)]
    pub output: Vec<String>,
}

/// A caller's roles, and how claims gave them.
pub struct Caller {
    /// Sorted, each once.
    pub roles: Vec<RoleId>,
    /// Where the roles come from claims.
    pub bindings: Option<Vec<BindingSeen>>,
}

/// The caller of `--role` or `--claims`.
pub fn find(named: &[String], claims: Option<&Path>, policy: &Policy, rules: &Layer) -> Result<Caller, String> {
    let Some(path) = claims else {
        let mut roles = named.iter().map(|name| role(policy, name)).collect::<Result<Vec<RoleId>, _>>()?;
        roles.sort_unstable();
        roles.dedup();
        return Ok(Caller { roles, bindings: None });
    };
    let text = std::fs::read(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    let claims: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|error| format!("`{}` holds no claims: {error}", path.display()))?;
    let seen = bindings::explain(&rules.bindings, &claims);
    let roles = policy.roles_of(&claims);
    if roles.is_empty() {
        return Err(format!("no binding gives these claims a role\n{}", bindings::text(&seen).trim_end()));
    }
    Ok(Caller { roles, bindings: Some(seen) })
}

fn role(policy: &Policy, name: &str) -> Result<RoleId, String> {
    policy
        .role_id(name)
        .ok_or_else(|| format!("role `{name}` does not exist{}", did_you_mean(name, policy.role_names())))
}

/// Whether all names are features; with `unknown_features: default` any name is. `of`: what they were given as.
pub fn features(policy: &Policy, of: &str, names: &[String]) -> Result<(), String> {
    if policy.settings.unknown_features == UnknownFeatures::Default {
        return Ok(());
    }
    let Some(name) = names.iter().find(|name| policy.catalogue.id(name).is_none()) else { return Ok(()) };
    let known = policy.catalogue.features().iter().map(|feature| &*feature.name);
    Err(format!("feature `{name}` of {of} does not exist{}", did_you_mean(name, known)))
}

fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
