"""Spans of batches, sent to an OpenTelemetry collector. Off, at no cost, unless `tracing_endpoint` is set.

A batch's span links to the spans in which its records were produced, by their header `traceparent` (W3C Trace
Context). A single one also becomes the parent: a reading that travels alone is one trace from MQTT to its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from backend_demo.errors import PrerequisiteMissing
from backend_demo.settings import Settings

TRACEPARENT = "traceparent"

#: Time limit of an export, seconds. Spans not sent within it when a service ends are lost.
EXPORT_LIMIT_S = 2


class Tracing:
    """The spans of one service, switched off: nothing is measured, and no record gets a header."""

    span: Any = None
    """Span of the current batch."""
    headers: Sequence[tuple[str, bytes]] = ()
    """Headers of the records that the current batch produces."""

    @contextmanager
    def batch(self, name: str, count: int, records: Mapping[Any, Sequence[Any]]) -> Iterator[None]:
        """Records the span of a batch of `count` records or messages; `records`: those with headers, by partition."""
        yield

    @contextmanager
    def step(self, name: str, parent: Any = None) -> Iterator[None]:
        """Records the span of a step of a batch: the batch with the span `parent`, else the current one."""
        yield

    def close(self) -> None:
        """Sends the remaining spans."""


OFF = Tracing()


def of(settings: Settings, service: str) -> Tracing:
    """Returns the spans of a service. Raises PrerequisiteMissing when they are on and OpenTelemetry is missing."""
    if not settings.tracing_endpoint:
        return OFF
    try:
        return _OpenTelemetry(settings.tracing_endpoint, service, settings.instance)
    except ImportError as problem:
        raise PrerequisiteMissing(
            "BDEMO_TRACING_ENDPOINT is set, but OpenTelemetry is not installed",
            hint="install it with: pip install 'backend-demo[tracing]'; or leave BDEMO_TRACING_ENDPOINT empty",
        ) from problem


class _OpenTelemetry(Tracing):
    """Switched on: a background thread sends spans to the collector in batches."""

    def __init__(self, endpoint: str, service: str, instance: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        names = {"service.namespace": "bdemo", "service.name": service, "service.instance.id": instance or service}
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_LIMIT_S)
        self._provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
        self._tracer = self._provider.get_tracer("backend_demo")
        self._propagator = TraceContextTextMapPropagator()
        self._trace = trace

    @contextmanager
    def batch(self, name: str, count: int, records: Mapping[Any, Sequence[Any]]) -> Iterator[None]:
        links = [self._trace.Link(context) for context in self._origins(records)]
        parent = links[0].context if len(links) == 1 else None
        attributes = {"messaging.batch.message_count": count}
        with self._span(name, parent, links=links, attributes=attributes) as self.span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier, self._trace.set_span_in_context(self.span))
            self.headers = [(key, value.encode()) for key, value in carrier.items()]
            try:
                yield
            finally:
                self.headers = ()

    @contextmanager
    def step(self, name: str, parent: Any = None) -> Iterator[None]:
        with self._span(name, (parent or self.span).get_span_context()):
            yield

    @contextmanager
    def _span(self, name: str, parent: Any, **options: Any) -> Iterator[Any]:
        """Records a span without making it current: that context does not survive an asynchronous generator."""
        context = None if parent is None else self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent))
        span = self._tracer.start_span(name, context, **options)
        try:
            yield span
        except Exception as problem:
            span.record_exception(problem)
            span.set_status(self._trace.StatusCode.ERROR)
            raise
        finally:
            span.end()

    def _origins(self, records: Mapping[Any, Sequence[Any]]) -> list[Any]:
        """Returns the contexts of the spans in which the records were produced."""
        carriers = {
            value: {TRACEPARENT: value.decode(errors="replace")}
            for found in records.values()
            for record in found
            for key, value in record.headers
            if key == TRACEPARENT
        }
        contexts = (
            self._trace.get_current_span(self._propagator.extract(carrier)).get_span_context()
            for carrier in carriers.values()
        )
        return [context for context in contexts if context.is_valid]

    def close(self) -> None:
        self._provider.shutdown()
