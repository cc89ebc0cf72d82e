//! The audit line of a decision (config.md, Audit line).

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use serde_json::json;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::auth::Caller;
use crate::dialect::feast::{Outcome, Plan};
use crate::dialect::shown;
use crate::policy::settings::Mode;
use crate::snapshot::{CallerTables, Decided, Snapshot, Subjects};

/// What a plan says in every line about it: members of a JSON object, each with a comma behind it.
pub fn of_plan(plan: &Plan) -> String {
    let decision = match &plan.outcome {
        Outcome::Permit(permit) if permit.filtered > 0 => "filtered",
        Outcome::Permit(_) => "permitted",
        Outcome::Refuse(_) | Outcome::Invalid(_) => "refused",
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
    let whole = json!({
        "query": plan.service.as_deref().map(shown),
        "outputs": plan.outputs,
        "supplied": plan.supplied,
        "reads": [],
        "mode": mode,
        "decision": decision,
        "refused": refused,
        "declassified": declassified,
    });
    let text = whole.to_string();
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default();
    format!("{inside},")
}

/// One line, with its line feed.
#[expect(clippy::too_many_arguments, reason = "a line says all of it")]
pub fn line(
    snapshot: &Snapshot,
    caller: &Caller,
    tables: &CallerTables,
    decided: &Decided,
    decision_id: &str,
    route: &str,
    trace_id: Option<&str>,
    status: u16,
    duration: Duration,
) -> Vec<u8> {
    let mut line = String::with_capacity(decided.audit.len() + 512);
    line.push_str("{\"time\":\"");
    // Writing to a String does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    let _ = write!(
        line,
        "\",\"decision_id\":\"{decision_id}\",\"generation\":{},\"policy_digest\":\"{}\",\"caller\":{},\"issuer\":{},\"roles\":{},\"route\":{},",
        snapshot.generation,
        snapshot.digest,
        json!(subject(caller, &snapshot.settings.subjects)),
        json!(caller.issuer()),
        tables.names,
        json!(route),
    );
    line.push_str(&decided.audit);
    let _ =
        write!(line, "\"status\":{status},\"duration_us\":{},\"trace_id\":{}}}", duration.as_micros(), json!(trace_id));
    line.push('\n');
    line.into_bytes()
}

/// Who asked: `sub`, else `client_id`, else `azp`; hashed with the issuer unless the configuration says plain.
fn subject(caller: &Caller, subjects: &Subjects) -> String {
    let named = |claim: &str| caller.claims().get(claim).and_then(|value| value.as_str());
    let who = named("sub").or(named("client_id")).or(named("azp")).unwrap_or_default();
    let joined = || [caller.issuer(), "\0", who].concat();
    let hash = match subjects {
        Subjects::Plain => return shown(who),
        Subjects::Hashed(Some(key)) => hmac::sign(key, joined().as_bytes()).as_ref().to_vec(),
        Subjects::Hashed(None) => digest::digest(&digest::SHA256, joined().as_bytes()).as_ref().to_vec(),
    };
    hash.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
