//! One query, spelled for each door.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use tagwarden::dialect::chalk::container;
use tagwarden::dialect::chalk::json::to_json;
use tagwarden::dialect::chalk::proto::{
    BulkInputs, ExplainOptions, FeatherBodyType, FeatureExpression, GenericSingleQuery, OnlineQueryBulkRequest,
    OnlineQueryContext, OnlineQueryMultiRequest, OnlineQueryRequest, OnlineQueryResponseOptions, Output, OutputExpr,
    SingleQuery, Value as Proto, ValueKind,
};
use tagwarden::dialect::chalk::shape::query;
use tagwarden::dialect::chalk::table::Table;

use super::decode::Got;
use crate::support::client::{Answer, H2, request};
use crate::support::grpc::framed;
use crate::support::sidecar::Sidecar;
use crate::support::tokens::KEY;

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Json,
    Feather,
    Single,
    /// The same in Connect, over HTTP/1.1.
    Connect,
    /// And in JSON.
    ConnectJson,
    Bulk,
    /// Several of single queries.
    Multi,
    /// Several of bulk queries.
    MultiBulk,
}

impl Door {
    pub const ALL: [Self; 8] = [
        Self::Json,
        Self::Feather,
        Self::Single,
        Self::Connect,
        Self::ConnectJson,
        Self::Bulk,
        Self::Multi,
        Self::MultiBulk,
    ];
    /// Those at which a name without a version is said to be the first one.
    pub const VERSIONED: [Self; 2] = [Self::Json, Self::Feather];
    /// Those that take several queries at once.
    pub const SEVERAL: [Self; 3] = [Self::Feather, Self::Multi, Self::MultiBulk];

    pub fn path(self) -> &'static str {
        match self {
            Self::Json => "/v1/query/online",
            Self::Feather => "/v1/query/feather",
            Self::Single | Self::Connect | Self::ConnectJson => "/chalk.engine.v1.QueryService/OnlineQuery",
            Self::Bulk => "/chalk.engine.v1.QueryService/OnlineQueryBulk",
            Self::Multi | Self::MultiBulk => "/chalk.engine.v1.QueryService/OnlineQueryMulti",
        }
    }

    pub fn is_grpc(self) -> bool {
        matches!(self, Self::Single | Self::Bulk | Self::Multi | Self::MultiBulk)
    }

    pub fn is_rpc(self) -> bool {
        self.is_grpc() || self.is_connect()
    }

    pub fn is_connect(self) -> bool {
        matches!(self, Self::Connect | Self::ConnectJson)
    }

    /// The media type that its callers say.
    pub fn kind(self) -> &'static str {
        match self {
            // chalkpy says that a bulk body is JSON.
            Self::Json | Self::Feather | Self::ConnectJson => "application/json",
            Self::Connect => "application/proto",
            Self::Single | Self::Bulk | Self::Multi | Self::MultiBulk => "application/grpc",
        }
    }

    /// The body of these queries.
    pub fn body(self, asks: &[Ask]) -> Vec<u8> {
        match self {
            Self::Json => asks[0].json(false).to_string().into_bytes(),
            Self::Feather => container::write_queries(asks.iter().map(|ask| (ask.json(true).to_string(), ask.table()))),
            Self::Connect => asks[0].single().encode_to_vec(),
            Self::ConnectJson => to_json(&query::ONLINE_QUERY, &asks[0].single().encode_to_vec()).unwrap(),
            Self::Single => framed(&asks[0].single().encode_to_vec()).to_vec(),
            Self::Bulk => framed(&asks[0].bulk().encode_to_vec()).to_vec(),
            Self::Multi | Self::MultiBulk => {
                let query = |ask: &Ask| match self {
                    Self::MultiBulk => SingleQuery::Bulk(ask.bulk()),
                    _ => SingleQuery::Single(ask.single()),
                };
                let queries = asks.iter().map(|ask| GenericSingleQuery { query: Some(query(ask)) }).collect();
                framed(&OnlineQueryMultiRequest { queries }.encode_to_vec()).to_vec()
            }
        }
    }

    /// Sends a body with these headers.
    pub async fn send(self, sidecar: &Sidecar, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        if self.is_grpc() {
            return H2::connect(sidecar.data).await.send("POST", self.path(), headers, body).await;
        }
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        sidecar.ask(request("POST", self.path(), &lines, body)).await
    }

    /// Asks as a caller of this group, with these headers besides the usual ones.
    pub async fn ask_with(self, sidecar: &Sidecar, group: &str, more: &[(&str, &str)], asks: &[Ask]) -> Got {
        let bearer = format!("Bearer {}", KEY.token(&[group]));
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", self.kind())];
        if self.is_grpc() {
            headers.push(("te", "trailers"));
        }
        headers.extend_from_slice(more);
        Got::of(self, self.send(sidecar, &headers, &self.body(asks)).await)
    }

    /// Asks as chalkpy does.
    pub async fn ask(self, sidecar: &Sidecar, group: &str, ask: &Ask) -> Got {
        self.ask_with(sidecar, group, &[VERSIONED], std::slice::from_ref(ask)).await
    }
}

/// The header that chalkpy always sends: a name without a version is version 1.
pub const VERSIONED: (&str, &str) = ("x-chalk-features-versioned", "true");

/// A query.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub outputs: Vec<String>,
    /// Each a `FeatureExpression`.
    pub expressions: Vec<Bytes>,
    /// Names and values; `None` is a null.
    pub inputs: Vec<(String, Option<String>)>,
    pub parts: Vec<Part>,
}

/// A part of a query besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Name(&'static str),
    Version(&'static str),
    Environment(&'static str),
    Branch,
    Deployment,
    Tags,
    ResolverTags,
    Overlay,
    Staleness(&'static str),
    Explain,
    PlanStages,
    Planner,
    Context,
    Metrics(&'static str),
    Meta,
    /// In protobuf's bulk queries alone.
    Sql,
}

/// A query for these, by `user.id`.
pub fn ask(outputs: &[&str]) -> Ask {
    Ask {
        outputs: outputs.iter().map(|output| (*output).to_owned()).collect(),
        inputs: vec![("user.id".to_owned(), Some("1".to_owned()))],
        ..Ask::default()
    }
}

impl Ask {
    pub fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    pub fn input(mut self, name: &str, value: Option<&str>) -> Self {
        self.inputs.push((name.to_owned(), value.map(str::to_owned)));
        self
    }

    pub fn expression(mut self, expression: Bytes) -> Self {
        self.expressions.push(expression);
        self
    }

    fn table(&self) -> Bytes {
        table(&self.inputs.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect::<Vec<_>>())
    }

    /// The body of the online query, with every key that chalkpy sends; or the header of a bulk query.
    pub fn json(&self, bulk: bool) -> Value {
        let expressions: Vec<_> = self.expressions.iter().map(|bytes| STANDARD.encode(bytes)).collect();
        let mut all = json!({
            "outputs": self.outputs, "expression_outputs": expressions, "now": null, "staleness": null,
            "context": {"environment": null, "tags": null, "required_resolver_tags": null}, "include_meta": false,
            "explain": false, "correlation_id": null, "query_name": null, "query_name_version": null,
            "deployment_id": null, "branch_id": null, "meta": null, "store_plan_stages": false,
            "encoding_options": {"encode_structs_as_objects": false}, "query_context": null,
            "value_metrics_tag_by_features": [], "overlay_graph": null, "input_schema_hint": null,
        });
        if !bulk {
            let inputs: BTreeMap<_, _> = self.inputs.iter().cloned().collect();
            (all["inputs"], all["planner_options"]) = (json!(inputs), json!(null));
        }
        for part in &self.parts {
            match part {
                Part::Name(name) => all["query_name"] = json!(name),
                Part::Version(version) => all["query_name_version"] = json!(version),
                Part::Environment(name) => all["context"]["environment"] = json!(name),
                Part::Branch => all["branch_id"] = json!("b"),
                Part::Deployment => all["deployment_id"] = json!("d"),
                Part::Tags => all["context"]["tags"] = json!(["t"]),
                Part::ResolverTags => all["context"]["required_resolver_tags"] = json!(["t"]),
                Part::Overlay => all["overlay_graph"] = json!(STANDARD.encode(b"\x0a\x00")),
                Part::Staleness(name) => all["staleness"] = json!({*name: "1h"}),
                Part::Explain => all["explain"] = json!(true),
                Part::PlanStages => all["store_plan_stages"] = json!(true),
                Part::Planner => all["planner_options"] = json!({"x": "y"}),
                Part::Context => all["query_context"] = json!({"x": "y"}),
                Part::Metrics(name) => all["value_metrics_tag_by_features"] = json!([name]),
                Part::Meta => all["include_meta"] = json!(true),
                Part::Sql => panic!("there is no SQL in JSON"),
            }
        }
        all
    }

    fn outputs(&self) -> Vec<OutputExpr> {
        let features = self.outputs.iter().cloned().map(Output::Feature);
        let all = features.chain(self.expressions.iter().cloned().map(Output::Expression));
        all.map(|expr| OutputExpr { expr: Some(expr) }).collect()
    }

    fn staleness(&self) -> BTreeMap<String, String> {
        let named = |part: &Part| if let Part::Staleness(name) = part { Some(*name) } else { None };
        self.parts.iter().filter_map(named).map(|name| (name.to_owned(), "1h".to_owned())).collect()
    }

    fn context(&self) -> OnlineQueryContext {
        let mut context = OnlineQueryContext::default();
        let plan_stages = Proto { kind: Some(ValueKind::Bool(self.parts.contains(&Part::PlanStages))) };
        context.options.insert("store_plan_stages".to_owned(), plan_stages);
        for part in &self.parts {
            match part {
                Part::Name(name) => context.query_name = Some((*name).to_owned()),
                Part::Version(version) => context.query_name_version = Some((*version).to_owned()),
                Part::Environment(name) => context.environment = (*name).to_owned(),
                Part::Branch => context.branch_id = Some("b".to_owned()),
                Part::Deployment => context.deployment_id = Some("d".to_owned()),
                Part::Tags => context.tags.push("t".to_owned()),
                Part::ResolverTags => context.required_resolver_tags.push("t".to_owned()),
                Part::Overlay => context.overlay_graph = Some(Bytes::from_static(b"\x0a\x00")),
                Part::Planner => drop(context.options.insert("x".to_owned(), text("y"))),
                Part::Context => drop(context.query_context.insert("x".to_owned(), text("y"))),
                Part::Metrics(name) => context
                    .value_metrics_tag_by_features
                    .push(OutputExpr { expr: Some(Output::Feature((*name).to_owned())) }),
                Part::PlanStages | Part::Staleness(_) | Part::Explain | Part::Meta | Part::Sql => {}
            }
        }
        context
    }

    fn options(&self) -> OnlineQueryResponseOptions {
        OnlineQueryResponseOptions {
            include_meta: self.parts.contains(&Part::Meta),
            explain: self.parts.contains(&Part::Explain).then_some(ExplainOptions {}),
            ..OnlineQueryResponseOptions::default()
        }
    }

    pub fn single(&self) -> OnlineQueryRequest {
        let null = Proto { kind: Some(ValueKind::Null(0)) };
        let value = |value: &Option<String>| value.as_deref().map_or(null.clone(), text);
        OnlineQueryRequest {
            inputs: self.inputs.iter().map(|(name, given)| (name.clone(), value(given))).collect(),
            outputs: self.outputs(),
            staleness: self.staleness(),
            context: Some(self.context()),
            response_options: Some(self.options()),
            ..OnlineQueryRequest::default()
        }
    }

    pub fn bulk(&self) -> OnlineQueryBulkRequest {
        let sql = self.parts.contains(&Part::Sql).then(|| BulkInputs::Sql("select ssn from users".to_owned()));
        OnlineQueryBulkRequest {
            inputs: Some(sql.unwrap_or_else(|| BulkInputs::Feather(self.table()))),
            outputs: self.outputs(),
            staleness: self.staleness(),
            context: Some(self.context()),
            response_options: Some(self.options()),
            body_type: FeatherBodyType::RecordBatches.into(),
            ..OnlineQueryBulkRequest::default()
        }
    }
}

fn text(text: &str) -> Proto {
    Proto { kind: Some(ValueKind::String(text.to_owned())) }
}

/// An Arrow file of one row of texts.
pub fn table(columns: &[(&str, Option<&str>)]) -> Bytes {
    let fields: Vec<_> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.iter().map(|(_, value)| Arc::new(StringArray::from(vec![*value])) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let mut writer = FileWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap().into()
}

/// The columns of an Arrow file.
pub fn names(table: &Bytes) -> Vec<String> {
    let table = Table::read(table, 1 << 20).unwrap();
    table.columns().map(|(name, _)| name.to_owned()).collect()
}

/// What chalkpy made of an expression, by its name in the recorded ones.
pub fn recorded(name: &str) -> Bytes {
    let all = include_str!("../../fixtures/chalk/wire/expressions.jsonl");
    let lines = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.into_iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no `{name}`"));
    STANDARD.decode(line["expression"].as_str().unwrap()).unwrap().into()
}

/// The same under another name.
pub fn renamed(expression: &Bytes, name: &str) -> Bytes {
    let expression = FeatureExpression::decode(expression.clone()).unwrap();
    FeatureExpression { output_column_name: name.to_owned(), ..expression }.encode_to_vec().into()
}
