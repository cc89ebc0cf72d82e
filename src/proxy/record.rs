//! The audit line of a decision (config.md, Audit line).

mod refusals;

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use hyper::header::HeaderValue;
use serde_json::{Map, Value, json};
use x509_cert::der::DateTime;

use crate::auth::{self, Caller};
use crate::config::Enforcement;
use crate::dialect::{Decision, Plan, Recorded, Refusal, shown};
use crate::hex::{digits, hex};
use crate::json;
use crate::metrics::RouteMetrics;
use crate::policy::settings::Mode;
use crate::snapshot::{CallerTables, Decided, Snapshot, Subjects};
use crate::trace::TraceId;

pub use refusals::{KEPT, Refusals};

/// What a plan says in every line about it: members of a JSON object, each with a comma behind it.
pub fn of_plan(plan: &Plan) -> String {
    let declassified: Vec<_> =
        plan.declassified.iter().map(|(feature, via)| json!({"feature": shown(feature), "via": via})).collect();
    let mode = match plan.mode {
        Mode::Reject => "reject",
        Mode::Filter => "filter",
    };
    let names = |names: &[Recorded]| names.iter().map(|name| json!(**name)).collect::<Vec<_>>();
    let mut whole = json!({
        "query": plan.bundle.as_deref().map(shown),
        "outputs": plan.outputs.iter().collect::<Vec<_>>(),
        "supplied": names(&plan.supplied),
        "reads": names(&plan.reads),
        "mode": mode,
        "decision": plan.decision.name(),
        "refused": refused(plan, usize::MAX),
        "declassified": declassified,
    });
    if let (Enforcement::Audit, Some(members)) = (plan.enforcement, whole.as_object_mut()) {
        // The decision was not carried out.
        members.insert("enforcement".to_owned(), json!("audit"));
    }
    members(&whole)
}

/// What was refused, no more than so many.
fn refused(plan: &Plan, most: usize) -> Vec<Value> {
    let refused = plan.refused.iter().take(most);
    let told = |r: &Refusal| json!({"feature": *r.feature, "permission": r.permission.name(), "rule": r.rule, "tag": r.tag.as_deref()});
    refused.map(told).collect()
}

/// The members of an object, each with a comma behind it.
fn members(object: &Value) -> String {
    let text = object.to_string();
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default();
    format!("{inside},")
}

/// A decision that was made, until its line is handed over.
#[derive(Debug)]
pub struct Made {
    /// What it was decided by.
    pub snapshot: Arc<Snapshot>,
    /// Who asked.
    pub caller: Caller,
    /// The caller's roles.
    pub tables: Arc<CallerTables>,
    /// What was decided.
    pub decided: Arc<Decided>,
    /// Of a valid `traceparent`, or of our own span.
    pub trace_id: Option<TraceId>,
    /// Passed on without having been verified (`enforcement: audit` alone).
    pub unverified: bool,
}

/// What a line is made of, on the writer's thread.
#[derive(Debug)]
pub struct Line {
    /// The decision.
    pub made: Made,
    /// As in the answer's header.
    pub decision_id: DecisionId,
    /// Where the route's path stands.
    pub route: Arc<RouteMetrics>,
    /// Of the answer; 499 where the caller hung up.
    pub status: u16,
    /// From the head to the answer.
    pub duration: Duration,
    /// Of the answer.
    pub time: SystemTime,
}

/// 128 random bits in hex, by which a request is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionId([u8; 32]);

impl DecisionId {
    /// A new one, from the machine's randomness; all zeros where it has none to give.
    pub fn random() -> Self {
        let bits = POOL.try_with(|pool| pool.borrow_mut().take()).unwrap_or_default();
        Self(digits(&bits))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// For the answer's header.
    pub fn header(&self) -> HeaderValue {
        // Digits are a header's value.
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whether it is among this share, 0.0 to 1.0, of all.
    pub fn is_among(&self, share: f64) -> bool {
        let head = self.as_str().get(..8).and_then(|head| u32::from_str_radix(head, 16).ok()).unwrap_or(0);
        f64::from(head) < share * 4_294_967_296.0
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bits: [[0; 16]; 32], left: 0 }) };
}

/// Random bits for the next ids of a thread: to ask for them costs the same for one id and for 32.
struct Pool {
    bits: [[u8; 16]; 32],
    left: usize,
}

impl Pool {
    fn take(&mut self) -> [u8; 16] {
        if self.left == 0 {
            if aws_lc_rs::rand::fill(self.bits.as_flattened_mut()).is_err() {
                return [0; 16];
            }
            self.left = self.bits.len();
        }
        self.left -= 1;
        self.bits.get_mut(self.left).map(std::mem::take).unwrap_or_default()
    }
}

impl Made {
    /// Whether it leaves a line: not one of the permitted that are not sampled.
    pub fn is_logged(&self, decision_id: &DecisionId) -> bool {
        let (plan, share) = (&self.decided.plan, self.snapshot.settings.audit_permitted);
        let permitted = plan.refused.is_empty() && plan.decision == Decision::Permitted && !self.unverified;
        !permitted || share >= 1.0 || decision_id.is_among(share)
    }
}

/// Makes lines. Keeps the text of the second that it is.
#[derive(Debug, Default)]
pub struct Writer {
    second: Option<u64>,
    text: String,
}

impl Writer {
    /// Appends a line's object without the brace at its end.
    pub fn append(&mut self, line: &Line, out: &mut Vec<u8>) {
        self.write(line, line.made.decided.audit(), out);
    }

    /// The same with no more than so many of what was refused; `more` has the number of the others. Outputs are not in it.
    pub fn short(&mut self, line: &Line, most: usize) -> Vec<u8> {
        let plan = &line.made.decided.plan;
        let audit = plan.enforcement == Enforcement::Audit;
        let of_plan = json!({
            "decision": plan.decision.name(),
            "refused": refused(plan, most),
            "more": plan.refused.len().saturating_sub(most),
            "enforcement": audit.then_some("audit"),
        });
        let mut out = Vec::new();
        self.write(line, &members(&of_plan), &mut out);
        out
    }

    fn write(&mut self, line: &Line, of_plan: &str, out: &mut Vec<u8>) {
        let Line { made, decision_id, route, status, duration, time } = line;
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(time.as_secs()) {
            self.second = Some(time.as_secs());
            self.text = second(time);
        }
        let digest = &made.snapshot.rules.digest;
        // Writing to a Vec does not fail.
        let _ = write!(
            out,
            "{{\"time\":\"{}.{:06}Z\",\"decision_id\":\"{}\",\"generation\":{},\"policy_digest\":\"{digest}\",{}\"roles\":{},\"route\":",
            self.text,
            time.subsec_micros(),
            decision_id.as_str(),
            made.snapshot.generation,
            made.caller.memo().audit,
            made.tables.names,
        );
        json::write_string(out, &route.route);
        out.push(b',');
        out.extend_from_slice(of_plan.as_bytes());
        if made.unverified {
            out.extend_from_slice(b"\"unverified\":true,");
        }
        let _ = write!(out, "\"status\":{status},\"duration_us\":{},\"trace_id\":", duration.as_micros());
        match made.trace_id.as_ref().and_then(|id| std::str::from_utf8(id).ok()) {
            Some(id) => json::write_string(out, id),
            None => out.extend_from_slice(b"null"),
        }
    }
}

/// RFC 3339 to the second, in UTC and without the `Z`: `2026-11-23T08:00:00`.
fn second(time: Duration) -> String {
    let text = DateTime::from_unix_duration(Duration::from_secs(time.as_secs())).map(|time| time.to_string());
    text.unwrap_or_default().trim_end_matches('Z').to_owned()
}

/// What every line about a caller says of it: members of a JSON object, each with a comma behind it.
pub fn of_caller(claims: &Map<String, Value>, subjects: &Subjects) -> String {
    format!("\"caller\":{},\"issuer\":{},", json!(subject(claims, subjects)), json!(auth::issuer_of(claims)))
}

/// Who asked: `sub`, else `client_id`, else `azp`, of a certificate its thumbprint; hashed with the issuer unless the
/// configuration says plain.
fn subject(claims: &Map<String, Value>, subjects: &Subjects) -> String {
    let named = |claim: &str| claims.get(claim).and_then(|value| value.as_str());
    let who = named("sub").or(named("client_id")).or(named("azp"));
    let who = who.or(auth::thumbprint_of(claims)).unwrap_or_default();
    let joined = || [auth::issuer_of(claims), "\0", who].concat();
    let hash = match subjects {
        Subjects::Plain => return shown(who),
        Subjects::Hashed(Some(key)) => hmac::sign(key, joined().as_bytes()).as_ref().to_vec(),
        Subjects::Hashed(None) => digest::digest(&digest::SHA256, joined().as_bytes()).as_ref().to_vec(),
    };
    hex(hash.first_chunk::<16>().map_or(&[], |half| half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_comes_twice() {
        let ids: std::collections::HashSet<String> =
            (0..200).map(|_| DecisionId::random().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 200);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
