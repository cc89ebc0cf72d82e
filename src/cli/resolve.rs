//! `resolve`: the permission of every feature, and whether the query may run.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::json;

use crate::cli::{caller, complain, exit, policies, print};
use crate::policy::decide::{Name, Resolved};
use crate::policy::file::Layer;
use crate::policy::{Policy, bindings};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    asked: caller::Asked,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// As in the vectors: permissions, permitted, refused
    Json,
}

pub fn run(arguments: &Arguments) -> u8 {
    let loaded = match policies::load(&arguments.asked.policies, &arguments.asked.catalogue, false) {
        Ok(loaded) => loaded,
        Err(message) => {
            complain(&message);
            return exit::DOES_NOT_LOAD;
        }
    };
    let Some(policy) = loaded.policy else {
        complain(&loaded.report.to_string());
        return exit::DOES_NOT_LOAD;
    };
    match resolve(arguments, &policy, &loaded.rules) {
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

fn resolve(arguments: &Arguments, policy: &Policy, rules: &Layer) -> Result<String, String> {
    let caller = caller::find(&arguments.asked.role, arguments.asked.claims.as_deref(), policy, rules)?;
    let tables = policy.tables(&caller.roles);
    caller::features(policy, "--supplied", &arguments.asked.supplied)?;
    caller::features(policy, "--output", &arguments.asked.output)?;
    let supplied: Vec<Name<'_>> = arguments.asked.supplied.iter().map(|name| Name::of(policy, name)).collect();
    let outputs: Vec<Name<'_>> = arguments.asked.output.iter().map(|name| Name::of(policy, name)).collect();
    let resolved = Resolved::new(policy, &tables, &supplied);
    let decision = resolved.decide(&outputs);

    let all = policy.catalogue.features().iter().map(|feature| &*feature.name);
    let permissions: BTreeMap<&str, &str> = all
        .chain(arguments.asked.output.iter().map(String::as_str))
        .map(|name| (name, resolved.verdict(&Name::of(policy, name), false).permission.name()))
        .collect();
    let denied = decision.refused_supplied.iter().filter_map(|at| arguments.asked.supplied.get(*at));
    let held_back = arguments.asked.output.iter().zip(&decision.outputs).filter(|(_, v)| !v.permission.returnable());
    let mut refused: Vec<&str> = denied.chain(held_back.map(|(name, _)| name)).map(String::as_str).collect();
    refused.sort_unstable();
    refused.dedup();
    Ok(match arguments.format {
        Format::Json => {
            let mut answer = json!({"permissions": permissions, "permitted": decision.permitted, "refused": refused});
            if let (Some(seen), Some(fields)) = (&caller.bindings, answer.as_object_mut()) {
                fields.insert("bindings".to_owned(), json!(seen));
            }
            format!("{answer}\n")
        }
        Format::Table => {
            let width = permissions.keys().map(|name| name.chars().count()).max().unwrap_or(0);
            let mut text = caller.bindings.map(|seen| bindings::text(&seen) + "\n").unwrap_or_default();
            text.extend(permissions.iter().map(|(name, permission)| format!("{name:width$}  {permission}\n")));
            if !arguments.asked.output.is_empty() {
                let verdict = if decision.permitted {
                    "permitted".to_owned()
                } else {
                    format!("refused: {}", refused.join(", "))
                };
                text.push_str(&format!("\nthe query is {verdict}\n"));
            }
            text
        }
    })
}
