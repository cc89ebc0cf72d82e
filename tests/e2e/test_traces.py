"""A trace from a client through tagwarden to a real Feast, in one collector: both sides' spans, read by OpenTelemetry's own
classes."""

import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import FEAST
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace import set_span_in_context
from support import READ, Process, ask, free_port, wait_for

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}


class Collector:
    """Takes OTLP over HTTP; `spans` are (service, span)."""

    def __init__(self):
        self.spans = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
                    service = {a.key: a.value.string_value for a in batch.resource.attributes}["service.name"]
                    outer.spans += [(service, span) for scope in batch.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, trace):
        return [(service, span) for service, span in self.spans if span.trace_id == trace]


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.server.shutdown()


def variables(collector, service):
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_SERVICE_NAME": service,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }


@pytest.fixture(scope="module")
def traced_feast(feast_repo, collector, folder):
    """`feast serve` under OpenTelemetry's own instrumentation of FastAPI."""
    port = free_port()
    instrument = Path(sys.executable).parent / "opentelemetry-instrument"
    server = Process(
        [instrument, FEAST, "serve", "-h", "127.0.0.1", "-p", port, "-w", 1, "--no-access-log"],
        folder / "feast-traced.log", cwd=feast_repo.folder, env=feast_repo.env | variables(collector, "feast"),
    )
    server.wait_ready(port, "/health")
    server.port = port
    yield server
    server.stop()


def asked(sidecar, token):
    """A span of the client's own, and the answer within it."""
    span = TracerProvider().get_tracer("client").start_span("a score")
    headers = {}
    TraceContextTextMapPropagator().inject(headers, context=set_span_in_context(span))
    return span, ask(sidecar.port, "POST", READ, AGE, list(headers.items()), token)


def trace_of(span):
    return span.get_span_context().trace_id.to_bytes(16, "big")


def test_a_trace_goes_from_a_client_through_tagwarden_to_feast(traced_feast, collector, start_sidecar, idp):
    sidecar = start_sidecar(
        "traced", traced_feast.port, extra="tracing: {otlp: true}\n", env=variables(collector, "tagwarden")
    )
    refused, refusal = asked(sidecar, idp.token("none"))
    assert refusal.status == 403
    client, answer = asked(sidecar, idp.token("full"))
    assert answer.status == 200
    trace = trace_of(client)

    def both():
        found = collector.of(trace)
        served = {service for service, span in found if span.kind == Span.SPAN_KIND_SERVER}
        return found if served == {"tagwarden", "feast"} else None

    found = wait_for(both, "the spans of tagwarden and Feast")
    ours = {span.name: span for service, span in found if service == "tagwarden" and span.kind != Span.SPAN_KIND_CLIENT}
    [call] = [span for service, span in found if service == "tagwarden" and span.kind == Span.SPAN_KIND_CLIENT]
    [theirs] = [span for service, span in found if service == "feast" and span.kind == Span.SPAN_KIND_SERVER]
    request = ours[f"POST {READ}"]
    # client -> request -> call -> Feast
    assert request.parent_span_id == client.get_span_context().span_id.to_bytes(8, "big")
    assert call.parent_span_id == request.span_id
    assert theirs.parent_span_id == call.span_id
    assert request.start_time_unix_nano <= call.start_time_unix_nano <= theirs.start_time_unix_nano
    attributes = {a.key: a.value for a in request.attributes}
    assert attributes["tagwarden.decision_id"].string_value == answer.header("x-tagwarden-decision-id")
    assert attributes["http.response.status_code"].int_value == 200
    assert "customer_profile" not in str([span for service, span in found if service == "tagwarden"])
    # Feast sends its spans in their order: what was refused came to it neither before nor since.
    assert {service for service, span in collector.of(trace_of(refused))} == {"tagwarden"}
