"""A gate for tests that build a part of the web floor by hand: users and tokens in memory, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from canvas_server.core.counts import Counts
from canvas_server.core.event import Kind
from canvas_server.core.identity import RIGHTS, Role, Token, TokenId, User
from canvas_server.state.identity import Identity, Known
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.minting import digest_of
from canvas_server.state.settings import StateSettings
from canvas_server.storage.identity import SqliteIdentityStore
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.storage.transactions import open_memory
from canvas_server.system import SystemClock, SystemIds
from canvas_server.web.auth import Identification
from canvas_server.web.gate import Gate, Rates
from canvas_server.web.peers import NO_PROXIES
from canvas_server.web.strangers import Strangers

ADA: Final = "ada-ada-ada-ada-ada"
BOB: Final = "bob-bob-bob-bob-bob"
BOT: Final = "bot-bot-bot-bot-bot"


def known(name: str, secret: str, role: Role = "writer", kind: Kind | None = None) -> Known:
    """Return a user whom the settings name, with a token for everything that the role allows."""
    token = Token(
        id=TokenId(digest_of(secret)[:16]),
        digest=digest_of(secret),
        user=name,
        purpose="settings",
        rights=frozenset(RIGHTS),
        created_unix_ms=0,
    )
    return Known(User(name=name, role=role, shown_as=kind), token)


NO_RATES: Final = Rates()
THREE: Final = (known("ada", ADA, "admin"), known("bob", BOB), known("bot", BOT, "agent"))


@asynccontextmanager
async def opened_gate(
    settled: Iterable[Known] = THREE, *, required: bool = True, rates: Rates = NO_RATES
) -> AsyncIterator[Gate]:
    """Open a gate that knows some users; whatever they ask for is let through by their rights alone."""
    clock = SystemClock()
    async with (
        open_memory() as memory,
        Identity(SqliteIdentityStore(memory), clock, settled) as identity,
        CanvasStateManager(MemoryCanvasStore(), clock, SystemIds(), StateSettings(), Counts()) as manager,
    ):
        identification = Identification(identity, clock, required=required)
        yield Gate(identification, manager, clock, rates, NO_PROXIES, Strangers())
