//! `check`: load and lint; every error and warning with its place.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use crate::cli::{complain, exit, policies, print};
use crate::config::Dialect;
use crate::diagnostic::{Code, Diagnostic, Place, Report};
use crate::live;
use crate::policy::Sources;

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
            match arguments.format {
                // As compilers do: findings to standard error, what came of it to standard output.
                Format::Text => {
                    if !report.diagnostics.is_empty() {
                        complain(&report.to_string());
                    }
                    print(&format!(
                        "{}, {}\n",
                        counted(report.errors(), "error"),
                        counted(report.warnings(), "warning")
                    ));
                }
                Format::Json => print(&as_json(&report)),
                Format::Github => print(&report.diagnostics.iter().map(as_github).collect::<String>()),
            }
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
    let mut report = Report::default();
    let (mut policies, mut catalogue) = (arguments.policies.clone(), arguments.catalogue.clone());
    // Without a configuration nothing tells whether certificates are asked for.
    let (mut sources, mut may_shrink, mut shadow) = (Sources { count: 1, certificates: true }, false, None);
    let (mut chalk, mut routes) = (false, None);
    if let Some(path) = &arguments.config {
        match live::read_config(path) {
            Ok((config, _)) => {
                match live::read_description(&config) {
                    Ok(_) => {}
                    Err(live::LoadError::Report(mistakes)) => report.diagnostics.extend(mistakes.diagnostics),
                    Err(error) => return Err(unreadable(error.to_string())),
                }
                (sources, may_shrink, shadow) = (live::sources(&config), config.allow_shrink, config.shadow);
                chalk = config.upstream.dialect == Dialect::Chalk;
                if chalk && config.chalk.environment.is_none() {
                    let files = policies::texts(&[path]).map_err(unreadable)?;
                    let message = "`chalk.environment` is not there: a query that names an environment is refused, as chalkpy's do";
                    report.diagnostics.extend(
                        files.first().map(|file| Diagnostic::new(Code::NoEnvironment, &Place::file(file), message)),
                    );
                }
                if config.chalk_graph.is_some() && catalogue.is_empty() {
                    let files = policies::texts(&[path]).map_err(unreadable)?;
                    let message =
                        "the live item of `catalogue` is not looked at, for that the deployment would be asked";
                    report.diagnostics.extend(files.first().map(|file| {
                        let finding = Diagnostic::new(Code::LiveCatalogue, &Place::file(file), message);
                        finding.help("give what `catalogue import chalk` makes of the project as `--catalogue`")
                    }));
                }
                routes = Some((config.routes, config.upstream.dialect));
                policies = policies.or(Some(config.policies));
                catalogue = if catalogue.is_empty() { config.catalogue } else { catalogue };
                // Where they are a secret that is not here, there is nothing to look at.
                if let Some(issuer) = config.issuer.filter(|issuer| issuer.clients.exists()) {
                    match live::read_clients(&issuer) {
                        Ok(_) => {}
                        Err(live::LoadError::Report(mistakes)) => report.diagnostics.extend(mistakes.diagnostics),
                        Err(error) => return Err(unreadable(error.to_string())),
                    }
                }
            }
            // What it would name is not known; what the command line names is looked at all the same.
            Err(live::LoadError::Report(mistakes)) => report = mistakes,
            Err(error) => return Err(unreadable(error.to_string())),
        }
    }
    let Some(policies) = policies else {
        let nothing = "name what to check: --config or --policies".to_owned();
        return if arguments.config.is_some() { Ok(report) } else { Err((exit::MISUSE, nothing)) };
    };
    let loaded = policies::load(&policies, &catalogue, true).map_err(unreadable)?;
    report.diagnostics.extend(loaded.report.diagnostics);
    if let Some(policy) = &loaded.policy {
        policy.check_sources(sources, &mut report);
        if chalk {
            policy.check_chalk(&mut report);
        }
        if let Some((routes, dialect)) = &routes {
            live::lint_routes(routes, *dialect, policy, &mut report);
        }
        if let Some(old) = arguments.against.as_deref().filter(|_| !may_shrink) {
            let old = policies::load(old, &catalogue, false).map_err(unreadable)?;
            let Some(old) = old.policy else {
                return Err(unreadable(format!("the old policy does not load:\n{}", old.report)));
            };
            if let Err(error) = live::check_shrink(&old, policy) {
                let files = policies::texts(&[&policies]).map_err(unreadable)?;
                let place = files.first().map(Place::file).ok_or_else(|| unreadable(error.to_string()))?;
                report.push(Diagnostic::new(Code::Shrunk, &place, error.to_string()));
            }
        }
    }
    if let Some(shadow) = shadow {
        let candidate = policies::load(&shadow, &catalogue, true).map_err(unreadable)?;
        let mut found = candidate.report;
        if let Some(policy) = &candidate.policy {
            policy.check_sources(sources, &mut found);
            if chalk {
                policy.check_chalk(&mut found);
            }
        }
        // Both lie over the same catalogue, whose mistakes are told once.
        let key = |d: &Diagnostic| (d.place.file.name.clone(), d.place.line, d.place.column, d.message.clone());
        let told: HashSet<_> = report.diagnostics.iter().map(key).collect();
        report.diagnostics.extend(found.diagnostics.into_iter().filter(|finding| !told.contains(&key(finding))));
    }
    report.sort();
    Ok(report)
}

fn as_json(report: &Report) -> String {
    let finding = |(d, shown): (&Diagnostic, Option<&str>)| {
        json!({
            "severity": d.severity().to_string(), "code": d.code.name(), "message": d.message, "help": d.help,
            "file": d.place.file.name, "line": d.place.line.max(1), "column": d.place.column.max(1),
            "shown": shown,
        })
    };
    let findings: Vec<_> = report.diagnostics.iter().zip(report.lines()).map(finding).collect();
    format!("{}\n", json!({"errors": report.errors(), "warnings": report.warnings(), "findings": findings}))
}

/// A workflow command of GitHub Actions: an annotation at the place.
fn as_github(d: &Diagnostic) -> String {
    let text = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |value: &str| text(value).replace(',', "%2C").replace(':', "%3A");
    let message = d.help.as_ref().map_or(d.message.clone(), |help| format!("{} ({help})", d.message));
    let (file, line, column) = (property(&d.place.file.name), d.place.line.max(1), d.place.column.max(1));
    format!("::{} file={file},line={line},col={column},title={}::{}\n", d.severity(), d.code, text(&message))
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
