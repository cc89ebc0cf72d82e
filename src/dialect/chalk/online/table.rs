//! The table of the keys of a request: each is checked, dropped or a switch.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::part::{MOST, Part, unknown, unreadable};
use super::request::{Request, comma};
use crate::dialect::Invalid;
use crate::dialect::chalk::expression;
use crate::dialect::chalk::query::{Input, Switch};
use crate::json::{self, JsonError, Kind, Reader, Value};

/// Outputs that there is room for at first.
const FEW: usize = 32;

/// A request on its way through the table.
pub(super) struct Table<'b> {
    body: &'b [u8],
    /// The header of a bulk query.
    bulk: bool,
    request: Request<'b>,
}

impl<'b> Table<'b> {
    pub fn new(body: &'b [u8], bulk: bool) -> Self {
        Self { body, bulk, request: Request::default() }
    }

    /// Reads the request in one pass, its names where they stand.
    ///
    /// # Errors
    /// What is no JSON is told as that, wherever it is broken.
    pub fn read(mut self, versioned: bool) -> Result<Request<'b>, Invalid> {
        let body = self.body;
        match self.members() {
            Ok(()) => self.finish(versioned),
            Err(problem) => Err(json::whole(body).map_or_else(|error| unreadable(&error), |_| problem)),
        }
    }

    fn members(&mut self) -> Result<(), Invalid> {
        let mut reader = read(Reader::object(self.body))?;
        read(reader.open())?;
        while let Some(key) = read(reader.key())? {
            let kind = read(reader.kind())?;
            if kind == Kind::Array && key.is("outputs") {
                self.outputs(&mut reader)?;
            } else if kind == Kind::Object && key.is("inputs") && !self.bulk {
                self.inputs(&mut reader)?;
            } else {
                let value = read(reader.skip())?;
                self.member(&read(key.text())?, value)?;
            }
        }
        read(reader.finish())
    }

    /// One member of the request. The table is closed: what is not in it is refused.
    fn member(&mut self, key: &str, value: Value) -> Result<(), Invalid> {
        let part = Part { body: self.body, value, way: key, within: false };
        if part.is_null() {
            return Ok(());
        }
        match key {
            "inputs" if self.bulk => {
                Err(part.refuse("stands in the header of a bulk query, of which the table is the inputs"))
            }
            "inputs" => Err(part.refuse("is not an object")),
            "outputs" => Err(part.refuse("is not a list")),
            "expression_outputs" => self.expressions(&part),
            "now" => self.now(&part),
            "include_meta" => {
                self.request.include_meta = Some(part.boolean()?);
                Ok(())
            }
            "correlation_id" => {
                let id = part.label()?;
                self.keep(key, |out| json::write_string(out, &id));
                Ok(())
            }
            "query_name" => {
                self.request.query.name = part.name()?;
                Ok(())
            }
            "query_name_version" => {
                self.request.query.version = part.name()?;
                Ok(())
            }
            "meta" => {
                let members = part.members()?;
                let texts = members.iter().map(|(key, value)| Ok((key, value.text()?)));
                let texts: Vec<_> = texts.collect::<Result<_, Invalid>>()?;
                self.keep(key, |out| write_map(out, &texts, |out, text| json::write_string(out, text)));
                Ok(())
            }
            "encoding_options" => self.encoding(&part),
            "context" => self.context(&part),
            "input_schema_hint" if part.is_nothing() => Ok(()),
            "input_schema_hint" => Err(part.refuse("is not followed")),
            _ => self.switch(key, &part),
        }
    }

    /// The keys that are switches. What asks for nothing is no use of one, and is not forwarded.
    fn switch(&mut self, key: &str, part: &Part<'b, '_>) -> Result<(), Invalid> {
        let switch = match key {
            "explain" => Switch::Explain,
            "store_plan_stages" => Switch::PlanStages,
            "deployment_id" | "branch_id" => Switch::Branch,
            "staleness" => Switch::Staleness,
            "planner_options" => Switch::PlannerOptions,
            "query_context" => Switch::QueryContext,
            "value_metrics_tag_by_features" => Switch::ValueMetrics,
            "overlay_graph" => Switch::OverlayGraph,
            _ => return unknown("", key, part.value),
        };
        if part.is_nothing() {
            return Ok(());
        }
        self.request.query.switches.insert(switch);
        match key {
            "explain" => {
                let only = part.value.kind == Kind::String && part.text()? == "only";
                if !only {
                    part.boolean().map_err(|_| part.refuse("is neither true nor false nor `only`"))?;
                }
                self.keep(key, |out| out.extend_from_slice(if only { br#""only""# } else { b"true" }));
            }
            "store_plan_stages" => {
                part.boolean()?;
                self.keep(key, |out| out.extend_from_slice(b"true"));
            }
            "staleness" => {
                let members = part.members()?;
                let durations = members.iter().map(|(name, value)| Ok((name, value.duration()?)));
                let durations: Vec<_> = durations.collect::<Result<_, Invalid>>()?;
                self.request.query.named.extend(members.iter().map(|(name, _)| name.clone().into_owned()));
                self.keep(key, |out| write_map(out, &durations, |out, text| json::write_string(out, text)));
            }
            "planner_options" => {
                part.members()?;
                self.keep(key, |out| out.extend_from_slice(part.raw()));
            }
            "query_context" => {
                let members = part.members()?;
                if members.iter().any(|(_, value)| matches!(value.value.kind, Kind::Object | Kind::Array)) {
                    return Err(part.refuse("holds a list or an object"));
                }
                self.keep(key, |out| write_map(out, &members, |out, value| out.extend_from_slice(value.raw())));
            }
            "value_metrics_tag_by_features" => {
                let names = labels(part)?;
                // A namespace would be all of its features.
                if names.iter().any(|name| !name.contains('.')) {
                    return Err(part.refuse("has an entry that is no feature's name"));
                }
                self.keep(key, |out| write_list(out, &names));
                self.request.query.named.extend(names);
            }
            "overlay_graph" => {
                let graph = part.base64()?;
                self.keep(key, |out| json::write_string(out, &STANDARD.encode(graph)));
            }
            // The two ids.
            _ => {
                let id = part.label()?;
                self.keep(key, |out| json::write_string(out, &id));
            }
        }
        Ok(())
    }

    /// The object `inputs`.
    fn inputs(&mut self, reader: &mut Reader<'b>) -> Result<(), Invalid> {
        let Request { query, values, .. } = &mut self.request;
        read(reader.open())?;
        while let Some(name) = read(reader.key())? {
            if values.len() == MOST {
                return Err(Invalid(format!("`inputs` has more than {MOST} members")));
            }
            let value = read(reader.skip())?;
            query.inputs.push(Input { name: read(name.text())?, has_null: value.kind == Kind::Null });
            values.push(value.span.of(self.body));
        }
        Ok(())
    }

    /// The list `outputs`.
    fn outputs(&mut self, reader: &mut Reader<'b>) -> Result<(), Invalid> {
        let outputs = &mut self.request.query.outputs;
        outputs.reserve(FEW);
        read(reader.open())?;
        while read(reader.element())? {
            if outputs.len() == MOST {
                return Err(Invalid(format!("`outputs` has more than {MOST} entries")));
            }
            if read(reader.kind())? != Kind::String {
                return Err(Invalid("a value of `outputs` is not a text".to_owned()));
            }
            outputs.push(read(read(reader.string())?.text())?);
        }
        Ok(())
    }

    fn expressions(&mut self, part: &Part<'b, '_>) -> Result<(), Invalid> {
        self.request.expressions = true;
        self.request.query.expressions = part.list(|item| expression::read(&item.base64()?))?;
        Ok(())
    }

    fn now(&mut self, part: &Part<'b, '_>) -> Result<(), Invalid> {
        if !self.bulk {
            let time = part.time()?;
            self.keep("now", |out| json::write_string(out, &time));
            return Ok(());
        }
        let times = part.list(|item| item.time())?;
        self.keep("now", |out| write_list(out, &times));
        Ok(())
    }

    fn encoding(&mut self, part: &Part<'b, '_>) -> Result<(), Invalid> {
        for (key, value) in part.members()? {
            match &*key {
                _ if value.is_null() => {}
                "encode_structs_as_objects" => {
                    let way = Part { way: "encoding_options.encode_structs_as_objects", within: false, ..value };
                    let text: &[u8] = if way.boolean()? {
                        br#"{"encode_structs_as_objects":true}"#
                    } else {
                        br#"{"encode_structs_as_objects":false}"#
                    };
                    self.keep("encoding_options", |out| out.extend_from_slice(text));
                }
                _ => unknown("encoding_options", &key, value.value)?,
            }
        }
        Ok(())
    }

    fn context(&mut self, part: &Part<'b, '_>) -> Result<(), Invalid> {
        let mut out = Vec::new();
        for (key, value) in part.members()? {
            let way = match &*key {
                _ if value.is_null() => continue,
                "environment" => "context.environment",
                "tags" => "context.tags",
                "required_resolver_tags" => "context.required_resolver_tags",
                _ => return unknown("context", &key, value.value),
            };
            let value = Part { way, within: false, ..value };
            if key == "environment" {
                let Some(environment) = value.name()? else { continue };
                member(&mut out, &key);
                json::write_string(&mut out, &environment);
                self.request.environment = Some(environment);
            } else if !value.is_nothing() {
                let tags = labels(&value)?;
                member(&mut out, &key);
                write_list(&mut out, &tags);
                self.request.query.switches.insert(Switch::ContextTags);
            }
        }
        if let Some(members) = out.get(1..) {
            self.keep("context", |rest| {
                rest.push(b'{');
                rest.extend_from_slice(members);
                rest.push(b'}');
            });
        }
        Ok(())
    }

    /// Writes a member that goes upstream.
    fn keep(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        member(&mut self.request.rest, key);
        value(&mut self.request.rest);
    }

    /// What was read, once all members were.
    fn finish(mut self, versioned: bool) -> Result<Request<'b>, Invalid> {
        self.request.query.versioned = versioned;
        let query = &self.request.query;
        if query.outputs.len() + query.expressions.len() > MOST {
            return Err(Invalid(format!("`outputs` and `expression_outputs` have more than {MOST} entries together")));
        }
        let named = !(query.outputs.is_empty() && query.expressions.is_empty());
        match (query.name.clone(), query.version.clone()) {
            (None, Some(_)) => return Err(Invalid("`query_name_version` is given without `query_name`".to_owned())),
            (None, None) if !named => {
                let message = "none of `outputs`, `expression_outputs` and `query_name` says what is asked for";
                return Err(Invalid(message.to_owned()));
            }
            (Some(name), version) => {
                // Beside outputs of the caller's it adds the server's tags, which choose data sources.
                if named {
                    self.request.query.switches.insert(Switch::ContextTags);
                }
                self.keep("query_name", |out| json::write_string(out, &name));
                if let Some(version) = version {
                    self.keep("query_name_version", |out| json::write_string(out, &version));
                }
            }
            (None, _) => {}
        }
        Ok(self.request)
    }
}

#[inline(always)]
fn read<T>(read: Result<T, JsonError>) -> Result<T, Invalid> {
    read.map_err(|error| unreadable(&error))
}

/// A list of labels.
fn labels(part: &Part<'_, '_>) -> Result<Vec<String>, Invalid> {
    part.list(|item| item.label().map(Cow::into_owned))
}

/// `,"key":`
fn member(out: &mut Vec<u8>, key: &str) {
    out.push(b',');
    json::write_string(out, key);
    out.push(b':');
}

fn write_list<T: AsRef<str>>(out: &mut Vec<u8>, items: &[T]) {
    out.push(b'[');
    for (position, item) in items.iter().enumerate() {
        comma(out, position);
        json::write_string(out, item.as_ref());
    }
    out.push(b']');
}

fn write_map<K: AsRef<str>, V>(out: &mut Vec<u8>, items: &[(K, V)], value: impl Fn(&mut Vec<u8>, &V)) {
    out.push(b'{');
    for (position, (key, item)) in items.iter().enumerate() {
        comma(out, position);
        json::write_string(out, key.as_ref());
        out.push(b':');
        value(out, item);
    }
    out.push(b'}');
}
