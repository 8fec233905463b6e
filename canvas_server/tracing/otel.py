"""Spans of OpenTelemetry behind the port of `core/tracer.py`; the one module that knows OpenTelemetry."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span as OpenSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from canvas_server.core.errors import CanvasError
from canvas_server.core.tracer import Fact, Span

log = logging.getLogger(__name__)

_EXPORT_S: Final = 5
_QUEUE_MAX: Final = 2048
_BATCH_MAX: Final = 256
_DELAY_MS: Final = 1000
_TRACES_PATH: Final = "/v1/traces"
_FACT_CHARS_MAX: Final = 256
_LIBRARY: Final = "opentelemetry"


def opened_provider(endpoint: str, sample_ratio: float, version: str) -> TracerProvider:
    """Return what makes spans and sends them; the arguments are those of `opened_tracer`. Shut it down at the end."""
    # It would say again and again, with addresses and stacks, what `_Quiet` says once.
    logging.getLogger(_LIBRARY).setLevel(logging.CRITICAL + 1)
    facts: dict[str, Fact] = {"service.name": "canvas-server", "service.version": version, "process.pid": os.getpid()}
    sampler = ParentBased(TraceIdRatioBased(sample_ratio))
    provider = TracerProvider(resource=Resource.create(facts), sampler=sampler, shutdown_on_exit=False)
    url = endpoint.rstrip("/")
    exporter = OTLPSpanExporter(url if url.endswith(_TRACES_PATH) else url + _TRACES_PATH, timeout=_EXPORT_S)
    provider.add_span_processor(
        BatchSpanProcessor(
            _Quiet(exporter),
            max_queue_size=_QUEUE_MAX,
            schedule_delay_millis=_DELAY_MS,
            max_export_batch_size=_BATCH_MAX,
        )
    )
    return provider


class OtelTracer:
    """Begins spans of OpenTelemetry; see `Tracer`.

    Args:
        provider: makes them.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("canvas_server")
        self._propagator = TraceContextTextMapPropagator()

    def span(self, name: str, facts: Mapping[str, Fact]) -> AbstractContextManager[Span]:
        """Return a block that is a span, a child of the current one."""
        return _current(self._tracer.start_span(name, attributes=_bounded(facts)))

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """Return the span of a request, a child of the one that its headers name."""
        # In an empty context, not in the current one: a connection may have kept that of an earlier request.
        parent = self._propagator.extract(headers, Context())
        return _current(self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER))

    def outgoing(self) -> Mapping[str, str]:
        """Return `traceparent`, and `tracestate` if there is one."""
        headers: dict[str, str] = {}
        self._propagator.inject(headers)
        return headers


class _OtelSpan:
    """A span of OpenTelemetry as our floors see it."""

    def __init__(self, span: OpenSpan) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def note(self, facts: Mapping[str, Fact]) -> None:
        """Add facts; nothing happens after its end."""
        if self._span.is_recording():
            self._span.set_attributes(_bounded(facts))

    def fail(self, code: str) -> None:
        """Say that it did not succeed."""
        if self._span.is_recording():
            self._span.set_attribute("error.type", code)
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it, once."""
        if self._span.is_recording():
            self._span.end()


class _Quiet(SpanExporter):
    """Says once that the collector is away, and once that it is back.

    Args:
        exporter: sends.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that are not taken are lost."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs these spans and nothing else
            log.debug("traces not sent", extra={"error": type(error).__name__})
            result = SpanExportResult.FAILURE
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning("traces not taken", extra={"spans": len(spans)})
        elif self._is_away and not is_away:
            log.info("traces taken again")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()


@contextmanager
def _current(begun: OpenSpan) -> Iterator[Span]:
    """Make a span the current one for a block, and end it with that."""
    span = _OtelSpan(begun)
    try:
        # What an exception says may quote what somebody wrote, so only its code is told.
        with use_span(begun, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            yield span
    except BaseException as error:
        span.fail(error.code if isinstance(error, CanvasError) else type(error).__name__)
        raise
    finally:
        span.end()


def _bounded(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {name: fact[:_FACT_CHARS_MAX] if isinstance(fact, str) else fact for name, fact in facts.items()}
