//! `client`: the issuer's clients. A secret or key is printed once, to standard output, and kept as a hash; what else there is to
//! know goes to standard error. A running sidecar takes a change up by itself.

mod file;
mod list;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::cli::{complain, exit, print};
use crate::config::units;
use crate::diagnostic::SourceFile;
use crate::issuer::clients::edit::{self, EMPTY, EditError, Edited, Fresh, Kind};
use crate::issuer::clients::{self, Client, Clients, claim_error, id_error};
use crate::issuer::secret::{Secret, imported, is_generated};
use crate::issuer::unix_now;
use crate::live;
use file::{ClientsFile, FileError};

/// What an imported secret has at least: fewer bytes are tried through, whatever their hash costs.
const IMPORTED_MIN_BYTES: usize = 16;
/// And at most: it is sent in a header.
const IMPORTED_MAX_BYTES: usize = 1024;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a client, and print its secret once
    Add(Add),
    /// List the clients, without any hash
    List(List),
    /// Give a client a new secret, and let the old one end
    Rotate(Rotate),
    /// Let a client have no tokens, and end those that it has
    Disable(One),
    /// Let a disabled client have tokens again
    Enable(One),
    /// Take a client out, and end its tokens
    Remove(One),
}

/// Where the clients are.
#[derive(Debug, clap::Args)]
struct At {
    /// The configuration, which names the file of clients
    #[arg(long, value_name = "FILE", env = "TAGWARDEN_CONFIG")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The `client_id`
    id: String,
    /// A claim of its tokens: JSON where it reads as JSON, else a text
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
    /// Make a key for X-API-Key in the place of a secret
    #[arg(long)]
    api_key: bool,
    /// Take the secret from a file, and keep it as an argon2id hash
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct List {
    /// How it is written
    #[arg(long, value_enum, default_value_t = list::Format::Text)]
    format: list::Format,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The `client_id`
    id: String,
    /// How long the old one goes on; 0s ends it at once
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    expire_old: Duration,
    /// Rotate keys for X-API-Key in the place of secrets
    #[arg(long, conflicts_with = "secret_file")]
    api_key: bool,
    /// Take the new secret from a file, and keep it as an argon2id hash
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The `client_id`
    id: String,
    #[command(flatten)]
    at: At,
}

/// Why it was not done, and the exit code.
struct Failure(u8, String);

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let code = match error {
            FileError::Missing(_) | FileError::Read { .. } | FileError::NotText(_) => exit::DOES_NOT_LOAD,
            FileError::Lock { .. } | FileError::ReadOnly { .. } | FileError::Write { .. } => exit::FAILED,
        };
        Self(code, error.to_string())
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        let code = match error {
            EditError::Report(_) => exit::DOES_NOT_LOAD,
            EditError::Exists(_) | EditError::Unknown(_) | EditError::TooLate => exit::MISUSE,
        };
        Self(code, error.to_string())
    }
}

fn misuse(message: String) -> Failure {
    Failure(exit::MISUSE, message)
}

pub fn run(arguments: &Arguments) -> u8 {
    let done = match &arguments.command {
        Command::Add(arguments) => add(arguments),
        Command::List(List { format, at }) => show(*format, at),
        Command::Rotate(arguments) => rotate(arguments),
        Command::Disable(One { id, at }) => {
            change(at, None, |_, file| Ok((edit::disable(file, id, true, unix_now())?, ())))
        }
        Command::Enable(One { id, at }) => {
            change(at, None, |_, file| Ok((edit::disable(file, id, false, unix_now())?, ())))
        }
        Command::Remove(One { id, at }) => change(at, None, |_, file| Ok((edit::remove(file, id, unix_now())?, ()))),
    };
    match done {
        Ok(()) => exit::FINE,
        Err(Failure(code, message)) => {
            complain(&message);
            code
        }
    }
}

fn add(arguments: &Add) -> Result<(), Failure> {
    let id = &arguments.id;
    if let Some(why) = id_error(id) {
        return Err(misuse(format!("client id `{id}` {why}")));
    }
    let claims = claims(&arguments.claim).map_err(misuse)?;
    let imported = arguments.secret_file.as_deref().map(import).transpose()?;
    let printed = change(&arguments.at, Some(EMPTY), |_, file| {
        let mut all = Vec::new();
        if imported.is_some() || !arguments.api_key {
            all.push(make(None, Kind::Secret, imported)?);
        }
        if arguments.api_key {
            all.push(make(None, Kind::ApiKey, None)?);
        }
        let (fresh, printed): (Vec<Fresh>, Vec<Option<Secret>>) = all.into_iter().unzip();
        let kinds: Vec<Kind> = fresh.iter().map(|fresh| fresh.kind).collect();
        Ok((edit::add(file, id, &claims, &fresh, unix_now())?, kinds.into_iter().zip(printed).collect::<Vec<_>>()))
    })?;
    reveal(id, &printed)
}

fn rotate(arguments: &Rotate) -> Result<(), Failure> {
    let id = &arguments.id;
    let imported = arguments.secret_file.as_deref().map(import).transpose()?;
    let kind = if arguments.api_key { Kind::ApiKey } else { Kind::Secret };
    let printed = change(&arguments.at, None, |clients, file| {
        let (fresh, printed) = make(clients.get(id).map(|client| &**client), kind, imported)?;
        Ok((edit::rotate(file, id, &fresh, arguments.expire_old.as_secs(), unix_now())?, printed))
    })?;
    reveal(id, &[(kind, printed)])
}

fn show(format: list::Format, at: &At) -> Result<(), Failure> {
    let path = clients_file(at)?;
    let file = file::read(&path)?.ok_or(FileError::Missing(path))?;
    print(&list::list(&load(&file)?, format, unix_now()));
    Ok(())
}

/// Changes the file, one command after the other. `empty`: what stands in for a file that is not there yet.
fn change<T>(
    at: &At,
    empty: Option<&str>,
    change: impl FnOnce(&Clients, &Arc<SourceFile>) -> Result<(Edited, T), Failure>,
) -> Result<T, Failure> {
    let path = clients_file(at)?;
    let locked = ClientsFile::lock(&path)?;
    let before = match (locked.read()?, empty) {
        (Some(file), _) => file,
        (None, Some(text)) => Arc::new(SourceFile { name: path.display().to_string(), text: text.to_owned() }),
        (None, None) => return Err(FileError::Missing(path).into()),
    };
    let (edited, made) = change(&load(&before)?, &before)?;
    if edited.text != before.text {
        locked.replace(&edited.text)?;
    }
    edited.notes.iter().for_each(|note| complain(note));
    Ok(made)
}

fn clients_file(at: &At) -> Result<PathBuf, Failure> {
    let (config, _) = live::read_config(&at.config).map_err(|error| Failure(exit::DOES_NOT_LOAD, error.to_string()))?;
    let none = || Failure(exit::DOES_NOT_LOAD, format!("`{}` configures no `issuer`", at.config.display()));
    Ok(config.issuer.ok_or_else(none)?.clients)
}

fn load(file: &Arc<SourceFile>) -> Result<Clients, Failure> {
    let (clients, report) = clients::read(file);
    clients.ok_or_else(|| Failure(exit::DOES_NOT_LOAD, report.to_string()))
}

/// A new secret or key: an imported one by its hash, or a generated one, which is to be printed.
fn make(client: Option<&Client>, kind: Kind, imported: Option<String>) -> Result<(Fresh, Option<Secret>), Failure> {
    let id = edit::next_id(client, kind);
    if let Some(hash) = imported {
        return Ok((Fresh { kind, id, hash }, None));
    }
    let secret = Secret::generate(&id).map_err(|error| Failure(exit::FAILED, error.to_string()))?;
    Ok((Fresh { kind, id, hash: secret.kept() }, Some(secret)))
}

/// The hash of a secret in a file, which may end with a line break.
fn import(path: &Path) -> Result<String, Failure> {
    let wrong = |why: &str| misuse(format!("the secret in `{}` {why}", path.display()));
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(2 * IMPORTED_MAX_BYTES as u64).read_to_end(&mut bytes));
    read.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no text in utf-8"))?;
    let secret = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
    if secret.len() < IMPORTED_MIN_BYTES {
        return Err(wrong("has less than 16 bytes"));
    }
    if secret.len() > IMPORTED_MAX_BYTES {
        return Err(wrong("has more than 1024 bytes"));
    }
    if is_generated(secret) {
        return Err(wrong("has the form of generated ones, and would be taken for one"));
    }
    imported::hash(secret).map_err(|error| Failure(exit::FAILED, error.to_string()))
}

/// Prints what is not kept: this once.
fn reveal(id: &str, made: &[(Kind, Option<Secret>)]) -> Result<(), Failure> {
    let mut text = format!("client_id: {id}\n");
    for (kind, secret) in made {
        let name = match kind {
            Kind::Secret => "client_secret",
            Kind::ApiKey => "api_key",
        };
        text.extend(secret.iter().map(|secret| format!("{name}: {}\n", secret.expose())));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        Failure(exit::FAILED, format!("client `{id}` was changed, and what is printed once could not be: {error}"))
    })
}

/// The claims of arguments: none that the issuer sets by itself, none twice.
pub(super) fn claims(given: &[(String, Value)]) -> Result<Map<String, Value>, String> {
    let mut claims = Map::new();
    for (name, value) in given {
        if let Some(why) = claim_error(name) {
            return Err(format!("claim `{name}` {why}"));
        }
        if claims.insert(name.clone(), value.clone()).is_some() {
            return Err(format!("claim `{name}` is given twice"));
        }
    }
    Ok(claims)
}

/// `NAME=VALUE`.
pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a claim is written `name=value`")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    if !is_exact(&value) {
        return Err("it holds a number that tokens do not carry exactly".to_owned());
    }
    Ok((name.to_owned(), value))
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_i64().is_some() || number.as_f64().is_some_and(|n| n.abs() < i64::MAX as f64)
        }
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "a duration is written `30s`, `5m`, `24h` or `7d`".to_owned())
}
