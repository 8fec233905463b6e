"""The door to traces: spans with a beginning, an end and facts, for whoever collects them; by default nobody does.

Rule: facts are names, counts and codes; never texts, prompts, keys or tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol, TypeAlias

Fact: TypeAlias = str | int | float | bool


class Span(Protocol):
    """Something that took time. After its end nothing changes it any more."""

    def rename(self, name: str) -> None:
        """Give it the name that was not known when it began."""
        ...

    def note(self, facts: Mapping[str, Fact]) -> None:
        """Add facts."""
        ...

    def fail(self, code: str) -> None:
        """Say that it did not succeed; `code` is a stable one."""
        ...

    def end(self) -> None:
        """End it before its block ends; once is enough."""
        ...


class Tracer(Protocol):
    """Begins spans. A span that is begun in the block of another, or in a task started there, is its child."""

    def span(self, name: str, facts: Mapping[str, Fact]) -> AbstractContextManager[Span]:
        """Return a block that is a span; an exception that leaves it makes it one that failed, told by its code."""
        ...

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """Return the span of a request: the child of what its `traceparent` names, else of nothing.

        Args:
            name: for as long as nobody renames it.
            headers: of the request; `traceparent` and `tracestate` are read (W3C Trace Context).
        """
        ...

    def outgoing(self) -> Mapping[str, str]:
        """Return the header fields that make the request about to be sent a child of the current span."""
        ...


class _NoSpan:
    """What is begun when nobody collects."""

    def rename(self, name: str) -> None:
        """Do nothing."""

    def note(self, facts: Mapping[str, Fact]) -> None:
        """Do nothing."""

    def fail(self, code: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


_NO_SPAN: Final = _NoSpan()


class NoTracer:
    """Begins nothing."""

    def span(self, name: str, facts: Mapping[str, Fact]) -> AbstractContextManager[Span]:
        """Return a block that nobody hears of."""
        return nullcontext(_NO_SPAN)

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """Return a block that nobody hears of."""
        return nullcontext(_NO_SPAN)

    def outgoing(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}


NO_TRACER: Final = NoTracer()
"""The default wherever a tracer is wanted."""
