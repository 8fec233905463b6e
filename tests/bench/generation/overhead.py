"""What a server between a provider and its readers adds: to one answer, and to two hundred at once.

The double writes into each word when it was said, and the providers' own SDKs read the same words, in turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.bench.generation.reads import BARE, Read, measures, places, together, warm
from tests.bench.generation.servers import ACTORS, PROVIDERS
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan, in_turns

STREAMS: Final = 200
ADDED_MS_GOAL: Final = 2
"""To the median word of one answer."""

TIMES_GOAL: Final = 1.15
"""What many answers take, in times of what the SDK takes for them."""

_PROVIDER: Final = "openai"
"""Whom many answers are asked of: the default."""

_PACE_MS: Final = 5
_WORDS_A_SECOND: Final = 40
"""Of an answer, for each second that a rate is measured."""

_PARALLEL: Final = {"calm": (25, 200), "busy": (100, 20)}
"""Words of an answer, and the ms before each."""


def overhead(plan: Plan) -> Group:
    """Measure the delay of each word of one answer, by provider."""
    with places() as where:
        for provider in PROVIDERS:
            warm(where, provider)
        words = round(_WORDS_A_SECOND * plan.seconds)
        where.double.script(words=words, pace_ms=_PACE_MS, stamp=True, default=True)
        wanted = {name: each for provider in PROVIDERS for name, each in measures(where, provider, 1).items()}
        reads = {name: together(runs) for name, runs in in_turns(plan, wanted).items()}
    rows = [Row(name, each.delays, _added(name, reads), each.oddities) for name, each in reads.items()]
    note = (
        "From the moment a provider says a word until a reader of the job's stream has it, stored on the way; beside "
        f"the provider's SDK in a program of its own. {plan.rounds} answers of {words} words, one every {_PACE_MS} ms."
    )
    return Group("Generation: the delay of a word", note, rows)


def parallel(plan: Plan) -> Group:
    """Measure many answers at once."""
    reads: dict[str, Read] = {}
    with places() as where:
        warm(where, _PROVIDER)
        for pace, (words, pace_ms) in _PARALLEL.items():
            where.double.script(words=words, pace_ms=pace_ms, stamp=True, default=True)
            wanted = {f"{pace}: {name}": each for name, each in measures(where, _PROVIDER, STREAMS).items()}
            reads |= {name: together(runs) for name, runs in in_turns(plan._replace(rounds=1), wanted).items()}
    rows = [Row(name, _values(each), _times(name, reads), each.oddities) for name, each in reads.items()]
    paces = ", ".join(f"{pace} {words} words, one every {ms} ms" for pace, (words, ms) in _PARALLEL.items())
    note = (
        f"{STREAMS} jobs of {ACTORS} users started and read at once, from the first request to the last event, beside "
        f"as many streams of the SDK. Of each answer {paces}. The double and all readers share the load's core."
    )
    return Group(f"Generation: {STREAMS} answers at once", note, rows)


def _values(read: Read) -> list[Value]:
    return [
        Value("took", read.took_s, "s"),
        *read.delays,
        Value("CPU a word", read.cpu_us, "µs"),
        Value("words an event", len(read.delays_ms) / read.events),
    ]


def _added(name: str, reads: Mapping[str, Read]) -> list[Beside]:
    bare = reads.get(f"{name}{BARE}")
    if bare is None:
        return []
    return [Beside(reads[name].p50_ms - bare.p50_ms, "ms more at p50", ADDED_MS_GOAL, at_most=True)]


def _times(name: str, reads: Mapping[str, Read]) -> list[Beside]:
    bare = reads.get(f"{name}{BARE}")
    if bare is None:
        return []
    return [
        Beside(reads[name].took_s / bare.took_s, "times the SDK's time", TIMES_GOAL, at_most=True),
        Beside(reads[name].p50_ms - bare.p50_ms, "ms more at p50"),
    ]
