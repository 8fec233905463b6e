"""The rules by themselves: operations by the size and script of the text, their scope and their target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.decide import decide
from canvas_server.core.document import Document
from canvas_server.core.event import Ack
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import (
    HeadingPlace,
    HeadingTarget,
    OffsetMode,
    Operation,
    OpPlace,
    OpTarget,
    PositionTarget,
    RegexPlace,
    RegexTarget,
    Scope,
    Target,
    TextPlace,
    TextTarget,
)
from canvas_server.core.ports import CanvasKey
from canvas_server.core.version import genesis
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan, in_turns

KB: Final = 1000
AUTHOR: Final = Author("local", "human", None)
GENESIS: Final = genesis("0" * 16)
KINDS: Final = ("position", "heading", "op", "text", "regex")
SIZES: Final = (20 * KB, 100 * KB, 1000 * KB)
GROWTH_GOAL: Final = 2
"""What an operation on the largest text may cost, in times of what it does on the smallest."""

_READ_ALL: Final = ("text", "regex")
"""Targets that are looked for in the whole text, so that what they cost grows with it."""

_MISSED: Final = 10
"""Operations that came between, for scopes that allow it."""

_OPS_A_SECOND: Final = 130
"""Operations measured for each second that a rate is measured: enough for a median."""


class Cost(NamedTuple):
    """Of one operation."""

    decided_us: float
    applied_us: float
    """Decided and applied."""


def sizes(plan: Plan) -> Group:
    """Measure an operation by script, target, scope and size."""
    ops = max(30, round(_OPS_A_SECOND * plan.seconds))
    measures = dict(_measures(ops))
    costs = {name: _cheapest(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [_row(name, each) for name, each in costs.items()]
    note = (
        "µs of one operation: decided, and decided and applied. A million by it is operations a second. Text and regex "
        f"targets read the whole text. Medians of {ops} operations, the lowest of {plan.rounds}."
    )
    return Group("An operation, by size of the text", note, rows)


def _measures(ops: int) -> Iterator[tuple[str, Callable[[], Sequence[Cost]]]]:
    for script in ("ASCII", "emoji"):
        for kind in KINDS:
            scopes: Sequence[Scope] = ("canvas", "section", "range") if kind == "position" else ("canvas", "range")
            for scope in scopes:
                yield f"{script}, {kind}, {scope}", partial(_by_size, kind, scope, ops, emoji=script == "emoji")


def _by_size(kind: str, scope: Scope, ops: int, *, emoji: bool) -> Sequence[Cost]:
    return [cost_of(open_canvas(markdown(size, emoji=emoji)), kind, scope, ops) for size in SIZES]


def _cheapest(runs: Sequence[Sequence[Cost]]) -> Sequence[Cost]:
    return [Cost(*map(min, zip(*costs, strict=True))) for costs in zip(*runs, strict=True)]


def _row(name: str, costs: Sequence[Cost]) -> Row:
    values = [
        Value(f"{what}, {size // KB:,} KB", value, "µs")
        for size, cost in zip(SIZES, costs, strict=True)
        for what, value in (("decided", cost.decided_us), ("applied", cost.applied_us))
    ]
    goal = None if any(f", {kind}," in name for kind in _READ_ALL) else GROWTH_GOAL
    growth = costs[-1].applied_us / costs[0].applied_us
    return Row(name, values, [Beside(growth, f"times {SIZES[0] // KB} KB", goal, at_most=True)])


def markdown(size: int, *, emoji: bool = False) -> str:
    """Return a text of about `size` characters in sections of one kilobyte."""
    line = "Some words of a paragraph that goes on for a while, as they do. "
    sections = (
        f"## Section {number}\n\n{line * 7}\n\n- an item {'🦊' if emoji else '*'}\n- another\n\n{line * 7}\n\n"
        for number in range(size // KB)
    )
    return "# Title\n\n" + "".join(sections)


def open_canvas(content: str) -> Canvas:
    """Return a canvas that nobody has edited."""
    return Canvas(CanvasKey(1), CanvasRef("bench"), "", Document(content, GENESIS), History(GENESIS, 10_000))


def targets(kind: str, canvas: Canvas, random: Random) -> Target:
    """Return a target of a kind, somewhere in the text."""
    text = canvas.document.text
    section = random.randrange(len(text) // KB - 1)
    match kind:
        case "position":
            return PositionTarget(position=OffsetMode(offset=random.randrange(len(text) // 2)))
        case "heading":
            return HeadingTarget(heading=HeadingPlace(path=(f"Section {section}",)))
        case "op":
            return OpTarget(op=OpPlace(op_id=f"op-{canvas.version.seq}"))
        case "text":
            return TextTarget(text=TextPlace(match=f"Section {section}\n"))
        case _:
            return RegexTarget(regex=RegexPlace(pattern=rf"Section {section}\n"))


def cost_of(canvas: Canvas, kind: str, scope: Scope, ops: int) -> Cost:
    """Return what operations cost; medians, so that the first may be slow."""
    random, limits = Random(1), Limits()
    decided, applied = [], []
    for _ in range(ops):
        base = canvas.version.etag
        if scope != "canvas":
            base = canvas.history.etag_at(max(0, canvas.version.seq - _MISSED)) or base
        target = targets(kind, canvas, random)
        operation = Operation(
            op_id=f"op-{canvas.version.seq + 1}", action="insert", target=target, content="a few words ", scope=scope
        )
        began_s = perf_counter()
        decide(canvas.document, canvas.history, operation, base, "utf16", limits)
        decided_s = perf_counter()
        outcome = canvas.submit(operation, base, "utf16", AUTHOR, limits, 0)
        if isinstance(outcome.event, Ack):
            applied.append(perf_counter() - decided_s)
            decided.append(decided_s - began_s)
        else:
            canvas.submit(somewhere(canvas, random), canvas.version.etag, "codepoint", AUTHOR, limits, 0)
    return Cost(median(decided) * 1e6, median(applied) * 1e6)


def somewhere(canvas: Canvas, random: Random) -> Operation:
    """Return an operation that inserts a few words somewhere."""
    target = targets("position", canvas, random)
    return Operation(op_id=f"op-{canvas.version.seq + 1}", action="insert", target=target, content="a few words ")
