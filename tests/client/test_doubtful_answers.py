"""Two clients of a small canvas on a disk that fails, whose answers are lost, refused or doubled by chance.

Each character that is typed is another one, so that one which is lost or doubled is seen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from random import Random

import httpx2
import pytest
from msgspec.structs import replace

from canvas_server.client import CanvasClient, CanvasSession, Change
from canvas_server.config.settings import LimitSettings, StorageSettings
from tests.client.meddling import Meddling, Pass, lost, refused
from tests.client.waiting import agree
from tests.serving import IN_MEMORY, serving
from tests.web.test_problems import Disk

SETTINGS = replace(
    IN_MEMORY,
    storage=StorageSettings(ephemeral=True, durability="journal"),
    limits=LimitSettings(canvas_bytes_max=300, ops_max=3),
)


class Chance:
    """What happens to requests, to the disk, and to the text."""

    def __init__(self, seed: int, disk: Disk) -> None:
        self.random = Random(seed)
        self.disk = disk
        self.is_calm = False
        self.typed = set[str]()
        self.deleted = set[str]()
        self.late: dict[int, Pass] = {}
        """What was cut on a way, and arrives before the next request."""

    async def meddle(self, way: int, pass_on: Pass) -> httpx2.Response:
        self.disk.is_full = not self.is_calm and self.random.random() < 0.2
        if late := self.late.pop(way, None):
            await (await late()).aread()
            self.disk.is_full = False
        match "" if self.is_calm else self.random.choice(["", "", "lost", "late", "busy", "forbidden"]):
            case "lost":
                return await lost(pass_on)
            case "late":
                self.late[way] = pass_on
                raise httpx2.ReadError("cut, and still on its way")
            case "busy":
                return refused(503, "OVERLOADED", 0)
            case "forbidden":
                return refused(403, "FORBIDDEN")
            case _:
                return await pass_on()

    def edit(self, session: CanvasSession) -> None:
        length = len(session.text)
        start = self.random.randint(0, length)
        # About as much as there is room for: 100 characters of 3 bytes.
        end = min(start + self.random.choice([0, 0, 1, 4 if length > 80 else 0]), length)
        self.deleted |= set(session.text[start:end])
        count = self.random.randint(1, 3)
        fresh = "".join(chr(0x5000 + len(self.typed) + number) for number in range(count))
        self.typed |= set(fresh)
        session.edit([Change(start, end, fresh)])

    def make_room(self, session: CanvasSession) -> None:
        if session.problem is not None and session.problem.code == "CANVAS_TOO_LARGE":
            self.deleted |= set(session.text[:10])
            session.delete(0, min(10, len(session.text)))
        elif session.problem is not None:
            session.retry()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(6))
async def test_nothing_typed_is_lost_or_doubled_whatever_is_answered(seed: int) -> None:
    disk = Disk(0)
    with serving(SETTINGS, disk) as served:
        made, chance = served.canvas(""), Chance(seed, disk)
        ways = [Meddling(), Meddling()]
        async with (
            CanvasClient(served.url, transport=ways[0]) as ada,
            CanvasClient(served.url, transport=ways[1]) as bob,
        ):
            sessions = [await ada.open(made.ref), await bob.open(made.ref)]
            for number, way in enumerate(ways):
                way.meddle = partial(lambda way, _number, pass_on: chance.meddle(way, pass_on), number)
            for _ in range(60):
                chance.edit(chance.random.choice(sessions))
                await asyncio.sleep(chance.random.choice([0, 0.005, 0.02]))
            chance.is_calm = True
            disk.is_full = False
            while any(session.pending_count for session in sessions):
                for session in sessions:
                    chance.make_room(session)
                await asyncio.sleep(0.02)
            await agree(*sessions, made.text)
        assert max(Counter(made.text).values(), default=1) == 1
        assert set(made.text) >= chance.typed - chance.deleted
        assert set(made.text) <= chance.typed
