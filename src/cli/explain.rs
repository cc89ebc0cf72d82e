//! `explain`: why a query gets the answer that it gets, and the smallest changes that would permit it.

use clap::ValueEnum;

use crate::cli::{caller, complain, exit, policies, print};
use crate::policy::Policy;
use crate::policy::explain::{self, Explanation, Files, Query, graph, text};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A feature to explain; more, and whole queries, with --output. Of --claims the bindings alone, where there is none
    feature: Option<String>,
    #[command(flatten)]
    asked: caller::Asked,
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
    let loaded = match policies::load(&arguments.asked.policies, &arguments.asked.catalogue, false) {
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
    let mut named = arguments.asked.role.clone();
    let mut outputs: Vec<String> = arguments.feature.iter().chain(&arguments.asked.output).cloned().collect();
    // `--role app user.score`: the list of roles takes the feature that was meant to follow it.
    if outputs.is_empty()
        && named.len() > 1
        && let Some(feature) = named.pop_if(|last| policy.role_id(last).is_none())
    {
        outputs.push(feature);
    }
    let draws = matches!(arguments.format, Format::Mermaid | Format::Dot);
    if outputs.is_empty() && (arguments.asked.claims.is_none() || draws) {
        return Err("name what to explain: a feature, first of all, or --output".to_owned());
    }
    let caller = caller::find(&named, arguments.asked.claims.as_deref(), policy, files.rules)?;
    caller::features(policy, "the query", &outputs)?;
    caller::features(policy, "--supplied", &arguments.asked.supplied)?;
    let roles = caller.roles.iter().map(|role| policy.role_name(*role).to_owned()).collect();
    let query = Query { roles, supplied: arguments.asked.supplied.clone(), outputs };
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
