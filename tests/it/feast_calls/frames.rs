//! A server of gRPC that fails frame by frame: each fault has its error, no answer of it reaches a caller, a write goes there once, and
//! the next call has its own answer (config.md, Errors on the wire; RFC 9113).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::writes::{POLICY, PUSH, of, push};
use super::*;
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, next,
};
use crate::support::within;

const ROUTES: &str = "\
routes:
  - {path: /GrpcFeatureServer/GetOnlineFeatures, methods: [POST]}
  - {path: /GrpcFeatureServer/Push, methods: [POST]}";

/// What becomes of the connection behind a fault.
#[derive(Clone, Copy)]
enum Then {
    /// It ends.
    Ends,
    /// It stays as it is.
    Stays,
    /// The last frame again and again.
    Repeats,
}
use Then::{Ends, Repeats, Stays};

/// Frames of an answer to a stream.
type Frames = fn(u32) -> Vec<Vec<u8>>;
type Fault = (Frames, Then);

#[derive(Clone, Default)]
struct Server {
    fault: Arc<Mutex<Option<Fault>>>,
    calls: Arc<AtomicUsize>,
}

fn head(stream: u32) -> Vec<u8> {
    headers(stream, &[(":status", "200"), ("content-type", "application/grpc")], 0)
}

fn headers(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

fn end(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    headers(stream, fields, END_STREAM)
}

/// A message with the value that nobody may see.
fn secret() -> Bytes {
    framed(&says(&[("customer_id", b"1"), ("customer__age", SECRET)]).encode_to_vec())
}

/// A good one.
fn fine() -> Bytes {
    framed(&says(&[("customer_id", b"1"), ("customer__age", b"40")]).encode_to_vec())
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// Whole, but for what is said at its end.
fn ending(stream: u32, trailers: &[(&str, &str)]) -> Vec<Vec<u8>> {
    vec![head(stream), data(stream, &secret()), end(stream, trailers)]
}

fn saying(stream: u32, message: &[u8]) -> Vec<Vec<u8>> {
    vec![head(stream), data(stream, message), end(stream, &[("grpc-status", "0")])]
}

impl Server {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, at) = (Self::default(), listener.local_addr().unwrap());
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (server, format!("http://{at}"))
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.ok()?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
        let mut buffer = Vec::new();
        loop {
            let (kind, flags, id, payload) = next(&mut stream, &mut buffer).await?;
            let answer = match kind {
                SETTINGS if flags & ACK == 0 => vec![frame(SETTINGS, ACK, 0, &[])],
                PING if flags & ACK == 0 => vec![frame(PING, ACK, 0, &payload)],
                HEADERS | DATA if flags & END_STREAM != 0 => {
                    self.calls.fetch_add(1, Ordering::SeqCst);
                    let fault = *self.fault.lock().unwrap();
                    let Some((frames, then)) = fault else {
                        let good = [head(id), data(id, &fine()), end(id, &[("grpc-status", "0")])].concat();
                        stream.write_all(&good).await.ok()?;
                        continue;
                    };
                    let frames = frames(id);
                    stream.write_all(&frames.concat()).await.ok()?;
                    match then {
                        Stays => continue,
                        Ends => return None,
                        Repeats => loop {
                            stream.write_all(frames.last()?).await.ok()?;
                            if self.fault.lock().unwrap().is_none() {
                                return None;
                            }
                        },
                    }
                }
                _ => continue,
            };
            stream.write_all(&answer.concat()).await.ok()?;
        }
    }
}

/// Status and text that a caller is told, and how often a read is sent.
type Expected = (&'static str, &'static str, usize);
const FAILED: Expected = ("14", "The feature server failed", 1);
/// Without the head of an answer.
const AGAIN: Expected = ("14", "The feature server failed", 2);
const UNREADABLE: Expected = ("14", "The feature server's answer cannot be verified", 1);
const TIMEOUT: Expected = ("4", "The feature server did not answer in time", 1);
const UNKNOWN: Expected = ("2", "The feature server ended the call with an error", 1);
const INTERNAL: Expected = ("13", "The feature server ended the call with an error", 1);
/// Read without what does not belong there: to nobody does it mean anything else.
const PASSES: Expected = ("0", "", 1);

const FAULTS: &[(&str, Frames, Then, Expected)] = &[
    ("nothing", |_| vec![], Ends, AGAIN),
    ("nothing, and stays", |_| vec![], Stays, TIMEOUT),
    ("a goodbye", |_| vec![goaway(0, 0)], Ends, AGAIN),
    ("a goodbye, and stays", |_| vec![goaway(0, 0)], Stays, AGAIN),
    ("a goodbye behind it", |id| vec![goaway(id, 0)], Ends, AGAIN),
    ("reset: no error", |id| vec![reset(id, 0)], Stays, AGAIN),
    ("reset: protocol error", |id| vec![reset(id, 1)], Stays, AGAIN),
    ("reset: refused", |id| vec![reset(id, 7)], Stays, AGAIN),
    ("reset: cancelled", |id| vec![reset(id, 8)], Stays, AGAIN),
    ("reset: HTTP/1.1 wanted", |id| vec![reset(id, 13)], Stays, AGAIN),
    ("a head", |id| vec![head(id)], Ends, FAILED),
    ("a head, and stays", |id| vec![head(id)], Stays, TIMEOUT),
    ("a head, reset", |id| vec![head(id), reset(id, 2)], Stays, FAILED),
    ("half", |id| vec![head(id), data(id, &secret()[..20])], Ends, FAILED),
    ("half, and stays", |id| vec![head(id), data(id, &secret()[..20])], Stays, TIMEOUT),
    ("half, reset as if it were all", |id| vec![head(id), data(id, &secret()[..20]), reset(id, 0)], Stays, UNREADABLE),
    ("half, said to be good", |id| saying(id, &secret()[..20]), Stays, UNREADABLE),
    ("whole, without an end", |id| vec![head(id), data(id, &secret())], Ends, FAILED),
    ("whole, without a status", |id| vec![head(id), frame(DATA, END_STREAM, id, &secret())], Stays, UNREADABLE),
    (
        "a head that is all",
        |id| vec![headers(id, &[(":status", "200"), ("content-type", "application/grpc")], END_STREAM)],
        Stays,
        UNREADABLE,
    ),
    ("trailers without a status", |id| ending(id, &[("x", "y")]), Stays, UNREADABLE),
    ("a status that is no number", |id| ending(id, &[("grpc-status", "fine")]), Stays, UNREADABLE),
    ("a status that there is not", |id| ending(id, &[("grpc-status", "99")]), Stays, UNKNOWN),
    ("two statuses", |id| ending(id, &[("grpc-status", "0"), ("grpc-status", "0")]), Stays, UNREADABLE),
    ("a status with a sign", |id| ending(id, &[("grpc-status", "+0")]), Stays, UNREADABLE),
    (
        "bad, with an answer",
        |id| ending(id, &[("grpc-status", "13"), ("grpc-message", "000-00-0000")]),
        Stays,
        INTERNAL,
    ),
    ("two messages", |id| saying(id, &[secret(), secret()].concat()), Stays, UNREADABLE),
    ("bytes behind it", |id| saying(id, &[&secret()[..], b"\0"].concat()), Stays, UNREADABLE),
    ("no message", |id| saying(id, b""), Stays, UNREADABLE),
    ("compressed, and not how", |id| saying(id, &[&[1], &secret()[1..]].concat()), Stays, UNREADABLE),
    ("a length beyond it", |id| saying(id, &[&[0, 255, 255, 255, 255], &secret()[5..]].concat()), Stays, UNREADABLE),
    ("a message that is none", |id| saying(id, &framed(b"\xff\xff\xff")), Stays, UNREADABLE),
    (
        "HTML",
        |id| {
            vec![
                headers(id, &[(":status", "200"), ("content-type", "text/html")], 0),
                frame(DATA, END_STREAM, id, b"<p>"),
            ]
        },
        Stays,
        UNREADABLE,
    ),
    (
        "a longer Content-Length",
        |id| {
            vec![
                headers(id, &[(":status", "200"), ("content-type", "application/grpc"), ("content-length", "9999")], 0),
                data(id, &secret()),
                end(id, &[("grpc-status", "0")]),
            ]
        },
        Stays,
        FAILED,
    ),
    (
        "a shorter Content-Length",
        |id| {
            vec![
                headers(id, &[(":status", "200"), ("content-type", "application/grpc"), ("content-length", "3")], 0),
                data(id, &secret()),
                end(id, &[("grpc-status", "0")]),
            ]
        },
        Stays,
        FAILED,
    ),
    (
        "trailers that do not end it",
        |id| vec![head(id), data(id, &secret()), headers(id, &[("grpc-status", "0")], 0)],
        Stays,
        FAILED,
    ),
    ("trailers with a pseudo-header", |id| ending(id, &[(":status", "200"), ("grpc-status", "0")]), Stays, PASSES),
    (
        "no status line",
        |id| {
            vec![
                headers(id, &[("content-type", "application/grpc")], 0),
                data(id, &secret()),
                end(id, &[("grpc-status", "0")]),
            ]
        },
        Stays,
        AGAIN,
    ),
    (
        "a status of 1000",
        |id| vec![headers(id, &[(":status", "1000"), ("content-type", "application/grpc")], 0), data(id, &secret())],
        Stays,
        AGAIN,
    ),
    ("a switch of protocols", |id| vec![headers(id, &[(":status", "101")], 0), data(id, &secret())], Stays, AGAIN),
    (
        "capitals in a name",
        |id| vec![headers(id, &[(":status", "200"), ("Content-Type", "application/grpc")], 0), data(id, &secret())],
        Stays,
        AGAIN,
    ),
    (
        "a header of connections",
        |id| {
            vec![
                headers(
                    id,
                    &[(":status", "200"), ("transfer-encoding", "chunked"), ("content-type", "application/grpc")],
                    0,
                ),
                data(id, &secret()),
            ]
        },
        Stays,
        AGAIN,
    ),
    ("data before the head", |id| vec![data(id, &secret())], Stays, AGAIN),
    ("data of no stream", |_| vec![data(0, &secret())], Stays, AGAIN),
    ("data of a stream that there is not", |id| vec![data(id + 2, &secret())], Stays, AGAIN),
    (
        "a promise",
        |id| vec![frame(PUSH_PROMISE, END_HEADERS, id, &[&[0, 0, 0, 2], &block(&[(":method", "GET")])[..]].concat())],
        Stays,
        AGAIN,
    ),
    (
        "a head that goes on without end",
        |id| {
            vec![
                frame(HEADERS, 0, id, &block(&[(":status", "200")])),
                frame(CONTINUATION, 0, id, &block(&[("x", "y")])),
            ]
        },
        Repeats,
        AGAIN,
    ),
    ("a block that cannot be read", |id| vec![frame(HEADERS, END_HEADERS, id, &[0xff; 30])], Stays, AGAIN),
    ("a frame beyond the limit", |id| vec![head(id), data(id, &vec![0; 100_000])], Stays, FAILED),
    ("a window of nothing", |_| vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])], Stays, AGAIN),
    ("a window beyond all", |_| vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])], Stays, AGAIN),
    ("settings of half a word", |_| vec![frame(SETTINGS, 0, 0, &[1, 2, 3])], Stays, AGAIN),
    ("a reset of a stream that there is not", |id| vec![reset(id + 2, 8)], Stays, AGAIN),
    ("HTTP/1.1", |_| vec![b"HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n\r\n000-00-0000".to_vec()], Stays, AGAIN),
    ("noise", |_| vec![vec![0xff; 4096]], Stays, AGAIN),
    ("early hints without end", |id| vec![headers(id, &[(":status", "103")], 0)], Repeats, TIMEOUT),
    ("empty frames without end", |id| vec![head(id), data(id, b"")], Repeats, FAILED),
    ("pings without end", |_| vec![frame(PING, 0, 0, &[0; 8])], Repeats, TIMEOUT),
    ("settings without end", |_| vec![frame(SETTINGS, 0, 0, &[])], Repeats, TIMEOUT),
    ("an answer without end", |id| vec![head(id), data(id, &[0; 16_384])], Repeats, FAILED),
];

#[tokio::test]
async fn every_fault_of_frames_has_its_error_and_the_next_call_its_own_answer() {
    let (server, url) = Server::start().await;
    let setup = Setup::at(&url).upstream_with("timeout: 1s").with(ROUTES).policy(POLICY);
    let sidecar = setup.start().await;
    let read = asks(&["customer:age"]).encode_to_vec();
    let write = push(&["customer_id", "age", "ssn", "event_timestamp"]).encode_to_vec();
    let calls = || server.calls.load(Ordering::SeqCst);
    for (what, frames, then, (status, text, tries)) in FAULTS {
        for (path, token, message) in [(READ, reader(), &read), (PUSH, of("writers"), &write)] {
            // On a connection that was used; and what is asked behind the fault before has its own answer.
            let fine = until("an answer", async || {
                let answer = within(what, call(&sidecar, READ, &reader(), &read)).await;
                // A second is little on a busy machine.
                (answer.header("grpc-status") != Some(TIMEOUT.0)).then_some(answer)
            });
            let short: &[(&str, &[u8])] = &[("customer_id", b"1"), ("age", b"40")];
            assert_eq!(self::message(&fine.await), says(short), "before {what}");
            let before = calls();
            *server.fault.lock().unwrap() = Some((*frames, *then));
            let answer = within(what, call(&sidecar, path, &token, message)).await;
            *server.fault.lock().unwrap() = None;
            let is_read = path == READ;
            assert_eq!(calls() - before, if is_read { *tries } else { 1 }, "{what} {path}");
            if is_read && *status == "0" {
                assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())], "{what}");
                continue;
            }
            // The answer to a read is none to a write.
            let (status, text) = if *status == "0" { (UNREADABLE.0, UNREADABLE.1) } else { (*status, *text) };
            fails(&answer, status, text);
        }
    }
}
