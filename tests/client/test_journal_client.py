"""A server that tells nothing before it is on disk: what the disk does not take is sent again until it does."""

from __future__ import annotations

import asyncio

import httpx2
from msgspec.structs import replace

from canvas_server.client import Ack, CanvasClient, Failure
from canvas_server.config.settings import StorageSettings
from tests.client.meddling import Meddling, Pass, lost
from tests.client.waiting import agree, eventually
from tests.serving import IN_MEMORY, append, serving
from tests.web.test_problems import Disk

JOURNAL = replace(IN_MEMORY, storage=StorageSettings(ephemeral=True, durability="journal"))


async def test_edits_wait_for_the_disk_and_none_is_lost_or_doubled() -> None:
    disk = Disk(0)
    with serving(JOURNAL, disk) as served:
        made, transport = served.canvas("."), Meddling()
        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            disk.is_full = True
            transport.meddle = lambda number, pass_on: lost(pass_on) if number == 2 else pass_on()
            canvas.insert(0, "a")
            canvas.append("b")
            await eventually(lambda: len(transport.posts) >= 3)
            assert (made.text, canvas.text) == (".", "a.b")
            canvas.append("c")
            await eventually(lambda: canvas.problem is not None and canvas.problem.code == "STORAGE_UNAVAILABLE")
            sending = asyncio.ensure_future(canvas.send(append("d", scope="range")))
            disk.is_full = False
            assert isinstance(await sending, Ack)
            await canvas.settled()
            await agree(canvas, made.text, "a.bcd")
            assert canvas.problem is None
            disk.is_full = True
            refused = await canvas.send(append("e", scope="range"))
            assert isinstance(refused, Failure)
            assert refused.code == "STORAGE_UNAVAILABLE"


async def test_a_copy_that_the_disk_takes_after_it_refused_the_other_doubles_nothing() -> None:
    """The error of the first copy was heard while the second was on its way: its text was sent a third time."""
    disk = Disk(0)
    with serving(JOURNAL, disk) as served:
        made, transport = served.canvas("."), Meddling()

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            if number == 1:
                raise httpx2.ReadError("cut, and still on its way")
            if number == 2:
                disk.is_full = True
                await (await pass_on()).aread()
                disk.is_full = False
            return await pass_on()

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle = meddle
            canvas.append("a")
            await canvas.settled()
            await agree(canvas, made.text, ".a")


async def test_a_copy_that_comes_long_after_the_disk_refused_another_doubles_nothing() -> None:
    """The second copy was cut as well. The error of the first counted, though the second was still on its way."""
    disk = Disk(0)
    with serving(JOURNAL, disk) as served:
        made, transport = served.canvas("."), Meddling()
        late: list[Pass] = []

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            if number == 2:
                disk.is_full = True
                await (await pass_on()).aread()
                await asyncio.sleep(0.05)
                disk.is_full = False
                late.append(pass_on)
            if number <= 2:
                raise httpx2.ReadError("cut, and still on its way")
            for copy in late:
                await (await copy()).aread()
            return await pass_on()

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle = meddle
            canvas.append("a")
            await canvas.settled()
            await agree(canvas, made.text, ".a")


async def test_a_text_that_is_streamed_waits_for_the_disk() -> None:
    disk = Disk(0)
    with serving(JOURNAL, disk) as served:
        made = served.canvas(".")
        async with CanvasClient(served.url) as client:
            canvas = await client.open(made.ref)
            async with canvas.write_stream() as writer:
                await writer.write("a")
                await canvas.wait(writer.op_id)
                disk.is_full = True
                await writer.write("b")
                await asyncio.sleep(0.2)
                disk.is_full = False
                await writer.write("c")
            await agree(canvas, made.text, ".abc")


class LateCopies(httpx2.AsyncBaseTransport):
    """Cuts the first request of a writer when it is told to, and keeps the next two on their way for longer and longer.

    Attributes:
        cut: cuts the first.
    """

    def __init__(self, disk: Disk) -> None:
        self.cut = asyncio.Event()
        self._real = httpx2.AsyncHTTPTransport()
        self._disk = disk
        self._posts = 0
        self._late: list[Pass] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "POST" or not request.url.path.endswith("ops:stream"):
            return await self._real.handle_async_request(request)
        self._posts += 1
        if self._posts == 1:
            first = asyncio.create_task(self._real.handle_async_request(request))
            await self.cut.wait()
            first.cancel()
            raise httpx2.ReadError("cut")
        content = await request.aread()
        kind = {"Host": request.url.netloc.decode(), "Content-Type": request.headers["content-type"]}

        async def pass_on() -> httpx2.Response:
            copy = httpx2.Request("POST", request.url, headers=kind, content=content)
            return await self._real.handle_async_request(copy)

        late, self._late = self._late, []
        self._disk.is_full = self._posts == 3
        for copy in late:
            await (await copy()).aread()
        if self._posts <= 3:
            await asyncio.sleep(0.1)
            self._disk.is_full = False
            self._late.append(pass_on)
            raise httpx2.ReadError("cut, and still on its way")
        return await pass_on()

    async def aclose(self) -> None:
        await self._real.aclose()


async def test_a_line_that_comes_long_after_the_disk_refused_its_copy_is_there_once() -> None:
    """The error of the second copy counted though the third was on its way, and the line was written again."""
    disk = Disk(0)
    with serving(JOURNAL, disk) as served:
        made, transport = served.canvas("."), LateCopies(disk)
        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            async with canvas.write_stream() as writer:
                await writer.write("one\n")
                await agree(canvas, ".one\n")
                transport.cut.set()
                await writer.write("two\n")
            await agree(canvas, made.text, ".one\ntwo\n")
