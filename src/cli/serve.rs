//! `serve`: the sidecar.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::app::{App, StartError};
use crate::cli::{complain, exit};
use crate::config::{Config, Tracing};
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
    let logs = Logs::start(arguments.log_level, arguments.log_format, &config.tracing);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        builder.worker_threads(threads);
    }
    match builder.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(serve(config, file, logs.as_ref()));
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

/// Logs go to standard error. RUST_LOG goes before a flag, and a flag before the configuration, also when that changes.
struct Logs {
    level: Option<Level>,
    format: Option<Format>,
    filter: reload::Handle<EnvFilter, Registry>,
    lines: reload::Handle<Lines, Filtered>,
}

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
/// How a line is written.
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

impl Logs {
    fn start(level: Option<Level>, format: Option<Format>, settings: &Tracing) -> Option<Self> {
        let (filter, filter_handle) = reload::Layer::new(filter(level, settings));
        let (lines, lines_handle) = reload::Layer::new(lines(format, settings));
        match tracing_subscriber::registry().with(filter).with(lines).try_init() {
            Ok(()) => Some(Self { level, format, filter: filter_handle, lines: lines_handle }),
            Err(error) => {
                complain(&format!("logs cannot be set up: {error}"));
                None
            }
        }
    }

    /// Writes as the configuration has it now.
    fn follow(&self, settings: &Tracing) {
        let filter = self.filter.reload(filter(self.level, settings));
        let lines = self.lines.reload(lines(self.format, settings));
        if let Err(error) = filter.and(lines) {
            tracing::error!(%error, "logs stay as they were");
        }
    }
}

fn filter(level: Option<Level>, settings: &Tracing) -> EnvFilter {
    let flag = level.map(|level| format!("{level:?}").to_lowercase());
    let level = flag.as_deref().unwrap_or(&settings.level);
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level))
}

fn lines(format: Option<Format>, settings: &Tracing) -> Lines {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if format.map_or(settings.json, |format| format == Format::Json) {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_ansi(false).boxed()
    }
}

async fn serve(config: Config, file: ConfigFile, logs: Option<&Logs>) -> u8 {
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
    let mut logging = app.live().logging();
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
            Ok(()) = logging.changed() => {
                if let Some(logs) = logs {
                    logs.follow(&logging.borrow_and_update());
                }
                continue;
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
