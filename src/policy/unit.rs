//! Unit tests of a policy (config.md, Policy unit tests): read with the place of every mistake, run, and what they touch.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::diagnostic::{Code, Diagnostic, Place, Report, SourceFile};
use crate::policy::Policy;
use crate::policy::bindings;
use crate::policy::decide::{Name, Resolved};
use crate::policy::explain::{self, Files, Query, chain, text};
use crate::policy::permission::Permission;
use crate::policy::resolve::RoleId;
use crate::policy::settings::UnknownFeatures;
use crate::yaml::{self, Fields, Node, Reader};

/// One test.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it is called.
    pub name: String,
    /// Where it begins.
    pub place: Place,
    /// Who asks.
    pub caller: Caller,
    /// What the query supplies.
    pub supplied: Vec<String>,
    /// What it asks for.
    pub outputs: Vec<String>,
    /// What must come of it.
    pub expect: Expect,
}

/// Who asks in a test.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A holder of these roles.
    Roles(Vec<RoleId>),
    /// Whoever has these claims: they go through the bindings.
    Claims(Map<String, Json>),
}

/// What must come of a test; what is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// Whether the query may run.
    pub permitted: Option<bool>,
    /// Exactly what is refused.
    pub refused: Option<BTreeSet<String>>,
    /// What these features resolve to.
    pub permissions: Vec<(String, Permission)>,
}

/// Something that a test found and did not expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In one line.
    pub text: String,
    /// The features that it is about; each stands once in a test.
    pub features: Vec<String>,
    /// Why it is so, in lines for people; empty until [`Test::explain`] tells.
    pub explanation: Vec<String>,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Empty: it passed.
    pub differences: Vec<Difference>,
    /// The roles that the caller holds.
    pub roles: Vec<RoleId>,
}

/// Reads test files. Mistakes go to the report.
pub fn read(files: &[Arc<SourceFile>], policy: &Policy, report: &mut Report) -> Vec<Test> {
    let mut tests = Vec::new();
    for file in files {
        match yaml::parse(file) {
            Ok(node) => {
                let mut reader = TestReader { r: Reader { file: Arc::clone(file), report }, policy };
                reader.file(&node, &mut tests);
            }
            Err(diagnostic) => report.push(*diagnostic),
        }
    }
    tests
}

struct TestReader<'p, 'r> {
    r: Reader<'r>,
    policy: &'p Policy,
}

impl TestReader<'_, '_> {
    fn file(&mut self, node: &Node, tests: &mut Vec<Test>) {
        let Some(fields) = self.r.fields(node, "a test file", &["version", "tests"]) else { return };
        self.r.version(node, &fields);
        let Some(list) = fields.get("tests").and_then(|node| self.r.list(node, "`tests`")) else {
            self.r.error(node, Code::Missing, "the file has no list `tests`");
            return;
        };
        for item in list {
            tests.extend(self.test(item));
        }
    }

    fn test(&mut self, node: &Node) -> Option<Test> {
        let keys = &["name", "roles", "caller", "supplied", "outputs", "expect"];
        let fields = self.r.fields(node, "a test", keys)?;
        let name = match fields.get("name") {
            Some(name) => self.r.text(name, "`name`")?.to_owned(),
            None => {
                self.r.error(node, Code::Missing, "a test without `name`");
                return None;
            }
        };
        let caller = self.caller(node, &fields)?;
        let supplied = self.features(fields.get("supplied"), "`supplied`");
        let outputs = self.features(fields.get("outputs"), "`outputs`");
        let expect = match fields.get("expect") {
            Some(expect) => self.expect(expect)?,
            None => {
                self.r.error(node, Code::Missing, format!("test `{name}` has no `expect`, so it could not fail"));
                return None;
            }
        };
        Some(Test { name, place: self.r.place(node), caller, supplied, outputs, expect })
    }

    fn caller(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Caller> {
        match (fields.get("roles"), fields.get("caller")) {
            (Some(roles), None) => {
                let mut ids = Vec::new();
                let items = self.r.list(roles, "`roles`")?;
                if items.is_empty() {
                    self.r.error(roles, Code::Empty, "`roles` of a test is empty");
                }
                for item in items {
                    let name = self.r.text(item, "a role")?;
                    match self.policy.role_id(name) {
                        Some(id) => ids.push(id),
                        None => {
                            let place = self.r.place(item);
                            self.r.report.push(
                                Diagnostic::new(Code::UnknownRole, &place, format!("role `{name}` does not exist"))
                                    .suggest(name, self.policy.role_names()),
                            );
                        }
                    }
                }
                ids.sort_unstable();
                ids.dedup();
                Some(Caller::Roles(ids)).filter(|_| !items.is_empty())
            }
            (None, Some(claims)) => match claims.value.as_json() {
                Json::Object(claims) => Some(Caller::Claims(claims)),
                _ => {
                    self.r.error(claims, Code::WrongKind, "`caller` is no map of claims");
                    None
                }
            },
            (Some(_), Some(_)) | (None, None) => {
                self.r.error(node, Code::TestCaller, "a test has either `roles` or `caller`");
                None
            }
        }
    }

    fn features(&mut self, node: Option<&Node>, what: &str) -> Vec<String> {
        let Some(items) = node.and_then(|node| self.r.list(node, what)) else { return Vec::new() };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            let Some(name) = self.r.text(item, &format!("an item of {what}")) else { continue };
            self.known(item, name);
            names.push(name.to_owned());
        }
        names
    }

    /// A name outside the catalogue is most likely a slip; a test of how such a name is treated says so by the policy's
    /// `unknown_features: default`.
    fn known(&mut self, node: &Node, name: &str) {
        let unknown = self.policy.catalogue.id(name).is_none();
        if unknown && self.policy.settings.unknown_features == UnknownFeatures::Deny {
            let place = self.r.place(node);
            let known = self.policy.catalogue.features().iter().map(|feature| &*feature.name);
            self.r.report.push(
                Diagnostic::new(Code::UnknownFeature, &place, format!("feature `{name}` does not exist"))
                    .suggest(name, known),
            );
        }
    }

    fn expect(&mut self, node: &Node) -> Option<Expect> {
        let fields = self.r.fields(node, "`expect`", &["permitted", "refused", "permissions"])?;
        let mut expect = Expect::default();
        let mistakes = self.r.report.diagnostics.len();
        if let Some(node) = fields.get("permitted") {
            expect.permitted = self.r.boolean(node, "`permitted`");
        }
        if let Some((_, node)) = fields.raw("refused") {
            expect.refused = Some(self.features(Some(node), "`refused`").into_iter().collect());
        }
        if let Some(entries) = fields.get("permissions").and_then(|node| self.r.entries(node, "`permissions`")) {
            for (key, value) in entries {
                let words = Permission::ALL.map(|permission| (permission.name(), permission));
                if let Some(permission) = self.r.word(value, &format!("the permission of `{}`", key.name), &words) {
                    expect.permissions.push((key.name.clone(), permission));
                }
            }
        }
        let empty = expect.permitted.is_none() && expect.refused.is_none() && expect.permissions.is_empty();
        // What is misspelt in it was told.
        if empty && self.r.report.diagnostics.len() == mistakes {
            self.r.error(node, Code::Empty, "`expect` expects nothing, so the test could not fail");
        }
        Some(expect)
    }
}

impl Test {
    /// Runs it.
    pub fn run(&self, policy: &Policy) -> Outcome {
        let roles = match &self.caller {
            Caller::Roles(roles) => roles.clone(),
            Caller::Claims(claims) => policy.roles_of(claims),
        };
        let mut differences: Vec<Difference> = Vec::new();
        let mut differs = |text: String, features: &[&str]| {
            let told = |feature: &str| differences.iter().any(|before| before.features.iter().any(|f| f == feature));
            let features = features.iter().filter(|feature| !told(feature)).map(|f| (*f).to_owned()).collect();
            if !differences.iter().any(|before| before.text == text) {
                differences.push(Difference { text, features, explanation: Vec::new() });
            }
        };
        if roles.is_empty() {
            // Such a caller is forbidden everything: that is what a test of it can expect.
            let forbidden = Expect { permitted: Some(false), ..Expect::default() };
            if self.expect != forbidden {
                differs("no binding gives this caller a role, so `permitted: false` is all there is".to_owned(), &[]);
            }
            return Outcome { differences, roles };
        }
        let tables = policy.tables(&roles);
        let supplied: Vec<Name<'_>> = self.supplied.iter().map(|name| Name::of(policy, name)).collect();
        let outputs: Vec<Name<'_>> = self.outputs.iter().map(|name| Name::of(policy, name)).collect();
        let resolved = Resolved::new(policy, &tables, &supplied);
        let decision = resolved.decide(&outputs);
        let why = |name: &str| {
            let name = Name::of(policy, name);
            let verdict = resolved.verdict(&name, false);
            let tag = resolved.deciding_tag(&name).filter(|_| matches!(verdict.rule, 1 | 3 | 7));
            let tag = tag.map(|tag| format!(", tag `{tag}`")).unwrap_or_default();
            format!("{} by rule {}{tag}", verdict.permission, verdict.rule)
        };
        let mut refused: BTreeSet<String> =
            decision.refused_supplied.iter().filter_map(|at| self.supplied.get(*at)).cloned().collect();
        let held = self.outputs.iter().zip(&decision.outputs).filter(|(_, v)| !v.permission.returnable());
        refused.extend(held.map(|(name, _)| name.clone()));
        if let Some(permitted) = self.expect.permitted.filter(|permitted| *permitted != decision.permitted) {
            let asked: Vec<&str> = self.outputs.iter().map(String::as_str).collect();
            let text = format!("permitted: expected {permitted}, is {}", decision.permitted);
            differs(text, if permitted { &[] } else { &asked });
            for name in &refused {
                differs(format!("`{name}` is refused: {}", why(name)), &[name]);
            }
        }
        if let Some(expected) = &self.expect.refused {
            for name in expected.difference(&refused) {
                differs(format!("`{name}` is not refused: {}", why(name)), &[name]);
            }
            for name in refused.difference(expected) {
                differs(format!("`{name}` is refused and was not expected to be: {}", why(name)), &[name]);
            }
        }
        for (name, permission) in &self.expect.permissions {
            if resolved.verdict(&Name::of(policy, name), false).permission != *permission {
                differs(format!("`{name}`: expected {permission}, is {}", why(name)), &[name]);
            }
        }
        Outcome { differences, roles }
    }

    /// Tells for each difference what of the files decides it: the lineage of a feature down to what made it so, the
    /// bindings where the caller has no role. Nothing for a test that passed.
    pub fn explain(&self, policy: &Policy, files: &Files<'_>, outcome: &mut Outcome) {
        if outcome.differences.is_empty() {
            return;
        }
        if let (true, Caller::Claims(claims)) = (outcome.roles.is_empty(), &self.caller) {
            let seen = bindings::text(&bindings::explain(&files.rules.bindings, claims));
            for difference in &mut outcome.differences {
                difference.explanation = seen.lines().map(text::plain).collect();
            }
            return;
        }
        let outputs = outcome.differences.iter().flat_map(|difference| &difference.features).cloned().collect();
        let roles = outcome.roles.iter().map(|role| policy.role_name(*role).to_owned()).collect();
        let query = Query { roles, supplied: self.supplied.clone(), outputs };
        let explanation = explain::lineage(policy, files, &query);
        for difference in &mut outcome.differences {
            difference.explanation = chain::all(&explanation, &difference.features);
        }
    }

    /// The features that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let expected = self.expect.permissions.iter().map(|(name, _)| name);
        let refused = self.expect.refused.iter().flatten();
        self.supplied.iter().chain(&self.outputs).chain(expected).chain(refused).map(String::as_str)
    }
}

/// What no test touches.
#[derive(Clone, Debug, Default)]
pub struct Untouched {
    /// Roles that no caller of a test holds.
    pub roles: Vec<String>,
    /// Tags that no feature of a test carries.
    pub tags: Vec<String>,
    /// Features that no test names.
    pub features: Vec<String>,
}

/// Which roles, tags and features of a policy its tests leave out.
pub fn coverage(policy: &Policy, tests: &[Test], outcomes: &[Outcome]) -> Untouched {
    let roles: BTreeSet<RoleId> = outcomes.iter().flat_map(|outcome| outcome.roles.iter().copied()).collect();
    let named: BTreeSet<u32> =
        tests.iter().flat_map(Test::names).filter_map(|name| policy.catalogue.id(name)).collect();
    let tags_of = |class: u32| {
        policy.catalogue.classes.get(class as usize).into_iter().flat_map(|class| class.all_tags.iter().copied())
    };
    let features = policy.catalogue.features();
    let all: BTreeSet<u32> = features.iter().flat_map(|feature| tags_of(feature.class)).collect();
    let touched: BTreeSet<u32> = named
        .iter()
        .filter_map(|id| policy.catalogue.feature(*id))
        .flat_map(|feature| tags_of(feature.class))
        .collect();
    let mut untouched = Untouched {
        roles: (0..).zip(&policy.roles).filter(|(id, _)| !roles.contains(id)).map(|(_, r)| r.name.clone()).collect(),
        tags: all.difference(&touched).map(|tag| policy.catalogue.tags.name(*tag).to_owned()).collect(),
        features: (0..).zip(features).filter(|(id, _)| !named.contains(id)).map(|(_, f)| f.name.to_string()).collect(),
    };
    untouched.tags.sort_unstable();
    untouched.features.sort_unstable();
    untouched
}
