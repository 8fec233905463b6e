"""`GET /api/v2/status`: the same figures as `/metrics`, for a page that shows how the server does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from heapq import nlargest
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from canvas_server import __version__
from canvas_server.core.job import JobState
from canvas_server.core.job_ports import JobTally
from canvas_server.generation.cost import CostControl, amount_of
from canvas_server.generation.engine_embedded import EmbeddedEngine
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.web.exchange import Exchange
from canvas_server.web.gauges import gauges_of
from canvas_server.web.lag import LoopProbe
from canvas_server.web.survey import Findings, Survey

CANVASES_MAX: Final = 100
"""How many canvases are told of."""

_encode: Final = msgspec.json.Encoder().encode
_STATM: Final = Path("/proc/self/statm")


class OpenCanvas(msgspec.Struct, frozen=True, kw_only=True):
    """A canvas in memory."""

    ref: str
    title: str
    version: str
    size_bytes: int
    """Of the text, UTF-8."""
    listeners: int
    unsaved_ops: int
    age_s: float
    """For how long the oldest operation that is not on disk has waited; 0 if there is none."""


class ProviderSpending(msgspec.Struct, frozen=True, kw_only=True):
    """What all users together used of one provider."""

    provider: str
    month: float
    """Spent this month, in the currency."""
    reserved: float
    """Held for calls under way."""
    input_tokens: int
    """Since the first call, cached ones too, estimates too."""
    output_tokens: int


class JobCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by state: those that have not ended, and all that ever ended."""

    queued: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    interrupted: int = 0


class ServerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand, and what has happened since the server started."""

    open_canvases: int
    text_bytes: int
    log_bytes: int
    """Events kept for readers that resume."""
    listeners: int
    streams: int
    """Connections that listen to canvases; each may listen to several."""
    job_streams: int
    connections: int
    unsaved_ops: int
    oldest_unsaved_s: float
    failing_canvases: int
    """Canvases whose last save did not succeed."""
    acks: int
    duplicates: int
    conflicts: int
    errors: int
    checkpoints: int
    checkpoint_failures: int
    evicted_events: int
    dropped_streams: int
    snapshots: int
    resumes: int
    resets: int
    http_requests: int
    http_refusals: int
    loop_lag_s: float
    """The worst of the last seconds."""
    resident_bytes: int | None
    """Memory of the process; null where the system does not say."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the server does."""

    version: str
    uptime_s: float
    durability: str
    ephemeral: bool
    ready: bool
    reasons: Sequence[str]
    """Why it is not ready, as `/readyz` says."""
    store_ready: bool
    """Whether the database can be written to."""
    figures: ServerFigures
    canvases: Sequence[OpenCanvas]
    """Of those in memory at most 100, the busiest first: by listeners, then by what is not on disk, then by size."""
    jobs: JobCounts | None
    """Null while the database cannot be read."""
    currency: str
    spending: Sequence[ProviderSpending]
    quota_refusals: int | None
    """Null while the database cannot be read."""


class Sources(NamedTuple):
    """What is asked."""

    manager: CanvasStateManager
    engine: EmbeddedEngine
    costs: CostControl
    survey: Survey
    probe: LoopProbe


class StatusPage:
    """The handler.

    Args:
        sources: what is asked.
        ephemeral: whether nothing is on disk.
    """

    def __init__(self, sources: Sources, *, ephemeral: bool) -> None:
        self._sources = sources
        self._ephemeral = ephemeral
        self._started_s = asyncio.get_running_loop().time()

    async def read(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/status`."""
        found = await self._sources.survey.take()
        resident_bytes = await asyncio.to_thread(_resident_bytes)
        await exchange.answer(200, _encode(self._status(found, resident_bytes)))

    def _status(self, found: Findings, resident_bytes: int | None) -> Status:
        manager, condition = self._sources.manager, found.condition
        return Status(
            version=__version__,
            uptime_s=round(asyncio.get_running_loop().time() - self._started_s, 3),
            durability=manager.settings.durability,
            ephemeral=self._ephemeral,
            ready=not condition.reasons,
            reasons=condition.reasons,
            store_ready=not condition.store_fault,
            figures=self._figures(resident_bytes),
            canvases=[_open_canvas(room) for room in nlargest(CANVASES_MAX, manager.rooms, key=_busy)],
            jobs=None if found.jobs is None else _job_counts(found.jobs),
            currency=self._sources.costs.currency,
            spending=_spending(found),
            quota_refusals=None if found.ledger is None else found.ledger.refusals,
        )

    def _figures(self, resident_bytes: int | None) -> ServerFigures:
        counts, gauges = self._sources.manager.counts, gauges_of(self._sources.manager.rooms)
        answered = sum(sum(route.answers.values()) for route in counts.requests)
        return ServerFigures(
            open_canvases=gauges.open_canvases,
            text_bytes=gauges.text_bytes,
            log_bytes=gauges.log_bytes,
            listeners=gauges.listeners,
            streams=counts.streams,
            job_streams=counts.job_streams,
            connections=counts.connections,
            unsaved_ops=gauges.unsaved_ops,
            oldest_unsaved_s=round(gauges.oldest_unsaved_s, 3),
            failing_canvases=gauges.failing_canvases,
            acks=counts.acks,
            duplicates=counts.duplicates,
            conflicts=counts.all_conflicts,
            errors=counts.all_errors,
            checkpoints=counts.checkpoint_s.count,
            checkpoint_failures=counts.checkpoint_failures,
            evicted_events=counts.evicted_events,
            dropped_streams=sum(counts.dropped.values()),
            snapshots=counts.snapshots,
            resumes=counts.resumes,
            resets=sum(counts.resets.values()),
            http_requests=answered + counts.at_once,
            http_refusals=sum(sum(codes.values()) for codes in counts.refusals.values()),
            loop_lag_s=round(self._sources.probe.recent_s, 4),
            resident_bytes=resident_bytes,
        )


def _busy(room: Room) -> tuple[int, int, int]:
    return room.listeners, room.unsaved_ops, room.canvas.document.text.size_bytes


def _open_canvas(room: Room) -> OpenCanvas:
    canvas = room.canvas
    return OpenCanvas(
        ref=canvas.ref,
        title=canvas.title,
        # With a journal the newest version may not be told yet: a crash could still undo it.
        version=(canvas.version if room.journal is None else room.checkpointer.saved).etag,
        size_bytes=canvas.document.text.size_bytes,
        listeners=room.listeners,
        unsaved_ops=room.unsaved_ops,
        age_s=round(room.unsaved_age_s, 3),
    )


def _job_counts(tally: JobTally) -> JobCounts:
    ended: dict[JobState, int] = {}
    for (_provider, state), count in tally.ended.items():
        ended[state] = ended.get(state, 0) + count
    return msgspec.convert({**tally.open, **ended}, JobCounts)


def _spending(found: Findings) -> list[ProviderSpending]:
    return [
        ProviderSpending(
            provider=one.provider,
            month=amount_of(one.month_micros),
            reserved=amount_of(one.reserved_micros),
            input_tokens=one.told.input_tokens + one.estimated.input_tokens,
            output_tokens=one.told.output_tokens + one.estimated.output_tokens,
        )
        for one in (() if found.ledger is None else found.ledger.spending)
    ]


def _resident_bytes() -> int | None:
    """Return the memory that the process has now, where Linux's files say it."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
