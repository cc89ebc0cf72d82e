//! `explain`: why a query gets the answer that it gets, and the smallest changes that would permit it.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::{caller, complain, exit, policies, print};
use crate::policy::Policy;
use crate::policy::explain::{self, Explanation, Files, Query, graph, text};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A feature to explain; more, and whole queries, with --output
    feature: Option<String>,
    /// The policy: a file or a folder
    #[arg(long, value_name = "PATH")]
    policies: PathBuf,
    /// A generated file below the policy
    #[arg(long, value_name = "FILE")]
    catalogue: Vec<PathBuf>,
    /// A role of the caller
    #[arg(long, value_name = "ROLE", num_args = 1.., required_unless_present = "claims", conflicts_with = "claims")]
    role: Vec<String>,
    /// The caller's claims, JSON, in the place of roles: they go through the bindings, which are explained too
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// What the query supplies
    #[arg(long, value_name = "FEATURE", num_args = 1..)]
    supplied: Vec<String>,
    /// What the query asks for
    #[arg(long, value_name = "FEATURE", num_args = 1..)]
    output: Vec<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A tree, for people
    Text,
    /// Everything, for programs
    Json,
    /// A Mermaid flowchart
    Mermaid,
    /// A Graphviz digraph
    Dot,
}

pub fn run(arguments: &Arguments) -> u8 {
    let loaded = match policies::load(&arguments.policies, &arguments.catalogue, false) {
        Ok(loaded) => loaded,
        Err(message) => {
            complain(&message);
            return exit::DOES_NOT_LOAD;
        }
    };
    let Some(policy) = &loaded.policy else {
        complain(&loaded.report.to_string());
        return exit::DOES_NOT_LOAD;
    };
    let files = Files { rules: &loaded.rules, imported: &loaded.imported };
    match explanation(arguments, policy, &files).and_then(|explanation| write(arguments.format, &explanation)) {
        Ok(text) => {
            print(&text);
            exit::FINE
        }
        Err(message) => {
            complain(&message);
            exit::MISUSE
        }
    }
}

fn explanation(arguments: &Arguments, policy: &Policy, files: &Files<'_>) -> Result<Explanation, String> {
    let mut named = arguments.role.clone();
    let mut outputs: Vec<String> = arguments.feature.iter().chain(&arguments.output).cloned().collect();
    // `--role app user.score`: the list of roles takes the feature that was meant to follow it.
    if outputs.is_empty()
        && named.len() > 1
        && let Some(feature) = named.pop_if(|last| policy.role_id(last).is_none())
    {
        outputs.push(feature);
    }
    if outputs.is_empty() {
        return Err("name what to explain: a feature, first of all, or --output".to_owned());
    }
    let caller = caller::find(&named, arguments.claims.as_deref(), policy, files.rules)?;
    caller::features(policy, "the query", &outputs)?;
    caller::features(policy, "--supplied", &arguments.supplied)?;
    let roles = caller.roles.iter().map(|role| policy.role_name(*role).to_owned()).collect();
    let query = Query { roles, supplied: arguments.supplied.clone(), outputs };
    Ok(Explanation { bindings: caller.bindings, ..explain::explain(policy, files, &query) })
}

fn write(format: Format, explanation: &Explanation) -> Result<String, String> {
    Ok(match format {
        Format::Text => text::write(explanation),
        Format::Mermaid => graph::mermaid(explanation),
        Format::Dot => graph::dot(explanation),
        Format::Json => {
            let json = serde_json::to_string_pretty(explanation);
            json.map(|text| text + "\n").map_err(|error| format!("the explanation cannot be written: {error}"))?
        }
    })
}
