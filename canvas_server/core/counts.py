"""What has happened in the life of a server, counted: whole numbers in tables that are made once.

Rule: to count is one addition. Nothing is named, joined or stored anew for an operation, so that counting costs nothing
worth telling; whoever wants names and sums makes them when asked. All of it belongs to one thread, that of the event
loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args

from canvas_server.core.canvas import Outcome
from canvas_server.core.event import ByeReason, Conflict, ConflictReason, ErrorCode, Failure, ResetReason
from canvas_server.core.operation import Scope

Door: TypeAlias = Literal["connection", "admission", "application"]
"""Who refuses a request: what reads it, what looks at its headers, or what answers it."""

FAST_S: Final = (0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5)
"""Bounds for what takes microseconds when all is well."""
SLOW_S: Final = (0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what waits: for a disk, or for its turn."""
SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0)
"""Bounds for how many operations go together."""


class Histogram:
    """How often a value fell between two bounds.

    Args:
        bounds: in rising order; a value that equals one belongs below it. One above the last has a place of its own.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """By bound, each alone; the last is of what is above all."""
        self.total = 0.0
        """The sum of all values."""

    def take(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)


class RequestCounts:
    """The answers of one route; its streams are counted when they end.

    Args:
        route: the path as the table of routes has it, so that there are only so many.
    """

    __slots__ = ("answers", "route")

    def __init__(self, route: str) -> None:
        self.route = route
        self.answers: dict[tuple[str, int], int] = {}
        """By method and status."""

    def take(self, method: str, status: int) -> None:
        """Count an answer."""
        key = (method, status)
        self.answers[key] = self.answers.get(key, 0) + 1


class Counts:
    """Everything that one server counts; handed to whoever has something to count."""

    def __init__(self) -> None:
        self.acks = 0
        """Operations that were applied."""
        self.duplicates = 0
        """Operations that were applied before, and told of again."""
        self.conflicts: dict[Scope, dict[ConflictReason, int]] = {
            scope: dict.fromkeys(get_args(ConflictReason), 0) for scope in get_args(Scope)
        }
        self.errors: dict[ErrorCode, int] = dict.fromkeys(get_args(ErrorCode), 0)
        self.apply_s = Histogram(FAST_S)
        """For each submit; with a journal for each group of operations that are applied together."""
        self.fanout_s = Histogram(FAST_S)
        """From the first event that is to be told to the end of the flush that told it."""
        self.checkpoint_s = Histogram(SLOW_S)
        """Of saves that succeeded."""
        self.checkpoint_failures = 0
        self.journal_s = Histogram(SLOW_S)
        """From applying a group to knowing that it is on disk."""
        self.journal_ops = Histogram(SIZES)
        """Operations in a group."""
        self.evicted_events = 0
        """Events that a log holds no longer."""
        self.streams = 0
        """Connections that listen to canvases now."""
        self.job_streams = 0
        """Connections that follow a job now."""
        self.snapshots = 0
        self.resumes = 0
        """Readers that were told what they had missed."""
        self.resets: dict[ResetReason, int] = dict.fromkeys(get_args(ResetReason), 0)
        self.dropped: dict[ByeReason, int] = dict.fromkeys(get_args(ByeReason), 0)
        """Streams that the server ended."""
        self.requests: list[RequestCounts] = []
        self.at_once = 0
        """Requests with operations that were answered without a task."""
        self.refusals: dict[Door, dict[str, int]] = {door: {} for door in get_args(Door)}
        """By code."""
        self.connections = 0
        """Open now."""
        self.expired: dict[str, int] = {}
        """Connections that took too long, by what for."""
        self.loop_lag_s = Histogram(SLOW_S)
        """How late the event loop was each time it was asked."""

    def note_outcome(self, outcome: Outcome, scope: Scope) -> None:
        """Count what became of an operation of that scope."""
        event = outcome.event
        if isinstance(event, Conflict):
            self.conflicts[scope][event.reason] += 1
        elif isinstance(event, Failure):
            self.errors[event.code] += 1
        elif outcome.changed:
            self.acks += 1
        else:
            self.duplicates += 1

    def requests_of(self, route: str) -> RequestCounts:
        """Return a new count of the answers of a route."""
        counts = RequestCounts(route)
        self.requests.append(counts)
        return counts

    def refuse(self, door: Door, code: str) -> None:
        """Count a refusal; `code` is one of those that the protocol names."""
        codes = self.refusals[door]
        codes[code] = codes.get(code, 0) + 1

    @property
    def all_conflicts(self) -> int:
        """Of all scopes and reasons."""
        return sum(sum(reasons.values()) for reasons in self.conflicts.values())

    @property
    def all_errors(self) -> int:
        """Of all codes."""
        return sum(self.errors.values())
