//! `catalogue import`: another system's registry -> a catalogue; `catalogue merge`: several -> one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use hyper::HeaderMap;

use crate::cli::{complain, exit, print};
use crate::diagnostic::SourceFile;
use crate::fetch::{Client, Url};
use crate::import::feast::{self, Options};
use crate::import::{Catalogue, Import, chalk, merge};

/// Bytes of a registry's answer.
const LARGEST_ANSWER: usize = 256 << 20;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import a registry
    Import {
        #[command(subcommand)]
        system: System,
    },
    /// Make one catalogue of several
    Merge {
        /// Catalogue files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where the catalogue goes; left out: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum System {
    /// A Feast registry: what `feast registry-dump` prints, a registry file, or the REST registry
    Feast {
        /// A file of `feast registry-dump`, a registry.db (of several projects: registry.db?project=NAME), or
        /// http://HOST:PORT/api/v1?project=NAME
        source: String,
        /// Where the catalogue goes; left out: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// A view's tags are not its features' tags
        #[arg(long)]
        no_inherit_view_tags: bool,
    },
    /// A Chalk project, by its export
    Chalk {
        /// What `chalkpy export FILE --proto` wrote
        source: PathBuf,
        /// Where the catalogue goes; left out: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// What python resolvers compute is never cleared by its inputs alone
        #[arg(long)]
        opaque_resolvers: bool,
    },
}

pub fn run(arguments: &Arguments) -> u8 {
    let (import, output) = match &arguments.command {
        Command::Import { system: System::Feast { source, output, no_inherit_view_tags } } => {
            (import_feast(source, &Options { inherit_view_tags: !no_inherit_view_tags }), output)
        }
        Command::Import { system: System::Chalk { source, output, opaque_resolvers } } => {
            (import_chalk(source, &chalk::Options { opaque_resolvers: *opaque_resolvers }), output)
        }
        Command::Merge { files, output } => return run_merge(files, output.as_deref()),
    };
    match import {
        Ok(import) => {
            for warning in &import.warnings {
                complain(&format!("warning: {warning}"));
            }
            write(&import.catalogue, output.as_deref())
        }
        Err(message) => {
            complain(&message);
            exit::FAILED
        }
    }
}

fn run_merge(files: &[PathBuf], output: Option<&Path>) -> u8 {
    let mut sources = Vec::with_capacity(files.len());
    for path in files {
        match std::fs::read_to_string(path) {
            Ok(text) => sources.push(Arc::new(SourceFile { name: path.display().to_string(), text })),
            Err(error) => {
                complain(&format!("`{}` cannot be read: {error}", path.display()));
                return exit::FAILED;
            }
        }
    }
    match merge::merge(&sources) {
        Ok(catalogue) => write(&catalogue, output),
        Err(report) => {
            complain(&report.to_string());
            exit::DOES_NOT_LOAD
        }
    }
}

fn write(catalogue: &Catalogue, output: Option<&Path>) -> u8 {
    let text = catalogue.to_yaml();
    let Some(path) = output else {
        print(&text);
        return exit::FINE;
    };
    // Beside its place first, so that a sidecar that watches it never sees half of it.
    let beside = path.with_extension("new");
    if let Err(error) = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)) {
        complain(&format!("`{}` cannot be written: {error}", path.display()));
        return exit::FAILED;
    }
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let features = counted(catalogue.features.len(), "feature");
    let bundles = counted(catalogue.bundles.len(), "bundle");
    complain(&format!("{features} and {bundles} in `{}`", path.display()));
    exit::FINE
}

fn import_chalk(source: &Path, options: &chalk::Options) -> Result<Import, String> {
    let bytes = std::fs::read(source).map_err(|error| format!("`{}` cannot be read: {error}", source.display()))?;
    chalk::from_export(&bytes, options).map_err(|error| error.to_string())
}

/// A file of Feast's: a dump where it is JSON, a registry in protobuf else.
fn import_feast_file(source: &str, options: &Options) -> Result<Import, String> {
    let (path, project) = match source.split_once("?project=") {
        Some((path, project)) if !Path::new(source).exists() => (path, Some(project)),
        _ => (source, None),
    };
    let bytes = std::fs::read(path).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
    let import = if bytes.trim_ascii_start().first() != Some(&b'{') {
        feast::from_registry_db(&bytes, project, options)
    } else if project.is_none() {
        feast::from_registry_dump(&bytes, options)
    } else {
        return Err(format!("`{path}` is a dump, which is of one project: leave ?project= out"));
    };
    import.map_err(|error| error.to_string())
}

fn import_feast(source: &str, options: &Options) -> Result<Import, String> {
    if !(source.starts_with("http://") || source.starts_with("https://")) {
        return import_feast_file(source, options);
    }
    let (base, query) = source.split_once('?').unwrap_or((source, ""));
    if !query.split('&').any(|pair| pair.strip_prefix("project=").is_some_and(|name| !name.is_empty())) {
        return Err("the registry's address names no project: add ?project=NAME".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let client = Client::new();
    let get = |what: &str| -> Result<Vec<u8>, String> {
        let address = format!("{}/{what}?{query}", base.trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|error| error.to_string())?;
        let answer = runtime.block_on(client.get(&url, HeaderMap::new(), LARGEST_ANSWER, Duration::from_secs(60)));
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            Ok(answer.body.to_vec())
        } else {
            Err(format!("the registry answers {} for `{what}`", answer.status))
        }
    };
    let (views, services, entities) = (get("feature_views")?, get("feature_services")?, get("entities")?);
    feast::from_rest(&views, &services, &entities, options).map_err(|error| error.to_string())
}
