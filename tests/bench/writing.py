"""Writing: the whole server beside servers that do less and less."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from tests.bench.edits import BATCH, Edits
from tests.bench.report import Beside, Group
from tests.bench.runs import (
    BATCH_WRITERS,
    BATCHES,
    LINES,
    SINGLE,
    WAYS,
    WRITERS,
    Plan,
    Rate,
    answered,
    delivered,
    in_turns,
    middle,
    rate_row,
)
from tests.bench.servers import Server, running

RAW: Final = f"raw socket, {SINGLE}: what the load can do"
BARE: Final = f"bare ASGI, {SINGLE}"
STARLETTE: Final = f"Starlette + msgspec, {SINGLE}"
DECODED: Final = f"bare ASGI + msgspec, {BATCHES}"
DECODED_LINES: Final = f"bare ASGI + msgspec, {LINES}"
JOURNAL: Final = "journal mode: "
ASKS_NOBODY: Final = f"no credentials (--no-auth): {SINGLE}"


class _Ceiling(NamedTuple):
    name: str
    goal: float | None = None


_CEILINGS: Final = {
    BARE: [_Ceiling(RAW)],
    STARLETTE: [_Ceiling(BARE)],
    SINGLE: [_Ceiling(BARE, 0.65), _Ceiling(STARLETTE, 0.9)],
    ASKS_NOBODY: [_Ceiling(SINGLE)],
    BATCHES: [_Ceiling(DECODED)],
    LINES: [_Ceiling(DECODED_LINES)],
    **{f"{JOURNAL}{name}": [_Ceiling(name, 0.8)] for name in WAYS},
}


def writing(plan: Plan) -> Group:
    """Measure operations a second with one listener: single ones, batches, lines; with and without a journal."""
    with ExitStack() as stack:

        def started(kind: str, **options: str) -> Server:
            return stack.enter_context(running(kind, {f"storage.{name}": value for name, value in options.items()}))

        does_nothing = {kind: started(kind) for kind in ("raw", "bare", "starlette", "decode")}
        measures = dict(_ceilings(does_nothing, plan))
        measures |= _whole("", started("canvas"), plan)
        asks_nobody = stack.enter_context(running("canvas", {"server.auth": "false"}))
        measures[ASKS_NOBODY] = partial(delivered, asks_nobody, Edits.open_single, plan, writers=WRITERS)
        measures |= _whole(JOURNAL, started("canvas", durability="journal"), plan)
        rates = {name: middle(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [rate_row(name, "ops", rate, list(_besides(name, rates))) for name, rate in rates.items()]
    note = (
        "One document of 52 KB that keeps its size, scope `range`; one listener hears each edit; SQLite on disk. "
        f"{WRITERS} connections with single operations, {BATCH_WRITERS} with more. "
        f"Medians of {plan.rounds} runs of {plan.seconds:g} s, in turns with the ceilings, which answer and do no more."
    )
    return Group("Writing", note, rows)


def _ceilings(servers: Mapping[str, Server], plan: Plan) -> Iterator[tuple[str, Callable[[], Rate]]]:
    for name, kind in ((RAW, "raw"), (BARE, "bare"), (STARLETTE, "starlette")):
        yield name, partial(answered, servers[kind], Edits.single, 1, plan)
    yield DECODED, partial(answered, servers["decode"], Edits.batch, BATCH, plan)
    yield DECODED_LINES, partial(answered, servers["decode"], Edits.lines, BATCH, plan)


def _whole(mode: str, server: Server, plan: Plan) -> Mapping[str, Callable[[], Rate]]:
    return {
        f"{mode}{name}": partial(delivered, server, way, plan, writers=writers) for name, (way, writers) in WAYS.items()
    }


def _besides(name: str, rates: Mapping[str, Rate]) -> Iterator[Beside]:
    for ceiling, goal in _CEILINGS.get(name, ()):
        if ceiling in rates:
            yield Beside(rates[name].per_s / rates[ceiling].per_s, f"of {ceiling.partition(',')[0]}", goal)
            yield Beside(rates[ceiling].cpu_us / rates[name].cpu_us, "by server CPU")
