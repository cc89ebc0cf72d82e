//! A schema as places: where a document can have a value, what fits there, and documents that have one there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tagwarden::diagnostic::Diagnostic;
use tagwarden::schema::Kind;

use super::complaints;

/// A step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Key(String),
    Item,
}

/// A schema to look things up in.
pub struct Schema {
    pub kind: Kind,
    pub root: Value,
}

impl Schema {
    pub fn new(kind: Kind) -> Self {
        Self { kind, root: serde_json::from_str(&kind.text()).unwrap() }
    }

    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(name) => self.root.pointer(name.strip_prefix('#').unwrap()).unwrap(),
            None => schema,
        }
    }

    /// A schema, or what it is one of.
    pub fn alternatives<'s>(&'s self, schema: &'s Value) -> Vec<&'s Value> {
        let schema = self.resolve(schema);
        // Where an object has alternatives, they are further conditions on it.
        match schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            Some(all) if schema["type"].is_null() => all.iter().flat_map(|one| self.alternatives(one)).collect(),
            _ => vec![schema],
        }
    }

    /// Where the steps below a schema lead.
    fn steps<'s>(&'s self, schema: &'s Value) -> Vec<(Step, &'s Value)> {
        let mut steps: Vec<(Step, &Value)> = Vec::new();
        for one in self.alternatives(schema) {
            for (key, below) in one["properties"].as_object().into_iter().flatten() {
                steps.push((Step::Key(key.clone()), below));
            }
            for (pattern, below) in one["patternProperties"].as_object().into_iter().flatten() {
                let key = if pattern == r"\*" { "x.*" } else { "x" };
                steps.push((Step::Key(key.to_owned()), below));
            }
            if one["additionalProperties"].is_object() {
                steps.push((Step::Key("x".to_owned()), &one["additionalProperties"]));
            }
            if one["items"].is_object() {
                steps.push((Step::Item, &one["items"]));
            }
        }
        steps
    }

    /// Every place of a document, with its schema.
    pub fn places(&self) -> BTreeMap<Vec<Step>, &Value> {
        let mut places = BTreeMap::new();
        let mut open: Vec<(Vec<Step>, &Value)> = vec![(Vec::new(), &self.root)];
        while let Some((path, schema)) = open.pop() {
            for (step, below) in self.steps(schema) {
                let path: Vec<Step> = path.iter().cloned().chain([step]).collect();
                open.push((path, below));
            }
            places.insert(path, schema);
        }
        places
    }

    /// The objects whose keys are closed: place, keys.
    pub fn objects(&self) -> BTreeMap<Vec<Step>, BTreeSet<String>> {
        let mut objects = BTreeMap::new();
        for (path, schema) in self.places() {
            for one in self.alternatives(schema) {
                if let (Some(known), false) = (one["properties"].as_object(), one["additionalProperties"].is_object()) {
                    assert_eq!(one["additionalProperties"], false, "{path:?} is open");
                    objects.insert(path.clone(), known.keys().cloned().collect());
                }
            }
        }
        objects
    }

    /// Some value that fits.
    pub fn example(&self, schema: &Value) -> Value {
        let schema = self.alternatives(schema)[0];
        if let Some(example) = schema["examples"].get(0).or(schema.get("const")).or(schema["enum"].get(0)) {
            return example.clone();
        }
        let kind = schema["type"].get(0).unwrap_or(&schema["type"]).as_str();
        match kind {
            Some("object") => {
                let alternative = schema["oneOf"].get(0).or(schema["anyOf"].get(0)).unwrap_or(&Value::Null);
                let required = [schema, alternative].map(|one| one["required"].as_array().into_iter().flatten());
                let required = required.into_iter().flatten().map(|key| key.as_str().unwrap());
                required.map(|key| (key.to_owned(), self.example(&schema["properties"][key]))).collect()
            }
            Some("array") => {
                let least = schema["minItems"].as_u64().unwrap_or(0);
                (0..least).map(|_| self.example(&schema["items"])).collect()
            }
            Some("string") => json!("x"),
            Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
            Some("boolean") => json!(true),
            Some("null") => Value::Null,
            other => panic!("no example of {other:?}: {schema}"),
        }
    }

    /// A document that fits, with this put in a place of it.
    pub fn with(&self, path: &[Step], put: Value) -> Value {
        self.below(&self.root, path, put)
    }

    fn below(&self, schema: &Value, path: &[Step], put: Value) -> Value {
        let Some((step, rest)) = path.split_first() else { return put };
        let below = self.steps(schema).into_iter().find(|(other, _)| other == step).unwrap().1;
        let value = self.below(below, rest, put);
        match step {
            Step::Item => json!([value]),
            Step::Key(key) => {
                let base = self.alternatives(schema).into_iter().find(|one| !self.steps(one).is_empty());
                let mut object = self.example(base.unwrap());
                object.as_object_mut().unwrap().insert(key.clone(), value);
                object
            }
        }
    }

    /// The words that a place takes, where it takes a closed list of them.
    pub fn words(&self, schema: &Value) -> BTreeSet<String> {
        let mut words = BTreeSet::new();
        for one in self.alternatives(schema) {
            let listed = one["enum"].as_array().into_iter().flatten().chain(one.get("const"));
            words.extend(listed.filter_map(Value::as_str).map(str::to_owned));
        }
        words
    }

    pub fn said(&self, path: &[Step], put: Value) -> Vec<Diagnostic> {
        complaints(self.kind, &self.with(path, put), None)
    }
}
