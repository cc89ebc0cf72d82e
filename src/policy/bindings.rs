//! Why a caller's claims give the roles that they give: each binding, and each claim that it asks for.
//!
//! A claim's value is never shown, only what the policy asks for and what kind of value was found.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::policy::binding::{claim, holds};
use crate::policy::file::{BindingText, Wanted};

/// One binding held against a caller's claims (policy.md, Bindings).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BindingSeen {
    /// `file:line` of the binding.
    pub place: String,
    /// The roles that it gives.
    pub roles: Vec<String>,
    /// Whether all its claims match.
    pub matched: bool,
    /// Every claim under `when`.
    pub claims: Vec<ClaimSeen>,
}

/// One claim that a binding asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimSeen {
    /// Its name, or a JSON pointer.
    pub claim: String,
    /// `file:line` of the claim in the policy.
    pub place: String,
    /// What the policy asks for, any of them, as JSON.
    pub wanted: Vec<String>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of one claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is there, with the wanted value that is named.
    Matched {
        /// One of `wanted`.
        by: String,
    },
    /// The caller has no such claim.
    Missing,
    /// It is of a kind that none of the wanted values has.
    OtherKind {
        /// The kind that was found.
        found: &'static str,
    },
    /// It is a list that holds none of the wanted values.
    NotInList,
    /// It has another value.
    OtherValue,
}

/// Holds every binding against a caller's claims, in the order of the files.
pub fn explain(bindings: &[BindingText], claims: &Map<String, Value>) -> Vec<BindingSeen> {
    bindings
        .iter()
        .map(|binding| {
            let seen: Vec<ClaimSeen> = binding
                .when
                .iter()
                .map(|(name, wanted)| ClaimSeen {
                    claim: name.value.clone(),
                    place: name.place.file_line(),
                    wanted: wanted.iter().map(shown).collect(),
                    outcome: outcome(&name.value, claim(claims, &name.value), wanted),
                })
                .collect();
            BindingSeen {
                place: binding.place.file_line(),
                roles: binding.roles.iter().map(|role| role.value.clone()).collect(),
                matched: !seen.is_empty() && seen.iter().all(ClaimSeen::matched),
                claims: seen,
            }
        })
        .collect()
}

fn outcome(name: &str, found: Option<&Value>, wanted: &[Wanted]) -> Outcome {
    let Some(found) = found else { return Outcome::Missing };
    if let Some(by) = wanted.iter().find(|wanted| holds(name, found, wanted)) {
        return Outcome::Matched { by: shown(by) };
    }
    if found.is_array() {
        return Outcome::NotInList;
    }
    let alike = wanted.iter().any(|wanted| match wanted {
        Wanted::Str(_) => found.is_string(),
        Wanted::Int(_) => found.is_number(),
        Wanted::Bool(_) => found.is_boolean(),
    });
    if alike { Outcome::OtherValue } else { Outcome::OtherKind { found: kind(found) } }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn shown(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Str(text) => Value::from(text.as_str()).to_string(),
        Wanted::Int(number) => number.to_string(),
        Wanted::Bool(value) => value.to_string(),
    }
}

impl ClaimSeen {
    /// Whether it is there as the policy wants it.
    pub fn matched(&self) -> bool {
        matches!(self.outcome, Outcome::Matched { .. })
    }

    fn text(&self) -> String {
        let (claim, wanted) = (&self.claim, self.wanted.join(" or "));
        match &self.outcome {
            Outcome::Matched { by } => format!("`{claim}` is {by}"),
            Outcome::Missing => format!("`{claim}` is missing ({})", self.place),
            Outcome::OtherKind { found } => format!("`{claim}` is {found}, not {wanted} ({})", self.place),
            Outcome::NotInList => format!("`{claim}` is a list without {wanted} ({})", self.place),
            Outcome::OtherValue => format!("`{claim}` is not {wanted} ({})", self.place),
        }
    }
}

/// One line a binding, for people: all claims of one that matches, the failing ones of one that does not.
pub fn text(bindings: &[BindingSeen]) -> String {
    let mut text = String::from("bindings:\n");
    if bindings.is_empty() {
        text.push_str("  the policy has none\n");
    }
    for binding in bindings {
        let claims: Vec<String> =
            binding.claims.iter().filter(|claim| claim.matched() == binding.matched).map(ClaimSeen::text).collect();
        let verdict = if binding.matched { "matches" } else { "does not match" };
        writeln!(text, "  {} ({}) {verdict}: {}", binding.place, binding.roles.join(", "), claims.join("; ")).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::diagnostic::{Report, SourceFile};
    use crate::policy::file::{self, LayerKind};

    const POLICY: &str = r#"version: 1
roles: {app: null, analyst: null}
bindings:
  - roles: [app]
    when: {iss: "https://idp.example/", client_id: [fraud-svc, risk-svc]}
  - roles: [analyst]
    when:
      /realm_access/roles: analysts
      level: 3
      scope: read
  - {roles: [app, analyst], when: {admin: true, level: "4"}}
"#;

    fn seen(claims: &Value) -> Vec<BindingSeen> {
        let file = Arc::new(SourceFile { name: "p.yaml".into(), text: POLICY.into() });
        let mut report = Report::default();
        let layer = file::read(LayerKind::Policy, &[file], &mut report);
        assert!(!report.has_errors(), "{report}");
        explain(&layer.bindings, claims.as_object().unwrap())
    }

    #[test]
    fn each_claim_tells_what_came_of_it_and_never_its_value() {
        let claims = json!({
            "iss": "https://idp.example/", "client_id": "risk-svc", "level": 7, "scope": "write secret-scope",
            "realm_access": {"roles": ["secret-role"]}, "admin": "secret-admin"
        });
        let shown = text(&seen(&claims));
        assert_eq!(
            shown,
            "bindings:\n  \
             p.yaml:4 (app) matches: `iss` is \"https://idp.example/\"; `client_id` is \"risk-svc\"\n  \
             p.yaml:6 (analyst) does not match: `/realm_access/roles` is a list without \"analysts\" (p.yaml:8); \
             `level` is not 3 (p.yaml:9); `scope` is not \"read\" (p.yaml:10)\n  \
             p.yaml:11 (app, analyst) does not match: `admin` is a text, not true (p.yaml:11); \
             `level` is a number, not \"4\" (p.yaml:11)\n"
        );
        assert!(!shown.contains("secret") && !shown.contains('7'));
        assert!(!serde_json::to_string(&seen(&claims)).unwrap().contains("secret"));
    }

    #[test]
    fn a_claim_that_is_not_there_is_missing() {
        let seen = seen(&json!({"scope": "read", "level": 3}));
        let outcomes: Vec<&Outcome> =
            seen.iter().flat_map(|binding| &binding.claims).map(|claim| &claim.outcome).collect();
        let by = |text: &str| Outcome::Matched { by: text.to_owned() };
        assert_eq!(
            outcomes,
            [
                &Outcome::Missing,
                &Outcome::Missing,
                &Outcome::Missing,
                &by("3"),
                &by("\"read\""),
                &Outcome::Missing,
                &Outcome::OtherKind { found: "a number" },
            ]
        );
        assert!(seen.iter().all(|binding| !binding.matched));
    }

    #[test]
    fn what_stands_beside_an_issuer_is_no_certificates_claim() {
        let wanted = [Wanted::Str("batch".to_owned())];
        let of = |claims: &Value, name: &str| {
            let claims = claims.as_object().unwrap();
            outcome(name, claim(claims, name), &wanted)
        };
        for name in ["cert.cn", "/cert.cn", "cert.san", "/cert.san/0"] {
            let mut claims = json!({"cert.cn": "batch", "cert.san": ["batch"]});
            assert_eq!(of(&claims, name), Outcome::Matched { by: "\"batch\"".to_owned() }, "{name}");
            claims["iss"] = json!("https://idp.example/");
            assert_eq!(of(&claims, name), Outcome::Missing, "{name}");
        }
        // A nested one is a token's own.
        let claims = json!({"iss": "https://idp.example/", "cert": {"cn": "batch"}});
        assert_eq!(of(&claims, "/cert/cn"), Outcome::Matched { by: "\"batch\"".to_owned() });
        assert_eq!(of(&claims, "cert.cn"), Outcome::Missing);
    }
}
