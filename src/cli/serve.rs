//! `serve`: the sidecar.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::{App, StartError};
use crate::cli::{complain, exit};
use crate::config::Config;
use crate::live::{self, ConfigFile};
use crate::reload::WatchSettings;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE", env = "TAGWARDEN_CONFIG")]
    config: PathBuf,
    /// The least level that is logged; RUST_LOG goes before it
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<Level>,
    /// How logs are written
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<Format>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Text,
}

pub fn run(arguments: &Arguments) -> u8 {
    let (config, file) = match live::read_config(&arguments.config) {
        Ok(read) => read,
        Err(error) => {
            complain(&error.to_string());
            return exit::DOES_NOT_LOAD;
        }
    };
    let level = arguments.log_level.map(|level| format!("{level:?}").to_lowercase());
    let json = arguments.log_format.map_or(config.tracing.json, |format| format == Format::Json);
    logs(level.as_deref().unwrap_or(&config.tracing.level), json);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        builder.worker_threads(threads);
    }
    match builder.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(serve(config, file));
            // What waits for a pipe that nobody reads is not waited for.
            runtime.shutdown_timeout(Duration::from_secs(1));
            code
        }
        Err(error) => {
            complain(&format!("the runtime cannot be started: {error}"));
            exit::FAILED
        }
    }
}

/// Logs go to standard error.
fn logs(level: &str, json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if json { builder.json().flatten_event(true).try_init() } else { builder.with_ansi(false).try_init() };
    if let Err(error) = set {
        complain(&format!("logs cannot be set up: {error}"));
    }
}

async fn serve(config: Config, file: ConfigFile) -> u8 {
    let [terminate, interrupt, hangup] =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = (terminate, interrupt, hangup) else {
        complain("signals cannot be listened to");
        return exit::FAILED;
    };
    let app = match App::bind(Some(file), config, WatchSettings::default()).await {
        Ok(app) => app,
        Err(error) => {
            complain(&error.to_string());
            return match error {
                StartError::Load(_) => exit::DOES_NOT_LOAD,
                StartError::Audit(_) | StartError::Bind { .. } => exit::FAILED,
            };
        }
    };
    let at = app.addresses();
    tracing::info!(data = %at.data, metrics = %at.metrics, admin = %at.admin, "listening");
    let (first, heard) = tokio::sync::oneshot::channel();
    let mut run = tokio::spawn(app.run(async {
        heard.await.ok();
    }));
    let mut first = Some(first);
    loop {
        tokio::select! {
            finished = &mut run => {
                return match finished {
                    Ok(true) => exit::FINE,
                    Ok(false) => {
                        tracing::warn!("not everything in flight was finished");
                        exit::FAILED
                    }
                    Err(_) => exit::FAILED,
                };
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {
                // Where others read their files anew it ends nothing, and there is no need of it here.
                tracing::info!("files are read when they change: SIGHUP does nothing");
                continue;
            }
        }
        match first.take() {
            Some(first) => {
                first.send(()).ok();
            }
            // A second signal ends it at once.
            None => return exit::FAILED,
        }
    }
}
