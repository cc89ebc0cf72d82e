//! The audit line of a decision (config.md, Audit line).

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use serde_json::{Map, Value, json};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::auth::{self, Caller};
use crate::config::Enforcement;
use crate::dialect::{Decision, Plan, shown};
use crate::hex::hex;
use crate::policy::settings::Mode;
use crate::snapshot::{CallerTables, Decided, Snapshot, Subjects};

/// What a plan says in every line about it: members of a JSON object, each with a comma behind it.
pub fn of_plan(plan: &Plan) -> String {
    let decision = match plan.decision {
        Decision::Filtered => "filtered",
        Decision::Permitted => "permitted",
        Decision::Refused => "refused",
    };
    let refused: Vec<_> = plan
        .refused
        .iter()
        .map(|r| json!({"feature": r.feature, "permission": r.permission.name(), "rule": r.rule, "tag": r.tag}))
        .collect();
    let declassified: Vec<_> =
        plan.declassified.iter().map(|(feature, via)| json!({"feature": shown(feature), "via": via})).collect();
    let mode = match plan.mode {
        Mode::Reject => "reject",
        Mode::Filter => "filter",
    };
    let mut whole = json!({
        "query": plan.bundle.as_deref().map(shown),
        "outputs": plan.outputs,
        "supplied": plan.supplied,
        "reads": plan.reads,
        "mode": mode,
        "decision": decision,
        "refused": refused,
        "declassified": declassified,
    });
    if let (Enforcement::Audit, Some(members)) = (plan.enforcement, whole.as_object_mut()) {
        // The decision was not carried out.
        members.insert("enforcement".to_owned(), json!("audit"));
    }
    let text = whole.to_string();
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default();
    format!("{inside},")
}

/// Whose decision a line is about.
pub struct Of<'l> {
    /// What it was decided by.
    pub snapshot: &'l Snapshot,
    /// Who asked.
    pub caller: &'l Caller,
    /// The caller's roles.
    pub tables: &'l CallerTables,
    /// What was decided.
    pub decided: &'l Decided,
}

/// How a request ended.
pub struct How<'l> {
    /// As in the answer's header.
    pub decision_id: &'l str,
    /// The route's path.
    pub route: &'l str,
    /// Of a valid `traceparent`.
    pub trace_id: Option<&'l str>,
    /// Passed on without having been verified (`enforcement: audit` alone).
    pub unverified: bool,
    /// Of the answer; 499 where the caller hung up.
    pub status: u16,
    /// From the head to the answer.
    pub duration: Duration,
}

/// One line, with its line feed.
pub fn line(of: &Of<'_>, how: &How<'_>) -> Vec<u8> {
    let mut line = String::with_capacity(of.decided.audit.len() + 512);
    line.push_str("{\"time\":\"");
    // Writing to a String does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    let _ = write!(
        line,
        "\",\"decision_id\":\"{}\",\"generation\":{},\"policy_digest\":\"{}\",{}\"roles\":{},\"route\":{},",
        how.decision_id,
        of.snapshot.generation,
        of.snapshot.rules.digest,
        of.caller.memo().audit,
        of.tables.names,
        json!(how.route),
    );
    line.push_str(&of.decided.audit);
    if how.unverified {
        line.push_str("\"unverified\":true,");
    }
    let _ = write!(
        line,
        "\"status\":{},\"duration_us\":{},\"trace_id\":{}}}",
        how.status,
        how.duration.as_micros(),
        json!(how.trace_id)
    );
    line.push('\n');
    line.into_bytes()
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

/// The trace id of a W3C `traceparent`, where it is one.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let fine = version == "00" && hex(id, 32) && hex(parent, 16) && hex(flags, 2) && parts.next().is_none();
    (fine && id.bytes().any(|b| b != b'0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_gives_its_id() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_id(&format!("00-{id}-b7ad6b7169203331-01")), Some(id));
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-\"injected\"-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_id(wrong), None, "{wrong}");
        }
    }
}
