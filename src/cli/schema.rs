//! `schema`: JSON Schemas of the files that people write, for editors.

use clap::ValueEnum;

use crate::cli::{exit, print};
use crate::schema::Kind;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which files it describes
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// Policy files and catalogue files
    Policy,
    /// tagwarden.yaml
    Config,
    /// Unit tests of a policy
    Tests,
    /// clients.yaml of the built-in issuer
    Clients,
    /// The description of a server of the JSON dialect
    Dialect,
}

pub fn run(arguments: &Arguments) -> u8 {
    let kind = match arguments.of {
        Of::Policy => Kind::Policy,
        Of::Config => Kind::Config,
        Of::Tests => Kind::Tests,
        Of::Clients => Kind::Clients,
        Of::Dialect => Kind::Dialect,
    };
    print(&kind.text());
    exit::FINE
}
