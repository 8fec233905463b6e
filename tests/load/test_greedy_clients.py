"""Clients that are slow or greedy, many at once: each is cut in time and holds little, while others are served."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import perf_counter
from typing import Final, NamedTuple

import pytest
import uvloop
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings
from canvas_server.web.connection import GuardLimits
from tests.load.clients import Author, until
from tests.load.running import IN_MEMORY, MIB, Running, at_share, running
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND, amount

EACH: Final = amount(ci=5, hand=50)
"""Clients of each kind."""
LIMITS: Final = (
    LimitSettings()
    if BY_HAND
    else LimitSettings(
        first_byte_s=1, headers_s=1.5, body_s=2, keep_alive_s=3, ndjson_idle_s=2, slow_write_s=1, connections_max=512
    )
)
GUARD: Final = GuardLimits()
LATE_S: Final = amount(ci=10, hand=2)
"""What a deadline may be missed by; the machine has other work to do."""
OTHERS_MS_MAX: Final = amount(ci=3_000, hand=1_000)
FILES_MAX: Final = 2
"""Left open by chance, beside those of before."""
SENT_BYTES_MAX: Final = 1024 * MIB
RSS_BYTES_MAX: Final = 16 * MIB
PAUSE_S: Final = 0.2

POST: Final = b"POST /api/v2/canvas/wanted/ops:stream HTTP/1.1\r\nHost: localhost\r\n"
GET: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
JSON: Final = b"Content-Type: application/json\r\n"
NDJSON: Final = b"Content-Type: application/x-ndjson\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK: Final = b"%x\r\n%b\r\n" % (65536, b"x" * 65536)


class Greed(NamedTuple):
    """What a client does.

    Attributes:
        first: what it sends at once.
        then: what it sends again and again.
        pause_s: between two of these.
        deadline_s: by when it must be cut, from connecting.
        status: what it is told, if it is told something.
        reads: whether it takes what it is told.
    """

    first: bytes
    then: bytes
    pause_s: float
    deadline_s: float
    status: int | None = None
    reads: bool = True


class Ending(NamedTuple):
    """How it ended for a client."""

    took_s: float
    status: int | None


GREED: Final[Mapping[str, Greed]] = {
    "silent": Greed(b"", b"", PAUSE_S, LIMITS.first_byte_s),
    "idle after an answer": Greed(GET + b"\r\n", b"", PAUSE_S, LIMITS.keep_alive_s, 200),
    "header drip": Greed(GET, b"X: y\r\n", PAUSE_S, LIMITS.headers_s),
    "header drip, byte by byte": Greed(GET + b"X: ", b"y", PAUSE_S, LIMITS.headers_s),
    "body drip": Greed(
        POST + JSON + b"Content-Length: 100000\r\n\r\n{", b" ", PAUSE_S, min(LIMITS.body_s, GUARD.body_grace_s), 408
    ),
    "body drip in chunks": Greed(
        POST + JSON + CHUNKED, b"1\r\n \r\n", PAUSE_S, min(LIMITS.body_s, GUARD.body_grace_s), 408
    ),
    "half a line, then nothing": Greed(
        POST + NDJSON + CHUNKED + b"1\r\n{\r\n", b"", PAUSE_S, LIMITS.ndjson_idle_s, 408
    ),
    "a line without end": Greed(POST + NDJSON + CHUNKED, CHUNK, 0, GUARD.linger_s, 413),
    "a chunked body of a gigabyte": Greed(POST + JSON + CHUNKED, CHUNK, 0, GUARD.linger_s, 413),
    "a body said to be of a gigabyte": Greed(
        POST + JSON + b"Content-Length: 1000000000\r\n\r\n", b"x" * 65536, 0, GUARD.linger_s, 413
    ),
    "a hundred thousand headers": Greed(GET + b"X: y\r\n" * 100_000, b"X: y\r\n", 0, GUARD.linger_s, 431),
    "a target without end": Greed(b"GET /", b"x" * 65536, 0, GUARD.linger_s, 431),
    "garbage without end": Greed(b"\0", b"\0" * 65536, 0, GUARD.linger_s, 400),
    "requests without end, no answer read": Greed(
        (GET + b"\r\n") * 1000, (GET + b"\r\n") * 1000, 0, LIMITS.slow_write_s + 7, reads=False
    ),
}


@pytest.mark.promise("R18")
@pytest.mark.slow
def test_slow_and_greedy_clients_are_cut_in_time_and_hold_little_while_others_are_served(findings: Findings) -> None:
    with running(replace(IN_MEMORY, limits=LIMITS)) as server:
        server.create("wanted", "text")
        calm_ms = uvloop.run(served_for(server, 2))
        rss_bytes, files = server.rss_bytes, server.files
        endings, beside_ms, peak_bytes = uvloop.run(served_beside(server))
        uvloop.run(until(lambda: server.files <= files + FILES_MAX))
    for name, greed in GREED.items():
        for ending in endings[name]:
            assert ending.took_s < greed.deadline_s + LATE_S, name
            assert ending.status in (greed.status, None), name
        latest_s = max(ending.took_s for ending in endings[name])
        findings.tell(
            "R18", f"{EACH} clients: {name}: cut after", f"{latest_s:.1f} s", f"{greed.deadline_s:g} s + {LATE_S} s"
        )
    grown_bytes, ratio = peak_bytes - rss_bytes, at_share(beside_ms, 0.99) / at_share(calm_ms, 0.99)
    findings.tell("R18", "memory they took at most, all together", f"{grown_bytes / MIB:.1f} MiB", "under 16 MiB")
    findings.tell("R18", "p99 of others, beside them to alone", f"{ratio:.1f}", "2, on a quiet machine")
    told = [sum(ending.status == greed.status for ending in endings[name]) for name, greed in GREED.items()]
    assert min(told) > 0, "somebody heard nothing of what was to be told"
    assert len(beside_ms) > 20
    assert grown_bytes < RSS_BYTES_MAX
    assert at_share(beside_ms, 0.99) < OTHERS_MS_MAX


async def served_beside(server: Running) -> tuple[dict[str, list[Ending]], list[float], int]:
    """Let all greedy clients come at once; return how it ended for them, how others fared, and the most memory."""
    peak_bytes = 0

    async def watch() -> None:
        nonlocal peak_bytes
        while True:
            peak_bytes = max(peak_bytes, server.rss_bytes)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        others = group.create_task(served_for(server, max(greed.deadline_s for greed in GREED.values())))
        tasks = {
            name: [group.create_task(meet(server.port, greed)) for _ in range(EACH)] for name, greed in GREED.items()
        }
        endings = {name: [await task for task in those] for name, those in tasks.items()}
        delays_ms = await others
        watching.cancel()
    return endings, delays_ms, peak_bytes


async def served_for(server: Running, seconds: float) -> list[float]:
    """Ask for a canvas again and again; return how long each answer took."""
    loop, delays_ms = asyncio.get_running_loop(), []
    end_s = loop.time() + seconds
    async with Author(server.port) as author:
        while loop.time() < end_s:
            started_s = perf_counter()
            status, _ = await author.ask("GET", "/api/v2/canvas/wanted")
            assert status == 200
            delays_ms.append((perf_counter() - started_s) * 1000)
            await asyncio.sleep(0.02)
    return delays_ms


async def meet(port: int, greed: Greed) -> Ending:
    """Be greedy until the server ends it."""
    started_s = perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.ensure_future(send(writer, greed))
    head = b""
    with suppress(ConnectionError):
        if greed.reads:
            head = await reader.read(65536)
            while await reader.read(65536):
                pass
        else:
            await sending
    took_s = perf_counter() - started_s
    sending.cancel()
    writer.transport.abort()
    with suppress(asyncio.CancelledError, ConnectionError):
        await sending
    return Ending(took_s, int(head.split()[1]) if head else None)


async def send(writer: asyncio.StreamWriter, greed: Greed) -> None:
    """Send what a greedy client sends until that fails, or is a gigabyte."""
    writer.write(greed.first)
    for _ in range(SENT_BYTES_MAX // max(1, len(greed.then))):
        await asyncio.sleep(greed.pause_s)
        writer.write(greed.then)
        await writer.drain()
