//! The connection to a Redis: opened on demand, shared, given up at the first fault. Every wait has an end.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, ScriptInvocation,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::{RedisUrl, StoreError};
use crate::tls::{self, UpstreamTls};

/// For connecting, for subscribing, and for one request from the wait for a connection to the answer, a second try included.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);

/// Where the server is and who we are.
pub(super) struct Link {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    login: RedisConnectionInfo,
    live: Mutex<Option<Arc<Live>>>,
}

/// A connection and what drives it.
pub(super) struct Live {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What can be asked.
pub(super) enum Request<'a> {
    Plain(Cmd),
    Script(ScriptInvocation<'a>),
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(&self, live: &Live) -> Result<T, RedisError> {
        let mut connection = live.connection.clone();
        match self {
            Self::Plain(command) => command.query_async(&mut connection).await,
            Self::Script(script) => script.invoke_async(&mut connection).await,
        }
    }
}

impl Link {
    /// Reads the URL; nothing is connected yet.
    pub(super) fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        let bad = |reason| StoreError::Url { reason };
        let (scheme, rest) = url.0.split_once("://").ok_or(bad("it has no scheme"))?;
        let encrypted = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(bad("its scheme is neither `redis` nor `rediss`")),
        };
        if rest.contains('#') {
            return Err(bad("it has a fragment"));
        }
        // Encryption is ours; what the library is given is the rest.
        let info: ConnectionInfo = format!("redis://{rest}").as_str().into_connection_info().map_err(unread)?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else { return Err(bad("it has no host")) };
        let tls = if encrypted {
            let config = tls::client_config(&UpstreamTls::default())?;
            let name = ServerName::try_from(host.clone()).map_err(|_| bad("a certificate cannot carry its host"))?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        Ok(Self { host, port, tls, login, live: Mutex::new(None) })
    }

    /// The number of the database: channels are not divided by it, so their names are.
    pub(super) fn database(&self) -> i64 {
        self.login.db()
    }

    /// A new connection of its own; `pushes` gets what is published on the channels.
    pub(super) async fn subscribe(
        &self,
        channels: &[&str],
        pushes: UnboundedSender<PushInfo>,
    ) -> Result<Arc<Live>, StoreError> {
        let subscribing = async {
            let live = self.connect(AsyncConnectionConfig::new().set_push_sender(pushes)).await?;
            live.connection.clone().subscribe(channels).await?;
            Ok(live)
        };
        bounded(subscribing).await
    }

    /// Asks over the shared connection. One that broke while nobody used it is replaced, and the request is sent once more: all of
    /// them may be done twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, request: &Request<'_>) -> Result<T, StoreError> {
        let mut used = None;
        let asking = async {
            let (live, fresh) = self.live().await?;
            used = Some(Arc::clone(&live));
            match request.send(&live).await {
                Err(error) if error.is_io_error() && !fresh => {
                    self.forget(&live).await;
                    let (live, _) = self.live().await?;
                    used = Some(Arc::clone(&live));
                    request.send(&live).await
                }
                answer => answer,
            }
        };
        let answer = bounded(asking).await;
        if let (Err(_), Some(live)) = (&answer, used) {
            self.forget(&live).await;
        }
        answer
    }

    async fn live(&self) -> Result<(Arc<Live>, bool), RedisError> {
        let mut live = self.live.lock().await;
        if let Some(live) = &*live {
            return Ok((Arc::clone(live), false));
        }
        let new = self.connect(AsyncConnectionConfig::new()).await?;
        *live = Some(Arc::clone(&new));
        Ok((new, true))
    }

    /// Whoever comes next connects anew; who is waiting on this connection is not disturbed.
    async fn forget(&self, broken: &Arc<Live>) {
        // Whoever holds the lock is connecting already.
        if let Ok(mut live) = self.live.try_lock()
            && live.as_ref().is_some_and(|live| Arc::ptr_eq(live, broken))
        {
            *live = None;
        }
    }

    async fn connect(&self, config: AsyncConnectionConfig) -> Result<Arc<Live>, RedisError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.greet(stream, config).await,
            Some((connector, name)) => self.greet(connector.connect(name.clone(), stream).await?, config).await,
        }
    }

    async fn greet<S>(&self, stream: S, config: AsyncConnectionConfig) -> Result<Arc<Live>, RedisError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The one limit is that of `bounded`, whatever the library's.
        let config = config.set_response_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
        Ok(Arc::new(Live { connection, driver: tokio::spawn(driver).abort_handle() }))
    }
}

async fn bounded<T>(asking: impl Future<Output = Result<T, RedisError>>) -> Result<T, StoreError> {
    match timeout(TIMEOUT, asking).await {
        Ok(answer) => answer.map_err(|error| failure(&error)),
        Err(_) => Err(unavailable("it does not answer in time")),
    }
}

pub(super) fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

/// Says what happened without the library's texts, which may hold addresses and arguments.
fn failure(error: &RedisError) -> StoreError {
    match (error.kind(), error.code()) {
        (ErrorKind::Io, _) if error.is_timeout() => unavailable("it does not answer in time"),
        (ErrorKind::Io, _) if error.is_connection_refusal() => unavailable("it refuses connections"),
        (ErrorKind::Io, _) => unavailable("the connection fails"),
        (ErrorKind::AuthenticationFailed, _) => StoreError::Refused { code: "AUTH".to_owned() },
        (_, Some(code @ ("NOAUTH" | "WRONGPASS" | "NOPERM"))) => StoreError::Refused { code: code.to_owned() },
        (_, Some(code)) => unavailable(&format!("it answers `{}`", code.chars().take(32).collect::<String>())),
        (_, None) => unavailable("its answer does not read"),
    }
}

fn unread(_: RedisError) -> StoreError {
    StoreError::Url { reason: "it is not `redis://user:password@host:port/database` with each part percent-encoded" }
}
