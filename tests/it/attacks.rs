//! What tokens are attacked with, one test each, against a sidecar that runs. Where an attacker could have got one, tokens carry
//! the issuer's own good signature, so that the signature is not what refuses them. Whatever the cause, the answer is one and
//! the same, and nothing reaches the upstream.

mod claims;
mod credentials;
mod forms;
mod keys;

use std::cell::Cell;

use serde_json::json;

use crate::support::client::{Answer, query};
use crate::support::sidecar::{FINE, Setup, Sidecar, reader};
use crate::support::tokens::{KEY, claims as claims_of};
use crate::support::upstream::Upstream;

/// The answer to every attack, but for its decision id.
const INVALID: &str = "{\"detail\":\"The access token is invalid\",\
     \"error\":{\"code\":\"UNAUTHORIZED\",\"decision_id\":\"ID\",\"message\":\"The access token is invalid\"}}";
/// The answer where no token was sent at all.
const MISSING: &str = "{\"detail\":\"A Bearer token is required\",\
     \"error\":{\"code\":\"UNAUTHORIZED\",\"decision_id\":\"ID\",\"message\":\"A Bearer token is required\"}}";
/// The one other answer: to a token that would be good if it were not over.
const EXPIRED: &str = "{\"detail\":\"Access token has expired\",\
     \"error\":{\"code\":\"TOKEN_EXPIRED\",\"decision_id\":\"ID\",\"message\":\"Access token has expired\"}}";

/// A sidecar under attack.
struct Target {
    upstream: Upstream,
    sidecar: Sidecar,
    /// Requests that were let through.
    passed: Cell<usize>,
}

impl Target {
    /// That trusts [`KEY`].
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// That is set up otherwise.
    async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let upstream = Upstream::start().await;
        let mut setup = Setup::new(&upstream);
        change(&mut setup);
        Self { sidecar: setup.start().await, upstream, passed: Cell::new(0) }
    }

    /// Takes 401, this body and a challenge with nothing in it but what they all have; the upstream hears nothing.
    #[track_caller]
    fn turned_away(&self, what: &str, answer: &Answer, body: &str) {
        let text = answer.text().replace(answer.decision_id(), "ID");
        assert_eq!((answer.status, text.as_str()), (401, body), "{what}");
        let challenge = match body {
            MISSING => "Bearer realm=\"tagwarden\"",
            _ => "Bearer realm=\"tagwarden\", error=\"invalid_token\"",
        };
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{what}");
        let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| *name != "date" && *name != "connection");
        names.sort_unstable();
        let same = ["content-length", "content-type", "www-authenticate", "x-tagwarden-decision-id"];
        assert_eq!(names, same, "{what}");
        assert_eq!(self.upstream.count(), self.passed.get(), "{what}");
    }

    /// A token that is refused like any other.
    async fn refuses(&self, what: &str, token: &str) {
        let answer = self.sidecar.query(token, FINE).await;
        self.turned_away(what, &answer, INVALID);
    }

    /// A request that is refused like a bad token.
    async fn refuses_request(&self, what: &str, request: &[u8]) {
        self.turned_away(what, &self.sidecar.ask(request).await, INVALID);
    }

    /// A token that is good.
    async fn accepts(&self, what: &str, token: &str) {
        self.accepts_request(what, &query(token, FINE)).await;
    }

    /// A request that is good.
    async fn accepts_request(&self, what: &str, request: &[u8]) {
        let answer = self.sidecar.ask(request).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        self.passed.set(self.passed.get() + 1);
        assert_eq!(self.upstream.count(), self.passed.get(), "{what}");
    }

    /// The usual token is still good, so that what was refused was refused for what it was.
    async fn still_serves(&self) {
        self.accepts("the usual token", &reader()).await;
        self.accepts("the same by hand", &KEY.sign_with(&json!({}), &claims_of(json!({})))).await;
    }
}
