"""What every job needs to run: given to the worker when the house is joined."""

from __future__ import annotations

from typing import Protocol

import msgspec

from canvas_server.core.event import Kind
from canvas_server.core.job_ports import JobStore, ResponseCache
from canvas_server.core.ports import Clock, Ids
from canvas_server.core.tracer import NO_TRACER, Tracer
from canvas_server.generation.cost import CostControl
from canvas_server.generation.event_log import EventLog
from canvas_server.generation.providers.generator import LLMFactory
from canvas_server.generation.stream import Feeds
from canvas_server.generation.tokens import TokenCounter


class GenerationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How jobs run; seconds unless the name says otherwise."""

    first_byte_s: float = 60.0
    gap_s: float = 30.0
    total_s: float = 900.0
    text_bytes_max: int = 4 * 1024 * 1024
    retries_max: int = 3
    cancel_s: float = 10.0
    pay_again: bool = True
    cache_ttl_s: float = 3600.0
    """0: no answer is told again."""
    join_s: float = 0.05
    running_max: int = 32
    running_per_actor_max: int = 4
    queued_per_actor_max: int = 20
    keep_s: float = 30 * 86_400.0
    """How long jobs that ended are kept."""
    metadata_s: float = 1.0
    """Between two words on tokens and cost."""


class Credentials(Protocol):
    """Gives job writers their way in."""

    def issue(self, name: str, kind: Kind, canvas: str, user: str) -> str:
        """Return a fresh token that makes whoever sends it an actor of this name and kind, for one canvas alone.

        It is good as long as `user`, in whose name it writes, may write there.
        """
        ...

    def revoke(self, token: str) -> None:
        """Forget a token."""
        ...


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of a worker."""

    jobs: JobStore
    cache: ResponseCache
    costs: CostControl
    counter: TokenCounter
    factory: LLMFactory
    feeds: Feeds
    event_log: EventLog
    credentials: Credentials
    clock: Clock
    ids: Ids
    tracer: Tracer = NO_TRACER
    base_url: str
    """Of this server, for the writers."""
    settings: GenerationSettings
