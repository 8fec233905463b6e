"""Much of everything for a while: writers, listeners that come and go, canvases and jobs that do; sampled all along."""

from __future__ import annotations

import asyncio
import csv
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from time import perf_counter
from typing import IO, Final, NamedTuple

import msgspec
import uvloop

from tests.listener import PATIENCE_S
from tests.load.clients import Author, reading
from tests.load.running import Running
from tests.proof.lane import amount
from tests.serving import Json, at

SAMPLE_S: Final = amount(ci=1, hand=5)
WRITERS: Final = amount(ci=8, hand=50)
LISTENERS: Final = amount(ci=30, hand=200)
COMERS: Final = amount(ci=3, hand=10)
"""Who create canvases, write into them, and delete them."""
CUSTOMERS: Final = amount(ci=3, hand=5)
"""Who start jobs, each one after the other."""
PAUSE_S: Final = 0.02
STAY_S: Final = 1.0
"""How long a listener stays before it comes again, on average."""
CANVASES: Final = 8
BLOCKS: Final = 20
BLOCK: Final = "twenty characters.. "
JOBS: Final = "/api/v1/dialogues/generate/jobs"
CURVES: Final = "CANVAS_SOAK_CSV"
"""Names the variable that says where the samples are to be kept; `scripts/soak_curves.py` draws them."""
_ID: Final = re.compile(rb"\nid: ([0-9]+)\n")


class Sample(NamedTuple):
    """What it was like at one moment."""

    part: str
    seconds: float
    ops: int
    jobs: int
    visits: int
    listeners: int
    rss_bytes: int
    wal_bytes: int
    tasks: int
    threads: int
    files: int
    objects: int


class Book:
    """Keeps the samples of a server in memory and as lines of CSV, from the first soak to the last.

    Args:
        server: that is soaked.
        data_dir: where it keeps its database.
        to: the file.
    """

    def __init__(self, server: Running, data_dir: Path, to: IO[str]) -> None:
        self._server = server
        self._data_dir = data_dir
        self._to = to
        self._lines = csv.writer(to)
        self._lines.writerow(Sample._fields)
        self._began_s = perf_counter()
        self.samples: list[Sample] = []

    @property
    def wal_bytes(self) -> int:
        """How long the write-ahead log is."""
        return sum(path.stat().st_size for path in self._data_dir.glob("*-wal"))

    def write(self, part: str, done: Mapping[str, int]) -> None:
        """Take a sample."""
        counts = self._server.counts
        sample = Sample(
            part=part,
            seconds=round(perf_counter() - self._began_s, 1),
            **done,
            listeners=counts.listeners,
            rss_bytes=self._server.rss_bytes,
            wal_bytes=self.wal_bytes,
            tasks=counts.tasks,
            threads=counts.threads,
            files=self._server.files,
            objects=counts.objects,
        )
        self.samples.append(sample)
        self._lines.writerow(sample)
        self._to.flush()

    def of(self, part: str) -> Sequence[Sample]:
        """Return the samples of one part."""
        return [sample for sample in self.samples if sample.part == part]


@contextmanager
def kept_book(server: Running, data_dir: Path) -> Iterator[Book]:
    """Give a book whose file is where `CURVES` says, or beside the database."""
    path = Path(os.environ.get(CURVES) or data_dir / "soak.csv")
    with path.open("w", newline="") as file:
        yield Book(server, data_dir, file)


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
        self.jobs = 0
        self.ends: set[str] = set()
        """The states in which jobs have ended."""

    @property
    def _goes_on(self) -> bool:
        return perf_counter() < self._end_s

    def run(self, book: Book, part: str) -> None:
        """Do it, with a sample now and then."""
        uvloop.run(self._run(book, part))

    async def _run(self, book: Book, part: str) -> None:
        async with asyncio.TaskGroup() as group:
            work = (
                *(self._write(f"soaked-{number % CANVASES}") for number in range(WRITERS)),
                *(self._listen(f"soaked-{number % CANVASES}") for number in range(LISTENERS)),
                *(self._come_and_go(f"passing-{number}") for number in range(COMERS)),
                *(self._order(f"ordered-{number}") for number in range(CUSTOMERS)),
            )
            for one in work:
                group.create_task(one)
            while self._goes_on:
                await asyncio.sleep(SAMPLE_S)
                done = {"ops": self.ops, "jobs": self.jobs, "visits": self.visits}
                await asyncio.to_thread(book.write, part, done)

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

    async def _order(self, ref: str) -> None:
        """Have models write, into a canvas of one's own and elsewhere, and cancel every third job.

        A reader that stays to the end, one that leaves early and one that comes late hear each.
        """
        path = f"/api/v2/canvas/{ref}"
        async with Author(self._server.port) as author:
            while self._goes_on:
                assert (await author.ask("PUT", path, {"content": "# Scene\n"}))[0] == 201
                for number in range(6):
                    target = {"type": "heading", "heading": {"path": ["Scene"]}}
                    canvas: Json = {"canvas": {"ref": ref, "target": target}} if number % 2 else {}
                    job = await self._start(author, canvas)
                    await self._follow(author, job, cancelled=number % 3 == 2)
                assert (await author.ask("DELETE", path))[0] == 204

    async def _start(self, author: Author, more: Json) -> Json:
        self.jobs += 1
        prompt = f"Write scene {self._random.getrandbits(60):x}."
        asked = {"provider": "demo", "model": "demo-long", "prompt": prompt, "max_output_tokens": 60, **more}
        status, answer = await author.ask("POST", JOBS, asked)
        assert status == 201, answer
        job: Json = msgspec.json.decode(answer)
        return job

    async def _follow(self, author: Author, job: Json, *, cancelled: bool) -> None:
        stream = job["stream_url"]
        async with following(self._server.port, stream) as whole, following(self._server.port, stream):
            await asyncio.sleep(self._random.uniform(0, 0.2))
            if cancelled:
                # Over a connection of its own: one that says nothing for long is closed.
                async with Author(self._server.port) as other:
                    status, answer = await other.ask("POST", job["cancel_url"])
                    assert status == 200, answer
            last_id = await whole.last_id()
        async with following(self._server.port, stream) as late:
            assert await late.last_id() == last_id
        status, answer = await author.ask("GET", f"{JOBS}/{job['job_id']}")
        assert status == 200, answer
        self.ends.add(msgspec.json.decode(answer)["state"])


class Follower:
    """Hears a job over a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def last_id(self) -> int:
        """Hear it to its end, and return the number of the last event."""
        async with asyncio.timeout(PATIENCE_S):
            heard = await self._reader.read()
        assert heard.startswith(b"HTTP/1.1 200"), heard[:200]
        return int(_ID.findall(heard)[-1])


@asynccontextmanager
async def following(port: int, target: str) -> AsyncIterator[Follower]:
    """Open the stream of a job, and leave it in the end, heard out or not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    try:
        yield Follower(reader)
    finally:
        writer.close()
