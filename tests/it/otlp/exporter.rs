//! How spans get to a collector: one that hangs, is gone or wants a certificate, and what the variables say.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use crate::support::certificates::Authority;
use crate::support::client::{ask, query, request};
use crate::support::collector::{Collector, ON, decoded, serve, takes};
use crate::support::process::command;
use crate::support::sidecar::{FINE, Setup, reader};
use crate::support::until;
use crate::support::upstream::{Act, Upstream, nobody};

use super::{CALLER, TRACE, metric, parent, traced};

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_no_request_and_no_end() {
    let upstream = Upstream::start().await;
    let collector = Collector { server: Upstream::always(Act::Hang).await };
    let setup = Setup::new(&upstream).with(ON);
    let variables = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")];
    let mut process = collector.process(&setup, &variables).await;
    let token = reader();
    ask(process.data, query(&token, FINE)).await;
    until("an export that hangs", async || (collector.server.count() > 0).then_some(())).await;
    for _ in 0..20 {
        assert_eq!(ask(process.data, query(&token, FINE)).await.status, 200);
    }
    // Four of the first, three of each other, and 8 wait.
    let lost = metric(&process, "tagwarden_spans_dropped_total{reason=\"queue_full\"}").await;
    assert_eq!(lost, 56.0);
    assert_eq!(collector.server.count(), 1);
    let ends = Instant::now();
    process.terminate();
    assert_eq!(process.exit().await, 0, "{}", process.log());
    assert!(ends.elapsed() < Duration::from_secs(60), "{:?}", ends.elapsed());
    assert!(process.log().contains("not all spans were exported"), "{}", process.log());
}

#[tokio::test]
async fn a_collector_that_is_gone_is_told_once_and_again_when_it_is_back() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    collector.server.turns_to(Act::answer("400 No", "", "canary-text"));
    let setup = Setup::new(&upstream).with(ON);
    let mut process = collector.process(&setup, &[("RUST_LOG", "trace")]).await;
    let token = reader();
    for sent in 1..=3 {
        ask(process.data, query(&token, FINE)).await;
        until("an export", async || (collector.server.count() >= sent).then_some(())).await;
    }
    process.logged("spans cannot be exported").await;
    let series = "tagwarden_spans_dropped_total{reason=\"not_sent\"}";
    until("spans that are lost", async || (metric(&process, series).await >= 10.0).then_some(())).await;
    collector.server.turns_to(takes());
    let answer = ask(process.data, query(&token, FINE)).await;
    process.logged("spans are exported again").await;
    collector.of(&answer).await;
    let log = process.log();
    assert_eq!(log.matches("spans cannot be exported").count(), 1, "{log}");
    assert!(log.contains("it answered 400") && !log.contains("canary"), "{log}");

    // Part of a batch: field 1 is a message whose field 1 is the number of spans that were rejected.
    collector.server.turns_to(Act::answer("200 OK", "content-type: application/x-protobuf\r\n", [10, 2, 8, 2]));
    ask(process.data, query(&token, FINE)).await;
    process.logged("the collector rejects spans").await;
    assert!(metric(&process, "tagwarden_spans_dropped_total{reason=\"rejected\"}").await >= 2.0);

    let (_socket, url) = nobody();
    let mut process = serve(&setup, &[("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())]).await;
    assert_eq!(ask(process.data, query(&token, FINE)).await.status, 200);
    process.logged("spans cannot be exported").await;
    process.terminate();
    assert_eq!(process.exit().await, 0);
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::new(&upstream).with(ON);
    let mut process = collector.process(&setup, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    let answer = ask(process.data, query(&reader(), FINE)).await;
    assert_eq!(collector.server.count(), 0);
    process.terminate();
    assert_eq!(process.exit().await, 0);
    assert_eq!(collector.of(&answer).await.len(), 4);
    // A batch that is full does not wait.
    let variables = [("OTEL_BSP_SCHEDULE_DELAY", "3600000"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")];
    let process = collector.process(&setup, &variables).await;
    collector.of(&ask(process.data, query(&reader(), FINE)).await).await;
}

#[tokio::test]
async fn variables_say_who_sends_where_to_and_how() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::new(&upstream).with(ON);
    let traces = format!("{}/base/traces", collector.server.url);
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces.as_str()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_SERVICE_NAME", "scoring-guard"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other"),
    ];
    let process = collector.process(&setup, &variables).await;
    let own = collector.of(&ask(process.data, query(&reader(), FINE)).await).await.remove(0);
    let of = |name: &str| own.resource.get(name).map_or("", String::as_str);
    assert_eq!((of("service.name"), of("deployment.environment.name")), ("scoring-guard", "test"));
    assert_eq!(of("service.version"), env!("CARGO_PKG_VERSION"));
    let sent = collector.server.seen().remove(0);
    assert_eq!(sent.line(), "POST /base/traces HTTP/1.1");
    assert_eq!(sent.header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(sent.header("content-type").as_deref(), Some("application/x-protobuf"));

    let ours = Collector::start().await;
    let process = ours.process(&setup, &[("OTEL_TRACES_SAMPLER", "always_on"), ("OTEL_PROPAGATORS", "baggage")]).await;
    let answer = ask(process.data, traced(&reader(), &parent("01"), FINE)).await;
    let own = ours.of(&answer).await.remove(0);
    // Nobody's trace is taken up, and what came passes as it came.
    assert_eq!((own.resource["service.name"].as_str(), own.parent().as_str()), ("tagwarden", ""));
    assert_ne!(own.trace(), TRACE);
    let went = upstream.seen().last().unwrap().header("traceparent");
    assert_eq!(went, Some(format!("00-{TRACE}-{CALLER}-01")));
}

#[tokio::test]
async fn a_sampler_decides_where_no_caller_did() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::new(&upstream).with(ON);
    let share = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.0")];
    let process = collector.process(&setup, &share).await;
    ask(process.data, query(&reader(), FINE)).await;
    let sampled = ask(process.data, traced(&reader(), &parent("01"), FINE)).await;
    collector.of(&sampled).await;
    assert_eq!(collector.requests(1).await.iter().filter(|seen| seen.span.kind == 2).count(), 1);
    assert!(upstream.seen()[0].header("traceparent").unwrap().ends_with("-00"));
    // A sampler that does not ask the caller: nobody makes us send.
    let mut process = collector.process(&setup, &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    let before = collector.server.count();
    ask(process.data, traced(&reader(), &parent("01"), FINE)).await;
    process.terminate();
    assert_eq!((process.exit().await, collector.server.count()), (0, before));
    let mut process = collector.process(&setup, &[("OTEL_TRACES_SAMPLER", "often")]).await;
    process.logged("OTEL_TRACES_SAMPLER").await;
}

#[tokio::test]
async fn a_collector_behind_tls_is_held_against_the_certificate_that_is_given() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let server = Upstream::tls(ours.sign("localhost").server(None)).await;
    server.turns_to(takes());
    let (upstream, collector) = (Upstream::start().await, Collector { server });
    let setup = Setup::new(&upstream).with(ON);
    let at = |name: &str, authority: &Authority| setup.folder.write(name, &authority.pem).display().to_string();
    let (good, bad) = (at("good.pem", &ours), at("bad.pem", &other));
    let mut process = collector.process(&setup, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &bad)]).await;
    ask(process.data, query(&reader(), FINE)).await;
    process.logged("spans cannot be exported").await;
    assert_eq!(collector.server.count(), 0);
    let process = collector.process(&setup, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &good)]).await;
    collector.of(&ask(process.data, query(&reader(), FINE)).await).await;
}

#[tokio::test]
async fn variables_that_ask_for_what_is_not_here_end_the_start() {
    let setup = Setup::new(&Upstream::start().await).with(ON);
    let config = setup.write();
    for (name, value, told) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf is the one protocol that is spoken"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf is the one protocol that is spoken"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "write otlp or none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "the address is not usable"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", "`/nowhere.pem` cannot be read"),
    ] {
        let output = command(["serve", "--config"]).arg(&config).env(name, value).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(3) && errors.contains(told), "{name}: {:?} {errors}", output.status);
    }
}

/// Of what the collector's decoder is told, the tests above believe everything: it must not take anything for a span.
#[tokio::test]
async fn the_collector_of_these_tests_can_fail() {
    let upstream = Upstream::always(takes()).await;
    let at = upstream.url.trim_start_matches("http://").parse().unwrap();
    ask(at, request("POST", "/v1/traces", "", [0xff, 0xff])).await;
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| decoded(&upstream.only()))).is_err());
}
