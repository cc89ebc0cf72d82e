//! What operators reach, on listeners of their own: metrics and probes on one, `/status` and the explorer page on the other.

mod explore;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::config::Enforcement;
use crate::issuer::StoreStatus;
use crate::live::{Live, State};
pub use explore::Explorer;

/// Connections at once on each of these listeners.
const CONNECTIONS: usize = 64;
/// What is missing where there is no token.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"tagwarden\"");

/// What the two listeners show.
#[derive(Debug)]
pub struct Admin {
    /// The running configuration.
    pub live: Arc<Live>,
    /// SIGTERM was heard.
    pub draining: Arc<AtomicBool>,
    /// The explorer page, unless the configuration says that there is none.
    pub explorer: Option<Arc<Explorer>>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `/metrics /livez /readyz`.
    Metrics,
    /// `/status /explore`.
    Admin,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

/// Binds a listener.
///
/// # Errors
/// The address cannot be had.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves one side until `stop` turns true.
pub async fn serve(admin: Arc<Admin>, side: Side, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        let mut stop = stop.clone();
        let gauge = admin.live.proxy.metrics.connections.with_label_values(&[side.name()]);
        tokio::spawn(async move {
            gauge.inc();
            let service = service_fn(move |request: Request<Incoming>| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(admin.answer(side, request).await) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(16 << 10);
            let ended = tokio::select! {
                ended = builder.serve_connection(TokioIo::new(stream), service) => ended,
                _ = stop.wait_for(|stop| *stop) => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "an admin connection ended");
            }
            gauge.dec();
            drop(place);
        });
    }
}

impl Admin {
    async fn answer(&self, side: Side, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let (Side::Admin, Some(explorer)) = (side, &self.explorer)
            && explore::is_below(request.uri().path())
        {
            return explorer.answer(request).await;
        }
        if side == Side::Admin && !is_let_in(&self.live, request.headers()) {
            return unauthorized();
        }
        let (status, kind, body) = match (side, request.uri().path()) {
            (Side::Metrics, "/metrics") => (StatusCode::OK, "text/plain; version=0.0.4", self.metrics()),
            (Side::Metrics, "/livez") => (StatusCode::OK, "text/plain", b"ok\n".to_vec()),
            (Side::Metrics, "/readyz") => {
                let (ready, body) = self.ready();
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, "application/json", pretty(&body))
            }
            (Side::Admin, "/status") => (StatusCode::OK, "application/json", pretty(&self.status())),
            (Side::Metrics | Side::Admin, _) => (StatusCode::NOT_FOUND, "text/plain", b"not found\n".to_vec()),
        };
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, body) =
            if get { (status, body) } else { (StatusCode::METHOD_NOT_ALLOWED, b"GET only\n".to_vec()) };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The text form, with what others count read afresh.
    fn metrics(&self) -> Vec<u8> {
        let metrics = &self.live.proxy.metrics;
        let snapshot = self.live.proxy.snapshot.load();
        for issuer in snapshot.settings.auth.status() {
            for (result, count) in [("ok", issuer.fetches_ok), ("failed", issuer.fetches_failed)] {
                let counter = metrics.jwks_fetches.with_label_values(&[issuer.issuer.as_str(), result]);
                // A reload of the configuration counts anew; a counter never goes back.
                counter.inc_by(count.saturating_sub(counter.get()));
            }
            if let Some(age) = issuer.age {
                metrics.jwks_age.with_label_values(&[issuer.issuer.as_str()]).set(age.as_secs_f64());
            }
        }
        match &snapshot.settings.issuer {
            Some(issuer) => {
                let silence = issuer.store_status().silence.map_or(f64::INFINITY, |silence| silence.as_secs_f64());
                metrics.store_silence.with_label_values::<&str>(&[]).set(silence);
            }
            None => metrics.store_silence.reset(),
        }
        let auth = &snapshot.settings.auth;
        let tokens = [("token", Some(auth.cache_status())), ("opaque", auth.opaque_status())];
        let tokens: Vec<_> = tokens.into_iter().filter_map(|(cache, status)| Some((cache, status?))).collect();
        for (cache, status) in &tokens {
            for (result, count) in [("hit", status.hits), ("miss", status.misses)] {
                let counter = metrics.cache_requests.with_label_values(&[*cache, result]);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        }
        let (decisions, tables) = snapshot.rules.cache_entries();
        let tokens = tokens.into_iter().map(|(cache, status)| (cache, status.entries));
        for (cache, entries) in tokens.chain([("decision", decisions), ("tables", tables)]) {
            metrics.cache_entries.with_label_values(&[cache]).set(i64::try_from(entries).unwrap_or(i64::MAX));
        }
        metrics.text()
    }

    /// Ready: a policy is loaded (else nothing runs), the keys of an issuer were seen (or there is none: opaque tokens alone),
    /// and it is not draining.
    fn ready(&self) -> (bool, Value) {
        let draining = self.draining.load(Ordering::Relaxed);
        let snapshot = self.live.proxy.snapshot.load();
        let issuers = snapshot.settings.auth.status();
        let keys = issuers.is_empty() || issuers.iter().any(|issuer| issuer.keys > 0);
        let ready = keys && !draining;
        let states = self.live.states();
        let told = |stale: Option<&str>| stale.map_or("ok".to_owned(), |why| format!("stale: {why}"));
        let shown = |state: &State| told(state.stale.as_deref());
        let without: Vec<&str> = issuers.iter().filter(|i| i.keys == 0).map(|i| i.issuer.as_str()).collect();
        let mut checks: Map<String, Value> =
            states.all().into_iter().map(|(kind, state)| (kind.to_owned(), json!(shown(state)))).collect();
        checks.insert("issuers_without_keys".to_owned(), json!(without));
        if let Some(issuer) = &snapshot.settings.issuer {
            checks.insert("store".to_owned(), json!(told(unheard(issuer.store_status()))));
        }
        let body = json!({
            "ready": ready,
            "draining": draining,
            "enforcement": enforcement(snapshot.settings.enforcement),
            "checks": checks,
        });
        (ready, body)
    }

    fn status(&self) -> Value {
        let snapshot = self.live.proxy.snapshot.load();
        let states = self.live.states();
        let state = |state: &State| json!({"digest": state.digest, "stale": state.stale});
        let issuers: Vec<Value> = snapshot
            .settings
            .auth
            .status()
            .into_iter()
            .map(|issuer| {
                json!({
                    "issuer": issuer.issuer,
                    "keys": issuer.keys,
                    "stale": issuer.stale,
                    "age_seconds": issuer.age.map(|age| age.as_secs()),
                })
            })
            .collect();
        let mut status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "generation": snapshot.generation,
            "policy_digest": snapshot.rules.digest,
            "roles": snapshot.rules.policy.roles.len(),
            "bindings": snapshot.rules.policy.bindings.len(),
            "features": snapshot.rules.policy.catalogue.features().len(),
            "bundles": snapshot.rules.policy.catalogue.bundles.len(),
            "issuers": issuers,
            "enforcement": enforcement(snapshot.settings.enforcement),
            "draining": self.draining.load(Ordering::Relaxed),
        });
        for (kind, of) in states.all() {
            if let Some(status) = status.as_object_mut() {
                status.insert(kind.to_owned(), state(of));
            }
        }
        if let (Some(issuer), Some(status)) = (&snapshot.settings.issuer, status.as_object_mut()) {
            let store = issuer.store_status();
            let seconds = store.silence.map(|silence| silence.as_secs());
            status.insert("store".to_owned(), json!({"silence_seconds": seconds, "stale": unheard(store)}));
        }
        status
    }
}

/// Whether a request has the token of the admin listener, once, where one is asked for.
fn is_let_in(live: &Live, headers: &HeaderMap) -> bool {
    let Some(token) = &*live.admin_token.load() else { return true };
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else { return false };
    let given = given.as_bytes().split_at_checked(b"Bearer ".len());
    given.is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(given))
}

fn unauthorized() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"the token of `admin.token_file` is needed\n")));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why tokens of ours are answered 503, where they are. That makes nobody unready: other issuers' tokens and API keys go on.
fn unheard(store: StoreStatus) -> Option<&'static str> {
    match store {
        StoreStatus { stale: false, .. } => None,
        StoreStatus { silence: None, .. } => Some("the token store was never heard from"),
        StoreStatus { silence: Some(_), .. } => {
            Some("the token store was not heard from for longer than `revocations.max_stale`")
        }
    }
}

fn enforcement(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforce => "enforce",
        Enforcement::Audit => "audit",
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}
