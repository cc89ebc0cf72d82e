//! The command line: arguments -> a command -> an exit code (config.md, Command line).

mod audit;
mod caller;
mod catalogue;
mod check;
mod client;
mod conformance;
mod demo;
mod dialect;
mod diff;
mod explain;
mod health;
mod init;
mod man;
mod policies;
mod resolve;
mod schema;
mod serve;
mod test;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Exit codes.
pub mod exit {
    /// Fine.
    pub const FINE: u8 = 0;
    /// Failed while running.
    pub const FAILED: u8 = 1;
    /// Misuse.
    pub const MISUSE: u8 = 2;
    /// Configuration or policy does not load.
    pub const DOES_NOT_LOAD: u8 = 3;
    /// Policy tests failed.
    pub const TESTS_FAILED: u8 = 4;
    /// `diff` found that somebody gains access.
    pub const GAINS: u8 = 5;
}

/// A reverse-proxy authorization sidecar for feature servers.
#[derive(Debug, Parser)]
#[command(name = "tagwarden", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar
    Serve(serve::Arguments),
    /// Show the whole thing on embedded parts: a small feature server, the built-in issuer, a policy
    Demo(demo::Arguments),
    /// Write a first configuration, policy and policy test
    Init(init::Arguments),
    /// Load and lint a configuration, or a policy and its catalogue
    Check(check::Arguments),
    /// Print the permission of every feature for some roles, and whether a query may run
    Resolve(resolve::Arguments),
    /// Run the unit tests of a policy
    Test(test::Arguments),
    /// Tell why a feature or a query gets its answer, and the smallest changes that would permit it
    Explain(explain::Arguments),
    /// Compare two policies: what each role gains and loses, and which line is the cause
    Diff(diff::Arguments),
    /// Try the description of a server on a recorded request and its answer
    Dialect(dialect::Arguments),
    /// Make catalogues
    Catalogue(catalogue::Arguments),
    /// Add, list, rotate, disable and remove the clients of the built-in issuer
    Client(client::Arguments),
    /// Hold a server against the conformance table
    Conformance(conformance::Arguments),
    /// Look at audit logs
    Audit(audit::Arguments),
    /// Print a JSON Schema of policies, of the configuration, of policy tests, of clients or of dialects, for editors
    Schema(schema::Arguments),
    /// Make, show and end access tokens of the built-in issuer
    Token(token::Arguments),
    /// Ask a running sidecar's /readyz; for probes in images without a shell
    Healthcheck(health::Arguments),
    /// Print the version
    Version,
    /// Print completions for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, for those who make packages
    #[command(hide = true)]
    Man(man::Arguments),
}

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Resolve(arguments) => resolve::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Dialect(arguments) => dialect::run(&arguments),
        Command::Catalogue(arguments) => catalogue::run(&arguments),
        Command::Client(arguments) => client::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Healthcheck(arguments) => health::run(&arguments),
        Command::Version => {
            print(&format!("tagwarden {}\n", env!("CARGO_PKG_VERSION")));
            exit::FINE
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "tagwarden", &mut script);
            print(&String::from_utf8_lossy(&script));
            exit::FINE
        }
        Command::Man(arguments) => man::run(&arguments, Arguments::command()),
    };
    ExitCode::from(code)
}

/// Writes to standard output; a reader that went away is no error.
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// Writes a line to standard error.
fn complain(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{text}").ok();
}
