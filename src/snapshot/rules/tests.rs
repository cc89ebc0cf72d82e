//! What is decided is what would be decided without a cache, however a query is spelled.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::diagnostic::SourceFile;
use crate::dialect::{Decision, feast};

const CATALOGUE: &str = r#"
version: 1
features:
  "k": {key: true}
  "amount": {key: true, tags: [money]}
  "v:a": {joins: [k]}
  "v:b": {tags: [pii], joins: [k]}
  "w:a": {joins: [k]}
  "o:c": {inputs: [amount, "v:a"]}
  "o:d": {inputs: [amount, "v:b"]}
bundles:
  s: ["v:a", "v:b"]
"#;
const ROLES: &str = "
version: 1
roles:
  all: {}
  some: {tags: {pii: Deny}, mode: filter}
  strict: {tags: {pii: AllowInternal, money: Deny}}
";

fn rules(enforcement: Enforcement) -> Rules {
    let file = |name: &str, text: &str| [Arc::new(SourceFile { name: name.into(), text: text.into() })];
    let (policy, report) = crate::policy::load(&file("policy.yaml", ROLES), &file("catalogue.yaml", CATALOGUE));
    let policy = policy.unwrap_or_else(|| panic!("{report}"));
    Rules::new(Part::Live, String::new(), policy, enforcement, Settings::default(), 1000, &Metrics::new().unwrap())
}

/// Elements of a list of features: what is known, what is not, and what is no text.
const ELEMENTS: [&str; 14] = [
    r#""v:a""#,
    r#""\u0076:a""#,
    r#""v\u003aa""#,
    r#""v@latest:a""#,
    r#""v:b""#,
    r#""v:\u0062""#,
    r#""w:a""#,
    r#""o:c""#,
    r#""o:d""#,
    r#""gone:x""#,
    r#""x""#,
    r#""""#,
    "1",
    "null",
];

/// A body: how it is spelled says nothing of what it means.
fn body() -> impl Strategy<Value = String> {
    let known = select(ELEMENTS[..9].to_vec());
    let element = prop_oneof![12 => known, 1 => select(ELEMENTS.to_vec())];
    let space = || select(vec!["", "", " ", "\n\t"]);
    let list = (vec((space(), element, space()), 0..5), space()).prop_map(|(list, end)| {
        let elements: Vec<String> =
            list.iter().map(|(before, name, behind)| format!("{before}{name}{behind}")).collect();
        format!("\"features\":[{}{end}]", elements.join(","))
    });
    let wanted = prop_oneof![
        9 => list,
        1 => select(vec![r#""feature_service":"s""#, r#""feature_service":"gone""#, r#""features":{}"#]).prop_map(str::to_owned),
    ];
    let given =
        vec(select(vec!["1", "null", " 2 ", "\"x\""]), 1..3).prop_map(|values| format!("[{}]", values.join(",")));
    let entities = vec((select(vec!["k", "\\u006b", "amount", "z"]), given), 0..3);
    (wanted, entities, any::<bool>()).prop_map(|(wanted, entities, full)| {
        let entities: Vec<String> = entities.iter().map(|(name, values)| format!("\"{name}\":{values}")).collect();
        format!("{{{wanted},\"entities\":{{{}}},\"full_feature_names\":{full}}}", entities.join(","))
    })
}

/// All that a plan says, and what goes upstream by it.
fn told(plan: &Plan, request: &feast::Request<'_>) -> String {
    let outcome = match &plan.outcome {
        Outcome::Permit(Permit::Feast(permit)) => {
            let mut columns: Vec<String> = permit.columns.iter().map(|column| format!("{column:?}")).collect();
            columns.sort();
            let sent = String::from_utf8(feast::rewrite(request, permit)).unwrap();
            format!("{sent} {columns:?} {:?} {} {:?}", permit.entities, permit.filtered, permit.views)
        }
        other @ (Outcome::Permit(_) | Outcome::Refuse(_) | Outcome::Invalid(_)) => format!("{other:?}"),
    };
    format!("{outcome} {}", record::of_plan(plan))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_from_the_cache_is_what_is_decided(
        bodies in vec((body(), 0..3u16), 1..40),
        enforcement in select(vec![Enforcement::Enforce, Enforcement::Enforce, Enforcement::Audit]),
    ) {
        let rules = rules(enforcement);
        // Each twice: the second time it is there.
        for (body, role) in bodies.iter().chain(&bodies) {
            let Ok(request) = feast::read(body.as_bytes()) else { continue };
            let tables = rules.tables_of(&Arc::from([*role])).unwrap();
            let asker = Asker { roles: &tables.roles, tables: &tables.tables, mode: tables.mode };
            let query = Query::Feast(&request);
            let decided = rules.decide(&tables, query);
            let again = rules.decide(&tables, query);
            let plan = query.plan(&rules.policy, &rules.index, asker, enforcement);
            prop_assert_eq!(told(&decided.plan, &request), told(&plan, &request), "{}", body);
            prop_assert_eq!(decided.audit(), record::of_plan(&plan));
            prop_assert!(Arc::ptr_eq(&decided, &again), "{body} is decided twice");
        }
    }
}

#[test]
fn what_is_no_list_of_names_is_told_as_ever_and_never_taken_for_one_that_is() {
    let rules = rules(Enforcement::Enforce);
    let tables = rules.tables_of(&Arc::from([0])).unwrap();
    let decide = |list: &str| {
        let body = format!("{{\"features\":{list},\"entities\":{{\"k\":[1]}}}}");
        let request = match feast::read(body.as_bytes()) {
            Ok(request) => request,
            Err(invalid) => return invalid.0,
        };
        match &rules.decide(&tables, Query::Feast(&request)).plan {
            Plan { outcome: Outcome::Invalid(invalid), decision: Decision::Refused, .. } => invalid.0.clone(),
            plan => format!("{:?}", plan.decision),
        }
    };
    let many = format!("[{}]", vec!["\"v:a\""; 10_001].join(","));
    let no_text = "`features` holds something that is no text";
    for _ in 0..2 {
        assert_eq!(decide(r#"["v:a"]"#), "Permitted");
        assert_eq!(decide(r#"["v:a",1]"#), no_text);
        assert_eq!(decide(r#"[["v:a"]]"#), no_text);
        assert_eq!(decide("[null]"), no_text);
        assert_eq!(decide(r#"{"v:a":1}"#), "`features` is not a list");
        assert_eq!(decide("[ ]"), "neither `features` nor `feature_service` is given");
        assert_eq!(decide(&many), "`features` holds more than 10000 features");
    }
}
