"""Checkpoints: what one takes, and whether anybody who edits feels it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from canvas_server.core.canvas import Canvas
from canvas_server.core.limits import Limits
from canvas_server.core.ports import CanvasKey, CheckpointRequest, SavedText
from canvas_server.core.version import Version
from canvas_server.storage.canvases import open_store
from tests.bench.edits import TEXT
from tests.bench.hearing import delays_row
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.rules import AUTHOR, GENESIS, KB, markdown, open_canvas, somewhere
from tests.bench.runs import Plan, calm_delays, in_turns, middle_delays
from tests.bench.servers import running

FELT_GOAL: Final = 1.25
"""Of a p99 with checkpoints, in times of one without: what runs of the same thing differ by."""

_A_SECOND: Final = 13
"""Checkpoints measured for each second that a rate is measured."""

_EDITS_PER_S: Final = 200
"""Four checkpoints a second."""

_NEVER: Final = {
    "checkpoint.ops": 1_000_000,
    "checkpoint.interval_s": 3600,
    "checkpoint.unsaved_ops_max": 2_000_000,
}
_TEXTS: Final = {f"{len(TEXT) * times // KB:,} KB": TEXT * times for times in (1, 38)}


def felt(plan: Plan) -> Group:
    """Measure the delay of calm edits with and without checkpoints."""
    with ExitStack() as stack:
        servers = {
            "a checkpoint every 50 edits": stack.enter_context(running("canvas")),
            "never one": stack.enter_context(running("canvas", _NEVER)),
        }
        measures = {
            f"{size}, {mode}": partial(calm_delays, server, 1, plan, text=text, edits_per_s=_EDITS_PER_S)
            for size, text in _TEXTS.items()
            for mode, server in servers.items()
        }
        told = {name: middle_delays(runs) for name, runs in in_turns(plan, measures).items()}
    rows = []
    for name, delays in told.items():
        without = told.get(f"{name.rpartition(', ')[0]}, never one", delays)
        share = Beside(delays.p99_ms / without.p99_ms, "times the p99 of never one", FELT_GOAL, at_most=True)
        rows.append(delays_row(name, delays, () if without is delays else (share,)))
    note = f"From just before a request is written until its ack is heard, {_EDITS_PER_S} edits a second."
    return Group("Editing while checkpoints run", note, rows)


def checkpoints(plan: Plan) -> Group:
    """Measure a checkpoint of fifty operations, in small and large texts."""
    rounds = max(5, round(_A_SECOND * plan.seconds))
    measures = {
        f"{size // KB:,} KB, {'operations and the whole text' if whole else 'operations only'}": partial(
            _took_ms, size, rounds, whole=whole
        )
        for size in (50 * KB, 2000 * KB)
        for whole in (False, True)
    }
    rows = []
    for name, runs in in_turns(plan, measures).items():
        took_ms = [each for run in runs for each in run]
        rows.append(Row(name, [Value("p50", median(took_ms), "ms"), Value("worst", max(took_ms), "ms")]))
    note = "Encoded, and written by SQLite with synchronous=FULL."
    return Group("A checkpoint of 50 operations", note, rows)


def _took_ms(size: int, rounds: int, *, whole: bool) -> list[float]:
    return asyncio.run(_checkpoints_ms(size, rounds, whole=whole))


async def _checkpoints_ms(size: int, rounds: int, *, whole: bool) -> list[float]:
    canvas, took_ms = open_canvas(markdown(size)), []
    with TemporaryDirectory() as data_dir:
        async with open_store(Path(data_dir)) as store:
            saved = await store.create(canvas.ref, "", SavedText(GENESIS, str(canvas.document.text), ()), 0)
            for _ in range(rounds):
                base = canvas.version
                for operation in (somewhere(canvas, Random(number)) for number in range(50)):
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
