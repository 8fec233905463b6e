"""The front door: this module alone knows every room of the house and joins them."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from canvas_server.config import Settings
from canvas_server.core.dialogue import is_dialogue_id
from canvas_server.core.errors import ConfigError, NotFoundError
from canvas_server.core.ids import CanvasRef, is_canvas_ref
from canvas_server.core.job_ports import JobStore, JsonFiles, LedgerStore, ResponseCache
from canvas_server.core.ports import CanvasStore
from canvas_server.core.preset import is_preset_id
from canvas_server.core.saved import text_from
from canvas_server.generation.cost import CostControl
from canvas_server.generation.engine_embedded import EmbeddedEngine
from canvas_server.generation.enqueue import Enqueue
from canvas_server.generation.event_log import EventLog
from canvas_server.generation.gdd import GameDesignFile
from canvas_server.generation.presets import Presets
from canvas_server.generation.pricing import load_prices
from canvas_server.generation.providers.registry import known_models, make_factory
from canvas_server.generation.stream import Feeds
from canvas_server.generation.tokens import TokenCounter
from canvas_server.generation.workshop import Workshop
from canvas_server.plan import (
    cost_rules,
    generation_settings,
    intake,
    provider_settings,
    server_limits,
    state_settings,
    web_settings,
)
from canvas_server.server import allow_open_files, run_server
from canvas_server.state.autosave import AutoSave
from canvas_server.state.copies import Copies
from canvas_server.state.manager import CanvasStateManager
from canvas_server.storage.answers import SqliteResponseCache
from canvas_server.storage.canvases import SqliteCanvasStore, open_store
from canvas_server.storage.database import open_database
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.storage.json_folder import open_json_folder
from canvas_server.storage.json_memory import JsonMemory
from canvas_server.storage.ledger import SqliteLedgerStore
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.storage.transactions import open_memory
from canvas_server.storage.whole_file import replace_file
from canvas_server.system import ClockWatch, SystemClock, SystemIds
from canvas_server.web.admission import Admission, AdmissionRules
from canvas_server.web.auth import Actor, Identification
from canvas_server.web.canvases import parse_at
from canvas_server.web.routes import Generation, Web

log = logging.getLogger(__name__)

_OTHER_FILES: Final = 128
"""Files that a server has open besides its connections, generously."""
_STAMP_BYTES: Final = 64 * 1024
"""For what the server adds to a copy, generously."""


def serve(settings: Settings) -> int:
    """Run the server until it is stopped; return the exit code.

    Raises:
        ConfigError: it cannot listen where it should.
        StorageUnavailableError, StorageCorruptError: the database cannot be used.
    """
    allow_open_files(settings.limits.connections_max + _OTHER_FILES)
    sock = bind(settings.server.host, settings.server.port)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, sock))


def export(settings: Settings, ref: str, at: str | None) -> str:
    """Return the text of a canvas as the database has it, also beside a running server.

    Args:
        settings: say where the database is.
        ref: of the canvas.
        at: a version or a count of operations; the newest if None.

    Raises:
        NotFoundError: there is no such canvas, or no such version.
    """
    return asyncio.run(_export(settings, ref, at))


def export_to(path: Path, settings: Settings, ref: str, at: str | None) -> None:
    """Make a file hold what `export` returns; it is replaced as a whole, or left as it is.

    Raises:
        NotFoundError: there is no such canvas, or no such version.
        StorageUnavailableError: the file cannot be written.
    """
    replace_file(path, export(settings, ref, at).encode())


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError(
            f"cannot listen on {host} port {port}: {'it is taken' if taken else reason}",
            hint="Stop what listens there, or choose another port with --port (0 picks a free one)."
            if taken
            else "Choose an address of this machine with --host, and a port that you may use with --port.",
        ) from error


def reachable_url(sock: socket.socket) -> str:
    """Return where a program on this machine reaches a server that listens on `sock`."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - nothing is bound here
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104 - as above
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Stores(NamedTuple):
    """All that keeps something."""

    canvases: CanvasStore
    jobs: JobStore
    cache: ResponseCache
    ledger: LedgerStore
    presets: JsonFiles
    dialogues: JsonFiles
    tokens_dir: Path
    """For the files of the tokenizers."""


@asynccontextmanager
async def opened_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open the stores that the settings ask for."""
    keep, preset_bytes = settings.storage.history_ops_max, settings.presets.preset_bytes_max
    # A copy of a canvas is its text as JSON, which may take six times its bytes, and says when it was saved.
    dialogue_bytes = max(settings.autosave.dialogue_bytes_max, 6 * settings.limits.canvas_bytes_max) + _STAMP_BYTES
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        if settings.storage.ephemeral:
            memory = await stack.enter_async_context(open_memory())
            tokens_dir = stack.enter_context(TemporaryDirectory(prefix="canvas-tokens-", ignore_cleanup_errors=True))
            yield Stores(
                MemoryCanvasStore(keep),
                SqliteJobStore(memory),
                SqliteResponseCache(memory),
                SqliteLedgerStore(memory),
                JsonMemory(is_preset_id, preset_bytes),
                JsonMemory(is_dialogue_id, dialogue_bytes),
                Path(tokens_dir),
            )
            return
        data_dir = Path(settings.storage.data_dir)
        database = await stack.enter_async_context(open_database(data_dir))
        canvases = SqliteCanvasStore(database, keep)
        await canvases.check()
        presets = open_json_folder(data_dir / "presets", is_preset_id, preset_bytes, clock)
        dialogues = open_json_folder(data_dir / "interactions", is_dialogue_id, dialogue_bytes, clock)
        yield Stores(
            canvases,
            SqliteJobStore(database),
            SqliteResponseCache(database),
            SqliteLedgerStore(database),
            await stack.enter_async_context(presets),
            await stack.enter_async_context(dialogues),
            data_dir / "tokens",
        )


@dataclass(frozen=True, slots=True)
class House:
    """A joined server: what answers, and what has to be told to stop."""

    app: Admission
    manager: CanvasStateManager
    engine: EmbeddedEngine

    async def drain(self, timeout_s: float) -> bool:
        """Stop jobs, then rooms; return whether everything was saved."""
        await self.engine.drain()
        return await self.manager.drain(timeout_s)


@asynccontextmanager
async def opened_house(settings: Settings, base_url: str, stores: Stores) -> AsyncIterator[House]:
    """Join all rooms for as long as the block runs.

    Args:
        settings: checked.
        base_url: where this server can be reached from this machine.
        stores: open, and left open.

    Raises:
        ConfigError: a file that the settings name cannot be used.
        StorageUnavailableError, StorageCorruptError: what is stored cannot be used.
    """
    clock, ids = SystemClock(), SystemIds()
    copies = Copies(stores.dialogues, clock)
    identification = Identification(
        Actor(name, actor.kind, actor.token.reveal(), actor.role) for name, actor in settings.actors.items()
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ClockWatch(clock))
        manager = await stack.enter_async_context(
            CanvasStateManager(stores.canvases, clock, ids, state_settings(settings))
        )
        counter = stack.enter_context(closing(TokenCounter(stores.tokens_dir)))
        shop = workshop(settings, stores, counter, identification, base_url)
        engine = EmbeddedEngine(shop)
        if settings.autosave.enabled:
            autosave = AutoSave(manager, copies, settings.autosave.interval_s, engine.writes_into)
            engine.written = (await stack.enter_async_context(autosave)).save_soon
        await stack.enter_async_context(engine)
        await engine.recover()
        design = GameDesignFile(Path(settings.presets.gdd_file))
        presets = Presets(stores.presets, design, clock, ids, presets_max=settings.presets.presets_max)
        enqueue = Enqueue(engine, shop, presets, intake(settings))
        generation = Generation(enqueue, engine, shop, presets, copies, known_models(provider_settings(settings)))
        web = Web(manager, identification, generation, web_settings(settings))
        rules = AdmissionRules(settings.server.allowed_hosts, settings.server.allowed_origins)
        yield House(Admission(web, rules, web.at_once), manager, engine)


def workshop(
    settings: Settings, stores: Stores, counter: TokenCounter, identification: Identification, base_url: str
) -> Workshop:
    """Return what jobs need to run; raises as `opened_house` does."""
    clock = SystemClock()
    prices = load_prices(Path(settings.cost.pricing_file), settings.cost.currency)
    return Workshop(
        jobs=stores.jobs,
        cache=stores.cache,
        costs=CostControl(stores.ledger, prices, clock, cost_rules(settings)),
        counter=counter,
        factory=make_factory(provider_settings(settings), _words),
        feeds=Feeds(stores.jobs),
        event_log=EventLog(stores.jobs),
        credentials=identification,
        clock=clock,
        ids=SystemIds(),
        base_url=base_url,
        settings=generation_settings(settings),
    )


async def _serve(settings: Settings, sock: socket.socket) -> int:
    async with (
        opened_stores(settings) as stores,
        opened_house(settings, reachable_url(sock), stores) as house,
    ):
        # What is there now stays for good, so the collector need never look at it again.
        gc.collect()
        gc.freeze()
        durable = await run_server(house.app, sock, server_limits(settings), house.drain)
    return 0 if durable else 1


def _words(text: str) -> int:
    """Count the tokens of the demonstration, which knows no other than words."""
    return len(text.split())


async def _export(settings: Settings, ref: str, at: str | None) -> str:
    if not is_canvas_ref(ref):
        raise NotFoundError(f"no canvas can be named {ref!r}", hint="List the canvases with GET /api/v2/canvas.")
    async with open_store(Path(settings.storage.data_dir), readonly=True) as store:
        saved = await store.get(CanvasRef(ref))
        wanted = saved.version if at is None else parse_at(at, "--at")
        text, ops = await store.read_text(saved.key, wanted if isinstance(wanted, int) else wanted.seq)
        etag = ops[-1].etag if ops else text.version.etag
        if not isinstance(wanted, int) and wanted.etag != etag:
            raise NotFoundError(f"version {at} is not in the history of {ref!r}", hint="Leave --at out for the newest.")
        return text_from(text, ops)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.Loop
