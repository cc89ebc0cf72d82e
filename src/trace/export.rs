//! The way of spans to the collector: a bounded queue, batches, our own client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::http::{Request, Response};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use prometheus::{IntCounter, IntCounterVec};
use prost::Message as _;
use tokio::runtime::Handle;

use super::environment::{self, Environment, TraceError};
use crate::fetch::{Client, Url};
use crate::tls;

/// An answer of a collector is small.
const ANSWER_BYTES: usize = 64 << 10;

/// What makes spans and sends them.
pub(super) fn provider(environment: &Environment, lost: &IntCounterVec) -> Result<SdkTracerProvider, TraceError> {
    environment::tell(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let client = match &environment.tls {
        Some(settings) => Client::with_tls(tls::client_config(settings)?),
        None => Client::new(),
    };
    let rejected = lost.with_label_values(&["rejected"]);
    let sender = Sender {
        client: Arc::new(client),
        url: environment.endpoint.clone(),
        runtime: Handle::current(),
        timeout: environment.timeout,
        failing: AtomicBool::new(false),
        rejected,
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(environment.timeout)
        .build()
        .map_err(|error| TraceError::Sdk(error.to_string()))?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter =
        Counted { inner: exporter, waiting: Arc::clone(&waiting), lost: lost.with_label_values(&["not_sent"]) };
    let config = BatchConfigBuilder::default().with_max_queue_size(environment.queue).build();
    let inner = BatchSpanProcessor::new(exporter, config);
    let queue = Queue { inner, waiting, most: environment.queue, lost: lost.with_label_values(&["queue_full"]) };
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    // The SDK would let OTEL_RESOURCE_ATTRIBUTES go before OTEL_SERVICE_NAME.
    if let Some(name) = &environment.name {
        resource = resource.with_service_name(name.clone());
    }
    Ok(SdkTracerProvider::builder().with_span_processor(queue).with_resource(resource.build()).build())
}

/// So many spans wait and no more, those on their way included. The SDK has such a bound too, and keeps to itself what it drops.
#[derive(Debug)]
struct Queue {
    inner: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    most: usize,
    lost: IntCounter,
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.inc();
        } else {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what comes out of the queue, and what of it was not sent.
#[derive(Debug)]
struct Counted<E> {
    inner: E,
    waiting: Arc<AtomicUsize>,
    lost: IntCounter,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        if result.is_err() {
            self.lost.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Our client, for the SDK's thread, which has no runtime of its own.
#[derive(Debug)]
struct Sender {
    client: Arc<Client>,
    /// As it was read at the start; the SDK has the same.
    url: Url,
    runtime: Handle,
    timeout: Duration,
    /// It was told that spans are not taken.
    failing: AtomicBool,
    rejected: IntCounter,
}

impl Sender {
    /// Tells a change, and no more: an outage has as many failures as batches. Nothing of a collector's answer is told.
    fn tell(&self, failed: Option<&str>) {
        let before = self.failing.swap(failed.is_some(), Ordering::Relaxed);
        match failed {
            Some(why) if !before => tracing::warn!(endpoint = %self.url, why, "spans cannot be exported"),
            None if before => tracing::info!(endpoint = %self.url, "spans are exported again"),
            Some(_) | None => {}
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let (client, url, timeout) = (Arc::clone(&self.client), self.url.clone(), self.timeout);
        let exchange = async move { client.post(&url, parts.headers, body, ANSWER_BYTES, timeout).await };
        let answer = self.runtime.spawn(exchange).await?.inspect_err(|error| self.tell(Some(&error.to_string())))?;
        if answer.status.is_success() {
            self.tell(None);
            self.count_rejected(&answer.body);
        } else {
            self.tell(Some(&format!("it answered {}", answer.status.as_u16())));
        }
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    fn count_rejected(&self, body: &[u8]) {
        let rejected =
            Answer::decode(body).ok().and_then(|answer| answer.partial_success).map(|some| some.rejected_spans);
        if let Some(rejected) = rejected.and_then(|spans| u64::try_from(spans).ok()).filter(|spans| *spans > 0) {
            self.rejected.inc_by(rejected);
            tracing::warn!(endpoint = %self.url, rejected, "the collector rejects spans");
        }
    }
}

impl HttpClient for Sender {
    // As `async_trait` has it, which is not worth a dependency for one method.
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.send(request))
    }
}

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess`; its text is the collector's, and not told.
#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}
