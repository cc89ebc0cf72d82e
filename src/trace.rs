//! Spans over OTLP (`tracing.otlp`), and the W3C trace context of requests.
//!
//! A request pays for its spans alone: they go into a bounded queue, and a thread of the SDK's sends them in batches through our
//! own client. A collector that is slow or gone costs spans, which are counted, and never a request.

mod environment;
mod export;

use std::future::Future;
use std::time::{Duration, SystemTime};

use hyper::header::{HeaderMap, HeaderValue};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use prometheus::IntCounterVec;

pub use environment::TraceError;
pub use opentelemetry::Value;
pub use opentelemetry::trace::SpanKind;

use crate::hex::hex;

/// 32 digits of hex in lower case, not all of them 0.
pub type TraceId = [u8; 32];

/// A valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace_id: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl Parent {
    /// That of a request, where it has one and no more: of two nobody can tell which one the upstream takes.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all("traceparent").iter();
        let one = all.next().filter(|_| all.next().is_none())?;
        Self::read(one.to_str().ok()?)
    }

    /// Trace Context, section 3.2: what a later version adds stands behind the four parts that are known.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, len: usize| {
            text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let some = |text: &str| text.bytes().any(|b| b != b'0');
        if !(known && hex(id, 32) && hex(parent, 16) && hex(flags, 2) && some(id) && some(parent)) {
            return None;
        }
        Some(Self {
            trace_id: id.as_bytes().try_into().ok()?,
            span: SpanId::from_hex(parent).ok()?,
            flags: TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        })
    }

    fn context(&self, headers: &HeaderMap) -> Option<SpanContext> {
        let id = opentelemetry::TraceId::from_hex(std::str::from_utf8(&self.trace_id).ok()?).ok()?;
        // Samplers and collectors may read it; what goes upstream is what came.
        let state = headers.get("tracestate").and_then(|value| value.to_str().ok());
        let state = state.and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
        Some(SpanContext::new(id, self.span, self.flags, true, state))
    }
}

/// Makes spans, and has them sent.
#[derive(Debug)]
pub struct Tracer {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// `OTEL_PROPAGATORS` has `tracecontext`.
    propagates: bool,
}

impl Tracer {
    /// As the `OTEL_*` variables have it; `None` where they turn it off. `lost` counts spans by why they were not sent. Sends
    /// on the runtime that this is called on.
    ///
    /// # Errors
    /// [`TraceError`]: a variable that asks for what is not here, or a certificate that cannot be read.
    pub fn from_environment(lost: &IntCounterVec) -> Result<Option<Self>, TraceError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(environment) = environment::read(&variable)? else { return Ok(None) };
        let provider = export::provider(&environment, lost)?;
        let tracer = provider.tracer("tagwarden");
        tracing::info!(endpoint = %environment.endpoint, "spans are exported");
        Ok(Some(Self { provider, tracer, propagates: environment.propagates }))
    }

    /// The span of a request that comes in. `parent`: what its headers say.
    pub fn request(&self, name: String, headers: &HeaderMap, parent: Option<&Parent>) -> Request {
        let parent = parent.filter(|_| self.propagates).and_then(|parent| parent.context(headers));
        let fresh = parent.is_none();
        let context = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server);
        let span = self.tracer.build_with_context(builder, &context);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        Request { span, within: Within { tracer: self.tracer.clone(), context }, fresh, propagates: self.propagates }
    }

    /// Sends what is there, for as long as `within`; blocks. Whether all of it went.
    pub fn shutdown(&self, within: Duration) -> bool {
        self.provider.shutdown_with_timeout(within).is_ok()
    }
}

/// The span of a request. It ends when this is dropped.
#[derive(Debug)]
pub struct Request {
    span: Span,
    within: Within,
    fresh: bool,
    propagates: bool,
}

/// Where further spans of a request belong.
#[derive(Clone, Debug)]
struct Within {
    tracer: SdkTracer,
    context: Context,
}

tokio::task_local! {
    static WITHIN: Within;
}

impl Request {
    /// The trace that it is part of.
    pub fn trace_id(&self) -> TraceId {
        let id = self.span.span_context().trace_id().to_bytes();
        hex(&id).as_bytes().try_into().unwrap_or([b'0'; 32])
    }

    /// Whether its attributes are worth making.
    pub fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    /// An attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.span.set_attribute(KeyValue::new(name, value));
    }

    /// It failed for our sake, or the upstream's.
    pub fn failed(&mut self, kind: &'static str) {
        self.set("error.type", kind);
        self.span.set_status(Status::error(""));
    }

    /// A span within it, from `started` or now.
    pub fn child(&self, kind: SpanKind, name: String, started: Option<SystemTime>) -> Child {
        self.within.child(kind, name, started)
    }

    /// Has what is asked of others meanwhile be part of the request ([`asks`]).
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        WITHIN.scope(self.within.clone(), work).await
    }

    /// Writes into headers that go upstream who their parent is. What came of another trace stays here.
    pub fn propagate(&self, child: &Child, headers: &mut HeaderMap) {
        if !self.propagates {
            return;
        }
        let context = child.0.span_context();
        let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
        if let Ok(value) = HeaderValue::try_from(format!("00-{trace}-{span}-{flags:02x}")) {
            headers.insert("traceparent", value);
            if self.fresh {
                headers.remove("tracestate");
            }
        }
    }
}

impl Within {
    fn child(&self, kind: SpanKind, name: String, started: Option<SystemTime>) -> Child {
        let mut builder = self.tracer.span_builder(name).with_kind(kind);
        builder.start_time = started;
        Child(self.tracer.build_with_context(builder, &self.context))
    }
}

/// A span within a request. It ends when this is dropped.
#[derive(Debug)]
pub struct Child(Span);

impl Child {
    /// Whether its attributes are worth making.
    pub fn is_recording(&self) -> bool {
        self.0.is_recording()
    }

    /// An attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    /// It failed; a word of a short list, or a status.
    pub fn failed(&mut self, kind: impl Into<Value>) {
        self.set("error.type", kind);
        self.0.set_status(Status::error(""));
    }
}

/// The span of something that is asked of another server for the sake of a request, where it is for one and spans are made.
/// To be called on the request's own task.
pub fn asks(what: &'static str, server: &str) -> Option<Child> {
    let mut child = WITHIN.try_with(|within| within.child(SpanKind::Client, what.to_owned(), None)).ok()?;
    child.set("server.address", server.to_owned());
    Some(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn only_a_whole_traceparent_is_one() {
        let whole = Parent::read(&format!("00-{ID}-b7ad6b7169203331-01")).unwrap();
        assert_eq!((&whole.trace_id[..], whole.flags.is_sampled()), (ID.as_bytes(), true));
        assert!(!Parent::read(&format!("00-{ID}-b7ad6b7169203331-00")).unwrap().flags.is_sampled());
        assert_eq!(Parent::read(&format!("01-{ID}-b7ad6b7169203331-01-more")), Some(whole));
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-\"injected\"-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_two_traceparents_none_counts() {
        let mut headers = HeaderMap::new();
        let value: HeaderValue = format!("00-{ID}-b7ad6b7169203331-01").parse().unwrap();
        headers.append("traceparent", value.clone());
        assert!(Parent::of(&headers).is_some());
        headers.append("traceparent", value);
        assert_eq!(Parent::of(&headers), None);
    }
}
