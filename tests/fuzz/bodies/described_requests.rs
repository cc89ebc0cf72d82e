//! Requests to described servers: path, query string and body, between bytes 0; the first byte says by which route. What goes
//! upstream is read as the same query again and asks for nothing that is denied.

use std::sync::{Arc, LazyLock};

use tagwarden::config::Enforcement;
use tagwarden::diagnostic::SourceFile;
use tagwarden::dialect::json::description::Description;
use tagwarden::dialect::json::reader;
use tagwarden::dialect::json::request::{Incoming, read, rewrite};
use tagwarden::dialect::{Asker, Index, Outcome, Permit, Query, chalk};
use tagwarden::policy::{Policy, load};

use super::parts;

const POLICY: &str = "\
version: 1
roles:
  cutter: {tags: {pii: Deny}, mode: filter}
bindings:
  - {roles: [cutter], when: {groups: cutters}}
features:
  customer_id: {key: true}
  profile.age: {}
  profile.country: {}
  profile.ssn: {tags: [pii]}
  profile.digits: {inputs: [profile.ssn]}
";
const DESCRIPTION: &str = "\
version: 1
routes:
- path: /read
  names: \"profile.{name}\"
  request: {outputs: {body: /features/*}, supplied: [{body: /keys}], pass: [/trace]}
  answer: {shape: objects, at: /values}
- path: /records
  names: \"profile.{name}\"
  request: {outputs: {body: /want/*/feature/name}, pass: [/want/*/as]}
  answer: {shape: objects, at: /values}
- path: /get/{group}
  method: GET
  names: \"{group}.{name}\"
  request: {outputs: {query: f}}
  answer: {shape: objects, at: /values}
";

static WORLD: LazyLock<(Policy, Index, Description)> = LazyLock::new(|| {
    let file = |name: &str, text: &str| Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() });
    let (policy, report) = load(&[file("policy.yaml", POLICY)], &[]);
    let policy = policy.unwrap_or_else(|| panic!("{report}"));
    let (description, report) = reader::load(&file("json.yaml", DESCRIPTION));
    let description = description.unwrap_or_else(|| panic!("{report}"));
    let index = Index::new(&policy, chalk::plan::Settings::default());
    (policy, index, description)
});

/// One run.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let [path, parameters, body] = parts(rest);
    let (Ok(path), Ok(parameters)) = (std::str::from_utf8(path), std::str::from_utf8(parameters)) else { return };
    let (policy, index, description) = &*WORLD;
    let number = usize::from(*first) % description.routes.len();
    let route = &description.routes[number];
    if tagwarden::config::units::plain_path(path).is_none() || route.variables(path).is_none() {
        return;
    }
    let Ok(request) = read(route, number, Incoming { path, parameters, body }) else { return };
    let roles = [policy.role_id("cutter").expect("a role")];
    let asker = Asker { roles: &roles, tables: &policy.tables(&roles), mode: policy.mode_of(&roles) };
    let plan = Query::Json(&request.query).plan(policy, index, asker, Enforcement::Enforce);
    let Outcome::Permit(Permit::Json(permit)) = plan.outcome else { return };
    let sent = rewrite(&request, &permit);
    let (path, parameters) = sent.path.split_once('?').unwrap_or((&sent.path, ""));
    let again = read(route, number, Incoming { path, parameters, body: &sent.body }).expect("what is sent is read");
    let plan = Query::Json(&again.query).plan(policy, index, asker, Enforcement::Enforce);
    let asked: Vec<String> = plan.outputs.iter().map(|name| (*name).to_string()).collect();
    assert!(asked.iter().all(|name| ["profile.age", "profile.country"].contains(&&**name)), "{asked:?} go upstream");
    let Outcome::Permit(Permit::Json(permit)) = plan.outcome else { panic!("what is sent is permitted") };
    assert_eq!(permit.filtered, 0);
    assert_eq!(rewrite(&again, &permit), sent, "a second time changes nothing");
}
