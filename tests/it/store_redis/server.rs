//! A Redis of one test, a way to it, and what the tests ask of a store on it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use tagwarden::issuer::store::{RedisUrl, Revocation, Rotation, Store, StoreError, StoreSettings};
use tokio::io::copy_bidirectional;
use tokio::sync::watch;

use crate::store::{NOW, token};
use crate::support::{Folder, until};

/// A server of one test; it keeps nothing on disk and ends with the test.
pub struct Server {
    pub program: &'static str,
    pub arguments: Vec<String>,
    pub process: Child,
    pub port: u16,
    _folder: Folder,
}

/// Whether the tests shall be skipped, and the server's program.
pub fn program() -> Option<&'static str> {
    if std::env::var_os("TAGWARDEN_NO_REDIS").is_some_and(|value| value == "1") {
        eprintln!("\nNOT TESTED: the Redis store, because TAGWARDEN_NO_REDIS=1\n");
        return None;
    }
    let found = ["redis-server", "valkey-server"].into_iter().find(|program| {
        let answer = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        answer.is_ok_and(|status| status.success())
    });
    assert!(found.is_some(), "install redis-server or valkey-server, or skip with TAGWARDEN_NO_REDIS=1");
    found
}

impl Server {
    /// `None`: the tests are to be skipped.
    pub async fn start() -> Option<Self> {
        Self::start_with(Folder::new(), |port| vec!["--port".to_owned(), port.to_string()]).await
    }

    pub async fn start_with(folder: Folder, more: impl Fn(u16) -> Vec<String>) -> Option<Self> {
        let (program, place) = (program()?, folder.path(""));
        // Another process may take the port before the server does.
        for _ in 0..10 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let fixed = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", place.to_str().unwrap()];
            let arguments: Vec<String> = fixed.into_iter().map(str::to_owned).chain(more(port)).collect();
            let mut process = spawn(program, &arguments);
            if listens(&mut process, port).await {
                return Some(Self { program, arguments, process, port, _folder: folder });
            }
        }
        panic!("the server does not start");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub async fn store(&self) -> Store {
        open(&self.url()).await.unwrap()
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Again on the same port, with nothing of what was there.
    pub async fn restart(&mut self) {
        self.process = spawn(self.program, &self.arguments);
        assert!(listens(&mut self.process, self.port).await, "the port was taken");
    }

    pub fn signal(&self, name: &str) {
        // The shell has one; the program stands in a package that not every machine has.
        let line = format!("kill {name} {}", self.process.id());
        let status = Command::new("sh").args(["-c", &line]).status().unwrap();
        assert!(status.success());
    }

    /// Asks the server itself.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut connection).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

pub fn spawn(program: &str, arguments: &[String]) -> Child {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `false`: it ended.
pub async fn listens(process: &mut Child, port: u16) -> bool {
    until("the server listens, or ends", async || {
        if process.try_wait().unwrap().is_some() {
            return Some(false);
        }
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok().then_some(true)
    })
    .await
}

pub async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(&StoreSettings::Redis(RedisUrl(url.to_owned()))).await
}

pub async fn revoke(store: &Store, jti: &str) {
    let what = Revocation::Token { jti: jti.to_owned(), until: NOW + 1000 };
    store.revoke(&what, NOW).await.unwrap();
}

pub fn knows(store: &Store, jti: &str) -> bool {
    store.revocations().ended(jti, None, "x", NOW)
}

pub async fn comes_to_know(store: &Store, jti: &str) {
    until(&format!("the replica knows of `{jti}`"), async || knows(store, jti).then_some(())).await;
}

pub async fn serves_again(store: &Store) {
    until("the store serves again", async || store.family_of(&token("x"), NOW).await.ok()).await;
}

pub fn refused(answer: Result<Rotation, StoreError>) -> String {
    answer.unwrap_err().to_string()
}

pub async fn try_rotate(store: &Store, from: &str, to: &str) -> Result<Rotation, StoreError> {
    store.rotate(&token(from), &token(to), crate::store::ends(NOW), NOW).await
}

/// What a way does with connections; those that were there when it was cut or stalled stay so.
#[derive(Clone, Copy, PartialEq)]
pub enum State {
    Open,
    Cut,
    Stalled,
}

/// A way to a server.
pub struct Way {
    pub address: SocketAddr,
    pub state: watch::Sender<State>,
}

impl Way {
    pub async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State::Open);
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    let mut to = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                    let state = tokio::select! {
                        state = seen.wait_for(|state| *state != State::Open) => *state.unwrap(),
                        _ = copy_bidirectional(&mut from, &mut to) => State::Cut,
                    };
                    if state == State::Stalled {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, state }
    }

    pub async fn store(&self) -> Store {
        open(&format!("redis://{}/", self.address)).await.unwrap()
    }
}
