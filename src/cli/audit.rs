//! `audit verify`: the hash chain of an audit log.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Subcommand;

use crate::audit::chain::{self, Hasher};
use crate::cli::{complain, exit, print};
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
        /// The log
        file: PathBuf,
        /// The configuration that it was written under: `audit.key_file` is taken from it
        #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
        config: Option<PathBuf>,
        /// The key of the chain
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// The hash that it must end with, or its beginning, as standard error told it
        #[arg(long, value_name = "HEX")]
        head: Option<String>,
    },
}

pub fn run(arguments: &Arguments) -> u8 {
    let Command::Verify { file, config, key_file, head } = &arguments.command;
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
    let verified = File::open(file)
        .map_err(chain::Fault::from)
        .and_then(|log| chain::verify(BufReader::new(log), &hasher, head.as_deref()));
    match verified {
        Ok(verified) => {
            let begins = if verified.begins_after == chain::START {
                "from the first line of all".to_owned()
            } else {
                format!("after {}", chain::hex(&verified.begins_after))
            };
            print(&format!("{} lines, {begins}, head {}\n", verified.lines, chain::hex(&verified.head)));
            exit::FINE
        }
        Err(fault) => {
            complain(&format!("{}: {fault}", file.display()));
            exit::FAILED
        }
    }
}
