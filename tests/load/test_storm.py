"""Everybody comes back at once after a restart: all are served, others go on writing, and nothing is left of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import pytest
import uvloop

from canvas_server.config import Settings
from canvas_server.config.settings import LimitSettings, StorageSettings
from tests.load.clients import Author, reading, until
from tests.load.running import MIB, Running, at_share, running
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import append

CLIENTS: Final = amount(ci=300, hand=1_000)
SNAPSHOT: Final = "A line of twenty characters, or of a few more than that.\n" * 350
"""20 KB."""
MISSED: Final = 20
"""Operations that those who come back have missed."""
PATH: Final = "/api/v2/canvas/stormed/ops"
FIRST_BYTE_S_MAX: Final = 5.0
ACK_MS_MAX: Final = amount(ci=5_000, hand=1_000)
"""By hand four times what is promised; elsewhere other work goes on beside it."""


class Storm(NamedTuple):
    """What it was like.

    Attributes:
        first_bytes_s: of each reader, from connecting.
        acks_ms: of what was written meanwhile, from sending to hearing of it.
    """

    took_s: float
    first_bytes_s: list[float]
    acks_ms: list[float]


@pytest.mark.promise("R16")
@pytest.mark.slow
def test_all_who_come_back_at_once_are_served_and_nothing_is_left_of_it(findings: Findings, tmp_path: Path) -> None:
    settings = Settings(
        storage=StorageSettings(data_dir=str(tmp_path)), limits=LimitSettings(listeners_max=2 * CLIENTS)
    )
    with running(settings) as server:
        last_id = server.create("stormed", SNAPSHOT)[3:-1]
        server.create("beside")
        write(server, MISSED)
        assert server.stop() == 0
    with running(settings) as server:
        for name, resume in (("resuming", last_id), ("full snapshots", "")):
            uvloop.run(storm(server, "", 10))
            before, files = server.rss_bytes, server.files
            told = uvloop.run(storm(server, resume, CLIENTS))
            uvloop.run(until(lambda: server.files <= files, 30))  # noqa: B023 - used at once
            grown = server.rss_bytes - before
            findings.tell("R16", f"{name}: clients at once, all served in", f"{CLIENTS} in {told.took_s:.2f} s")
            findings.tell("R16", f"{name}: first byte p99", f"{at_share(told.first_bytes_s, 0.99):.2f} s", "under 5 s")
            findings.tell("R16", f"{name}: acks beside them p99", f"{at_share(told.acks_ms, 0.99):.0f} ms", "250 ms")
            findings.tell("R16", f"{name}: memory left behind", f"{grown / MIB:.1f} MiB", "within 10 %")
            assert at_share(told.first_bytes_s, 0.99) < FIRST_BYTE_S_MAX
            assert at_share(told.acks_ms, 0.99) < ACK_MS_MAX
            assert grown < before / 10 + CLIENTS * 16 * 1024


def write(server: Running, count: int) -> None:
    """Write what those who come back will have missed."""
    version = server.http.get("/api/v2/canvas/stormed").json()["version"]
    operations = [append(f"Line {number}.\n", client_version=version, scope="range") for number in range(count)]
    assert server.http.post(f"{PATH}:stream", json={"ops": operations}).status_code == 202


async def storm(server: Running, last_id: str, clients: int) -> Storm:
    """Let readers come all at once while somebody writes elsewhere; return once all have heard what they came for."""
    written: list[float] = []
    async with reading(server.port, ["/api/v2/canvas/beside/ops:listen"]) as [beside], asyncio.TaskGroup() as group:
        author = group.create_task(write_on(server.port))
        started_s = perf_counter()
        async with reading(server.port, [f"{PATH}:listen"] * clients, last_id=last_id) as readers:
            if last_id:
                await until(lambda: all(reader.acks == MISSED for reader in readers))
            took_s = perf_counter() - started_s
            await asyncio.sleep(0.2)
            author.cancel()
            written += beside.delays_ms
            return Storm(took_s, [reader.first_byte_s for reader in readers], written)


async def write_on(port: int) -> None:
    """Write into another canvas every 20 ms."""
    path = "/api/v2/canvas/beside/ops:stream"
    async with Author(port) as author:
        version = await author.version("beside")
        while True:
            stamp = round(perf_counter() * 1e6)
            operation = append(".", client_version=version, scope="range", timestamp=stamp)
            status, answer = await author.ask("POST", path, {"ops": [operation]})
            assert status == 202, answer
            await asyncio.sleep(0.02)
