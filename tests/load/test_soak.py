"""It can run for weeks: much of everything for a while, and then nothing is left of it but what is meant to stay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

import pytest
import uvloop

from canvas_server.config import Settings
from canvas_server.config.settings import CheckpointSettings, LimitSettings, StorageSettings, StreamSettings
from tests.load.clients import Author, reading
from tests.load.probed_process import Held, Lag
from tests.load.running import MIB, Running, at_share, running
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND, amount
from tests.serving import at

WARM_UP_S: Final = amount(ci=6, hand=300)
SOAK_S: Final = amount(ci=14, hand=1_500)
SAMPLE_S: Final = amount(ci=1, hand=5)
WRITERS: Final = amount(ci=8, hand=50)
LISTENERS: Final = amount(ci=30, hand=200)
COMERS: Final = amount(ci=3, hand=10)
"""Who create canvases, write into them, and delete them."""
PAUSE_S: Final = 0.02
STAY_S: Final = 1.0
"""How long a listener stays before it comes again, on average."""
CANVASES: Final = 8
BLOCKS: Final = 20
BLOCK: Final = "twenty characters.. "
SETTINGS: Final = LimitSettings(retained_ops_max=200, log_events_min=100, log_bytes_min=64 * 1024)
"""So small that all that may fill is full when the warm-up ends."""
CHECKPOINTS: Final = CheckpointSettings(interval_s=0.5, close_quiet_s=0.5, idle_unload_s=2.0)
WAL_BYTES_MAX: Final = 64 * MIB
SLOPE_BYTES_MAX: Final = MIB
"""Of memory, for each 100,000 operations."""
LAG_MS_P999: Final = 50.0
OBJECTS_SHARE_MAX: Final = 0.02
OBJECTS_A_THREAD: Final = 30
"""The pool of threads grows up to its bound, a thread whenever none is idle."""
THREADS_MAX: Final = 32
PASSING: Final = ("ReferenceType", "Lag")
"""Types that count for nothing: what the interpreter cleans up by and by, and the probe's own."""


class Sample(NamedTuple):
    """What it was like at one moment."""

    ops: int
    rss_bytes: int
    files: int


class Soaked(NamedTuple):
    """What was seen."""

    samples: list[Sample]
    visits: int
    lags: list[Lag]


class Soak:
    """Much of everything, until its time is over.

    Args:
        server: that is soaked.
        seconds: how long.
    """

    def __init__(self, server: Running, seconds: float) -> None:
        self._server = server
        self._end_s = perf_counter() + seconds
        self._random = Random(17)
        self.ops = 0
        self.visits = 0

    @property
    def _goes_on(self) -> bool:
        return perf_counter() < self._end_s

    async def run(self) -> list[Sample]:
        """Do it, and return samples."""
        samples = []
        async with asyncio.TaskGroup() as group:
            work = (
                *(self._write(f"soaked-{number % CANVASES}") for number in range(WRITERS)),
                *(self._listen(f"soaked-{number % CANVASES}") for number in range(LISTENERS)),
                *(self._come_and_go(f"passing-{number}") for number in range(COMERS)),
            )
            tasks = [group.create_task(one) for one in work]
            while self._goes_on:
                await asyncio.sleep(SAMPLE_S)
                samples.append(Sample(self.ops, self._server.rss_bytes, self._server.files))
            await asyncio.gather(*tasks)
        return samples

    async def _write(self, ref: str) -> None:
        async with Author(self._server.port) as author:
            while self._goes_on:
                await self._edit(author, ref, await author.version(ref))
                await asyncio.sleep(PAUSE_S)

    async def _edit(self, author: Author, ref: str, version: str) -> None:
        """Replace a block by one of the same length, so that nothing grows that is not a leak."""
        start = self._random.randrange(BLOCKS) * len(BLOCK)
        self.ops += 1
        operation = {
            "op_id": f"op-{self._random.getrandbits(60):x}",
            "client_version": version,
            "scope": "range",
            "action": "replace",
            "target": at("range", **{"from": start, "to": start + len(BLOCK)}),
            "content": BLOCK,
        }
        status, answer = await author.ask("POST", f"/api/v2/canvas/{ref}/ops:stream", {"ops": [operation]})
        assert status == 202, answer

    async def _listen(self, ref: str) -> None:
        """Come, stay for a while, and come again; resume every other time."""
        last_id = ""
        while self._goes_on:
            target = f"/api/v2/canvas/{ref}/ops:listen"
            async with reading(self._server.port, [target], last_id) as [reader]:
                self.visits += 1
                await asyncio.sleep(self._random.uniform(0, 2 * STAY_S))
                last_id = "" if last_id else reader.last_id

    async def _come_and_go(self, ref: str) -> None:
        """Create a canvas, use all that there is, and delete it."""
        path = f"/api/v2/canvas/{ref}"
        async with Author(self._server.port) as author:
            while self._goes_on:
                assert (await author.ask("PUT", path, {"content": BLOCK * BLOCKS}))[0] == 201
                async with reading(self._server.port, [f"{path}/ops:listen"]):
                    version = await author.version(ref)
                    for _ in range(3):
                        await self._edit(author, ref, version)
                    for method, asked in (("GET", "/outline"), ("GET", "/ops"), ("GET", "?at=0"), ("POST", ":close")):
                        status, answer = await author.ask(method, path + asked)
                        assert status == 200, answer
                assert (await author.ask("DELETE", path))[0] == 204


@pytest.mark.promise("R17", "R20")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=120, hand=2_400))
def test_nothing_is_left_of_much_of_everything(findings: Findings, tmp_path: Path) -> None:
    settings = Settings(
        storage=StorageSettings(data_dir=str(tmp_path)),
        limits=SETTINGS,
        checkpoint=CHECKPOINTS,
        stream=StreamSettings(heartbeat_s=1.0),
    )
    with running(settings) as server:
        for number in range(CANVASES):
            server.create(f"soaked-{number}", BLOCK * BLOCKS)
        soak(server, WARM_UP_S)
        before = when_all_have_left(server)
        soaked = soak(server, SOAK_S)
        wal_bytes = sum(path.stat().st_size for path in tmp_path.glob("*-wal"))
        after = when_all_have_left(server)
        assert server.stop() == 0
    ops, slope = soaked.samples[-1].ops, theil_sen([(sample.ops, sample.rss_bytes) for sample in soaked.samples])
    objects, stayed = kept(before), kept(after)
    threads = after.threads - before.threads
    share = (stayed.total() - threads * OBJECTS_A_THREAD) / objects.total() - 1
    lag_ms = at_share([lag.own_ms for lag in soaked.lags], 0.999)
    findings.tell("R17", "soaked for", f"{SOAK_S} s, {ops} operations, {soaked.visits} visits of listeners")
    if BY_HAND:  # in seconds the allocator has not come to rest: only a long soak has a slope that means something
        findings.tell("R17", "slope of memory", f"{slope * 1e5 / MIB:.2f} MiB / 100,000 operations", "under 1 MiB")
    findings.tell("R17", "tasks, threads, files before and after", f"{counted(before)}; {counted(after)}", "the same")
    findings.tell("R17", "objects before and after", f"{objects.total()}, {stayed.total()}", "within 2 %")
    findings.tell("R17", "write-ahead log", f"{wal_bytes / MIB:.1f} MiB", "under 64 MiB")
    findings.tell("R20", "lag p99.9 in the soak", f"{lag_ms:.0f} ms of its own", "under 50 ms")
    assert ops > 20 * SOAK_S
    assert soaked.visits > SOAK_S
    assert (after.tasks, after.files) == (before.tasks, before.files)
    assert threads <= THREADS_MAX
    assert share < OBJECTS_SHARE_MAX, (stayed - objects).most_common(10)
    assert wal_bytes < WAL_BYTES_MAX
    assert lag_ms < 2 * LAG_MS_P999
    assert not BY_HAND or slope * 1e5 < SLOPE_BYTES_MAX


def soak(server: Running, seconds: float) -> Soaked:
    work = Soak(server, seconds)
    lags = server.lags[:0]
    samples = uvloop.run(work.run())
    return Soaked(samples, work.visits, lags + server.lags)


def kept(held: Held) -> Counter[str]:
    return Counter({name: count for name, count in held.objects.items() if name not in PASSING})


def counted(held: Held) -> str:
    return f"{held.tasks}, {held.threads}, {held.files}"


def when_all_have_left(server: Running) -> Held:
    """Return what the server holds when every canvas is closed."""
    time_s = perf_counter() + 20
    held = server.held
    while held.objects.get("Room", 0) and perf_counter() < time_s:
        uvloop.run(asyncio.sleep(0.2))
        held = server.held
    assert held.objects.get("Room", 0) == 0, "a canvas stays open that nobody uses"
    return held


def theil_sen(points: Sequence[tuple[int, int]]) -> float:
    """Return the median of the slopes between all pairs of points: a few odd ones do not move it."""
    slopes = [
        (right[1] - left[1]) / (right[0] - left[0]) for left, right in combinations(points, 2) if right[0] > left[0]
    ]
    return median(slopes)
