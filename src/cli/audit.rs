//! `audit verify`: the hash chain of an audit log.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Subcommand;

use crate::audit::chain::{self, Fault, Hasher, Verifier};
use crate::cli::{complain, exit, print};
use crate::hex::hex;
use crate::live;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find a changed, missing or moved line, and a cut tail
    Verify {
        /// The log; of one that was rotated all files, oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The configuration that it was written under: `audit.key_file` is taken from it
        #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
        config: Option<PathBuf>,
        /// The key of the chain
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// A hash that it must have come to, or 12 digits of its beginning and more, as standard error told it; the metric
        /// `tagwarden_audit_chain_head` is these 12 as a decimal number
        #[arg(long, value_name = "HEX", value_parser = head)]
        head: Option<String>,
    },
}

pub fn run(arguments: &Arguments) -> u8 {
    let Command::Verify { files, config, key_file, head } = &arguments.command;
    let key_file = match config {
        None => key_file.clone(),
        Some(path) => match live::read_config(path) {
            Ok((config, _)) => config.audit.key_file,
            Err(error) => {
                complain(&error.to_string());
                return exit::DOES_NOT_LOAD;
            }
        },
    };
    let hasher = match key_file.map(|path| live::secret(&path)) {
        None => Hasher::Plain,
        Some(Ok(secret)) => Hasher::keyed(&secret),
        Some(Err(error)) => {
            complain(&error.to_string());
            return exit::DOES_NOT_LOAD;
        }
    };
    let mut verifier = Verifier::new(&hasher, head.as_deref());
    for path in files {
        let name = path.display().to_string();
        let read = File::open(path).map_err(Fault::from).and_then(|log| verifier.read(&name, BufReader::new(log)));
        if let Err(fault) = read {
            complain(&format!("{name}: {fault}"));
            return exit::FAILED;
        }
    }
    match verifier.end() {
        Ok(verified) => {
            let begins = if verified.begins_after == chain::START {
                "from the first line of all".to_owned()
            } else {
                format!("after {}", hex(&verified.begins_after))
            };
            let of = if files.len() > 1 { format!(" in {} files", files.len()) } else { String::new() };
            print(&format!("{} lines{of}, {begins}, head {}\n", verified.lines, hex(&verified.head)));
            exit::FINE
        }
        Err(fault) => {
            let last = files.last().map(|path| path.display().to_string()).unwrap_or_default();
            complain(&format!("{last}: {fault}"));
            exit::FAILED
        }
    }
}

/// A whole hash or the beginning of one: so much that it is not met by chance.
fn head(text: &str) -> Result<String, String> {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    if digits && (12..=64).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("not 12 to 64 hexadecimal digits".to_owned())
    }
}
