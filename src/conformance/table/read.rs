//! Reading a file of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Caller, Case, Expect, Member, ROWS, Reach, Relation, Table, Upstream};
use crate::conformance::Cell;
use crate::diagnostic::{Code, Report, SourceFile};
use crate::yaml::{self, Fields, Node, Reader, Value};

const FILE: &[&str] = &["version", "about", "only", "keys", "unasked", "policy", "catalogue", "values", "cases"];
const CASE: &[&str] = &[
    "name",
    "roles",
    "anonymous",
    "outputs",
    "bundle",
    "keys",
    "supplied",
    "rows",
    "upstream",
    "expect",
    "answer",
    "only",
    "except",
];

/// Reads it.
pub fn table(name: &'static str, file: &Arc<SourceFile>) -> Result<Table, Report> {
    let mut report = Report::default();
    let table = match yaml::parse(file) {
        Ok(node) => Read { r: Reader { file: Arc::clone(file), report: &mut report } }.file(name, &node),
        Err(diagnostic) => {
            report.push(*diagnostic);
            None
        }
    };
    match table {
        Some(table) if !report.has_errors() => Ok(table),
        Some(_) | None => Err(report),
    }
}

struct Read<'r> {
    r: Reader<'r>,
}

impl Read<'_> {
    fn file(&mut self, name: &'static str, node: &Node) -> Option<Table> {
        let fields = self.r.fields(node, "the file", FILE)?;
        match fields.get("version") {
            Some(Node { value: Value::Int(1), .. }) => {}
            Some(_) | None => self.r.error(node, Code::Version, "the table is not of version 1"),
        }
        let map = |node: Option<&Node>| match node.map(|node| node.value.as_json()) {
            Some(Json::Object(map)) => map,
            _ => Map::new(),
        };
        let (policy, catalogue) = (map(fields.get("policy")), map(fields.get("catalogue")));
        let features = catalogue.get("features").and_then(Json::as_object).cloned().unwrap_or_default();
        let relation = |(name, feature): (&String, &Json)| {
            let (one, many) = (feature.get("has_one"), feature.get("has_many"));
            let namespace = one.or(many)?.as_str()?.to_owned();
            Some((name.clone(), Relation { namespace, many: many.is_some() }))
        };
        let key = |(_, feature): &(&String, &Json)| feature.get("key").and_then(Json::as_bool) == Some(true);
        let mut table = Table {
            name,
            about: self.text(&fields, "about")?,
            reach: self.reach(&fields),
            defaults: self.texts(fields.get("keys"), "`keys`"),
            keys: features.iter().filter(key).map(|(name, _)| name.clone()).collect(),
            unasked: self.text(&fields, "unasked")?,
            bundles: bundles(&catalogue),
            relations: features.iter().filter_map(relation).collect(),
            features: features.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(),
            policy,
            catalogue,
            cases: Vec::new(),
            values: BTreeMap::new(),
        };
        for (name, node) in fields.get("values").and_then(|node| self.r.entries(node, "`values`")).unwrap_or_default() {
            if !table.features.contains(&name.name) {
                self.r.error(node, Code::UnknownMember, format!("there is no feature `{}`", name.name));
            }
            let cells = self.r.list(node, "values")?.iter().map(cell).collect();
            table.values.insert(name.name.clone(), cells);
        }
        for item in fields.get("cases").and_then(|node| self.r.list(node, "`cases`")).unwrap_or_default() {
            let case = self.case(&table, item)?;
            if table.cases.iter().any(|other| other.name == case.name) {
                self.r.error(item, Code::DuplicateKey, format!("the case `{}` stands twice", case.name));
            }
            table.cases.push(case);
        }
        Some(table)
    }

    fn case(&mut self, table: &Table, node: &Node) -> Option<Case> {
        let fields = self.r.fields(node, "a case", CASE)?;
        let anonymous = fields.get("anonymous").and_then(|node| self.r.boolean(node, "`anonymous`")) == Some(true);
        let roles = self.texts(fields.get("roles"), "`roles`");
        let known = table.policy.get("roles").and_then(Json::as_object);
        if let Some(role) = roles.iter().find(|role| !known.is_some_and(|known| known.contains_key(*role))) {
            self.r.error(node, Code::UnknownRole, format!("there is no role `{role}`"));
        }
        let keys = match fields.get("keys") {
            Some(_) => self.texts(fields.get("keys"), "`keys`"),
            None => table.defaults.clone(),
        };
        let supplied = fields.get("supplied").and_then(|node| self.r.entries(node, "`supplied`")).unwrap_or_default();
        let rows = fields.get("rows").and_then(|node| self.r.count(node, "`rows`")).unwrap_or(1);
        let rows = usize::try_from(rows).ok().filter(|rows| (1..=ROWS).contains(rows));
        if rows.is_none() {
            self.r.error(node, Code::WrongKind, format!("`rows` is not between 1 and {ROWS}"));
        }
        let upstream = fields.get("upstream").and_then(|node| self.r.word(node, "`upstream`", &Upstream::WORDS));
        let case = Case {
            name: self.text(&fields, "name")?,
            caller: if anonymous { Caller::Anonymous } else { Caller::Roles(roles) },
            outputs: self.texts(fields.get("outputs"), "`outputs`"),
            bundle: fields.get("bundle").and_then(|node| self.r.text(node, "`bundle`")).map(str::to_owned),
            keys,
            supplied: supplied.iter().map(|(name, node)| (name.name.clone(), cell(node))).collect(),
            rows: rows?,
            upstream: upstream.unwrap_or(Upstream::Well),
            expect: self.expect(node, &fields)?,
            answer: fields.get("answer").map(|node| self.texts(Some(node), "`answer`")),
            reach: self.reach(&fields),
        };
        if case.outputs.is_empty() == case.bundle.is_none() {
            self.r.error(node, Code::Missing, "a case has either `outputs` or `bundle`");
        }
        let permitted = matches!(case.expect, Expect::Permitted | Expect::Filtered(_));
        for name in case.asked(table).into_iter().map(|(name, _)| name).filter(|_| permitted) {
            let taken_out = matches!(&case.expect, Expect::Filtered(names) if names.iter().any(|other| other == name));
            let held = case.wanted(table, name, 1).is_some();
            if !held && !taken_out {
                self.r.error(node, Code::UnknownMember, format!("nothing is held for `{name}`"));
            }
        }
        Some(case)
    }

    fn expect(&mut self, case: &Node, fields: &Fields<'_>) -> Option<Expect> {
        let Some(node) = fields.get("expect") else {
            self.r.error(case, Code::Missing, "a case without `expect` could not fail");
            return None;
        };
        if let Value::Str(_) = node.value {
            type Word = (&'static str, fn() -> Expect);
            const WORDS: &[Word] = &[
                ("permitted", || Expect::Permitted),
                ("invalid", || Expect::Invalid),
                ("forbidden", || Expect::Forbidden),
                ("unauthenticated", || Expect::Unauthenticated),
                ("withheld", || Expect::Withheld),
            ];
            return self.r.word(node, "`expect`", WORDS).map(|make| make());
        }
        let named = self.r.fields(node, "`expect`", &["filtered", "refused"])?;
        let mut lists = [("filtered", Expect::Filtered as fn(_) -> _), ("refused", Expect::Refused)]
            .into_iter()
            .filter_map(|(word, make)| Some((named.get(word)?, make)));
        match (lists.next(), lists.next()) {
            (Some((node, make)), None) => Some(make(self.texts(Some(node), "names"))),
            _ => {
                self.r.error(node, Code::Missing, "`expect` has either `filtered` or `refused`");
                None
            }
        }
    }

    /// `only: {dialects: […], because: …}`, or `except`.
    fn reach(&mut self, fields: &Fields<'_>) -> Option<Reach> {
        let (only, node) = match (fields.get("only"), fields.get("except")) {
            (Some(node), _) => (true, node),
            (None, Some(node)) => (false, node),
            (None, None) => return None,
        };
        let fields = self.r.fields(node, "dialects", &["dialects", "because"])?;
        let dialects = self.texts(fields.get("dialects"), "`dialects`");
        Some(Reach { dialects, only, because: self.text(&fields, "because")? })
    }

    fn text(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let Some(node) = fields.get(key) else {
            let place = crate::diagnostic::Place::file(&self.r.file);
            let message = format!("`{key}` is missing");
            self.r.report.push(crate::diagnostic::Diagnostic::new(Code::Missing, &place, message));
            return None;
        };
        self.r.text(node, key).map(str::to_owned)
    }

    fn texts(&mut self, node: Option<&Node>, what: &str) -> Vec<String> {
        let items = node.and_then(|node| self.r.list(node, what)).unwrap_or_default();
        items.iter().filter_map(|item| self.r.text(item, what)).map(str::to_owned).collect()
    }
}

fn bundles(catalogue: &Map<String, Json>) -> BTreeMap<String, Vec<Member>> {
    let member = |member: &Json| {
        let text = |key: &str| member.get(key).and_then(Json::as_str).map(str::to_owned);
        match member.as_str() {
            Some(feature) => Some(Member { feature: feature.to_owned(), alias: None }),
            None => Some(Member { feature: text("feature")?, alias: text("as") }),
        }
    };
    let bundles = catalogue.get("bundles").and_then(Json::as_object).into_iter().flatten();
    bundles
        .map(|(name, members)| (name.clone(), members.as_array().into_iter().flatten().filter_map(member).collect()))
        .collect()
}

fn cell(node: &Node) -> Cell {
    match &node.value {
        Value::Bool(value) => Cell::Bool(*value),
        Value::Int(value) => Cell::Int(*value),
        Value::Float(value) => Cell::Float(*value),
        Value::Str(text) => Cell::Text(text.clone()),
        Value::Null | Value::Seq(_) | Value::Map(_) => Cell::Null,
    }
}
