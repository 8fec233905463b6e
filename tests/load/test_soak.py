"""It can run for weeks: much of everything for a while, and then nothing is left of it but what is meant to stay."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, Literal

import pytest

from canvas_server.config import Settings
from canvas_server.config.settings import (
    CheckpointSettings,
    DemoSettings,
    GenerationSettings,
    LimitSettings,
    StorageSettings,
    StreamSettings,
)
from tests.load.probed_process import Held
from tests.load.running import MIB, Running, at_share, running
from tests.load.soak import BLOCK, BLOCKS, CANVASES, Soak, kept_book
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND, amount

WARM_UP_S: Final = amount(ci=6, hand=300)
SOAK_S: Final = amount(ci=14, hand=1_500)
SETTINGS: Final = LimitSettings(retained_ops_max=200, log_events_min=100, log_bytes_min=64 * 1024)
"""So small that all that may fill is full when the warm-up ends."""
CHECKPOINTS: Final = CheckpointSettings(interval_s=0.5, close_quiet_s=0.5, idle_unload_s=2.0)
WAL_BYTES_MAX: Final = 64 * MIB
SLOPE_BYTES_MAX: Final = MIB
"""Of memory, for each 100,000 operations."""
LAG_MS_P999_MAX: Final = amount(ci=500, hand=100)
"""By hand twice what is promised; elsewhere other work goes on beside it."""
SETTLED_S: Final = 0.5
"""Two looks that far apart tell the same once the last connections are closed."""
OBJECTS_SHARE_MAX: Final = 0.02
OBJECTS_A_THREAD: Final = 30
"""The pool of threads grows up to its bound, a thread whenever none is idle."""
THREADS_MAX: Final = 32
PASSING: Final = ("ReferenceType", "Lag")
"""Types that count for nothing: what the interpreter cleans up by and by, and the probe's own."""
BUSY: Final = ("Room", "Run")
"""Types of which nothing is there when all have left."""


@pytest.mark.promise("R17", "R20")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=2_400))
@pytest.mark.parametrize("durability", ["checkpoint", "journal"])
def test_nothing_is_left_of_much_of_everything(
    findings: Findings, tmp_path: Path, durability: Literal["checkpoint", "journal"]
) -> None:
    settings = Settings(
        storage=StorageSettings(data_dir=str(tmp_path), durability=durability),
        limits=SETTINGS,
        checkpoint=CHECKPOINTS,
        stream=StreamSettings(heartbeat_s=1.0),
        generation=GenerationSettings(provider="demo", running_per_actor_max=16),
        demo=DemoSettings(delay_ms=5),
    )
    with running(settings) as server, kept_book(server, tmp_path) as book:
        for number in range(CANVASES):
            server.create(f"soaked-{number}", BLOCK * BLOCKS)
        Soak(server, WARM_UP_S).run(book, "warm-up")
        before = when_all_have_left(server)
        soak = Soak(server, SOAK_S)
        lags = server.lags[:0]
        soak.run(book, "soak")
        lags += server.lags
        wal_bytes = max(sample.wal_bytes for sample in book.samples)
        after = when_all_have_left(server)
        assert server.stop() == 0
    samples = book.of("soak")
    ops, slope = soak.ops, theil_sen([(sample.ops, sample.rss_bytes) for sample in samples])
    objects, stayed = kept(before), kept(after)
    threads = after.threads - before.threads
    share = (stayed.total() - threads * OBJECTS_A_THREAD) / objects.total() - 1
    lag_ms = at_share([lag.own_ms for lag in lags], 0.999)
    findings.tell(
        "R17",
        f"soaked for, {durability}",
        f"{SOAK_S} s, {ops} operations, {soak.visits} visits of listeners, {soak.jobs} jobs",
    )
    if BY_HAND:  # in seconds the allocator has not come to rest: only a long soak has a slope that means something
        findings.tell(
            "R17", f"slope of memory, {durability}", f"{slope * 1e5 / MIB:.2f} MiB / 100,000 operations", "under 1 MiB"
        )
    findings.tell(
        "R17",
        f"tasks, threads, files before and after, {durability}",
        f"{counted(before)}; {counted(after)}",
        "the same",
    )
    findings.tell(
        "R17", f"objects before and after, {durability}", f"{objects.total()}, {stayed.total()}", "within 2 %"
    )
    findings.tell("R17", f"write-ahead log at most, {durability}", f"{wal_bytes / MIB:.1f} MiB", "under 64 MiB")
    findings.tell("R20", f"lag p99.9 in the soak, {durability}", f"{lag_ms:.0f} ms of its own", "under 50 ms")
    assert ops > 20 * SOAK_S
    assert soak.visits > SOAK_S
    assert soak.jobs > SOAK_S / 2
    assert soak.ends == {"completed", "cancelled"}
    assert (after.tasks, after.files) == (before.tasks, before.files)
    assert threads <= THREADS_MAX
    assert share < OBJECTS_SHARE_MAX, (stayed - objects).most_common(10)
    assert wal_bytes < WAL_BYTES_MAX
    assert lag_ms < LAG_MS_P999_MAX
    assert not BY_HAND or slope * 1e5 < SLOPE_BYTES_MAX


def kept(held: Held) -> Counter[str]:
    return Counter({name: count for name, count in held.objects.items() if name not in PASSING})


def counted(held: Held) -> str:
    return f"{held.tasks}, {held.threads}, {held.files}"


def is_busy(held: Held) -> bool:
    return any(held.objects.get(name, 0) for name in BUSY)


def when_all_have_left(server: Running) -> Held:
    """Return what the server holds when every canvas is closed, and every job has ended."""
    time_s = perf_counter() + 20
    before, held = None, server.held
    while (before is None or is_busy(held) or counted(held) != counted(before)) and perf_counter() < time_s:
        time.sleep(SETTLED_S)
        before, held = held, server.held
    assert not is_busy(held), "a canvas stays open that nobody uses, or a job"
    return held


def theil_sen(points: Sequence[tuple[int, int]]) -> float:
    """Return the median of the slopes between all pairs of points: a few odd ones do not move it."""
    slopes = [
        (right[1] - left[1]) / (right[0] - left[0]) for left, right in combinations(points, 2) if right[0] > left[0]
    ]
    return median(slopes)
