//! `man`: the manual pages, one a command. It is hidden: only who makes a package needs it, and pages that the binary writes
//! itself cannot be of another version.

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{complain, exit};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to: a folder that is there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Every exit code and its meaning.
const EXITS: [(u8, &str); 6] = [
    (exit::FINE, "Fine."),
    (
        exit::FAILED,
        "Failed while running; or what was looked at has faults (audit verify, conformance run, healthcheck).",
    ),
    (exit::MISUSE, "Misuse: an argument that is not known, a role or feature that does not exist."),
    (exit::DOES_NOT_LOAD, "Configuration or policy does not load; with check --deny-warnings, warnings too."),
    (exit::TESTS_FAILED, "Policy tests failed."),
    (exit::GAINS, "diff found that somebody gains access."),
];

const FILES: [(&str, &str); 4] = [
    (
        "/etc/tagwarden/tagwarden.yaml",
        "The configuration, where the container image looks for it; elsewhere --config says where it is. Paths in it count \
         from its folder.",
    ),
    ("policies/", "The policy, a file or a folder; the configuration names it. tests/ in it holds its unit tests."),
    ("catalogue.yaml", "Features, their inputs and tags, made by tagwarden catalogue import."),
    ("clients.yaml", "The clients of the built-in issuer, written by tagwarden client."),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    ("TAGWARDEN_CONFIG", "The configuration, where --config is left out."),
    ("RUST_LOG", "Which logs are written; goes before --log-level and the configuration."),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "Trust roots for servers whose certificate authority the configuration does not name, in the place of the machine\'s.",
    ),
    (
        "any other",
        "${NAME} in tagwarden.yaml stands for the variable NAME, ${NAME:-default} for default where there is none. Policies \
         take no variables.",
    ),
];

pub fn run(arguments: &Arguments, command: clap::Command) -> u8 {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    match write(&arguments.folder, &command, true) {
        Ok(()) => exit::FINE,
        Err(error) => {
            complain(&format!("`{}` cannot be written to: {error}", arguments.folder.display()));
            exit::FAILED
        }
    }
}

/// The page of a command, and those of the commands below it.
fn write(folder: &Path, command: &clap::Command, top: bool) -> io::Result<()> {
    let man = Man::new(command.clone()).source(concat!("tagwarden ", env!("CARGO_PKG_VERSION"))).manual("tagwarden");
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut rest = Roff::new();
    list(&mut rest, "EXIT STATUS", EXITS.map(|(code, meaning)| (code.to_string(), meaning)));
    if top {
        list(&mut rest, "ENVIRONMENT", ENVIRONMENT);
        list(&mut rest, "FILES", FILES);
    } else {
        rest.control("SH", ["SEE ALSO"]).text([bold("tagwarden"), roman("(1)")]);
    }
    rest.to_writer(&mut page)?;
    std::fs::write(folder.join(man.get_filename()), page)?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| write(folder, below, false))
}

fn list<T: Into<String>, const N: usize>(page: &mut Roff, heading: &str, rows: [(T, &str); N]) {
    page.control("SH", [heading]);
    for (term, meaning) in rows {
        page.control("TP", []).text([bold(term)]).text([roman(meaning)]);
    }
}
