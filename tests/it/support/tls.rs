//! A client over TLS that may show a certificate.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::{Authority, Leaf};
use super::client::{Answer, H2, Raw, request};
use super::sidecar::Sidecar;

/// What a client shows, and what it remembers of its sessions.
#[derive(Clone)]
pub struct Client {
    /// With its sessions.
    pub config: Arc<ClientConfig>,
    /// Sent with each request, each with its line end.
    pub headers: String,
}

/// Two protocols; a request means the same in both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

/// Both of them.
pub const BOTH: [Http; 2] = [Http::One, Http::Two];

/// A kept connection.
pub enum Connection {
    /// HTTP/1.1.
    One(Box<Raw<TlsStream<TcpStream>>>),
    /// HTTP/2.
    Two(H2),
}

impl Client {
    /// Trusts this authority's sidecar and shows this certificate.
    pub fn new(server: &Authority, leaf: Option<&Leaf>, version: &'static SupportedProtocolVersion) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(server.roots());
        let config = match leaf {
            Some(leaf) => builder.with_client_auth_cert(leaf.chain(), leaf.private()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        Self { config: Arc::new(config), headers: String::new() }
    }

    /// With this header.
    pub fn with(&self, header: &str) -> Self {
        Self { config: Arc::clone(&self.config), headers: format!("{}{header}\r\n", self.headers) }
    }

    /// With this token.
    pub fn bearer(&self, token: &str) -> Self {
        self.with(&format!("authorization: Bearer {token}"))
    }

    /// The same without its sessions.
    pub fn anew(&self) -> Self {
        let mut config = (*self.config).clone();
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config), headers: self.headers.clone() }
    }

    /// After the handshake, as far as a client can tell.
    pub async fn stream(&self, sidecar: &Sidecar, http: Http) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![if http == Http::Two { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let stream = TcpStream::connect(sidecar.data).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("sidecar.example").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A connection that is kept.
    pub async fn connect(&self, sidecar: &Sidecar, http: Http) -> Connection {
        let stream = self.stream(sidecar, http).await.unwrap();
        match http {
            Http::One => Connection::One(Box::new(Raw::over(stream))),
            Http::Two => Connection::Two(H2::over(stream).await),
        }
    }

    /// A query on a connection that is there.
    pub async fn on(&self, connection: &mut Connection, body: &str) -> Answer {
        let headers = format!("content-type: application/json\r\n{}", self.headers);
        match connection {
            Connection::One(raw) => raw.ask(request("POST", "/get-online-features", &headers, body)).await,
            Connection::Two(h2) => {
                let headers: Vec<(&str, &str)> = headers.lines().filter_map(|line| line.split_once(": ")).collect();
                h2.send("POST", "/get-online-features", &headers, body).await
            }
        }
    }

    /// A query on a connection of its own.
    pub async fn ask(&self, sidecar: &Sidecar, http: Http, body: &str) -> Answer {
        self.on(&mut self.connect(sidecar, http).await, body).await
    }

    /// Whether the handshake fails. In TLS 1.3 the client learns that when it reads.
    pub async fn is_turned_away(&self, sidecar: &Sidecar) -> bool {
        let Ok(stream) = self.stream(sidecar, Http::One).await else { return true };
        let mut raw = Raw::over(stream);
        raw.send(request("GET", "/health", "", "")).await;
        raw.try_answer().await.is_none()
    }
}
