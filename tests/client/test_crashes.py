"""The real server is killed and started again, and connections are cut: nothing that was typed is lost or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx2
import pytest

from canvas_server.client import CanvasClient, CanvasSession, Change
from tests.client.fault_proxy import FaultProxy
from tests.client.meddling import Meddling, Pass
from tests.crash.servers import Server, Servers
from tests.crash.serving_process import Life

START = "".join(map(chr, range(0x4E00, 0x4E00 + 8)))
REST_S = 30.0


class Trial:
    """A server that dies, a way to it that breaks, and what was typed; each character stands for itself."""

    def __init__(self, servers: Servers, folder: Path, random: Random) -> None:
        self._servers = servers
        self._life = Life(data_dir=str(folder), interval_s=0.15)
        self._server: Server | None = None
        self.random = random
        self.typed = set(START)
        self.deleted: set[str] = set()
        self.streamed = ""
        self.kills = 0
        self._next = 0x5000

    async def start(self) -> int:
        self._server = await asyncio.to_thread(self._servers.start, self._life)
        return self._server.port

    async def kill(self) -> None:
        assert self._server is not None
        self._server.kill()
        await asyncio.to_thread(self._server.ending)
        self.kills += 1

    def fresh(self, count: int) -> str:
        text = "".join(map(chr, range(self._next, self._next + count)))
        self._next += count
        self.typed |= set(text)
        return text

    def edit(self, session: CanvasSession) -> None:
        length = len(session.text)
        start = self.random.randint(0, length)
        end = min(start + self.random.choice([0, 0, 0, 1, 2]), length)
        self.deleted |= set(session.text[start:end])
        session.edit([Change(start, end, self.fresh(self.random.randint(0 if end > start else 1, 3)))])

    async def stream(self, session: CanvasSession, count: int) -> None:
        async with session.write_stream() as writer:
            for _ in range(count):
                token = self.fresh(self.random.randint(1, 3))
                self.streamed += token
                await writer.write(token)
                await asyncio.sleep(self.random.choice([0, 0.002, 0.02]))

    def check(self, text: str) -> None:
        assert max(Counter(text).values()) == 1
        assert set(text) >= self.typed - self.deleted
        assert set(text) <= self.typed
        streamed = set(self.streamed)
        assert "".join(one for one in text if one in streamed) == "".join(
            one for one in self.streamed if one in set(text)
        )


@asynccontextmanager
async def trial(servers: Servers, folder: Path, seed: int) -> AsyncIterator[tuple[Trial, FaultProxy]]:
    made = Trial(servers, folder, Random(seed))
    async with FaultProxy(await made.start()).running() as proxy:
        try:
            yield made, proxy
        finally:
            await made.kill()


async def harm(made: Trial, proxy: FaultProxy, rounds: int) -> None:
    """Cut and kill, with pauses in between."""
    for is_cut in [*made.random.sample([False, True] * rounds, rounds - 2), False, False]:
        await asyncio.sleep(made.random.uniform(0, 0.25))
        if is_cut:
            proxy.cut()
        else:
            await made.kill()
            await asyncio.sleep(made.random.choice([0, 0.1]))
            proxy.upstream_port = await made.start()


async def type_(made: Trial, session: CanvasSession, count: int) -> None:
    for _ in range(count):
        made.edit(session)
        await asyncio.sleep(made.random.choice([0, 0.001, 0.01, 0.05]))


async def come_to_rest(sessions: list[CanvasSession]) -> str:
    """Wait until all have sent all and show one text; return it."""
    async with asyncio.timeout(REST_S):
        while True:
            for session in sessions:
                await session.settled()
                await session.live()
            if len({session.version for session in sessions}) == 1 and all(one.pending_count == 0 for one in sessions):
                break
            await asyncio.sleep(0.01)
    assert len({session.text for session in sessions}) == 1
    return sessions[0].text


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(6))
async def test_all_agree_in_the_end_and_nothing_typed_is_lost_or_doubled(
    servers: Servers, tmp_path: Path, seed: int
) -> None:
    async with trial(servers, tmp_path / "data", seed) as (made, proxy):
        proxy.budget = lambda: made.random.choice([None, None, made.random.randrange(300, 20_000)])
        async with CanvasClient(proxy.url) as ada, CanvasClient(proxy.url) as bob, CanvasClient(proxy.url) as eve:
            sessions = [
                await ada.open("notes", create=True, text=START),
                await bob.open("notes"),
                await eve.open("notes"),
            ]
            async with asyncio.TaskGroup() as group:
                for session in sessions[:2]:
                    group.create_task(type_(made, session, 60))
                group.create_task(made.stream(sessions[2], 80))
                group.create_task(harm(made, proxy, 8))
            text = await come_to_rest(sessions)
            assert (await ada.read("notes")).text == text
            made.check(text)
            for session in sessions:
                await session.saved()
        assert made.kills > 1


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_operations_that_were_acked_and_forgotten_get_their_old_versions_back(
    servers: Servers, tmp_path: Path
) -> None:
    """Two authors took turns; each sends its own again when its turn is, and nobody's text moves."""
    folder = tmp_path / "data"
    async with trial(servers, folder, 0) as (made, proxy):
        made._life = Life(data_dir=str(folder), interval_s=60.0)
        await made.kill()
        proxy.upstream_port = await made.start()
        async with CanvasClient(proxy.url) as ada, CanvasClient(proxy.url) as bob, CanvasClient(proxy.url) as eve:
            one = await ada.open("notes", create=True, text=START)
            other = await bob.open("notes")
            sessions = [one, other]
            for number in range(4):
                for session in sessions:
                    session.append(made.fresh(2))
                    await session.settled()
                    async with asyncio.timeout(REST_S):
                        while len({one.version for one in sessions}) > 1:  # noqa: ASYNC110 - nothing tells of all
                            await asyncio.sleep(0.005)
                if number == 1:
                    # What she reads when she comes is forgotten, too.
                    sessions.append(await eve.open("notes"))
            views: list[object] = []
            version = one.version
            stops = [session.on_change(views.append) for session in sessions]
            await made.kill()
            proxy.upstream_port = await made.start()
            text = await come_to_rest(sessions)
            assert one.version == version == (await ada.read("notes")).version
            assert views == []
            for stop in stops:
                stop()
            made.check(text)


@asynccontextmanager
async def forgetful(servers: Servers, folder: Path) -> AsyncIterator[tuple[Trial, FaultProxy]]:
    """A server that saves nothing by itself."""
    async with trial(servers, folder, 0) as (made, proxy):
        made._life = Life(data_dir=str(folder), interval_s=60.0)
        await again(made, proxy)
        yield made, proxy


async def again(made: Trial, proxy: FaultProxy) -> None:
    await made.kill()
    proxy.upstream_port = await made.start()


async def take_turns(made: Trial, sessions: Sequence[CanvasSession], rounds: int) -> None:
    for _ in range(rounds):
        for session in sessions:
            session.append(made.fresh(2))
            await session.settled()
            async with asyncio.timeout(REST_S):
                while len({one.version for one in sessions}) > 1:  # noqa: ASYNC110 - nothing tells of all
                    await asyncio.sleep(0.005)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_second_crash_while_what_the_first_forgot_is_sent_again_loses_nothing(
    servers: Servers, tmp_path: Path, is_answered: bool
) -> None:
    """What was given back after the first is forgotten again, and where the histories part is looked for anew."""
    async with forgetful(servers, tmp_path / "data") as (made, proxy):
        transport = Meddling()
        async with CanvasClient(proxy.url, transport=transport) as ada, CanvasClient(proxy.url) as bob:
            sessions = [await ada.open("notes", create=True, text=START), await bob.open("notes")]
            await take_turns(made, sessions, 3)

            async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
                answer = await pass_on()
                await answer.aread()
                if number <= 2:
                    await again(made, proxy)
                    if not is_answered:
                        raise httpx2.ReadError("the server died")
                return answer

            transport.meddle = meddle
            await again(made, proxy)
            sessions[0].append(made.fresh(1))
            text = await come_to_rest(sessions)
            assert len(transport.posts) > 2
            made.check(text)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_was_sent_again_unheard_before_others_came_between_is_there_once(
    servers: Servers, tmp_path: Path
) -> None:
    """Its answer was lost, and somebody else wrote before the rest: the histories part behind it, not before."""
    async with forgetful(servers, tmp_path / "data") as (made, proxy):
        transport = Meddling()
        async with (
            CanvasClient(proxy.url, transport=transport) as ada,
            CanvasClient(proxy.url) as bob,
            CanvasClient(proxy.url) as eve,
        ):
            sessions = [await ada.open("notes", create=True, text=START), await bob.open("notes")]
            await take_turns(made, sessions, 3)
            came: list[CanvasSession] = []

            async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
                answer = await pass_on()
                if number == 1:
                    await answer.aread()
                    came.append(await eve.open("notes"))
                    came[0].insert(0, made.fresh(2))
                    await came[0].settled()
                    raise httpx2.ReadError("the answer was lost")
                return answer

            transport.meddle = meddle
            await again(made, proxy)
            await sessions[0].live()
            text = await come_to_rest([*sessions, *came])
            assert came
            made.check(text)
