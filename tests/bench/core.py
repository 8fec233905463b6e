"""The rules by themselves: operations by size, script, scope and target; recorded sessions; checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final

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
from canvas_server.core.ports import CanvasKey, CheckpointRequest, SavedText
from canvas_server.core.submission import Submission
from canvas_server.core.version import Version, genesis
from canvas_server.storage.canvases import open_store
from tests.bench.report import Figure, Group
from tests.conformance.traces import NAMES, Trace, beginning, operations, read_trace, trace_path

KB: Final = 1000
AUTHOR: Final = Author("local", "human", None)
GENESIS: Final = genesis("0" * 16)
KINDS: Final = ("position", "heading", "op", "text", "regex")
SIZES: Final = (20 * KB, 100 * KB, 1000 * KB)

_MISSED: Final = 10
"""Operations that came between, for scopes that allow it."""


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


def cost_us(canvas: Canvas, kind: str, scope: Scope, rounds: int) -> tuple[float, float]:
    """Return what deciding costs, and what deciding and applying does; medians, so that the first may be slow."""
    random, limits = Random(1), Limits()
    decided, applied = [], []
    for _ in range(rounds):
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
            canvas.submit(_somewhere(canvas, random), canvas.version.etag, "codepoint", AUTHOR, limits, 0)
    return median(decided) * 1e6, median(applied) * 1e6


def _somewhere(canvas: Canvas, random: Random) -> Operation:
    target = targets("position", canvas, random)
    return Operation(op_id=f"op-{canvas.version.seq + 1}", action="insert", target=target, content="a few words ")


def sizes(rounds: int) -> Group:
    """Measure an operation by kind, scope and script, in small and large texts."""
    figures: list[Figure] = []
    for emoji in (False, True):
        for kind in KINDS:
            for scope in _scopes(kind):
                what = f"{'emoji' if emoji else 'ASCII'}, {kind}, {scope}"
                figures += _by_size(what, kind, scope, rounds, emoji=emoji)
    note = "µs of one operation, decided / decided and applied. Text and regex targets read the whole text."
    return Group("An operation, by size of the text", note, figures)


def _scopes(kind: str) -> Sequence[Scope]:
    return ("canvas", "section", "range") if kind == "position" else ("canvas", "range")


def _by_size(what: str, kind: str, scope: Scope, rounds: int, *, emoji: bool) -> Iterator[Figure]:
    smallest = 0.0
    for size in SIZES:
        decided_us, applied_us = cost_us(open_canvas(markdown(size, emoji=emoji)), kind, scope, rounds)
        smallest = smallest or applied_us
        name = f"{what}, {size // KB} KB"
        yield Figure(f"{name}: decide", decided_us, "µs")
        yield Figure(f"{name}: decide and apply", applied_us, "µs", applied_us / smallest, f"times {SIZES[0] // KB} KB")


def sessions(edits: int) -> Group:
    """Replay recorded sessions, each edit an operation on the newest version."""
    figures: list[Figure] = []
    for name in NAMES:
        if trace_path(name).exists():
            trace = beginning(read_trace(name), edits)
            plain_us = splice_us(trace)
            figures.append(Figure(f"{name}: splices of a plain str", plain_us, "µs an edit"))
            for scope in _scopes("heading"):
                cost = replay_us(trace, scope)
                figures.append(Figure(f"{name}: scope {scope}", cost, "µs an edit", cost / plain_us, "times a splice"))
    note = "" if figures else "The recordings are not here: ../shared/traces is missing."
    return Group("Recorded sessions, decided and applied", note, figures)


def splice_us(trace: Trace) -> float:
    """Return what an edit of a session costs where nothing is kept but the text."""
    text = trace.start
    began_s = process_time()
    for splice in trace.splices:
        text = text[: splice.start] + splice.insert + text[splice.end :]
    took_s = process_time() - began_s
    assert text == trace.end
    return took_s / len(trace.splices) * 1e6


def replay_us(trace: Trace, scope: Scope) -> float:
    """Return what an edit of a session costs."""
    canvas = open_canvas(trace.start)
    submission = Submission(canvas, AUTHOR, "codepoint", Limits())
    edits = list(operations(trace.splices, scope))
    began_s = process_time()
    for operation in edits:
        submission.step(operation, 0)
    took_s = process_time() - began_s
    assert str(canvas.document.text) == trace.end
    return took_s / len(edits) * 1e6


def checkpoints(rounds: int) -> Group:
    """Measure a checkpoint of fifty operations, in small and large texts."""
    figures = []
    for size in (50 * KB, 2000 * KB):
        for whole in (False, True):
            took_ms = asyncio.run(_checkpoints_ms(size, rounds, whole=whole))
            what = f"{size // KB} KB, {'operations and the whole text' if whole else 'operations only'}"
            figures += [
                Figure(f"{what}: p50", median(took_ms), "ms"),
                Figure(f"{what}: worst of {rounds}", max(took_ms), "ms"),
            ]
    return Group("Checkpoint of 50 operations", "Encoded, and written by SQLite with synchronous=FULL.", figures)


async def _checkpoints_ms(size: int, rounds: int, *, whole: bool) -> list[float]:
    canvas, took_ms = open_canvas(markdown(size)), []
    with TemporaryDirectory() as data_dir:
        async with open_store(Path(data_dir)) as store:
            saved = await store.create(canvas.ref, "", SavedText(GENESIS, str(canvas.document.text), ()), 0)
            for _ in range(rounds):
                base = canvas.version
                for operation in (_somewhere(canvas, Random(number)) for number in range(50)):
                    canvas.submit(operation, canvas.version.etag, "codepoint", AUTHOR, Limits(), 0)
                began_s = perf_counter()
                await store.save(_request(canvas, saved.key, base, whole=whole))
                took_ms.append((perf_counter() - began_s) * 1000)
    return took_ms


def _request(canvas: Canvas, key: CanvasKey, base: Version, *, whole: bool) -> CheckpointRequest:
    return CheckpointRequest(
        key=key,
        base_seq=base.seq,
        version=canvas.version,
        ops=canvas.saved_ops_since(base.seq),
        text=canvas.saved_text() if whole else None,
        size_bytes=canvas.document.text.size_bytes,
        now_unix_ms=0,
    )
