//! `token`: access tokens of the built-in issuer, made, looked at and ended from the command line.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::HeaderMap;
use serde_json::{Map, Value, json};

use crate::cli::client::{claim, claims, duration};
use crate::cli::{complain, exit, print};
use crate::config::BuiltInIssuer;
use crate::fetch::{Client, Url, form_text};
use crate::issuer::keys::{SigningKeys, Use};
use crate::issuer::{ASSERTION_TYPE, access_claims, assertion, longest, unix_now};
use crate::json::strict_object;
use crate::live;

/// Nothing that is called a token is longer.
const MAX_TOKEN: u64 = 64 * 1024;
/// The running issuer answers within this.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Sign an access token of a client, with the issuer's newest key
    Mint(Mint),
    /// Show what a token says, without its signature
    Inspect(Inspect),
    /// End a token, or all of a family, at a running issuer
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Mint {
    /// The configuration, which names the issuer's keys and clients
    #[arg(long, value_name = "FILE", env = "TAGWARDEN_CONFIG")]
    config: PathBuf,
    /// Whose it is
    #[arg(long, value_name = "ID")]
    client: String,
    /// A claim besides those of the client, or in their place: JSON where it reads as JSON, else a text
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
    /// How long it holds; left out: `access_token_ttl`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ttl: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct Inspect {
    /// The token; left out or `-`: from standard input, so that it shows in no list of processes
    token: Option<String>,
    /// Say whether this configuration's issuer signed it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// The configuration, which names the issuer's keys
    #[arg(long, value_name = "FILE", env = "TAGWARDEN_CONFIG")]
    config: PathBuf,
    /// The running issuer
    #[arg(long, value_name = "URL")]
    url: String,
    /// The `jti` of an access token
    #[arg(long, value_name = "JTI", group = "what")]
    jti: Option<String>,
    /// A family of refresh tokens, with its access tokens
    #[arg(long, value_name = "FAMILY", group = "what")]
    family: Option<String>,
    /// A token; left out or `-`: from standard input
    #[arg(group = "what")]
    token: Option<String>,
}

/// Why it was not done, and the exit code.
struct Failure(u8, String);

fn misuse(why: impl Into<String>) -> Failure {
    Failure(exit::MISUSE, why.into())
}

fn failed(why: impl ToString) -> Failure {
    Failure(exit::FAILED, why.to_string())
}

pub fn run(arguments: &Arguments) -> u8 {
    let done = match &arguments.command {
        Command::Mint(arguments) => mint(arguments),
        Command::Inspect(arguments) => inspect(arguments),
        Command::Revoke(arguments) => revoke(arguments),
    };
    match done {
        Ok(text) => {
            print(&text);
            exit::FINE
        }
        Err(Failure(code, why)) => {
            complain(&why);
            code
        }
    }
}

fn issuer(config: &Path) -> Result<(BuiltInIssuer, SigningKeys), Failure> {
    let unloaded = |why: String| Failure(exit::DOES_NOT_LOAD, why);
    let (config, _) = live::read_config(config).map_err(|error| unloaded(error.to_string()))?;
    let settings = config.issuer.ok_or_else(|| unloaded("the configuration has no `issuer`".to_owned()))?;
    let keys = SigningKeys::read(&settings.keys).map_err(|error| unloaded(error.to_string()))?;
    Ok((settings, keys))
}

fn mint(arguments: &Mint) -> Result<String, Failure> {
    let (settings, keys) = issuer(&arguments.config)?;
    let clients = live::read_clients(&settings).map_err(|error| Failure(exit::DOES_NOT_LOAD, error.to_string()))?;
    let id = &arguments.client;
    let client = clients.get(id).ok_or_else(|| misuse(format!("there is no client `{id}`")))?;
    if client.disabled {
        return Err(misuse(format!("client `{id}` is disabled, so no token of its is accepted")));
    }
    let ttl = arguments.ttl.unwrap_or(settings.access_token_ttl).as_secs();
    if ttl == 0 || ttl > longest(&settings) {
        let most = longest(&settings);
        return Err(misuse(format!(
            "`--ttl` is not from 1 s to {most} s, the longer of the issuer's two, for which revocations are kept"
        )));
    }
    let more = claims(&arguments.claim).map_err(misuse)?;
    let (mut said, _) = access_claims(&settings, client, None, ttl, unix_now()).map_err(failed)?;
    said.extend(more);
    let token = keys.sign(Use::Access, &said).map_err(failed)?;
    Ok(format!("{token}\n"))
}

fn inspect(arguments: &Inspect) -> Result<String, Failure> {
    let token = given(arguments.token.as_deref())?;
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(failed("it is no JWS: it has not three parts, so nobody but its issuer can read it"));
    };
    let header = part(header).ok_or_else(|| failed("its header is no JSON object in base64url"))?;
    let claims = part(payload).ok_or_else(|| failed("its payload is no JSON object in base64url"))?;
    let signature = match &arguments.config {
        None => "not checked",
        Some(config) => {
            let (settings, keys) = issuer(config)?;
            // At the moment before it ends, for that is told apart.
            let alive = claims.get("exp").and_then(Value::as_u64).unwrap_or_default().saturating_sub(1);
            let read = keys.verify(Use::Access, &token, &settings.url, &settings.audience, alive);
            if read.is_some() { "good" } else { "not an access token of this issuer" }
        }
    };
    let expires = claims.get("exp").and_then(Value::as_u64).map(|exp| match exp.checked_sub(unix_now()) {
        Some(left) => format!("in {left} s"),
        None => format!("{} s ago", unix_now() - exp),
    });
    let told = json!({"header": header, "claims": claims, "expires": expires, "signature": signature});
    // The alternate form is the indented one.
    Ok(format!("{told:#}\n"))
}

fn revoke(arguments: &Revoke) -> Result<String, Failure> {
    let (settings, keys) = issuer(&arguments.config)?;
    let what = match (&arguments.jti, &arguments.family) {
        (Some(jti), _) => ("jti", jti.clone()),
        (None, Some(family)) => ("family", family.clone()),
        (None, None) => ("token", given(arguments.token.as_deref())?),
    };
    let base = arguments.url.trim_end_matches('/');
    let url = Url::parse(&format!("{base}/oauth/revoke")).map_err(|why| misuse(format!("`--url`: {why}")))?;
    if !url.is_https() && !url.is_loopback() {
        complain("warning: a proof that can end any token is sent without tls");
    }
    let assertion = assertion(&keys, &settings.url, unix_now()).map_err(failed)?;
    let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion), (what.0, &what.1)];
    let form: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", form_text(value.as_bytes()))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let client = Client::new();
    let exchange = client.post_form(&url, HeaderMap::new(), form.join("&"), 64 * 1024, DEADLINE);
    let answer = runtime.block_on(exchange).map_err(|error| failed(format!("the issuer does not answer: {error}")))?;
    if answer.status == hyper::StatusCode::OK {
        return Ok("revoked\n".to_owned());
    }
    let said = strict_object(&answer.body).unwrap_or_default();
    let why =
        said.get("error_description").or(said.get("detail")).and_then(Value::as_str).unwrap_or("it does not say why");
    Err(failed(format!("the issuer answered {}: {}", answer.status.as_u16(), why.escape_debug())))
}

fn part(text: &str) -> Option<Map<String, Value>> {
    use base64::Engine as _;
    strict_object(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?)
}

/// A token of the arguments, or of standard input.
fn given(token: Option<&str>) -> Result<String, Failure> {
    let token = match token {
        Some(token) if token != "-" => token.to_owned(),
        Some(_) | None => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                complain("the token, then the end of input (Ctrl-D):");
            }
            let mut text = String::new();
            let read = stdin.lock().take(MAX_TOKEN).read_to_string(&mut text);
            read.map_err(|error| failed(format!("standard input cannot be read: {error}")))?;
            text
        }
    };
    let token = token.trim().to_owned();
    if token.is_empty() { Err(misuse("there is no token")) } else { Ok(token) }
}
