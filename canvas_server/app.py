"""The front door: this module alone knows every room of the house and joins them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from canvas_server import __version__
from canvas_server.address_file import Running, announced
from canvas_server.bootstrap import ensure_local_user, ensure_token_file, settled
from canvas_server.config import Settings
from canvas_server.core.counts import Counts
from canvas_server.core.dialogue import is_dialogue_id
from canvas_server.core.errors import NotFoundError
from canvas_server.core.identity import IdentityStore
from canvas_server.core.ids import CanvasRef, is_canvas_ref
from canvas_server.core.job_ports import JobStore, JsonFiles, LedgerStore, ResponseCache
from canvas_server.core.ports import CanvasStore
from canvas_server.core.preset import is_preset_id
from canvas_server.core.saved import text_from
from canvas_server.core.tracer import NO_TRACER, Tracer
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
from canvas_server.listening import Listeners, listen
from canvas_server.plan import (
    admission_rules,
    cost_rules,
    dialogue_bytes_max,
    generation_settings,
    intake,
    provider_settings,
    proxies,
    rates,
    server_limits,
    state_settings,
    web_settings,
)
from canvas_server.server import allow_open_files, run_server
from canvas_server.state.autosave import AutoSave
from canvas_server.state.copies import Copies
from canvas_server.state.identity import Identity
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.traced_saver import TracedSaver
from canvas_server.storage.answers import SqliteResponseCache
from canvas_server.storage.canvases import SqliteCanvasStore, open_store
from canvas_server.storage.database import open_database
from canvas_server.storage.folder import make_folder
from canvas_server.storage.identity import SqliteIdentityStore
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.storage.json_folder import open_json_folder
from canvas_server.storage.json_memory import JsonMemory
from canvas_server.storage.ledger import SqliteLedgerStore
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.storage.transactions import open_memory
from canvas_server.storage.whole_file import replace_file
from canvas_server.system import ClockWatch, SystemClock, SystemIds
from canvas_server.tracing import opened_tracer
from canvas_server.web.admission import Admission
from canvas_server.web.auth import Identification
from canvas_server.web.canvases import parse_at
from canvas_server.web.gate import Gate
from canvas_server.web.lag import LoopProbe
from canvas_server.web.routes import Generation, Identities, Web
from canvas_server.web.sessions import Sessions, session_code
from canvas_server.web.sharing import Sharing
from canvas_server.web.strangers import Strangers
from canvas_server.web.streams import Streams
from canvas_server.web.tokens import Tokens
from canvas_server.web.users import Users

log = logging.getLogger(__name__)

_SHOW_S: Final = 0.3
"""After which the server surely listens."""
_OTHER_FILES: Final = 128
"""Files that a server has open besides its connections, generously."""


def serve(settings: Settings, show: Callable[[str], object] | None = None) -> int:
    """Run the server until it is stopped; return the exit code.

    Args:
        settings: checked.
        show: given the address of the page, with a code that signs in, when the server listens.

    Raises:
        ConfigError: it cannot listen where it should.
        StorageUnavailableError, StorageCorruptError: the database cannot be used.
    """
    allow_open_files(settings.limits.connections_max + _OTHER_FILES)
    os.umask(0o077)
    if settings.server.mode == "lan" and not settings.server.tls_certificate:
        # A key is looked for there before the stores are opened.
        make_folder(Path(settings.storage.data_dir))
    listeners = listen(settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, listeners, show))


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


class Stores(NamedTuple):
    """All that keeps something."""

    canvases: CanvasStore
    jobs: JobStore
    cache: ResponseCache
    ledger: LedgerStore
    identities: IdentityStore
    presets: JsonFiles
    dialogues: JsonFiles
    tokens_dir: Path
    """For the files of the tokenizers."""


@asynccontextmanager
async def opened_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open the stores that the settings ask for."""
    keep, preset_bytes = settings.storage.history_ops_max, settings.presets.preset_bytes_max
    dialogue_bytes = dialogue_bytes_max(settings)
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
                SqliteIdentityStore(memory),
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
            SqliteIdentityStore(database),
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
    identity: Identity
    sessions: Sessions

    async def drain(self, timeout_s: float) -> bool:
        """Stop jobs, then rooms; return whether everything was saved."""
        await self.engine.drain()
        return await self.manager.drain(timeout_s)


@asynccontextmanager
async def opened_house(settings: Settings, base_url: str, stores: Stores, public_url: str = "") -> AsyncIterator[House]:
    """Join all rooms for as long as the block runs.

    Args:
        settings: checked.
        base_url: where this server can be reached from this machine.
        stores: open, and left open.
        public_url: where people reach it, if that is elsewhere.

    Raises:
        ConfigError: a file that the settings name cannot be used.
        StorageUnavailableError, StorageCorruptError: what is stored cannot be used.
    """
    clock, ids, counts = SystemClock(), SystemIds(), Counts()
    copies = Copies(stores.dialogues, clock)
    async with AsyncExitStack() as stack:
        told = settings.tracing
        tracer = await stack.enter_async_context(opened_tracer(told.otlp_endpoint, told.sample_ratio, __version__))
        saver = TracedSaver(stores.canvases, tracer) if tracer else None
        await stack.enter_async_context(ClockWatch(clock))
        manager = await stack.enter_async_context(
            CanvasStateManager(stores.canvases, clock, ids, state_settings(settings), counts, saver)
        )
        identity = await stack.enter_async_context(Identity(stores.identities, clock, settled(settings)))
        port = base_url.rpartition(":")[2]
        identification = Identification(identity, clock, required=settings.server.auth, cookie=f"canvas_read_{port}")
        counter = stack.enter_context(closing(TokenCounter(stores.tokens_dir)))
        shop = workshop(settings, stores, counter, identification, base_url, tracer or NO_TRACER)
        engine = EmbeddedEngine(shop)
        if settings.autosave.enabled:
            autosave = AutoSave(manager, copies, settings.autosave.interval_s, engine.writes_into)
            engine.written = (await stack.enter_async_context(autosave)).save_soon
        await stack.enter_async_context(engine)
        await engine.recover()
        engine.cancel_of(lambda name: (user := identity.user(name)) is not None and not user.active)
        identity.changed.append(lambda: engine.cancel_of(lambda name: not identification.is_active(name)))
        design = GameDesignFile(Path(settings.presets.gdd_file))
        presets = Presets(stores.presets, design, clock, ids, presets_max=settings.presets.presets_max)
        enqueue = Enqueue(engine, shop, presets, intake(settings))
        generation = Generation(enqueue, engine, shop, presets, copies, known_models(provider_settings(settings)))
        identities = identities_of(settings, manager, identification, public_url or base_url)
        probe = stack.enter_context(LoopProbe(counts))
        web = Web(manager, identities, generation, web_settings(settings), probe)
        await stack.enter_async_context(web.press)
        app = Admission(
            web,
            admission_rules(settings),
            web.at_once,
            counts=counts,
            proxies=proxies(settings),
            strangers=identities.gate.strangers,
            tracer=tracer,
        )
        yield House(app, manager, engine, identity, identities.sessions)


def identities_of(
    settings: Settings, manager: CanvasStateManager, identification: Identification, url: str
) -> Identities:
    """Return what asks whoever comes; `url` is where people reach the server."""
    clock, identity, limits = SystemClock(), identification.identity, settings.limits
    is_asked = settings.server.auth
    strangers = Strangers(limits.strangers_max if is_asked else 0)
    gate = Gate(identification, manager, clock, rates(settings), proxies(settings), strangers)
    streams = Streams(identification, manager, limits.listeners_per_user_max if is_asked else 0)
    return Identities(
        gate,
        streams,
        Sessions(identity, clock, settings.server.session_days * 86_400.0, url),
        Users(identity, clock),
        Tokens(identity, clock),
        Sharing(manager, identity, streams),
    )


def workshop(
    settings: Settings,
    stores: Stores,
    counter: TokenCounter,
    identification: Identification,
    base_url: str,
    tracer: Tracer = NO_TRACER,
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
        tracer=tracer,
        base_url=base_url,
        settings=generation_settings(settings),
    )


async def _serve(settings: Settings, listeners: Listeners, show: Callable[[str], object] | None) -> int:
    async with (
        opened_stores(settings) as stores,
        opened_house(settings, listeners.here, stores, listeners.public) as house,
    ):
        welcome = await _welcome(settings, listeners, house)
        if show is not None:
            here_only = not _looks_forwarded(settings, listeners)
            link = await _page_link(settings, listeners, house, here_only=here_only)
            asyncio.get_running_loop().call_later(_SHOW_S, show, link)
        # What is there now stays for good, so the collector need never look at it again.
        gc.collect()
        gc.freeze()
        with _announced(settings, listeners.here):
            durable = await run_server(house.app, listeners.places, server_limits(settings), house.drain, welcome)
    return 0 if durable else 1


def _announced(settings: Settings, url: str) -> AbstractContextManager[None]:
    """Say in the data folder where the server is, for as long as it runs; nowhere if there is no folder."""
    if settings.storage.ephemeral:
        return nullcontext()
    return announced(Path(settings.storage.data_dir), Running(url=url, pid=os.getpid(), version=__version__))


async def _welcome(settings: Settings, listeners: Listeners, house: House) -> str:
    """Make sure that there is a way in, and return what tells it."""
    lines = [f"canvas-server listens on {listeners.public}"]
    if listeners.fingerprint is not None:
        lines.append(f"  its certificate (SHA-256): {listeners.fingerprint}")
    if settings.server.auth:
        clock = SystemClock()
        user = await ensure_local_user(house.identity, clock)
        if user.active:
            if _looks_forwarded(settings, listeners):
                lines.append("  open it: canvas-server open --print")
            else:
                link = await _page_link(settings, listeners, house, here_only=True)
                lines.append(f"  open it (once, within ten minutes): {link}")
            if not settings.storage.ephemeral:
                data_dir = Path(settings.storage.data_dir)
                path = await ensure_token_file(house.identity, clock, data_dir, user)
                lines.append(f"  a token for programs: {path}")
    return "".join(f"{line}\n" for line in lines)


def _looks_forwarded(settings: Settings, listeners: Listeners) -> bool:
    """Tell whether a browser at this machine cannot be told from somebody who comes through a proxy."""
    return proxies(settings).speaks_for_others(urlsplit(listeners.here).hostname or "")


async def _page_link(settings: Settings, listeners: Listeners, house: House, *, here_only: bool) -> str:
    """Return a link that opens the page on this machine, signed in once as the person at it."""
    if not settings.server.auth:
        return listeners.here
    code = session_code(await ensure_local_user(house.identity, SystemClock()), here_only=here_only)
    return house.sessions.link(code, listeners.here)


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
