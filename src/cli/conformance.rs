//! `conformance`: the conformance table, against any server.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use regex::Regex;

use crate::cli::{complain, exit, print};
use crate::conformance::run::Target;
use crate::conformance::table::{Case, Table};
use crate::conformance::{Dialect, Judge, export, report, serve};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Put the cases to a server that serves a file of the table, and judge what comes back
    Run(Run),
    /// Write what an engine needs to serve a file of the table: policy, catalogue, configuration and clients
    Export(Export),
    /// Be the feature server behind that engine: it enforces nothing, and misbehaves where a case asks for it
    Serve(Serve),
}

/// Which wire.
#[derive(Debug, clap::Args)]
struct Wire {
    /// The wire that the cases are put on
    #[arg(long, value_name = "DIALECT", value_parser = PossibleValuesParser::new(Dialect::ALL.map(Dialect::name)))]
    dialect: String,
}

impl Wire {
    fn dialect(&self) -> Result<Dialect, String> {
        Dialect::of(&self.dialect).ok_or_else(|| format!("there is no dialect `{}`", self.dialect))
    }
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Where it is: `http://HOST:PORT` or `https://HOST:PORT`
    #[arg(long, value_name = "URL")]
    target: String,
    #[command(flatten)]
    wire: Wire,
    /// The file that holds the token of a caller: a role, several with `+` between them, or `nobody`
    #[arg(long, value_name = "ROLE=FILE", value_parser = assignment)]
    token_for: Vec<(String, PathBuf)>,
    /// A file of the table, which the server serves; left out: `rules`
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Table::names()))]
    file: Vec<String>,
    /// Only cases whose name matches
    #[arg(long, value_name = "RE")]
    case: Option<Regex>,
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Export {
    /// The folder, which is made where there is none
    folder: PathBuf,
    #[command(flatten)]
    wire: Wire,
    /// A file of the table
    #[arg(long, value_name = "NAME", default_value = "rules", value_parser = PossibleValuesParser::new(Table::names()))]
    file: String,
}

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    wire: Wire,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// A file of the table
    #[arg(long, value_name = "NAME", default_value = "rules", value_parser = PossibleValuesParser::new(Table::names()))]
    file: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For CI systems
    Junit,
}

fn assignment(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("it is not of the form `ROLE=FILE`")?;
    Ok((name.to_owned(), PathBuf::from(path)))
}

/// Why it did not come to a result, and the exit code.
struct Failure(u8, String);

fn failed(why: impl ToString) -> Failure {
    Failure(exit::FAILED, why.to_string())
}

fn misuse(why: impl ToString) -> Failure {
    Failure(exit::MISUSE, why.to_string())
}

pub fn run(arguments: &Arguments) -> u8 {
    let done = match &arguments.command {
        Command::Run(arguments) => block_on(cases(arguments)),
        Command::Export(arguments) => write(arguments),
        Command::Serve(arguments) => block_on(serve(arguments)),
    };
    done.unwrap_or_else(|Failure(code, why)| {
        complain(&why);
        code
    })
}

fn block_on(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| failed(format!("the command's runtime cannot be started: {error}")))?.block_on(work)
}

fn tables() -> Result<Vec<Table>, Failure> {
    Table::all().map_err(failed)
}

/// A file of the table, for a dialect that can express it.
fn table(name: &str, dialect: Dialect) -> Result<Table, Failure> {
    let found = tables()?.into_iter().find(|table| table.name == name);
    let table = found.ok_or_else(|| misuse(format!("the table has no file `{name}`")))?;
    match table.barred(dialect) {
        Some(why) => Err(misuse(format!("the file `{name}` is not for `{}`: {why}", dialect.name()))),
        None => Ok(table),
    }
}

async fn cases(arguments: &Run) -> Result<u8, Failure> {
    let dialect = arguments.wire.dialect().map_err(misuse)?;
    let wanted = |table: &Table| match arguments.file.as_slice() {
        [] => table.name == "rules",
        files => files.iter().any(|file| file == table.name),
    };
    let tables: Vec<Table> = tables()?.into_iter().filter(wanted).collect();
    let mut judges = Vec::new();
    for table in &tables {
        judges.push(Judge::new(table).map_err(failed)?);
    }
    let chosen = |case: &&Case| arguments.case.as_ref().is_none_or(|filter| filter.is_match(&case.name));
    let cases: Vec<(&Judge<'_>, &Case)> = judges
        .iter()
        .flat_map(|judge| judge.table.cases.iter().filter(chosen).map(move |case| (judge, case)))
        .collect();
    let mut tokens = BTreeMap::new();
    for (name, path) in &arguments.token_for {
        let token = std::fs::read_to_string(path);
        let token = token.map_err(|error| misuse(format!("`{}` cannot be read: {error}", path.display())))?;
        tokens.insert(name.clone(), token);
    }
    let target = Target::new(&arguments.target, dialect, &tokens).await.map_err(misuse)?;
    let without = target.without_token(cases.iter().map(|(judge, case)| (judge.table, *case)));
    if !without.is_empty() {
        return Err(misuse(format!("these callers have no `--token-for`: {}", without.join(", "))));
    }
    let mut outcomes = Vec::with_capacity(cases.len());
    for (judge, case) in cases {
        outcomes.push(target.run(judge, case).await);
    }
    let count = report::count(&outcomes);
    if count.passed == 0 && count.failed == 0 {
        return Err(failed("there is no case to run"));
    }
    print(&match arguments.format {
        Format::Text => report::text(dialect, &outcomes),
        Format::Json => report::json(dialect, &outcomes),
        Format::Junit => report::junit(dialect, &outcomes),
    });
    Ok(if count.failed > 0 { exit::FAILED } else { exit::FINE })
}

fn write(arguments: &Export) -> Result<u8, Failure> {
    let dialect = arguments.wire.dialect().map_err(misuse)?;
    let table = table(&arguments.file, dialect)?;
    let cannot = |path: &Path, error| failed(format!("`{}` cannot be written: {error}", path.display()));
    std::fs::create_dir_all(&arguments.folder).map_err(|error| cannot(&arguments.folder, error))?;
    for file in export::files(&table, dialect) {
        let path = arguments.folder.join(file.name);
        std::fs::write(&path, &file.text).map_err(|error| cannot(&path, error))?;
        print(&format!("{}\n", path.display()));
    }
    Ok(exit::FINE)
}

async fn serve(arguments: &Serve) -> Result<u8, Failure> {
    let dialect = arguments.wire.dialect().map_err(misuse)?;
    let table = table(&arguments.file, dialect)?;
    let bound = serve::start(table, dialect, arguments.listen).await;
    let (at, task) = bound.map_err(|error| failed(format!("`{}` cannot be listened on: {error}", arguments.listen)))?;
    print(&format!(
        "the feature server of the conformance table, file `{}`, in {} at http://{at}\n",
        arguments.file,
        dialect.name()
    ));
    task.await.ok();
    Ok(exit::FAILED)
}
