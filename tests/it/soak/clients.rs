//! Those who ask: on old and new connections, over HTTP/1.1 and HTTP/2, slowly, and who hang up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::judge::{Asked, FEATURES, Token, Wish};
use super::world::{Dice, World};
use crate::support::client::{H2, Raw, request};

/// A request, and what it is.
struct Drawn {
    asked: Asked,
    method: &'static str,
    path: &'static str,
    bearer: Option<String>,
    json: bool,
    body: String,
}

/// The limit of the sidecar's configuration; one request of many goes over it.
pub const REQUEST_BODY: usize = 64 << 10;

const GROUPS: [&[&str]; 6] = [
    &["open", "x0", "x1", "x2", "y0", "y1", "y2", "shut"],
    &["open", "y2", "x0", "shut"],
    &["x1", "open"],
    &["open", "y0", "y1"],
    &["open"],
    &["shut", "open"],
];

fn features(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"view:{name}\"")).collect();
    format!("{{\"features\":[{}],\"entities\":{{\"customer_id\":[1,2]}}}}", names.join(","))
}

fn draw(dice: &mut Dice, world: &World) -> Drawn {
    // The keys of the set in force, and now and then the one before them and the one to come.
    let set = world.keys.count();
    let number = [set, set - 1, set, set - 1, set, set - 1, set + 1, set.saturating_sub(2)][dice.below(8)];
    let tokens = world.tokens(number);
    let get = |asked, path, bearer| Drawn { asked, method: "GET", path, bearer, json: false, body: String::new() };
    let post = |asked, bearer: &str, body| Drawn {
        asked,
        method: "POST",
        path: "/get-online-features",
        bearer: Some(bearer.to_owned()),
        json: true,
        body,
    };
    let by = |token, wish| Asked { token, wish };
    let key = Token::Key(number);
    match dice.below(40) {
        0..=11 => {
            let names = GROUPS[dice.below(6)].to_vec();
            let body = features(&names);
            post(by(key, Wish::Features { cut: true, names }), &tokens.cutters, body)
        }
        12..=21 => {
            let names = GROUPS[dice.below(6)].to_vec();
            let body = features(&names);
            post(by(key, Wish::Features { cut: false, names }), &tokens.readers, body)
        }
        22..=23 => {
            let names = FEATURES.to_vec();
            let body = features(&names);
            post(by(key, Wish::Features { cut: false, names }), &tokens.readers, body)
        }
        24..=25 => get(by(key, Wish::Pass), "/v1/items", Some(tokens.writers.clone())),
        26..=27 => get(by(Token::Unasked, Wish::Pass), "/v1/open", None),
        28 => get(by(key, Wish::Fails("FORBIDDEN")), "/v1/items", Some(tokens.readers.clone())),
        29 => {
            let names = vec!["open"];
            let body = features(&names);
            post(by(Token::Expired(number), Wish::Features { cut: false, names }), &tokens.expired, body)
        }
        30..=31 => {
            let names = vec!["open"];
            let body = features(&names);
            post(by(Token::Bad, Wish::Features { cut: false, names }), &world.stranger().readers, body)
        }
        32 => get(by(Token::Bad, Wish::Pass), "/v1/items", None),
        33 => get(by(key, Wish::Never("NOT_FOUND")), "/v1/Items", Some(tokens.writers.clone())),
        34 => get(by(key, Wish::Never("METHOD_NOT_ALLOWED")), "/get-online-features", Some(tokens.readers.clone())),
        35..=36 => {
            let body = features(&["open"]).replace("\"entities\"", "\"features\":[],\"entities\"");
            post(by(key, Wish::Fails("INVALID_QUERY")), &tokens.cutters, body)
        }
        37 => {
            let body = features(&["nowhere"]).replace("view:nowhere", "elsewhere:age");
            post(by(key, Wish::Fails("FEATURES_REFUSED")), &tokens.readers, body)
        }
        38 => post(by(key, Wish::Fails("BODY_TOO_LARGE")), &tokens.readers, " ".repeat(REQUEST_BODY + 1)),
        _ => Drawn { json: false, ..post(by(key, Wish::Fails("UNSUPPORTED")), &tokens.readers, features(&["open"])) },
    }
}

impl Drawn {
    /// As HTTP/1.1.
    fn bytes(&self) -> Vec<u8> {
        let mut headers =
            self.bearer.as_ref().map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        if !self.body.is_empty() {
            headers.push_str(self.kind());
        }
        request(self.method, self.path, &headers, &self.body)
    }

    fn kind(&self) -> &'static str {
        if self.json { "content-type: application/json\r\n" } else { "content-type: text/csv\r\n" }
    }
}

/// What a client is like.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Many requests on a connection.
    Keeps,
    /// A connection for each request.
    Fresh,
    /// HTTP/2, four requests at a time.
    Http2,
    /// Sends in bits.
    Slow,
    /// Goes away.
    HangsUp,
    /// The same over HTTP/2: streams that are reset.
    Resets,
}

/// Asks until the load is over.
pub async fn ask(manner: Manner, at: SocketAddr, world: Arc<World>, seed: u64) {
    let mut dice = Dice::new(seed);
    while !world.over() {
        world.figures.lock().unwrap().connections += 1;
        match manner {
            Manner::Keeps => keep(at, &world, &mut dice, 200).await,
            Manner::Fresh => keep(at, &world, &mut dice, 1).await,
            Manner::Http2 => http2(at, &world, &mut dice).await,
            Manner::Slow => slow(at, &world, &mut dice).await,
            Manner::HangsUp => hang_up(at, &world, &mut dice).await,
            Manner::Resets => reset(at, &world, &mut dice).await,
        }
    }
}

async fn pause(dice: &mut Dice) {
    sleep(Duration::from_millis(dice.below(15) as u64)).await;
}

async fn keep(at: SocketAddr, world: &World, dice: &mut Dice, most: usize) {
    let mut raw = Raw::connect(at).await;
    for _ in 0..=dice.below(most) {
        if world.over() {
            return;
        }
        let drawn = draw(dice, world);
        let begun = world.begins();
        let answer = raw.ask(drawn.bytes()).await;
        world.takes(&drawn.asked, &begun, &answer);
        if answer.header("connection") == Some("close") {
            return;
        }
        pause(dice).await;
    }
}

async fn http2(at: SocketAddr, world: &World, dice: &mut Dice) {
    let connection = H2::connect(at).await;
    for _ in 0..=dice.below(40) {
        if world.over() {
            return;
        }
        let four: Vec<Drawn> = (0..4).map(|_| draw(dice, world)).collect();
        let each = four.iter().map(|drawn| async {
            let begun = world.begins();
            let answer = send(&connection, drawn).await;
            world.takes(&drawn.asked, &begun, &answer);
        });
        let [a, b, c, d] = each.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("four"));
        tokio::join!(a, b, c, d);
        pause(dice).await;
    }
}

async fn send(connection: &H2, drawn: &Drawn) -> crate::support::client::Answer {
    let bearer = drawn.bearer.as_ref().map(|token| format!("Bearer {token}"));
    let kind = drawn.kind().trim_start_matches("content-type: ").trim_end();
    let mut headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    if !drawn.body.is_empty() {
        headers.push(("content-type", kind));
    }
    connection.send(drawn.method, drawn.path, &headers, &drawn.body).await
}

async fn slow(at: SocketAddr, world: &World, dice: &mut Dice) {
    let mut raw = Raw::connect(at).await;
    for _ in 0..3 {
        let drawn = draw(dice, world);
        let begun = world.begins();
        let bytes = drawn.bytes();
        for piece in bytes.chunks(bytes.len() / 6 + 1) {
            // One that is refused before it is whole is read no further.
            if !raw.send(piece).await {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let answer = raw.answer().await;
        world.takes(&drawn.asked, &begun, &answer);
        if answer.header("connection") == Some("close") {
            return;
        }
    }
}

/// In the head, in the body, before the answer, or in it; with a word or without one.
async fn hang_up(at: SocketAddr, world: &World, dice: &mut Dice) {
    let bytes = draw(dice, world).bytes();
    let mut stream = TcpStream::connect(at).await.unwrap();
    let sent = [dice.below(bytes.len()), bytes.len() - 1, bytes.len(), bytes.len()][dice.below(4)];
    stream.write_all(&bytes[..sent]).await.ok();
    sleep(Duration::from_millis(dice.below(4) as u64)).await;
    if dice.below(3) == 0 {
        timeout(Duration::from_millis(20), stream.read_u8()).await.ok();
    }
    if dice.below(2) == 0 {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
    world.figures.lock().unwrap().hung_up += 1;
    pause(dice).await;
}

async fn reset(at: SocketAddr, world: &World, dice: &mut Dice) {
    let connection = H2::connect(at).await;
    for _ in 0..10 {
        let drawn = draw(dice, world);
        let begun = world.begins();
        let patience = Duration::from_millis(dice.below(6) as u64);
        match timeout(patience, send(&connection, &drawn)).await {
            Ok(answer) => world.takes(&drawn.asked, &begun, &answer),
            Err(_) => world.figures.lock().unwrap().hung_up += 1,
        }
        pause(dice).await;
    }
}

/// Tells them to end.
pub fn end(world: &World) {
    world.stop.store(true, Ordering::SeqCst);
}
