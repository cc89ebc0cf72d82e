//! The run: every case asked over HTTP, as its caller.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::judge::Judge;
use super::table::{Case, Table};
use super::wire::{Ask, Exchange};
use super::{Dialect, judge};
use crate::fetch;

/// Bytes of an answer.
const LARGEST: usize = 8 << 20;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The file that it stands in.
    pub file: &'static str,
    /// Its name.
    pub case: String,
    /// How it went.
    pub verdict: Verdict,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// What is wrong.
    Failed(Vec<String>),
    /// The dialect cannot express it, and why.
    NotExpressible(String),
}

/// The server that is held against the table.
pub struct Target {
    url: String,
    dialect: Dialect,
    /// By the names of those who ask.
    tokens: BTreeMap<String, HeaderValue>,
    http: Client<HttpsConnector<HttpConnector>, Full<bytes::Bytes>>,
    grpc: Client<HttpsConnector<HttpConnector>, Full<bytes::Bytes>>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("url", &self.url).field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Target {
    /// A server at `url`, `http` or `https`; the token of each caller by its name ([`Caller::name`](super::table::Caller::name)).
    ///
    /// # Errors
    /// The address or a token is none; no root certificates for `https`.
    pub async fn new(url: &str, dialect: Dialect, tokens: &BTreeMap<String, String>) -> Result<Self, String> {
        let parsed = fetch::Url::parse(url).map_err(|error| error.to_string())?;
        let bearer = |(name, token): (&String, &String)| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| format!("the token for `{name}` is no token"))?;
            value.set_sensitive(true);
            Ok((name.clone(), value))
        };
        let connector = fetch::connector(!parsed.is_https()).await.map_err(|error| error.to_string())?;
        Ok(Self {
            url: parsed.to_string().trim_end_matches('/').to_owned(),
            dialect,
            tokens: tokens.iter().map(bearer).collect::<Result<_, String>>()?,
            http: Client::builder(TokioExecutor::new()).build(connector.clone()),
            grpc: Client::builder(TokioExecutor::new()).http2_only(true).build(connector),
        })
    }

    /// Who asks in these cases and has no token here.
    pub fn without_token<'t>(&self, cases: impl IntoIterator<Item = (&'t Table, &'t Case)>) -> Vec<String> {
        let expressible = cases.into_iter().filter(|(table, case)| case.barred(table, self.dialect).is_none());
        let names: std::collections::BTreeSet<String> =
            expressible.filter_map(|(_, case)| case.caller.name()).collect();
        names.into_iter().filter(|name| !self.tokens.contains_key(name)).collect()
    }

    /// Puts a case to it.
    pub async fn run(&self, judge: &Judge<'_>, case: &Case) -> Outcome {
        let table = judge.table;
        let verdict = match case.barred(table, self.dialect) {
            Some(why) => Verdict::NotExpressible(why.to_owned()),
            None => match self.judged(judge, case).await {
                Ok(faults) if faults.is_empty() => Verdict::Passed,
                Ok(faults) => Verdict::Failed(faults),
                Err(why) => Verdict::Failed(vec![why]),
            },
        };
        Outcome { file: table.name, case: case.name.clone(), verdict }
    }

    async fn judged(&self, judge: &Judge<'_>, case: &Case) -> Result<Vec<String>, String> {
        let ask = judge::ask(judge.table, case, self.dialect)?;
        let token = match case.caller.name() {
            None => None,
            Some(name) => Some(self.tokens.get(&name).ok_or_else(|| format!("there is no token for `{name}`"))?),
        };
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(&ask, token));
        let exchange = exchange.await.map_err(|_| "no answer came in time".to_owned())??;
        Ok(judge.faults(case, self.dialect, &exchange))
    }

    async fn exchange(&self, ask: &Ask, token: Option<&HeaderValue>) -> Result<Exchange, String> {
        let uri: Uri = format!("{}{}", self.url, ask.path).parse().map_err(|_| "the path is none".to_owned())?;
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        for (name, value) in &ask.headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let client = if ask.grpc { &self.grpc } else { &self.http };
        let answer =
            client.request(request).await.map_err(|error| format!("it cannot be asked: {}", fetch::reason(&error)))?;
        let (head, body) = answer.into_parts();
        let body =
            Limited::new(body, LARGEST).collect().await.map_err(|error| format!("the answer breaks off: {error}"))?;
        let trailers = body.trailers().map(list).unwrap_or_default();
        Ok(Exchange { status: head.status.as_u16(), headers: list(&head.headers), body: body.to_bytes(), trailers })
    }
}

fn list(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
