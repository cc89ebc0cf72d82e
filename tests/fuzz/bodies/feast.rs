//! Feast: a request, and behind a byte 0 its answer, over HTTP, gRPC, as a search or as a write. What goes upstream asks for
//! nothing that is denied, and nothing that is denied comes back.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use tagwarden::config::Enforcement;
use tagwarden::diagnostic::SourceFile;
use tagwarden::dialect::feast::rpc::proto::{GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, Kind};
use tagwarden::dialect::feast::{self, Permit, rpc, search, write};
use tagwarden::dialect::{Answer, Asker, Index, Outcome, Permit as Any, Query, chalk, strict};
use tagwarden::policy::{Policy, load};

use super::parts;

const POLICY: &str = "\
version: 1
roles:
  reader: {tags: {pii: Deny, internal: AllowInternal}}
  cutter: {mode: filter, tags: {pii: Deny, internal: AllowInternal}}
bindings:
  - {roles: [reader], when: {groups: readers}}
features:
  customer_id: {key: true}
  val: {key: true}
  customer:age: {joins: [customer_id]}
  customer:country: {joins: [customer_id]}
  customer:income: {tags: [internal], joins: [customer_id]}
  customer:ssn: {tags: [pii], joins: [customer_id]}
  basket:ratio: {inputs: [customer:income, val]}
  basket:digits: {inputs: [customer:ssn]}
bundles:
  open: [customer:age, customer:country]
  mixed: [customer:age, customer:ssn]
";
/// What no answer may have. Features that are internal are computed with, and not returned.
const KEPT: [&str; 4] = ["customer:income", "customer:ssn", "basket:digits", "basket:nothing"];

struct World {
    policy: Policy,
    index: Index,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let file = Arc::new(SourceFile { name: "policy.yaml".to_owned(), text: POLICY.to_owned() });
    let (policy, report) = load(&[file], &[]);
    let policy = policy.unwrap_or_else(|| panic!("{report}"));
    let index = Index::new(&policy, chalk::plan::Settings::default());
    World { policy, index }
});

fn decided(query: &Query<'_>, role: &str) -> Option<Box<Permit>> {
    let World { policy, index } = &*WORLD;
    let roles = [policy.role_id(role).expect("a role")];
    let asker = Asker { roles: &roles, tables: &policy.tables(&roles), mode: policy.mode_of(&roles) };
    match query.plan(policy, index, asker, Enforcement::Enforce).outcome {
        Outcome::Permit(Any::Feast(permit)) => Some(permit),
        Outcome::Permit(Any::FeastWrite(_)) | Outcome::Refuse(_) | Outcome::Invalid(_) => None,
        Outcome::Permit(Any::Chalk(_) | Any::Json(_)) => panic!("a permit of another dialect"),
    }
}

fn is_open(reference: &str) -> bool {
    ["customer:age", "customer:country", "basket:ratio"].contains(&reference)
}

/// One run; the first byte says which.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let role = if first & 1 == 0 { "reader" } else { "cutter" };
    match first >> 1 & 3 {
        0 => query(rest, role),
        1 => call(rest, role),
        2 => searched(rest, role),
        _ => written(rest, role),
    }
}

fn query(data: &[u8], role: &str) {
    let [body, answer] = parts(data);
    let Ok(request) = feast::read(body) else { return };
    let Some(permit) = decided(&Query::Feast(&request), role) else { return };
    let sent = feast::rewrite(&request, &permit);
    let tree: Value = serde_json::from_slice(&sent).expect("what is sent is JSON");
    asks(tree["features"].as_array().map(|all| all.iter().filter_map(Value::as_str)), tree["feature_service"].as_str());
    assert_eq!(tree["full_feature_names"], true);
    let again = feast::read(&sent).expect("what is sent is read");
    assert_eq!(again.rows, request.rows);
    if let Ok(left) = feast::filter(answer, &request, &permit) {
        let left = match left {
            Answer::AsItCame => answer.to_vec(),
            Answer::Cut { body, .. } => body.whole(answer),
        };
        let tree: Value = serde_json::from_slice(&left).expect("what is answered is JSON");
        let names = tree["metadata"]["feature_names"].as_array().expect("names");
        assert_eq!(names.len(), tree["results"].as_array().expect("columns").len());
        let given: Vec<&str> = request.entities.iter().map(|entity| &*entity.name).collect();
        names.iter().for_each(|name| may_pass(name.as_str().expect("a name"), &given));
    }
}

fn asks<'n>(features: Option<impl Iterator<Item = &'n str>>, service: Option<&str>) {
    assert!(features.is_some() != service.is_some(), "one of the two");
    features.into_iter().flatten().for_each(|name| assert!(is_open(name), "`{name}` goes upstream"));
    assert!(service.is_none_or(|name| name == "open"), "{service:?}");
}

fn may_pass(name: &str, given: &[&str]) {
    let is = |kept: &str| {
        let (view, feature) = kept.split_once(':').expect("a view");
        name == feature || name == format!("{view}__{feature}") || name == kept
    };
    assert!(given.contains(&name) || !KEPT.iter().any(|kept| is(kept)), "`{name}` is answered");
}

fn call(data: &[u8], role: &str) {
    // A length, since messages have bytes 0.
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let (message, answer) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    let Ok(message) = strict::decode::<GetOnlineFeaturesRequest>(&Bytes::copy_from_slice(message)) else { return };
    let Ok(request) = rpc::read(&message) else { return };
    let Some(permit) = decided(&Query::Feast(&request), role) else { return };
    let sent = rpc::rewrite(&message, &request, &permit);
    let sent = strict::decode::<GetOnlineFeaturesRequest>(&sent.into()).expect("what is sent is read");
    match &sent.kind {
        Some(Kind::Features(list)) => asks(Some(list.val.iter().map(String::as_str)), None),
        Some(Kind::FeatureService(name)) => asks(None::<std::iter::Empty<&str>>, Some(name)),
        None => panic!("nothing is asked for"),
    }
    if let Ok(left) = rpc::filter(&Bytes::copy_from_slice(answer), &request, &permit) {
        let left = GetOnlineFeaturesResponse::decode(left.message).expect("what is answered is read");
        let names = left.metadata.and_then(|metadata| metadata.feature_names).unwrap_or_default().val;
        assert_eq!(names.len(), left.results.len());
        let given: Vec<&str> = request.entities.iter().map(|entity| &*entity.name).collect();
        names.iter().for_each(|name| may_pass(name, &given));
    }
}

fn searched(data: &[u8], role: &str) {
    let [body, answer] = parts(data);
    if let Ok(store) = search::read_in_store(body) {
        let search = store.search("vs_1", Some("customer"));
        if let Some(permit) = decided(&Query::FeastSearch(&search), role) {
            let sent: Value = serde_json::from_slice(&store.rewrite(&permit)).expect("what is sent is JSON");
            let names = sent["metadata"]["features_to_retrieve"].as_array();
            let open = |name: &Value| name.as_str().is_some_and(|name| is_open(&format!("customer:{name}")));
            assert!(names.is_none_or(|names| names.iter().all(open)), "{sent}");
            let _ = search::filter_found(answer, "vs_1", &store, &permit);
        }
    }
    let Ok(request) = search::read(body) else { return };
    let Some(permit) = decided(&Query::FeastSearch(&request.search), role) else { return };
    let sent: Value = serde_json::from_slice(&request.rewrite(&permit)).expect("what is sent is JSON");
    let names = sent["features"].as_array().expect("features");
    assert!(names.iter().filter_map(Value::as_str).all(|name| is_open(name) || name == "distance"), "{sent}");
    if let Ok(Answer::Cut { body, .. }) = feast::filter_columns(answer, request.view_metadata, &permit) {
        let left: Value = serde_json::from_slice(&body.whole(answer)).expect("what is answered is JSON");
        let names = left["metadata"]["feature_names"].as_array().expect("names");
        names.iter().for_each(|name| may_pass(name.as_str().expect("a name"), &[]));
    }
}

fn written(data: &[u8], role: &str) {
    let [body, query] = parts(data);
    let query = std::str::from_utf8(query).ok().filter(|query| !query.is_empty());
    for kind in [write::Kinds::Push, write::Kinds::View, write::Kinds::Materialize, write::Kinds::Incremental] {
        if let Ok(request) = write::read(kind, body, query) {
            assert!(decided(&Query::FeastWrite(&request.write), role).is_none(), "a write returns nothing");
        }
    }
}
