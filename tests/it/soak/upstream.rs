//! A feature server that fails in every way that it can, and is killed and started again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::until;
use crate::support::upstream::{Recorded, feast, read, whole};

/// On one port for all of its lives.
pub struct Mortal {
    at: SocketAddr,
    life: JoinHandle<()>,
    requests: Arc<AtomicUsize>,
}

impl Mortal {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let life = tokio::spawn(live(listener, Arc::clone(&requests)));
        Self { at, life, requests }
    }

    /// For `upstream.url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// How many requests it has read.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends every connection, and refuses new ones.
    pub async fn kill(&mut self) {
        self.life.abort();
        let ended = (&mut self.life).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "it ended by itself");
    }

    /// Listens again.
    pub async fn again(&mut self) {
        // Another socket may have the port for a moment.
        let listener = until("the port", async || TcpListener::bind(self.at).await.ok()).await;
        self.life = tokio::spawn(live(listener, Arc::clone(&self.requests)));
    }
}

async fn live(listener: TcpListener, requests: Arc<AtomicUsize>) {
    // They end with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                stream.set_nodelay(true).unwrap();
                connections.spawn(serve(stream, Arc::clone(&requests)));
            }
            Some(ended) = connections.join_next() => ended.unwrap(),
        }
    }
}

async fn serve(mut stream: TcpStream, requests: Arc<AtomicUsize>) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = read(&mut stream, &mut buffer, 0).await {
        let number = requests.fetch_add(1, Ordering::Relaxed);
        if answer(&mut stream, &request, number).await.is_err() {
            return;
        }
    }
}

/// Every query feature there is, permitted or not, in the layout of an answer.
fn everything(request: &Recorded) -> Vec<u8> {
    with_features(request, &["view:open", "view:x0", "view:y0", "view:shut"])
}

fn with_features(request: &Recorded, features: &[&str]) -> Vec<u8> {
    let mut more = request.clone();
    let mut body: Value = serde_json::from_slice(&request.body).unwrap_or(json!({}));
    let asked = body["features"].as_array().cloned().unwrap_or_default();
    body["features"] = asked.into_iter().chain(features.iter().map(|name| json!(name))).collect();
    more.body = body.to_string().into_bytes();
    feast(&more)
}

/// Answers, or ends the connection with an error.
async fn answer(stream: &mut TcpStream, request: &Recorded, number: usize) -> io::Result<()> {
    let query = request.target() == "/get-online-features";
    let gone = || Err(io::ErrorKind::ConnectionAborted.into());
    let html = "content-type: text/html\r\n";
    let bytes = match (number % 61, query) {
        (3, _) => return gone(),
        (9, _) => {
            stream.set_zero_linger()?;
            return gone();
        }
        (14, _) => {
            let good = feast(request);
            stream.write_all(&good[..good.len() / 2]).await?;
            return gone();
        }
        (20, _) => whole("500 Internal Server Error", html, &everything(request)),
        (25, _) => whole("503 Service Unavailable", "x-values: view__shut of row 0\r\n", &everything(request)),
        (31, _) => whole("302 Found", "location: /view__shut of row 0\r\n", &everything(request)),
        // A column that nobody asked for.
        (36, true) => with_features(request, &["view:shut"]),
        // One that was asked for, twice.
        (41, true) => with_features(request, &["view:open"]),
        (45, true) => whole("200 OK", html, b"<html>view__shut of row 0</html>"),
        (50, true) => whole("200 OK", "content-type: application/json\r\n", b"{\"results\": [NaN, view__shut of row 0"),
        (55..=57, _) => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            feast(request)
        }
        (58, _) => {
            // In pieces.
            let good = feast(request);
            for piece in good.chunks(good.len() / 4 + 1) {
                stream.write_all(piece).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            return Ok(());
        }
        _ => feast(request),
    };
    stream.write_all(&bytes).await
}
