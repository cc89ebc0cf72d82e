//! `check`: load and lint; every error and warning with its place.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use crate::cli::policies::{self, Loaded};
use crate::cli::{complain, exit, print};
use crate::diagnostic::{Code, Diagnostic, Report, Severity};
use crate::live;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A configuration: its policies and catalogues are checked with it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy: a file or a folder
    #[arg(long, value_name = "PATH")]
    policies: Option<PathBuf>,
    /// A generated file below the policy
    #[arg(long, value_name = "FILE")]
    catalogue: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Warnings fail too
    #[arg(long)]
    deny_warnings: bool,
    /// The policy before: what `allow_shrink` would refuse is an error
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For annotations in pull requests
    Github,
}

pub fn run(arguments: &Arguments) -> u8 {
    match check(arguments) {
        Ok(report) => {
            print(&write(arguments.format, &report));
            let fails = report.has_errors() || (arguments.deny_warnings && report.warnings() > 0);
            if fails { exit::DOES_NOT_LOAD } else { exit::FINE }
        }
        Err((code, message)) => {
            complain(&message);
            code
        }
    }
}

fn check(arguments: &Arguments) -> Result<Report, (u8, String)> {
    let unreadable = |message: String| (exit::DOES_NOT_LOAD, message);
    let (policies, catalogue, sources) = match (&arguments.config, &arguments.policies) {
        (Some(path), policies) => {
            let config = match live::read_config(path) {
                Ok((config, _)) => config,
                Err(live::LoadError::Report(report)) => return Ok(report),
                Err(error) => return Err(unreadable(error.to_string())),
            };
            let policies = policies.clone().unwrap_or(config.policies);
            let catalogue = if arguments.catalogue.is_empty() { config.catalogue } else { arguments.catalogue.clone() };
            (policies, catalogue, config.issuers.len())
        }
        (None, Some(policies)) => (policies.clone(), arguments.catalogue.clone(), 1),
        (None, None) => return Err((exit::MISUSE, "name what to check: --config or --policies".to_owned())),
    };
    let Loaded { policy, mut report, .. } = policies::load(&policies, &catalogue, true).map_err(unreadable)?;
    if let Some(policy) = &policy {
        policy.check_sources(sources, &mut report);
        if let Some(old) = &arguments.against {
            let old = policies::load(old, &catalogue, false).map_err(unreadable)?;
            let Some(old) = old.policy else {
                return Err((exit::DOES_NOT_LOAD, format!("the old policy does not load:\n{}", old.report)));
            };
            if let (Err(error), Some(role)) = (live::check_shrink(&old, policy), policy.roles.first()) {
                report.push(Diagnostic::new(Code::Shrunk, &role.place, error.to_string()));
            }
        }
    }
    Ok(report)
}

fn write(format: Format, report: &Report) -> String {
    match format {
        Format::Text => {
            let counts = format!("{} errors, {} warnings\n", report.errors(), report.warnings());
            if report.diagnostics.is_empty() { counts } else { format!("{report}\n\n{counts}") }
        }
        Format::Json => {
            let findings: Vec<_> = report
                .diagnostics
                .iter()
                .map(|d| {
                    json!({
                        "severity": d.severity().to_string(), "code": d.code.name(), "message": d.message, "help": d.help,
                        "file": d.place.file.name, "line": d.place.line, "column": d.place.column,
                    })
                })
                .collect();
            format!("{}\n", json!({"errors": report.errors(), "warnings": report.warnings(), "findings": findings}))
        }
        Format::Github => report
            .diagnostics
            .iter()
            .map(|d| {
                let level = if d.severity() == Severity::Error { "error" } else { "warning" };
                let text = d.help.as_ref().map_or(d.message.clone(), |help| format!("{} ({help})", d.message));
                let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
                let file = d.place.file.name.replace('%', "%25").replace(',', "%2C").replace(':', "%3A");
                let (line, column) = (d.place.line.max(1), d.place.column.max(1));
                format!("::{level} file={file},line={line},col={column},title={}::{text}\n", d.code)
            })
            .collect(),
    }
}
