//! `init`: a first configuration, policy and policy test, commented, that `check` and `test` accept; and their schemas,
//! which the first line of each file names to editors.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::{complain, exit, print};
use crate::schema::Kind;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where; left out: here
    #[arg(default_value = ".")]
    folder: PathBuf,
}

const FILES: &[(&str, &str)] = &[
    ("tagwarden.yaml", include_str!("init/tagwarden.yaml")),
    ("catalogue.yaml", include_str!("init/catalogue.yaml")),
    ("policies/policy.yaml", include_str!("init/policy.yaml")),
    ("policies/tests/policy.yaml", include_str!("init/tests.yaml")),
];

pub fn run(arguments: &Arguments) -> u8 {
    let schemas = [Kind::Config, Kind::Policy, Kind::Tests];
    let schemas = schemas.map(|kind| (format!(".schema/{}.json", kind.name()), kind.text()));
    let schemas = schemas.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let files: Vec<(&str, &str)> = FILES.iter().copied().chain(schemas).collect();
    // All or none: a folder that holds one of them is somebody's work.
    if let Some((name, _)) = files.iter().find(|(name, _)| arguments.folder.join(name).exists()) {
        complain(&format!("`{}` is there already, and nothing was written", arguments.folder.join(name).display()));
        return exit::FAILED;
    }
    for (name, text) in &files {
        let path = arguments.folder.join(name);
        if let Err(error) = write(&path, text) {
            complain(&format!("`{}` cannot be written: {error}", path.display()));
            return exit::FAILED;
        }
        print(&format!("{}\n", path.display()));
    }
    let at = |name: &str| arguments.folder.join(name).display().to_string();
    print(&format!(
        "\nnext:\n  tagwarden check --config {}\n  tagwarden test --policies {} --catalogue {}\n",
        at("tagwarden.yaml"),
        at("policies"),
        at("catalogue.yaml")
    ));
    exit::FINE
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
