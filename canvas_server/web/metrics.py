"""`GET /metrics`: what was counted, in the words of Prometheus, made when it is asked for.

Rule: a label has few values, all known beforehand: never the name of a canvas, a user, an operation or a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from prometheus_client import GC_COLLECTOR, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from canvas_server import __version__
from canvas_server.core.counts import Counts, Histogram
from canvas_server.core.job_ports import JobTally, LedgerTally
from canvas_server.core.usage import Usage
from canvas_server.generation.engine_embedded import EmbeddedEngine
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.exchange import Exchange
from canvas_server.web.gauges import Gauges, gauges_of
from canvas_server.web.health import Condition
from canvas_server.web.survey import Survey

Labelled: TypeAlias = Iterable[tuple[tuple[str, ...], float]]
"""Values, each with the values of its labels."""

SUBMIT_ROUTE: Final = "/api/v2/canvas/{ref}/ops:stream"
_MICROS: Final = 1_000_000


class Metrics:
    """The handler.

    Args:
        manager: has the canvases, and what was counted.
        engine: has the jobs that run.
        survey: asks the stores.
        currency: of all amounts.
    """

    def __init__(self, manager: CanvasStateManager, engine: EmbeddedEngine, survey: Survey, currency: str) -> None:
        self._manager = manager
        self._engine = engine
        self._survey = survey
        self._currency = currency
        self._process: tuple[Collector, ...] = (
            ProcessCollector(registry=None),
            PlatformCollector(registry=None),
            GC_COLLECTOR,
        )

    async def scrape(self, exchange: Exchange) -> None:
        """Serve `GET /metrics`."""
        found = await self._survey.take()
        families = [
            *self._server(found.condition),
            *_canvases(gauges_of(self._manager.rooms)),
            *_operations(self._manager.counts),
            *_durations(self._manager.counts),
            *_readers(self._manager.counts),
            *_http(self._manager.counts),
            _gauge("canvas_job_queue_length", "Jobs that wait for their turn.", self._engine.waiting),
            *(_jobs(found.jobs) if found.jobs is not None else ()),
            *(_money(found.ledger) if found.ledger is not None else ()),
        ]
        encode, content_type = choose_encoder(exchange.headers.get(b"accept", b"").decode("latin-1"))
        # What is told of the process is read from files of the system, and writing it all down takes milliseconds.
        body = await asyncio.to_thread(encode, _Scrape(families, self._process))
        await exchange.answer(200, body, content_type.encode())

    def _server(self, condition: Condition) -> Iterator[Metric]:
        modes = {"version": __version__, "durability": self._manager.settings.durability}
        yield InfoMetricFamily("canvas_build", "The server that answers.", value=modes)
        yield InfoMetricFamily("canvas_currency", "In which all amounts are.", value={"currency": self._currency})
        yield _gauge("canvas_ready", "1 if the server can do its work, as `/readyz` says.", not condition.reasons)
        yield _gauge("canvas_store_ready", "1 if the database can be written to.", not condition.store_fault)


class _Scrape(Collector):
    """Everything that one scrape tells."""

    def __init__(self, families: Iterable[Metric], others: Iterable[Collector]) -> None:
        self._families = families
        self._others = others

    def collect(self) -> Iterator[Metric]:
        yield from self._families
        for other in self._others:
            yield from other.collect()


def _canvases(gauges: Gauges) -> Iterator[Metric]:
    yield _gauge("canvas_open_canvases", "Canvases in memory.", gauges.open_canvases)
    yield _gauge("canvas_text_bytes", "Text in memory, UTF-8.", gauges.text_bytes)
    yield _gauge("canvas_log_bytes", "Events kept in memory for readers that resume.", gauges.log_bytes)
    yield _gauge("canvas_listeners", "Readers of canvases; one connection may read several.", gauges.listeners)
    yield _gauge("canvas_unsaved_operations", "Operations taken that are not on disk.", gauges.unsaved_ops)
    yield _gauge(
        "canvas_oldest_unsaved_seconds", "For how long the oldest of them has waited.", gauges.oldest_unsaved_s
    )
    yield _gauge("canvas_failing_canvases", "Canvases whose last save did not succeed.", gauges.failing_canvases)


def _operations(counts: Counts) -> Iterator[Metric]:
    outcomes = {
        "ack": counts.acks,
        "duplicate": counts.duplicates,
        "conflict": counts.all_conflicts,
        "error": counts.all_errors,
    }
    yield _counter(
        "canvas_operations_total",
        "Operations by what became of them; a duplicate was applied before and is told of again.",
        ("outcome",),
        _each(outcomes.items()),
    )
    conflicts = (
        ((scope, reason), count) for scope, reasons in counts.conflicts.items() for reason, count in reasons.items()
    )
    yield _counter(
        "canvas_conflicts_total",
        "Operations on a text that has changed, by what must not and what did.",
        ("scope", "reason"),
        conflicts,
    )
    yield _counter(
        "canvas_operation_errors_total", "Operations that ended in an error.", ("code",), _each(counts.errors.items())
    )
    yield _counter(
        "canvas_checkpoint_failures_total", "Saves that did not succeed.", (), [((), counts.checkpoint_failures)]
    )
    yield _counter("canvas_evicted_events_total", "Events no longer kept.", (), [((), counts.evicted_events)])


def _durations(counts: Counts) -> Iterator[Metric]:
    for name, told, histogram in (
        ("canvas_apply_seconds", "Applying what one request brought, or one group of a journal.", counts.apply_s),
        ("canvas_fanout_seconds", "From an event to the end of the flush that told it.", counts.fanout_s),
        ("canvas_checkpoint_seconds", "Saves that succeeded.", counts.checkpoint_s),
        ("canvas_journal_commit_seconds", "From applying a group to knowing it on disk.", counts.journal_s),
        ("canvas_journal_commit_operations", "Operations in one commit of a journal.", counts.journal_ops),
        ("canvas_loop_lag_seconds", "How late the event loop was, asked four times a second.", counts.loop_lag_s),
    ):
        yield _histogram(name, told, histogram)


def _readers(counts: Counts) -> Iterator[Metric]:
    streams = {"canvas": counts.streams, "job": counts.job_streams}
    yield _gauge(
        "canvas_streams", "Connections that listen to canvases (`canvas`) or follow a job (`job`).", streams, ("kind",)
    )
    yield _counter(
        "canvas_dropped_streams_total", "Streams that the server ended.", ("reason",), _each(counts.dropped.items())
    )
    yield _counter("canvas_snapshots_total", "Readers that were sent the whole text.", (), [((), counts.snapshots)])
    yield _counter("canvas_resumes_total", "Readers that were sent what they had missed.", (), [((), counts.resumes)])
    yield _counter("canvas_resets_total", "Readers that could not resume.", ("reason",), _each(counts.resets.items()))


def _http(counts: Counts) -> Iterator[Metric]:
    requests: dict[tuple[str, str, str], int] = {}
    for route in counts.requests:
        for (method, status), count in route.answers.items():
            key = (method, route.route, str(status))
            requests[key] = requests.get(key, 0) + count
    at_once = ("POST", SUBMIT_ROUTE, "202")
    requests[at_once] = requests.get(at_once, 0) + counts.at_once
    yield _counter(
        "canvas_http_requests_total",
        "Answers; those of streams are counted when they end.",
        ("method", "route", "status"),
        requests.items(),
    )
    refusals = (((door, code), count) for door, codes in counts.refusals.items() for code, count in codes.items())
    yield _counter(
        "canvas_http_refusals_total",
        "Requests refused: by what reads them, by what looks at their headers, by what answers.",
        ("door", "code"),
        refusals,
    )
    yield _gauge("canvas_connections", "Open connections.", counts.connections)
    yield _counter(
        "canvas_expired_connections_total",
        "Connections ended because they took too long, by what for.",
        ("stage",),
        _each(counts.expired.items()),
    )


def _jobs(tally: JobTally) -> Iterator[Metric]:
    states = {"queued": tally.open.get("queued", 0), "running": tally.open.get("running", 0)}
    yield _gauge("canvas_jobs", "Jobs that have not ended.", states, ("state",))
    yield _counter("canvas_jobs_ended_total", "Jobs that ended.", ("provider", "state"), tally.ended.items())


def _money(tally: LedgerTally) -> Iterator[Metric]:
    of = tally.spending
    yield _counter(
        "canvas_tokens_total",
        "Tokens as providers reported them; cached ones are not among the input.",
        ("provider", "direction"),
        [item for one in of for item in _tokens(one.provider, one.told)],
    )
    yield _family(
        GaugeMetricFamily(
            "canvas_estimated_tokens",
            "Tokens of calls that no provider has reported.",
            labels=("provider", "direction"),
        ),
        [item for one in of for item in _tokens(one.provider, one.estimated)],
    )
    yield _counter(
        "canvas_cost_total",
        "Cost of what providers reported.",
        ("provider",),
        [((one.provider,), one.told_micros / _MICROS) for one in of],
    )
    for name, told, micros in (
        (
            "canvas_estimated_cost",
            "Cost of calls that no provider has reported.",
            {one.provider: one.estimated_micros for one in of},
        ),
        (
            "canvas_month_cost",
            "Cost of this month, reported and estimated.",
            {one.provider: one.month_micros for one in of},
        ),
        ("canvas_reserved_cost", "Held for calls under way.", {one.provider: one.reserved_micros for one in of}),
    ):
        amounts = {provider: amount / _MICROS for provider, amount in micros.items()}
        yield _gauge(name, told, amounts, ("provider",))
    yield _counter("canvas_quota_refusals_total", "Calls that a quota did not allow.", (), [((), tally.refusals)])


def _tokens(provider: str, usage: Usage) -> Iterator[tuple[tuple[str, ...], float]]:
    yield (provider, "input"), usage.input_tokens - usage.cached_tokens
    yield (provider, "cached"), usage.cached_tokens
    yield (provider, "output"), usage.output_tokens


def _gauge(name: str, told: str, value: float | Mapping[str, float], labels: tuple[str, ...] = ()) -> Metric:
    if isinstance(value, Mapping):
        return _family(GaugeMetricFamily(name, told, labels=labels), _each(value.items()))
    return GaugeMetricFamily(name, told, value=value)


def _counter(name: str, told: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    return _family(CounterMetricFamily(name, told, labels=labels), values)


def _family(family: GaugeMetricFamily | CounterMetricFamily, values: Labelled) -> Metric:
    for names, value in values:
        family.add_metric(names, value)
    return family


def _histogram(name: str, told: str, histogram: Histogram) -> Metric:
    buckets, count = [], 0
    for bound, more in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        count += more
        buckets.append((bound, float(count)))
    return HistogramMetricFamily(name, told, buckets=buckets, sum_value=histogram.total)


def _each(values: Iterable[tuple[str, float]]) -> Labelled:
    """Return values that have one label."""
    return [((name,), value) for name, value in values]
