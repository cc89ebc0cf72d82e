//! What the map says, where it says nothing, and how it is written.

use std::sync::Arc;

use prost::Message as _;

use super::*;
use crate::diagnostic::SourceFile;

/// The map of these roles: tags in their order and the default, as numbers of Chalk's.
fn of(policy: &str, catalogue: &str, roles: &[&str]) -> (Vec<(String, i32)>, i32) {
    let file = |name: &str, text: &str| Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() });
    let imported: Vec<_> =
        Some(file("catalogue.yaml", catalogue)).filter(|_| !catalogue.is_empty()).into_iter().collect();
    let (policy, report) = crate::policy::load(&[file("policy.yaml", policy)], &imported);
    let policy = policy.unwrap_or_else(|| panic!("{report}"));
    let mut roles: Vec<RoleId> = roles.iter().map(|role| policy.role_id(role).unwrap()).collect();
    roles.sort_unstable();
    let tables = if roles.is_empty() { Vec::new().into() } else { policy.tables(&roles) };
    let FeaturePermissions { tags, default_permission } = permissions(&policy, &tables);
    (tags.into_iter().collect(), default_permission.unwrap())
}

fn told(tags: &[(&str, i32)], default: i32) -> (Vec<(String, i32)>, i32) {
    (tags.iter().map(|(tag, permission)| ((*tag).to_owned(), *permission)).collect(), default)
}

const NOTHING: (&[(&str, i32)], i32) = (&[], DENY);
const ALLOW: i32 = 1;
const INTERNAL: i32 = 2;
const DENY: i32 = 3;
const DOWNSTREAM: i32 = 4;

const RULES: &str = "
version: 1
roles:
  limited: {tags: {pii: AllowInternal, secret: Deny, cleared: AllowDownstream}}
  open: {tags: {secret: Allow, beta: AllowInternal}}
  closed: {default: Deny, tags: {pii: Allow}}
  blocked: {tags: {pii: Allow}, blocklists: {compute: [pii], output: [hr]}}
features:
  user.id: {key: true}
  user.ssn: {tags: [pii]}
  user.key: {tags: [secret]}
  user.score: {inputs: [user.key]}
  user.avg: {tags: [cleared], inputs: [user.ssn]}
";

#[test]
fn a_role_is_told_as_it_is() {
    let limited = told(&[("cleared", DOWNSTREAM), ("pii", INTERNAL), ("secret", DENY)], ALLOW);
    assert_eq!(of(RULES, "", &["limited"]), limited);
    assert_eq!(of(RULES, "", &["closed"]), told(&[("pii", ALLOW)], DENY));
    assert_eq!(of(RULES, "", &["blocked"]), told(&[("hr", INTERNAL), ("pii", DENY)], ALLOW));
    // One role answers alone either way.
    assert_eq!(of(&format!("{RULES}combine: most_permissive\n"), "", &["limited"]), limited);
}

#[test]
fn several_roles_are_told_by_their_most_restrictive() {
    let both = told(&[("beta", INTERNAL), ("cleared", ALLOW), ("pii", INTERNAL), ("secret", DENY)], ALLOW);
    assert_eq!(of(RULES, "", &["limited", "open"]), both);
    let closed = told(&[("cleared", DENY), ("pii", INTERNAL), ("secret", DENY)], DENY);
    assert_eq!(of(RULES, "", &["limited", "closed"]), closed);
}

#[test]
fn what_the_form_cannot_say_is_nothing() {
    let (tags, default) = NOTHING;
    let nothing = told(tags, default);
    assert_eq!(of(&format!("{RULES}combine: most_permissive\n"), "", &["limited", "open"]), nothing);
    assert_eq!(of(RULES, "", &[]), nothing);

    // An internal value that flows into what has no tag.
    let flows = |feature: &str| of(&format!("{RULES}{feature}internal: flows\n"), "", &["limited"]);
    assert_eq!(flows("  user.copy: {inputs: [user.ssn]}\n"), nothing);
    assert_ne!(flows("  user.copy: {tags: [cleared], inputs: [user.ssn]}\n"), nothing);

    // Tags of the catalogue: where they would lift what the policy holds down, and where they count for nothing.
    let imported = |tag: &str| format!("version: 1\nfeatures:\n  user.other: {{tags: [{tag}]}}\n");
    for (setting, tag, said) in [
        ("", "cleared", false),
        ("", "pii", true),
        ("catalogue_tags: trust\n", "cleared", true),
        ("catalogue_tags: ignore\n", "cleared", false),
        ("catalogue_tags: ignore\n", "pii", true),
    ] {
        let found = of(&format!("{RULES}{setting}"), &imported(tag), &["limited"]);
        assert_eq!(found != nothing, said, "{setting}{tag}");
    }
}

#[test]
fn sources_out_of_reach_are_nothing_that_a_map_says() {
    let rules = |read: &str| {
        format!(
            "version: 1\nroles:\n  r: {{datasources: {{allow: [prod]}}, tags: {{secret: Deny}}}}\n\
             datasources:\n  pg: {{tags: [prod]}}\n  hr: {{}}\nfeatures:\n  user.id: {{key: true}}\n  user.name: {{{read}}}\n"
        )
    };
    let said = told(&[("secret", DENY)], ALLOW);
    assert_eq!(of(&rules("sources: [pg]"), "", &["r"]), said);
    assert_eq!(of(&rules("sources: [hr]"), "", &["r"]), told(&[], DENY));
    assert_eq!(of(&rules("sources: [hr], tags: [secret]"), "", &["r"]), said);
}

#[test]
fn the_answer_has_no_claims_and_no_slugs() {
    let permissions =
        FeaturePermissions { tags: [("pii".to_owned(), INTERNAL)].into(), default_permission: Some(ALLOW) };
    let bytes = answer(permissions.clone(), "svc", "envmock1").encode_to_vec();
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/wire/grpc_get_agent.GetAgent.resp.bin");
    let recorded = GetAgentResponse::decode(&*std::fs::read(recorded).unwrap()).unwrap();
    let agent = |answer: GetAgentResponse| match answer.agent.and_then(|agent| agent.agent) {
        Some(AgentKind::ServiceToken(agent)) => agent,
        other => panic!("{other:?}"),
    };
    let wanted = ServiceTokenAgent {
        id: "svc".to_owned(),
        client_id: "svc".to_owned(),
        team_id: String::new(),
        feature_permissions: Some(permissions),
        ..agent(recorded)
    };
    let found = agent(GetAgentResponse::decode(&*bytes).unwrap());
    assert_eq!(found, wanted);
    // Of the agent the fields 1, 2, 4 and 8 alone are on the wire.
    let inner = found.encode_to_vec();
    assert_eq!(bytes, [&[10, inner.len() as u8 + 2, 18, inner.len() as u8], &*inner].concat());
    assert_eq!([inner[0], inner[5], inner[10], inner[20]], [10, 18, 34, 66]);
}
