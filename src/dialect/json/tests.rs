//! The whole way of a query to a described server: `request` and `plan` take a step each, `way` goes all of it.

mod attacks;
mod plan;
mod request;

use std::sync::Arc;

use super::Description;
use super::plan::{Permit, Query};
use super::request::{Incoming, Request, read, rewrite};
use crate::config::Enforcement;
use crate::diagnostic::SourceFile;
use crate::dialect::{self, Asker, Outcome, Plan};
use crate::policy::Policy;

/// Features of one view, a key, and roles over them.
const POLICY: &str = "
version: 1
roles:
  all: {}
  analyst: {tags: {pii: Deny}}
  cutter: {tags: {pii: Deny}, mode: filter}
  inside: {tags: {pii: AllowInternal}, mode: filter}
  strict: {tags: {pii: AllowInternal}}
  nothing: {default: Deny}
features:
  customer_id: {key: true}
  profile.age: {}
  profile.country: {}
  profile.ssn: {tags: [pii]}
  profile.digits: {inputs: [profile.ssn]}
  profile.basket: {}
bundles:
  plain: [profile.age, profile.country]
  whole: [profile.age, profile.ssn]
  pair: [{feature: profile.age, as: buyer_age}, {feature: profile.country, as: ssn}]
";

fn policy(rules: &str) -> Policy {
    let source = Arc::new(SourceFile { name: "policy.yaml".into(), text: rules.into() });
    let (policy, report) = crate::policy::load(&[source], &[]);
    policy.unwrap_or_else(|| panic!("{report}"))
}

fn description(text: &str) -> Description {
    let source = Arc::new(SourceFile { name: "dialect.yaml".into(), text: format!("version: 1\n{text}") });
    let (description, report) = super::reader::load(&source);
    description.unwrap_or_else(|| panic!("{report}"))
}

/// A description with one route and an answer that does not matter.
fn route(rest: &str) -> Description {
    description(&format!("routes:\n- {rest}\n  answer: {{shape: objects, at: /values}}\n"))
}

fn incoming<'b>(target: &'b str, body: &'b str) -> Incoming<'b> {
    let (path, parameters) = target.split_once('?').unwrap_or((target, ""));
    Incoming { path, parameters, body: body.as_bytes() }
}

fn reads<'b>(description: &'b Description, target: &'b str, body: &'b str) -> Result<Request<'b>, String> {
    read(&description.routes[0], 0, incoming(target, body)).map_err(|invalid| invalid.0)
}

fn planned(policy: &Policy, roles: &str, query: &Query<'_>) -> Plan {
    let roles: Vec<_> =
        roles.split_whitespace().map(|role| policy.role_id(role).unwrap_or_else(|| panic!("no role {role}"))).collect();
    let index = dialect::Index::new(policy, dialect::chalk::plan::Settings::default());
    let asker = Asker { roles: &roles, tables: &policy.tables(&roles), mode: policy.mode_of(&roles) };
    dialect::Query::Json(query).plan(policy, &index, asker, Enforcement::Enforce)
}

fn permit(plan: &Plan) -> &Permit {
    match &plan.outcome {
        Outcome::Permit(dialect::Permit::Json(permit)) => permit,
        other => panic!("not permitted: {other:?}"),
    }
}

/// What becomes of a request: `sent`, `refused` or `invalid`, and the text of it.
fn sent(policy: &Policy, description: &Description, roles: &str, target: &str, body: &str) -> String {
    let request = match reads(description, target, body) {
        Ok(request) => request,
        Err(error) => return format!("invalid {error}"),
    };
    let plan = planned(policy, roles, &request.query);
    match &plan.outcome {
        Outcome::Permit(dialect::Permit::Json(permit)) => {
            let rewritten = rewrite(&request, permit);
            let later = if permit.on_answer { " later" } else { "" };
            format!("sent{later} {} {}", rewritten.path, String::from_utf8(rewritten.body).unwrap())
        }
        Outcome::Permit(other) => panic!("a permit of another dialect: {other:?}"),
        Outcome::Refuse(names) => format!("refused {}", names.join(" ")),
        Outcome::Invalid(error) => format!("invalid {error}"),
    }
}
