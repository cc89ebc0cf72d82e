//! The composition root: a configuration -> a bound [`App`]. Tests build the same one on port 0.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::{self, Admin, Explorer, Side};
use crate::audit::chain::Hasher;
use crate::audit::{Audit, AuditError, Shown};
use crate::config::{Config, Drain};
use crate::live::{self, ConfigFile, Live, LoadError};
use crate::metrics::Metrics;
use crate::proxy::record::{self, Refusals};
use crate::reload::WatchSettings;
use crate::server::Server;

/// How long an end waits for a collector.
const FLUSH: Duration = Duration::from_secs(2);

/// Everything bound and loaded, not serving yet.
#[derive(Debug)]
pub struct App {
    server: Server,
    metrics: TcpListener,
    admin: TcpListener,
    addresses: Addresses,
    live: Arc<Live>,
    explorer: Option<Arc<Explorer>>,
    audit: JoinHandle<()>,
    drain: Drain,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Callers.
    pub data: SocketAddr,
    /// Prometheus and probes.
    pub metrics: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

/// Why there is no app.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Files.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// An address that cannot be had.
    #[error("`{address}` cannot be listened on: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl App {
    /// Loads everything and binds. `config_file`: the file to watch, where the configuration came from one.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(
        config_file: Option<ConfigFile>,
        config: Config,
        watch: WatchSettings,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new().map_err(LoadError::from)?);
        let hasher = match &config.audit.key_file {
            Some(path) => Hasher::keyed(&live::secret(path)?),
            None => Hasher::Plain,
        };
        let shown = Shown { lines: metrics.audit_lines.clone(), head: metrics.audit_chain_head.clone() };
        let mut text = record::Writer::default();
        let refusals = config.admin.explore.then(Arc::<Refusals>::default);
        let seen = refusals.clone();
        let append = move |line: &record::Line, out: &mut Vec<u8>| {
            let start = out.len();
            text.append(line, out);
            if let (Some(refusals), Some(written)) = (&seen, out.get(start..)) {
                refusals.see(line, written, &mut text);
            }
        };
        let (audit, writer) = Audit::start(&config.audit.log, config.audit.block_when_full, hasher, shown, append)?;
        let (listen, drain) = (config.listen.address, config.drain);
        let (metrics_address, admin_address) = (config.metrics, config.admin.address);
        let hosts = config.admin.hosts.clone();
        let live = Live::start(config_file, config, audit, metrics, watch).await?;
        let at = |address: SocketAddr| move |error| StartError::Bind { address, error };
        let server = Server::bind(listen, Arc::clone(&live.proxy), Arc::clone(&live.tls));
        let server = server.await.map_err(at(listen))?;
        let metrics = admin::bind(metrics_address).await.map_err(at(metrics_address))?;
        let admin = admin::bind(admin_address).await.map_err(at(admin_address))?;
        let addresses = Addresses {
            data: server.address().map_err(at(listen))?,
            metrics: metrics.local_addr().map_err(at(metrics_address))?,
            admin: admin.local_addr().map_err(at(admin_address))?,
        };
        let explorer = refusals.map(|refusals| Explorer::new(Arc::clone(&live), hosts, refusals));
        Ok(Self { server, metrics, admin, addresses, live, explorer, audit: writer, drain })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The running configuration, for tests.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Serves until `shutdown`; then is not ready, goes on for `drain.delay`, accepts nothing more and finishes what
    /// is in flight within `drain.timeout`. Whether all of it was finished, and the audit log written.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let (stop, stopped) = watch::channel(false);
        let (stop_admin, admin_stopped) = watch::channel(false);
        let draining = Arc::new(AtomicBool::new(false));
        let (live, explorer) = (Arc::clone(&self.live), self.explorer);
        let shown = Arc::new(Admin { live, draining: Arc::clone(&draining), explorer });
        let admins = [
            tokio::spawn(admin::serve(Arc::clone(&shown), Side::Metrics, self.metrics, admin_stopped.clone())),
            tokio::spawn(admin::serve(shown, Side::Admin, self.admin, admin_stopped)),
        ];
        let mut server = tokio::spawn(self.server.serve(stopped, self.drain.timeout));
        tokio::select! {
            () = shutdown => {
                draining.store(true, Ordering::Relaxed);
                let delay_ms = u64::try_from(self.drain.delay.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(delay_ms, "draining");
                tokio::time::sleep(self.drain.delay).await;
            }
            _ = &mut server => return false,
        }
        stop.send_replace(true);
        let finished = server.await.unwrap_or(false);
        stop_admin.send_replace(true);
        for task in admins {
            task.await.ok();
        }
        let tracer = self.live.proxy.tracer.clone();
        // The writer ends when the last handle is gone; a request cut off may still hold one.
        drop(self.live);
        let flushed = tokio::task::spawn_blocking(move || tracer.is_none_or(|tracer| tracer.shutdown(FLUSH)));
        let writer = tokio::task::spawn_blocking(move || self.audit.join().is_ok());
        let written = tokio::time::timeout(Duration::from_secs(2), writer).await;
        if finished && !matches!(written, Ok(Ok(true))) {
            tracing::error!("the audit log was not written to its end");
            return false;
        }
        if !flushed.await.unwrap_or(false) {
            tracing::warn!("not all spans were exported");
        }
        finished
    }
}
