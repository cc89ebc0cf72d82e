//! HTTP/2 frame by frame: floods end their connection, and nothing that HTTP/1.1 could not say is said in it upstream
//! (RFC 9113, 8.2 and 10.3; CVE-2023-44487, RUSTSEC-2024-0332).

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, block, frame, length,
    next,
};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, Setup, Sidecar, reader};
use crate::support::upstream::Upstream;
use crate::support::within;

const ROUTES: &str = "\
routes:
  - {path: /v1/items, methods: [GET, POST]}
  - {path: /v1/open, methods: [GET], public: true}";

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// An answer.
    Status(u16),
    /// The end of its stream, for this reason.
    Reset(u32),
    /// The end of the connection, for this reason.
    Goaway(u32),
    /// Its end without one.
    End,
}
use Outcome::{End, Goaway, Reset, Status};

/// A connection of frames.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    async fn connect(sidecar: &Sidecar) -> Self {
        let mut stream = TcpStream::connect(sidecar.data).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
        stream.write_all(&begin).await.unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// The other side may have had enough.
    async fn send(&mut self, frames: &[u8]) -> bool {
        within("the other side to read", self.stream.write_all(frames)).await.is_ok()
    }

    /// A request of one block, on the first stream.
    async fn request(&mut self, fields: &[(&str, &str)], body: &str) {
        let flags = END_HEADERS | if body.is_empty() { END_STREAM } else { 0 };
        let mut frames = frame(HEADERS, flags, 1, &block(fields));
        if !body.is_empty() {
            frames.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
        }
        self.send(&frames).await;
    }

    /// The next frame: kind, flags, payload.
    async fn next(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let (kind, flags, _, payload) = within("a frame", next(&mut self.stream, &mut self.buffer)).await?;
        Some((kind, flags, payload))
    }

    /// What becomes of the request that was sent.
    async fn outcome(&mut self) -> Outcome {
        let code = |bytes: &[u8]| u32::from_be_bytes(*bytes.first_chunk().unwrap());
        while let Some((kind, _, payload)) = self.next().await {
            match kind {
                HEADERS => return Status(status(&payload)),
                RST_STREAM => return Reset(code(&payload)),
                GOAWAY => return Goaway(code(&payload[4..])),
                _ => {}
            }
        }
        End
    }
}

/// The status of an answer, which is its first field (RFC 7541, appendices A and B).
fn status(block: &[u8]) -> u16 {
    if block[0] & 0x80 != 0 {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(block[0] & 0x7f) - 8];
    }
    assert!(block[0] == 0x48 || block[0] == 0x08, "no status first: {block:?}");
    let text = &block[2..2 + usize::from(block[1] & 0x7f)];
    if block[1] & 0x80 == 0 {
        return std::str::from_utf8(text).unwrap().parse().unwrap();
    }
    let (mut bits, mut digits) = (text.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)), 0);
    bits <<= 64 - 8 * text.len();
    for _ in 0..3 {
        let five = bits >> 59;
        let (digit, used) = if five < 3 { (five, 5) } else { ((bits >> 58) - 0b01_1001 + 3, 6) };
        digits = digits * 10 + digit;
        bits <<= used;
    }
    u16::try_from(digits).unwrap()
}

const OPEN: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/open")];

/// The fields of a plain request, one of them replaced.
fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    OPEN.iter().map(|&(n, v)| if n == name { (name, value) } else { (n, v) }).collect()
}

/// And with one more.
fn and<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    [&OPEN[..], &[(name, value)]].concat()
}

#[tokio::test]
async fn nothing_that_http1_could_not_say_goes_upstream() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    // Of its stream, or of the connection where the library says so.
    let malformed = Reset(PROTOCOL_ERROR);
    let mut wrong = Vec::new();
    let inner = "GET /v1/items HTTP/1.1\r\nhost: x\r\n\r\n";
    let body = inner.len().to_string();
    let injected = format!("/v1/open HTTP/1.1\r\nhost: x\r\n\r\n{inner}");
    for (what, fields, sent, expected) in [
        ("a line end in a value", and("x-size", "1\r\nx-auth-user: admin"), "", malformed),
        ("a request in a value", and("x-size", "1\r\n\r\nGET /v1/items HTTP/1.1\r\n\r\n"), "", malformed),
        ("a line feed in a value", and("x-size", "1\nx-auth-user: admin"), "", malformed),
        ("a carriage return in a value", and("x-size", "1\rx"), "", malformed),
        ("a nul in a value", and("x-size", "1\0x"), "", malformed),
        ("a delete in a value", and("x-size", "1\x7f"), "", malformed),
        ("a line end in a name", and("x-size: 1\r\nx-auth-user", "admin"), "", malformed),
        ("a colon in a name", and("x-size:", "1"), "", malformed),
        ("a space in a name", and("x size", "1"), "", malformed),
        ("an upper case name", and("X-Size", "1"), "", malformed),
        ("no name", and("", "1"), "", malformed),
        ("a path with a line end", with(":path", &injected), "", malformed),
        ("a path with a space", with(":path", "/v1/open HTTP/1.1"), "", malformed),
        ("a path with a nul", with(":path", "/v1/open\0"), "", malformed),
        ("an empty path", with(":path", ""), "", malformed),
        ("a path without a slash", with(":path", "v1/open"), "", malformed),
        ("an absolute path", with(":path", "http://x/v1/open"), "", malformed),
        ("an asterisk", with(":path", "*"), "", Status(404)),
        ("dot segments", with(":path", "/v1/x/../open"), "", Status(404)),
        ("an escaped slash", with(":path", "/v1%2Fopen"), "", Status(404)),
        ("parameters", with(":path", "/v1/open;a=b"), "", Status(404)),
        ("a method with a line end", with(":method", "GET /v1/items HTTP/1.1\r\nx: y"), "", malformed),
        ("a method with a space", with(":method", "GET /v1/items"), "", malformed),
        ("an empty method", with(":method", ""), "", malformed),
        ("a method in lower case", with(":method", "get"), "", Status(405)),
        ("a tunnel", with(":method", "CONNECT"), "", malformed),
        (
            "a tunnel of a protocol",
            [&with(":method", "CONNECT")[..], &[(":protocol", "websocket")]].concat(),
            "",
            malformed,
        ),
        ("an authority with a line end", with(":authority", "x\r\nx-auth-user: admin"), "", malformed),
        ("an authority with a path", with(":authority", "x/v1/items?"), "", malformed),
        ("an authority with a space", with(":authority", "x y"), "", malformed),
        ("another scheme", with(":scheme", "ftp"), "", Status(404)),
        ("a scheme that is an address", with(":scheme", "http://x/v1/items?"), "", malformed),
        ("a path twice", and(":path", "/v1/items"), "", malformed),
        ("a method twice", and(":method", "POST"), "", malformed),
        ("a status", and(":status", "200"), "", malformed),
        ("an unknown pseudo header", and(":x", "y"), "", malformed),
        ("a pseudo header behind others", [&[("x-size", "1")], &OPEN[..]].concat(), "", malformed),
        ("no path", OPEN[..3].to_vec(), "", malformed),
        ("no method", OPEN[1..].to_vec(), "", malformed),
        ("a transfer coding", and("transfer-encoding", "chunked"), "", malformed),
        ("connection", and("connection", "close, x-size"), "", malformed),
        ("keep-alive", and("keep-alive", "timeout=5"), "", malformed),
        ("proxy-connection", and("proxy-connection", "keep-alive"), "", malformed),
        ("an upgrade", and("upgrade", "h2c"), "", malformed),
        ("te that is not trailers", and("te", "gzip"), "", malformed),
        ("a length that is none", and("content-length", "+5"), "hello", malformed),
        ("a length of less than the body", and("content-length", "1"), inner, malformed),
        ("a length of more than the body", and("content-length", "999"), inner, malformed),
        ("two lengths", [&and("content-length", &body)[..], &[("content-length", "0")]].concat(), inner, malformed),
        ("a length without a body", and("content-length", "5"), "", malformed),
    ] {
        let mut wire = Wire::connect(&sidecar).await;
        wire.request(&fields, sent).await;
        let outcome = wire.outcome().await;
        let same = outcome == expected || (expected == malformed && outcome == Goaway(PROTOCOL_ERROR));
        if !same || upstream.count() > 0 {
            wrong.push(format!("{what}: {outcome:?}, {} upstream", upstream.count()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is good goes, as it was decided.
    for (what, fields, sent, line) in [
        ("a plain request", OPEN.to_vec(), "", "GET /v1/open HTTP/1.1"),
        ("another authority and host", and("host", "elsewhere"), "", "GET /v1/open HTTP/1.1"),
        ("a fragment", with(":path", "/v1/open?a=b#/v1/items"), "", "GET /v1/open?a=b HTTP/1.1"),
        ("an alias", and("x_auth.user", "admin"), "", "GET /v1/open HTTP/1.1"),
        ("te: trailers", and("te", "trailers"), "", "GET /v1/open HTTP/1.1"),
        ("a body that is a request", and("content-length", &body), inner, "GET /v1/open HTTP/1.1"),
        ("one without a length", OPEN.to_vec(), inner, "GET /v1/open HTTP/1.1"),
    ] {
        let before = upstream.count();
        let mut wire = Wire::connect(&sidecar).await;
        wire.request(&fields, sent).await;
        assert_eq!(wire.outcome().await, Status(200), "{what}");
        let seen = upstream.seen().split_off(before);
        assert_eq!((seen.len(), seen[0].line(), seen[0].text()), (1, line, sent), "{what}");
        let names: Vec<String> = seen[0].headers().into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| name == "host" || name == "content-length"), "{what}: {names:?}");
        assert_eq!(seen[0].header("host").as_deref(), upstream.url.strip_prefix("http://"), "{what}");
    }
    assert_eq!(upstream.connections(), 1);
}

/// The same connection and the same sidecar go on, or a new one does; the upstream heard of nothing.
async fn still_serves(sidecar: &Sidecar, upstream: &Upstream, heard: usize) {
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    let seen = upstream.seen();
    assert_eq!((seen.len(), seen.last().unwrap().text()), (heard + 1, FINE_UPSTREAM));
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
}

/// Who is refused before the body came is told so, and its stream is not reset behind the answer while the body comes: there
/// are clients that throw the answer away then. Of one that does not come the stream ends.
#[tokio::test]
async fn a_body_that_comes_behind_its_answer_resets_nothing() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).start().await;
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/get-online-features")];
    for comes in [true, false] {
        let mut wire = Wire::connect(&sidecar).await;
        wire.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields))).await;
        assert_eq!(wire.outcome().await, Status(401));
        if comes {
            wire.send(&frame(DATA, 0, 1, FINE.as_bytes())).await;
            wire.send(&[frame(DATA, END_STREAM, 1, b" "), frame(PING, 0, 0, &[7; 8])].concat()).await;
        }
        let mut ended = false;
        while let Some((kind, flags, payload)) = wire.next().await {
            match kind {
                DATA => ended |= flags & END_STREAM != 0,
                PING if payload == [7; 8] => break,
                RST_STREAM => {
                    assert!(!comes && ended, "{flags} {payload:?}");
                    assert_eq!(payload, 0u32.to_be_bytes());
                    break;
                }
                _ => {}
            }
        }
        assert!(ended);
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let opened = block(&OPEN);
    let mut frames = Vec::new();
    for stream in (1..20_000).step_by(2) {
        frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &opened));
        frames.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    let mut wire = Wire::connect(&sidecar).await;
    wire.send(&frames).await;
    let mut outcome = wire.outcome().await;
    while matches!(outcome, Status(_) | Reset(_)) {
        outcome = wire.outcome().await;
    }
    assert!(matches!(outcome, Goaway(ENHANCE_YOUR_CALM) | End), "{outcome:?}");
    // Of 10,000 the fewest were begun.
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
    let heard = upstream.count();
    assert!(heard < 300, "{heard}");
    still_serves(&sidecar, &upstream, heard).await;
}

#[tokio::test]
async fn floods_of_frames_end_their_connection() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let begun = frame(HEADERS, END_STREAM, 1, &block(&OPEN));
    let fields = block(&vec![("x-a", "b"); 2000]);
    let large = block(&[("x-a", &"b".repeat(16_000))]);
    for (what, flood) in [
        ("continuations of nothing", frame(CONTINUATION, 0, 1, &[])),
        ("continuations of small fields", frame(CONTINUATION, 0, 1, &fields)),
        ("continuations of large fields", frame(CONTINUATION, 0, 1, &large)),
    ] {
        let mut wire = Wire::connect(&sidecar).await;
        wire.send(&begun).await;
        let mut sent = 0;
        // Much more than any head may have.
        while sent < 4000 && wire.send(&flood.repeat(50)).await {
            sent += 50;
        }
        let outcome = wire.outcome().await;
        assert!(matches!(outcome, Goaway(ENHANCE_YOUR_CALM | PROTOCOL_ERROR) | End), "{what}: {outcome:?}");
    }
    still_serves(&sidecar, &upstream, 0).await;
}

#[tokio::test]
async fn heads_that_grow_when_they_are_unpacked_are_refused() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let whole = END_STREAM | END_HEADERS;
    let plain = block(&OPEN);
    // A field that goes into the table (RFC 7541, 6.2.1), and is named by a byte from then on.
    let kept = [&[0x40], &*length(3), b"x-a", &length(4000), "b".repeat(4000).as_bytes()].concat();
    let bomb = [&*plain, &*kept, &*vec![0xbe; 10_000]].concat();
    let many: Vec<u8> = [plain.clone(), block(&vec![("a", ""); 3000])].concat();
    for (what, head, expected) in [
        ("one field, thousands of times", &bomb, Goaway(ENHANCE_YOUR_CALM)),
        ("thousands of fields", &many, Status(431)),
    ] {
        let mut wire = Wire::connect(&sidecar).await;
        wire.send(&frame(HEADERS, whole, 1, head)).await;
        assert_eq!(wire.outcome().await, expected, "{what}");
    }
    for (what, head) in [
        ("a field of no table", [&*plain, &[0xff, 0x80, 0x01]].concat()),
        ("a number without an end", [&*plain, &[0xff; 20]].concat()),
        ("a table beyond the limit", [&[0x3f, 0xff, 0xff, 0xff, 0x07], &*plain].concat()),
        ("a text beyond the block", [&*plain, &[0, 3], b"x-a", &[0x7f, 0xff, 0x01]].concat()),
        ("a text in no code", [&*plain, &[0, 3], b"x-a", &[0x84, 0xff, 0xff, 0xff, 0xff]].concat()),
    ] {
        let mut wire = Wire::connect(&sidecar).await;
        wire.send(&frame(HEADERS, whole, 1, &head)).await;
        assert_eq!(wire.outcome().await, Goaway(PROTOCOL_ERROR), "{what}");
    }
    still_serves(&sidecar, &upstream, 0).await;
}

#[tokio::test]
async fn frames_out_of_place_end_the_connection() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let opened = block(&OPEN);
    let whole = END_STREAM | END_HEADERS;
    for (what, frames, expected) in [
        ("data on no stream", frame(DATA, END_STREAM, 0, b"x"), Goaway(PROTOCOL_ERROR)),
        ("data on a stream that never began", frame(DATA, END_STREAM, 5, b"x"), Goaway(PROTOCOL_ERROR)),
        ("a head on no stream", frame(HEADERS, whole, 0, &opened), Goaway(PROTOCOL_ERROR)),
        ("a head on a stream of the server", frame(HEADERS, whole, 2, &opened), Goaway(PROTOCOL_ERROR)),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &opened), Goaway(PROTOCOL_ERROR)),
        (
            "another frame within a head",
            [frame(HEADERS, END_STREAM, 1, &opened), frame(PING, 0, 0, &[0; 8])].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        (
            "a head that another stream continues",
            [frame(HEADERS, END_STREAM, 1, &opened), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        ("a ping of five bytes", frame(PING, 0, 0, &[0; 5]), Goaway(PROTOCOL_ERROR)),
        ("a frame beyond the largest", frame(DATA, 0, 1, &[0; 20_000]), Goaway(FRAME_SIZE_ERROR)),
        ("padding of more than the frame", frame(HEADERS, whole | 8, 1, &[200, 0x82]), Goaway(PROTOCOL_ERROR)),
    ] {
        let mut wire = Wire::connect(&sidecar).await;
        wire.send(&frames).await;
        assert_eq!(wire.outcome().await, expected, "{what}");
    }
    still_serves(&sidecar, &upstream, 0).await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_the_others_are_served() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let opened = block(&OPEN);
    let mut wire = Wire::connect(&sidecar).await;
    // Their bodies never end: each keeps its stream.
    let frames: Vec<u8> = (0..300).flat_map(|number| frame(HEADERS, END_HEADERS, 1 + 2 * number, &opened)).collect();
    wire.send(&frames).await;
    for _ in 0..44 {
        assert_eq!(wire.outcome().await, Reset(REFUSED_STREAM));
    }
    wire.send(&frame(DATA, END_STREAM, 1, &[])).await;
    assert_eq!((wire.outcome().await, upstream.count()), (Status(200), 1));
}
