//! A collector of OTLP that decodes what it gets, and the program set up to send there.

use std::collections::BTreeMap;
use std::io::Read as _;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::process::{Process, command};
use super::sidecar::Setup;
use super::until;
use super::upstream::{Act, Recorded, Upstream};
use crate::support::client::Answer;

/// The section that turns spans on.
pub const ON: &str = "tracing: {otlp: true}";

/// The server, and what it was sent.
pub struct Collector {
    /// What it is underneath.
    pub server: Upstream,
}

/// Attributes, each as text.
pub type Attributes = BTreeMap<String, String>;

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// All of it.
    pub span: Span,
    /// Its attributes.
    pub attributes: Attributes,
    /// Those of whoever made it.
    pub resource: Attributes,
}

impl Seen {
    /// In hex.
    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// In hex; empty where it has none.
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// In hex.
    pub fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// One attribute; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Its status is that of an error.
    pub fn is_error(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(all: &[KeyValue]) -> Attributes {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => format!("{other:?}"),
    };
    let value = |one: &KeyValue| one.value.as_ref()?.value.as_ref().map(text);
    all.iter().map(|one| (one.key.clone(), value(one).unwrap_or_default())).collect()
}

impl Collector {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self { server: Upstream::always(takes()).await }
    }

    /// All spans that came.
    pub fn spans(&self) -> Vec<Seen> {
        self.server.seen().iter().flat_map(decoded).collect()
    }

    /// Waits for spans of which these many are of requests; all that came.
    pub async fn requests(&self, count: usize) -> Vec<Seen> {
        until(&format!("the spans of {count} requests"), async || {
            let spans = self.spans();
            (spans.iter().filter(|seen| seen.span.kind == 2).count() >= count).then_some(spans)
        })
        .await
    }

    /// Waits for the spans of the request with this answer: its own first, then those within it.
    pub async fn of(&self, answer: &Answer) -> Vec<Seen> {
        let id = answer.decision_id();
        until(&format!("the spans of {id}"), async || {
            let spans = self.spans();
            let own = spans.iter().find(|seen| seen.get("tagwarden.decision_id") == id)?.clone();
            let within: Vec<Seen> = spans.into_iter().filter(|seen| seen.parent() == own.id()).collect();
            Some([vec![own], within].concat())
        })
        .await
    }

    /// `serve` with this configuration, sending here at short intervals, with further variables.
    pub async fn process(&self, setup: &Setup, more: &[(&str, &str)]) -> Process {
        serve(setup, &[&[("OTEL_EXPORTER_OTLP_ENDPOINT", self.server.url.as_str())][..], more].concat()).await
    }
}

/// An answer that takes everything.
pub fn takes() -> Act {
    Act::answer("200 OK", "content-type: application/x-protobuf\r\n", "")
}

/// `serve` with these variables and no other of their kind.
pub async fn serve(setup: &Setup, variables: &[(&str, &str)]) -> Process {
    let mut command = command(["serve", "--config"]);
    command.arg(setup.write()).stdout(std::process::Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    command.envs(variables.iter().copied());
    Process::of(command).await
}

/// The spans of one export.
pub fn decoded(request: &Recorded) -> Vec<Seen> {
    let mut body = request.body.clone();
    if request.header("content-encoding").as_deref() == Some("gzip") {
        body.clear();
        flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap();
    }
    let export = ExportTraceServiceRequest::decode(&*body).unwrap();
    let of_resource = export.resource_spans.into_iter().flat_map(|all| {
        let resource = attributes(&all.resource.unwrap_or_default().attributes);
        let spans = all.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Seen { attributes: attributes(&span.attributes), resource: resource.clone(), span })
    });
    of_resource.collect()
}
