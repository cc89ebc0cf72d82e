//! Every metric family, once (config.md, Metrics). Base units; nothing with a caller or a feature in a label.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// Buckets of request durations, seconds, from 50 µs.
const DURATION_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];
/// Buckets of our own share, seconds, from 25 µs.
const OVERHEAD_BUCKETS: &[f64] =
    &[0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// All families.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    upstream_duration: HistogramVec,
    overhead: HistogramVec,
    decisions: IntCounterVec,
    dropped: IntCounterVec,
    outputs_refused: IntCounterVec,
    refused: [OnceLock<IntCounter>; 4],
    /// `tokens_total{result}`.
    pub tokens: Tokens,
    /// `cache_requests_total{cache,result}`.
    pub cache_requests: IntCounterVec,
    /// `cache_entries{cache}`.
    pub cache_entries: IntGaugeVec,
    /// `reloads_total{kind,result}`.
    pub reloads: IntCounterVec,
    /// `snapshot_generation{kind}`.
    pub snapshot_generation: IntGaugeVec,
    /// `snapshot_loaded_timestamp_seconds{kind}`.
    pub snapshot_loaded: GaugeVec,
    /// `snapshot_stale{kind}`.
    pub snapshot_stale: IntGaugeVec,
    /// `jwks_fetches_total{issuer,result}`, set from the issuers' own counts.
    pub jwks_fetches: IntCounterVec,
    /// `jwks_age_seconds{issuer}`.
    pub jwks_age: GaugeVec,
    /// `issuer_store_silence_seconds`, without labels; there with the built-in issuer alone.
    pub store_silence: GaugeVec,
    /// `upstream_errors_total{kind}`.
    pub upstream_errors: IntCounterVec,
    /// `audit_lines_total`.
    pub audit_lines: IntCounter,
    /// `audit_chain_head`.
    pub audit_chain_head: Gauge,
    /// `connections{listener}`.
    pub connections: IntGaugeVec,
    /// `inflight_requests`.
    pub inflight: IntGauge,
    /// `inflight_requests_limit`, of `limits.inflight`.
    pub inflight_limit: IntGauge,
    /// `audit_mode`.
    pub audit_mode: IntGauge,
    /// `shadow_disagreements_total{change}`.
    pub shadow_disagreements: IntCounterVec,
    /// `spans_dropped_total{reason}`.
    pub spans_dropped: IntCounterVec,
}

/// What came of credentials, looked up once.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is counted under its own name")]
pub struct Tokens {
    pub valid: IntCounter,
    pub api_key: IntCounter,
    /// A client certificate that is the caller.
    pub certificate: IntCounter,
    pub missing: IntCounter,
    pub invalid: IntCounter,
    pub expired: IntCounter,
    pub keys_unavailable: IntCounter,
}

impl Tokens {
    fn of(family: &IntCounterVec) -> Self {
        let of = |result: &str| family.with_label_values(&[result]);
        Self {
            valid: of("valid"),
            api_key: of("api_key"),
            certificate: of("certificate"),
            missing: of("missing"),
            invalid: of("invalid"),
            expired: of("expired"),
            keys_unavailable: of("keys_unavailable"),
        }
    }
}

/// The handles of one route, looked up once.
#[derive(Debug)]
pub struct RouteMetrics {
    /// The label.
    pub route: String,
    requests: IntCounterVec,
    /// Those of one status each, from 100.
    by_status: Box<[OnceLock<IntCounter>]>,
    /// Request durations.
    pub request_duration: Histogram,
    /// The upstream's share.
    pub upstream_duration: Histogram,
    /// Our share.
    pub overhead: Histogram,
    /// Decisions without a refusal.
    pub permitted: IntCounter,
    /// Decisions that took outputs out.
    pub filtered: IntCounter,
    /// Decisions that refused the query.
    pub refused: IntCounter,
    /// Columns cut from answers.
    pub dropped: IntCounter,
}

impl RouteMetrics {
    /// Counts a finished request.
    pub fn finished(&self, status: u16, total: Duration, upstream: Option<Duration>) {
        let count = || self.requests.with_label_values(&[self.route.as_str(), status.to_string().as_str()]);
        add(usize::from(status).checked_sub(100).and_then(|at| self.by_status.get(at)), 1, count);
        self.request_duration.observe(total.as_secs_f64());
        if let Some(upstream) = upstream {
            self.upstream_duration.observe(upstream.as_secs_f64());
        }
        self.overhead.observe(total.saturating_sub(upstream.unwrap_or_default()).as_secs_f64());
    }
}

/// Adds to a counter of which the labels are looked up once; `place`: where it is kept then.
fn add(place: Option<&OnceLock<IntCounter>>, count: u64, look_up: impl Fn() -> IntCounter) {
    match place {
        Some(place) => place.get_or_init(look_up).inc_by(count),
        None => look_up().inc_by(count),
    }
}

impl Metrics {
    /// Registers all families.
    ///
    /// # Errors
    /// Two families of one name, which a test would have shown.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("tagwarden".to_owned()), None)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let floats = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, GaugeVec::new(Opts::new(name, help), labels)?)
        };
        let histograms = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register(&registry, HistogramVec::new(opts, &["route"])?)
        };
        let build = gauges("build_info", "The running version; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let disagreements = counters(
            "shadow_disagreements_total",
            "Queries that the shadow policy decides otherwise, by which way.",
            &["change"],
        )?;
        for change in ["wider", "narrower"] {
            disagreements.with_label_values(&[change]);
        }
        Ok(Self {
            requests: counters("requests_total", "Requests answered, by status code.", &["route", "code"])?,
            request_duration: histograms(
                "request_duration_seconds",
                "From the request's head to the answer's.",
                DURATION_BUCKETS,
            )?,
            upstream_duration: histograms(
                "upstream_duration_seconds",
                "From the request sent upstream to the last byte of its answer.",
                DURATION_BUCKETS,
            )?,
            overhead: histograms(
                "overhead_seconds",
                "Request duration without the upstream's share.",
                OVERHEAD_BUCKETS,
            )?,
            decisions: counters("decisions_total", "Queries decided.", &["route", "decision"])?,
            dropped: counters("response_columns_dropped_total", "Columns cut from answers.", &["route"])?,
            outputs_refused: counters(
                "outputs_refused_total",
                "Outputs refused, by their permission.",
                &["permission"],
            )?,
            refused: [const { OnceLock::new() }; 4],
            tokens: Tokens::of(&counters("tokens_total", "Tokens looked at, by result.", &["result"])?),
            cache_requests: counters("cache_requests_total", "Cache look-ups.", &["cache", "result"])?,
            cache_entries: gauges("cache_entries", "Entries in a cache.", &["cache"])?,
            reloads: counters("reloads_total", "Reloads, by what and how they ended.", &["kind", "result"])?,
            snapshot_generation: gauges("snapshot_generation", "The generation that is served.", &["kind"])?,
            snapshot_loaded: floats("snapshot_loaded_timestamp_seconds", "When it was loaded.", &["kind"])?,
            snapshot_stale: gauges("snapshot_stale", "1 while a newer one does not load.", &["kind"])?,
            jwks_fetches: counters("jwks_fetches_total", "Fetches of an issuer's keys.", &["issuer", "result"])?,
            jwks_age: floats("jwks_age_seconds", "Age of an issuer's keys.", &["issuer"])?,
            store_silence: floats(
                "issuer_store_silence_seconds",
                "For how long the built-in issuer's store was not heard from; infinite: never.",
                &[],
            )?,
            upstream_errors: counters("upstream_errors_total", "Upstream failures, by kind.", &["kind"])?,
            audit_lines: register(&registry, IntCounter::new("audit_lines_total", "Audit lines written.")?)?,
            audit_chain_head: register(
                &registry,
                Gauge::new("audit_chain_head", "The first 48 bits of the last audit line's hash, as a number.")?,
            )?,
            connections: gauges("connections", "Open connections.", &["listener"])?,
            inflight: register(&registry, IntGauge::new("inflight_requests", "Requests being served.")?)?,
            inflight_limit: register(
                &registry,
                IntGauge::new("inflight_requests_limit", "Requests that may be served at once; more are 503.")?,
            )?,
            audit_mode: register(&registry, IntGauge::new("audit_mode", "1 while enforcement is audit.")?)?,
            shadow_disagreements: disagreements,
            spans_dropped: counters("spans_dropped_total", "Spans that no collector took, by why.", &["reason"])?,
            registry,
        })
    }

    /// The handles of a route.
    pub fn route(&self, route: &str) -> Arc<RouteMetrics> {
        let decision = |decision: &str| self.decisions.with_label_values(&[route, decision]);
        Arc::new(RouteMetrics {
            route: route.to_owned(),
            requests: self.requests.clone(),
            by_status: std::iter::repeat_with(OnceLock::new).take(500).collect(),
            request_duration: self.request_duration.with_label_values(&[route]),
            upstream_duration: self.upstream_duration.with_label_values(&[route]),
            overhead: self.overhead.with_label_values(&[route]),
            permitted: decision("permitted"),
            filtered: decision("filtered"),
            refused: decision("refused"),
            dropped: self.dropped.with_label_values(&[route]),
        })
    }

    /// Adds to `outputs_refused_total{permission}`. `number`: that of the permission, from 0.
    pub fn outputs_refused(&self, number: u8, permission: &str, outputs: usize) {
        let look_up = || self.outputs_refused.with_label_values(&[permission]);
        add(self.refused.get(usize::from(number)), u64::try_from(outputs).unwrap_or(u64::MAX), look_up);
    }

    /// The text form (Prometheus exposition format 0.0.4).
    pub fn text(&self) -> Vec<u8> {
        let mut families = self.registry.gather();
        // Process metrics go by their common names, without a prefix of ours: the library's own registry has them.
        families.extend(prometheus::default_registry().gather());
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_have_their_documented_names() {
        let metrics = Metrics::new().unwrap();
        metrics.route("/get-online-features").finished(
            200,
            Duration::from_micros(120),
            Some(Duration::from_micros(100)),
        );
        metrics.tokens.valid.inc();
        for status in [200, 99, 600, 200] {
            metrics.route("/a").finished(status, Duration::ZERO, None);
        }
        metrics.outputs_refused(0, "Deny", 3);
        metrics.outputs_refused(0, "Deny", 2);
        metrics.outputs_refused(9, "Another", 1);
        let text = String::from_utf8(metrics.text()).unwrap();
        for line in [
            "tagwarden_build_info{version=\"0.1.0\"} 1",
            "tagwarden_requests_total{code=\"200\",route=\"/get-online-features\"} 1",
            "tagwarden_overhead_seconds_bucket{route=\"/get-online-features\",le=\"0.000025\"} 1",
            "tagwarden_decisions_total{decision=\"refused\",route=\"/get-online-features\"} 0",
            "tagwarden_tokens_total{result=\"valid\"} 1",
            "tagwarden_inflight_requests 0",
            "tagwarden_requests_total{code=\"200\",route=\"/a\"} 2",
            "tagwarden_requests_total{code=\"99\",route=\"/a\"} 1",
            "tagwarden_requests_total{code=\"600\",route=\"/a\"} 1",
            "tagwarden_outputs_refused_total{permission=\"Deny\"} 5",
            "tagwarden_outputs_refused_total{permission=\"Another\"} 1",
            "process_open_fds",
        ] {
            assert!(text.contains(line), "{line}\n---\n{text}");
        }
    }
}
