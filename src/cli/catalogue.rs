//! `catalogue import`: another system's registry -> a catalogue.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use hyper::HeaderMap;

use crate::cli::{complain, exit, print};
use crate::fetch::{Client, Url};
use crate::import::Import;
use crate::import::feast::{self, Options};

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
}

#[derive(Debug, Subcommand)]
enum System {
    /// A Feast registry: what `feast registry-dump` prints, or the REST registry
    Feast {
        /// A file of `feast registry-dump`, or http://HOST:PORT/api/v1?project=NAME
        source: String,
        /// Where the catalogue goes; left out: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// A view's tags are not its features' tags
        #[arg(long)]
        no_inherit_view_tags: bool,
    },
}

pub fn run(arguments: &Arguments) -> u8 {
    let Command::Import { system: System::Feast { source, output, no_inherit_view_tags } } = &arguments.command;
    let options = Options { inherit_view_tags: !no_inherit_view_tags };
    let import = match import(source, &options) {
        Ok(import) => import,
        Err(message) => {
            complain(&message);
            return exit::FAILED;
        }
    };
    for warning in &import.warnings {
        complain(&format!("warning: {warning}"));
    }
    let text = import.catalogue.to_yaml();
    match output {
        None => print(&text),
        Some(path) => {
            // Beside its place first, so that a sidecar that watches it never sees half of it.
            let beside = path.with_extension("new");
            if let Err(error) = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)) {
                complain(&format!("`{}` cannot be written: {error}", path.display()));
                return exit::FAILED;
            }
            let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
            let features = counted(import.catalogue.features.len(), "feature");
            let bundles = counted(import.catalogue.bundles.len(), "bundle");
            complain(&format!("{features} and {bundles} in `{}`", path.display()));
        }
    }
    exit::FINE
}

fn import(source: &str, options: &Options) -> Result<Import, String> {
    if !(source.starts_with("http://") || source.starts_with("https://")) {
        let text = std::fs::read(source).map_err(|error| format!("`{source}` cannot be read: {error}"))?;
        return feast::from_registry_dump(&text, options).map_err(|error| error.to_string());
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
