//! The explorer page: what the policy that is served gives whom, and why. It reads, and changes nothing.
//!
//! The page is text that is built in; its data are answers below `/explore/api/`, made by the code that decides queries. One
//! answer is of one snapshot. Answers are bounded, and so are those that are made at once: data goes first.

mod ask;
mod compare;
mod features;
mod guard;
mod page;
mod query;
mod refused;
mod turns;
mod view;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};

use super::{CHALLENGE, is_let_in};
use crate::config::Enforcement;
use crate::live::Live;
use crate::proxy::record::{self, Refusals};
use ask::{Ask, read};
use page::Page;
use refused::Refused;
use turns::Turns;
use view::{Views, Work};

/// Where the page is; its data are below it.
const PATH: &str = "/explore";
/// Bytes of a question.
const MOST_ASKED: usize = 64 << 10;
/// Bytes of an answer. Lists are bounded by their length; this bounds names without end.
const MOST_ANSWERED: usize = 2 << 20;
/// How long a question may take to come.
const ASKED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked for what nobody needs any more.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// The explorer page and what it remembers.
#[derive(Debug)]
pub struct Explorer {
    live: Arc<Live>,
    hosts: Vec<String>,
    refusals: Arc<Refusals>,
    page: Page,
    views: Arc<Views>,
    turns: Turns,
}

/// Whether a path is the explorer's.
pub fn is_below(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Explorer {
    /// Over the running configuration. `hosts`: names that it answers to besides `localhost` and addresses.
    pub fn new(live: Arc<Live>, hosts: Vec<String>, refusals: Arc<Refusals>) -> Arc<Self> {
        let views = Arc::new(Views::default());
        tokio::spawn(sweep(Arc::downgrade(&views)));
        Arc::new(Self { live, hosts, refusals, page: Page::default(), views, turns: Turns::default() })
    }

    /// The answer to a request below its path.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = match self.route(request).await {
            Ok(response) => response,
            Err(refused) => refused.response(),
        };
        guard::harden(response.headers_mut());
        response
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refused> {
        guard::check(&request, &self.hosts)?;
        let below = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
        if below.is_empty() {
            get_alone(request.method())?;
            return Ok(self.page.response());
        }
        let Some(name) = below.strip_prefix("/api/") else { return Err(Refused::NotFound) };
        // Before anything else is said of what there is.
        if !is_let_in(&self.live, request.headers()) {
            return Err(Refused::Unauthorized);
        }
        let answer = match name {
            "summary" => {
                get_alone(request.method())?;
                self.summary()
            }
            "refusals" => {
                get_alone(request.method())?;
                self.refused()
            }
            name => {
                let Some(kind) = ask::Kind::named(name) else { return Err(Refused::NotFound) };
                let ask = read(kind, &self.question(request).await?)?;
                self.work(ask).await?
            }
        };
        let text = serde_json::to_vec(&answer).map_err(|_| Refused::Failed)?;
        if text.len() > MOST_ANSWERED {
            return Err(Refused::Large);
        }
        let mut response = Response::new(Full::new(Bytes::from(text)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// The body of a question: JSON, small, and in time.
    async fn question(&self, request: Request<Incoming>) -> Result<Bytes, Refused> {
        if request.method() != Method::POST {
            return Err(Refused::Method("POST"));
        }
        let mut kinds = request.headers().get_all(header::CONTENT_TYPE).iter();
        let is_json = matches!((kinds.next(), kinds.next()), (Some(kind), None) if kind == "application/json");
        if !is_json || request.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Refused::MediaType);
        }
        let body = Limited::new(request.into_body(), MOST_ASKED).collect();
        match tokio::time::timeout(ASKED_WITHIN, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::TooLarge),
            Ok(Err(_)) => Err(Refused::Asked("the body does not come to its end".to_owned())),
            Err(_) => Err(Refused::Late),
        }
    }

    /// Answers of the snapshot that is served now.
    async fn work(&self, ask: Ask) -> Result<Value, Refused> {
        let work = Work { snapshot: self.live.proxy.snapshot.load_full(), views: Arc::clone(&self.views) };
        self.turns.take(move || work.answer(&ask)).await
    }

    /// What is served.
    fn summary(&self) -> Value {
        let snapshot = self.live.proxy.snapshot.load();
        let (rules, states) = (&snapshot.rules, self.live.states());
        let shadow = snapshot.shadow.as_ref().map(|shadow| json!({"digest": shadow.rules.digest}));
        let stale: Vec<&str> =
            states.all().into_iter().filter(|(_, state)| state.stale.is_some()).map(|(kind, _)| kind).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "generation": snapshot.generation,
            "policy_digest": rules.digest,
            "features": rules.policy.catalogue.features().len(),
            "roles": rules.policy.roles.len(),
            "bindings": rules.policy.bindings.len(),
            "audit_mode": snapshot.settings.enforcement == Enforcement::Audit,
            "shadow": shadow,
            "stale": stale,
        })
    }

    fn refused(&self) -> Value {
        let (newest, seen) = self.refusals.newest();
        let generation = self.live.proxy.snapshot.load().generation;
        json!({"generation": generation, "kept": record::KEPT, "seen": seen, "refusals": newest})
    }
}

fn get_alone(method: &Method) -> Result<(), Refused> {
    if matches!(*method, Method::GET | Method::HEAD) { Ok(()) } else { Err(Refused::Method("GET, HEAD")) }
}

/// Lets go of what nobody asked for lately, for as long as there is somebody to do it for.
async fn sweep(views: Weak<Views>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        let Some(views) = views.upgrade() else { return };
        views.sweep();
    }
}
