//! The feature server of the table: holds the values of one file, enforces nothing, and answers more than it was asked, twice,
//! less or with an error where the value of a key says so ([`Upstream`]).
//!
//! It takes names as lax as real servers do, so that a spelling that slips through shows as a value.

mod chalk;
mod feast;
mod json;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::names::{answered, spelled};
use super::table::{Table, Upstream};
use super::wire::Column;
use super::{Cell, Dialect, Family};

/// Bytes of a request.
const LARGEST: usize = 8 << 20;

/// Binds an address and serves a file of the table until the task is aborted.
///
/// # Errors
/// It cannot be bound.
pub async fn start(table: Table, dialect: Dialect, listen: SocketAddr) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let table = Arc::new(table);
    let task = tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            stream.set_nodelay(true).ok();
            let table = Arc::clone(&table);
            let service = service_fn(move |request| {
                let table = Arc::clone(&table);
                async move { Ok::<_, Infallible>(serve(&table, dialect, request).await) }
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    Ok((address, task))
}

/// An answer.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    trailers: Vec<(&'static str, String)>,
}

impl Reply {
    fn new(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type", kind.to_owned())], body: body.into(), trailers: Vec::new() }
    }

    fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }
}

impl Reply {
    /// An error whose texts tell a value.
    fn failed(body: &serde_json::Value, told: &str) -> Self {
        let mut reply = Self::json(500, body);
        reply.headers.push(("x-debug", told.to_owned()));
        reply
    }

    /// A message of gRPC.
    fn called(message: Bytes) -> Self {
        let trailers = vec![("grpc-status", "0".to_owned())];
        Self { trailers, ..Self::new(200, "application/grpc", message) }
    }

    /// The end of a call, with a text that tells a value.
    fn ended(code: u8, told: &str) -> Self {
        let mut reply = Self::new(200, "application/grpc", "");
        let message = told.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let told = told.to_owned();
        reply.headers.extend([("grpc-status", code.to_string()), ("grpc-message", message), ("x-debug", told)]);
        reply
    }
}

async fn serve(
    table: &Table,
    dialect: Dialect,
    request: Request<Incoming>,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let reply = match Limited::new(body, LARGEST).collect().await {
        Err(_) => Reply::new(400, "text/plain", "the body breaks off"),
        Ok(_) if head.method == Method::GET && path == "/health" => Reply::new(200, "application/json", ""),
        Ok(body) if head.method == Method::POST => {
            let answered = reply(table, dialect, path, &body.to_bytes());
            answered.unwrap_or_else(|why| Reply::json(500, &serde_json::Value::from(why)))
        }
        Ok(_) => Reply::new(405, "text/plain", ""),
    };
    let trailers = map(&reply.trailers);
    let body = match trailers.is_empty() {
        true => Full::new(reply.body).boxed_unsync(),
        false => Full::new(reply.body).with_trailers(async move { Some(Ok(trailers)) }).boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status.try_into().unwrap_or_default();
    *response.headers_mut() = map(&reply.headers);
    response
}

/// The answer to a request.
///
/// # Errors
/// What is in the way.
fn reply(table: &Table, dialect: Dialect, path: &str, body: &Bytes) -> Result<Reply, String> {
    match dialect.family() {
        Family::Feast => feast::answer(table, dialect, path, body),
        Family::Chalk => chalk::answer(table, dialect, path, body),
        Family::Json => json::answer(table, dialect, path, body),
    }
}

#[cfg(test)]
pub(super) fn exchange(table: &Table, dialect: Dialect, path: &str, body: &Bytes) -> super::wire::Exchange {
    let Reply { status, headers, body, trailers } =
        reply(table, dialect, path, body).unwrap_or_else(|why| panic!("{why}"));
    let list =
        |all: Vec<(&str, String)>| all.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    super::wire::Exchange { status, headers: list(headers), body, trailers: list(trailers) }
}

fn map(headers: &[(&'static str, String)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    };
    headers.iter().filter_map(header).collect()
}

/// What a query is for: the rows, and how to behave.
struct Rows {
    numbers: Vec<usize>,
    how: Upstream,
}

impl Rows {
    /// By what is supplied: the first column whose values are keys of the table; else so many rows, from the first.
    fn of(supplied: &[Column], count: usize) -> Self {
        let read =
            |(_, cells): &Column| cells.iter().map(row).collect::<Option<Vec<_>>>().filter(|rows| !rows.is_empty());
        match supplied.iter().find_map(read) {
            Some(rows) => Self {
                how: rows.first().map_or(Upstream::Well, |(_, how)| *how),
                numbers: rows.into_iter().map(|(row, _)| row).collect(),
            },
            None => Self { how: Upstream::Well, numbers: (1..=count.max(1)).collect() },
        }
    }
}

/// What the value of a key says.
fn row(cell: &Cell) -> Option<(usize, Upstream)> {
    if let Cell::Text(text) = cell { Upstream::of_key(text) } else { None }
}

/// The neutral name of what is asked for, in whatever case it is written.
fn neutral(table: &Table, dialect: Dialect, wire: &str) -> Option<String> {
    let wire = wire.replace("@latest:", ":");
    let exact = table.features.iter().find(|name| spelled(table, dialect, name) == wire);
    let lax = || table.features.iter().find(|name| spelled(table, dialect, name).eq_ignore_ascii_case(&wire));
    let path = || table.value(&wire, 1).map(|_| wire.clone());
    exact.or_else(lax).cloned().or_else(path)
}

/// The values of a feature; of one that is supplied these.
fn cells(table: &Table, name: &str, rows: &Rows, given: Option<&Column>) -> Vec<Cell> {
    match given {
        Some((_, cells)) => cells.clone(),
        None => rows.numbers.iter().map(|row| table.value(name, *row).unwrap_or(Cell::Null)).collect(),
    }
}

/// A value that nobody asked for, in a text.
fn told(table: &Table, rows: &Rows) -> String {
    let value = rows.numbers.first().and_then(|row| table.value(&table.unasked, *row)).unwrap_or(Cell::Null);
    format!("could not convert {}", value.json())
}

/// Misbehaves with the columns of an answer.
fn misbehave(table: &Table, dialect: Dialect, rows: &Rows, columns: &mut Vec<Column>) {
    let unasked = || (answered(table, dialect, &table.unasked), cells(table, &table.unasked, rows, None));
    match rows.how {
        Upstream::Well | Upstream::Fails | Upstream::Tells => {}
        Upstream::Adds => columns.push(unasked()),
        Upstream::Doubles => {
            let first = columns.first().map(|(name, _)| name.clone());
            columns.extend(first.map(|name| (name, unasked().1)));
        }
        Upstream::Drops => drop((!columns.is_empty()).then(|| columns.remove(0))),
        Upstream::Renames => {
            if let Some(first) = columns.first_mut() {
                *first = unasked();
            }
        }
    }
}
