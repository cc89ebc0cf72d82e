//! `dialect`: descriptions of servers, tried before anything is served.

mod recorded;
mod text;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use crate::cli::{caller, complain, exit, policies, print};
use crate::diagnostic::SourceFile;
use crate::dialect::json::{self, Description};
use crate::policy::{self, Policy};
use trial::{By, Trial};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what would be read of a request, decided, rewritten, and cut of its answer
    Try(Try),
}

#[derive(Debug, clap::Args)]
struct Try {
    /// The description of the server
    description: PathBuf,
    /// A request as it was recorded: `METHOD PATH HTTP/1.1`, headers, an empty line, the body
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Its answer as it was recorded, or the JSON body alone
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
    /// A policy: a file or a folder. Left out: every name is unknown, and the rest is shown as if it were permitted
    #[arg(long, value_name = "PATH")]
    policies: Option<PathBuf>,
    /// A generated file below the policy
    #[arg(long, value_name = "FILE", requires = "policies")]
    catalogue: Vec<PathBuf>,
    /// A role of the caller
    #[arg(long, value_name = "ROLE", num_args = 1.., requires = "policies", conflicts_with = "claims")]
    role: Vec<String>,
    /// The caller's claims, JSON, in the place of roles
    #[arg(long, value_name = "FILE", requires = "policies")]
    claims: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// Everything, for programs
    Json,
}

pub fn run(arguments: &Arguments) -> u8 {
    let Command::Try(arguments) = &arguments.command;
    match tried(arguments) {
        Ok(trial) => written(arguments.format, &trial),
        Err((code, message)) => {
            complain(&message);
            code
        }
    }
}

fn written(format: Format, trial: &Trial) -> u8 {
    match format {
        Format::Text => {
            print(&text::write(trial));
            if let Some(failed) = &trial.failed {
                complain(&format!("{}: {}", failed.code, failed.message));
            }
        }
        Format::Json => match serde_json::to_string_pretty(trial) {
            Ok(text) => print(&(text + "\n")),
            Err(error) => {
                complain(&format!("what was tried cannot be written: {error}"));
                return exit::FAILED;
            }
        },
    }
    if trial.failed.is_some() { exit::FAILED } else { exit::FINE }
}

fn tried(arguments: &Try) -> Result<Trial, (u8, String)> {
    let misuse = |message: String| (exit::MISUSE, message);
    let description = description(&arguments.description).map_err(|message| (exit::DOES_NOT_LOAD, message))?;
    let request = recorded::request(&arguments.request).map_err(misuse)?;
    let response = arguments.response.as_deref().map(recorded::response).transpose().map_err(misuse)?;
    let Some(path) = &arguments.policies else {
        let empty = SourceFile { name: "no policy".to_owned(), text: "version: 1".to_owned() };
        let (policy, report) = policy::load(&[Arc::new(empty)], &[]);
        let policy = policy.ok_or_else(|| (exit::FAILED, report.to_string()))?;
        return Ok(trial::run(&description, By::Nothing(&policy), &request, response.as_ref()));
    };
    if arguments.role.is_empty() && arguments.claims.is_none() {
        return Err(misuse("name who asks: --role or --claims".to_owned()));
    }
    let loaded = policies::load(path, &arguments.catalogue, false).map_err(|text| (exit::DOES_NOT_LOAD, text))?;
    let policy: Policy = loaded.policy.ok_or_else(|| (exit::DOES_NOT_LOAD, loaded.report.to_string()))?;
    let caller = caller::find(&arguments.role, arguments.claims.as_deref(), &policy, &loaded.rules).map_err(misuse)?;
    Ok(trial::run(&description, By::Policy(&policy, &caller.roles), &request, response.as_ref()))
}

fn description(path: &Path) -> Result<Description, String> {
    let texts = policies::texts(&[path])?;
    let file = texts.first().ok_or_else(|| format!("`{}` holds no description", path.display()))?;
    let (description, report) = json::load(file);
    description.ok_or_else(|| report.to_string())
}
