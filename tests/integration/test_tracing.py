"""Spans of batches reach a collector, and a reading that travels alone is one trace."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from backend_demo.settings import Settings
from backend_demo.stack.open import stack_in
from backend_demo.testing import running_stack
from tests.support.sensors import Publisher, new_sensor
from tests.support.shell import Shell
from tests.support.wait import eventually


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    links: frozenset[bytes]
    count: int


@dataclass
class Collector:
    """Takes OTLP over HTTP, as a real one does."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    counts = [each.value.int_value for each in span.attributes if each.key.endswith("message_count")]
                    self.spans.append(
                        Span(
                            names["service.name"],
                            span.name,
                            span.trace_id,
                            span.span_id,
                            span.parent_span_id,
                            frozenset(link.span_id for link in span.links),
                            sum(counts),
                        )
                    )


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            found.take(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[Settings]:
    with running_stack(without=["gateway"], tracing_endpoint=collector.url) as (settings, _):
        yield settings


def test_a_reading_that_travels_alone_is_one_trace(traced: Settings, collector: Collector) -> None:
    with Publisher(traced) as publisher:
        publisher.reading(new_sensor(), time.time(), 21.5)
        publisher.settle()

    wanted = {
        ("mqtt", "process mqtt"),
        ("collection", "process sensor-data"),
        ("processing", "process src-data"),
        ("aggregation", "process processed-data"),
        ("aggregation", "send aggregated-data"),
        ("loader", "transaction"),
    }

    def complete() -> dict[tuple[str, str], Span] | None:
        found = {(span.service, span.name): span for span in collector.spans}
        return found if wanted <= found.keys() else None

    found = eventually(complete, "spans of every service", 20)
    proxy = found["mqtt", "process mqtt"]
    collection = found["collection", "process sensor-data"]
    processing = found["processing", "process src-data"]
    aggregation = found["aggregation", "process processed-data"]
    assert not proxy.parent
    assert (collection.parent, collection.links, collection.count) == (proxy.id, {proxy.id}, 1)
    assert processing.parent == collection.id
    assert aggregation.parent == processing.id
    assert found["aggregation", "send aggregated-data"].parent == aggregation.id
    loader = [span for span in collector.spans if span.service == "loader" and span.name.startswith("process")]
    assert {span.parent for span in loader} <= {processing.id, aggregation.id, b""}
    assert found["loader", "transaction"].parent in {span.id for span in loader}
    assert {span.trace for span in collector.spans} == {proxy.trace}


def test_a_batch_of_several_links_to_all_that_it_came_from(traced: Settings, collector: Collector) -> None:
    """Sent while the collection is away, so that they wait for it together."""
    bdemo = Shell(traced.state_dir)
    sensor, now = new_sensor(), time.time()
    stack = stack_in(traced.state_dir)
    stack.stop("collection")
    with Publisher(traced) as publisher:
        for i in range(5):
            publisher.reading(sensor, now + i / 10, 21.5)
            publisher.settle()
    stack.start("collection")
    origins = {record["headers"]["traceparent"].split("-")[2] for record in tail(bdemo, "sensor-data", sensor)}
    assert len(origins) == 5

    def linked() -> Any:
        return [span for span in collector.spans if {bytes.fromhex(origin) for origin in origins} <= span.links]

    (span,) = eventually(linked, "a span with five links", 20)
    assert (span.service, span.parent) == ("collection", b"")


def tail(bdemo: Shell, topic: str, sensor: int) -> list[dict[str, Any]]:
    shown = bdemo("tail", "topic", topic, "--sensor", str(sensor), "-n", "100", "--exit", "-o", "json").stdout
    return [json.loads(line) for line in shown.splitlines()]


def test_a_stack_that_is_not_traced_adds_no_header(settings: Settings) -> None:
    with Publisher(settings) as publisher:
        sensor = new_sensor()
        publisher.reading(sensor, time.time(), 21.5)
        publisher.settle()
    bdemo = Shell(settings.state_dir)
    (record,) = eventually(lambda: tail(bdemo, "processed-data", sensor), "the reading", 20)
    assert "traceparent" not in record["headers"]
