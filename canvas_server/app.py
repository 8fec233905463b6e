"""The front door: this module alone knows every room of the house and joins them."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from canvas_server.config import Settings
from canvas_server.core.errors import ConfigError, NotFoundError
from canvas_server.core.ids import CanvasRef, is_canvas_ref
from canvas_server.core.limits import Limits
from canvas_server.core.ports import CanvasStore
from canvas_server.core.saved import text_from
from canvas_server.server import ServerLimits, allow_open_files, run_server
from canvas_server.state.checkpointer import CheckpointPolicy
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.settings import StateSettings
from canvas_server.storage.canvases import open_store
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.storage.whole_file import replace_file
from canvas_server.system import SystemClock, SystemIds
from canvas_server.web.admission import Admission, AdmissionRules
from canvas_server.web.auth import Actor, Identification
from canvas_server.web.canvases import parse_at
from canvas_server.web.connection import GuardLimits
from canvas_server.web.listen import StreamSettings
from canvas_server.web.routes import Web, WebSettings

log = logging.getLogger(__name__)

_OTHER_FILES: Final = 128
"""Files that a server has open besides its connections, generously."""


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


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[CanvasStore]:
    """Open the store that the settings ask for."""
    keep = settings.storage.history_ops_max
    if settings.storage.ephemeral:
        yield MemoryCanvasStore(keep)
        return
    async with open_store(Path(settings.storage.data_dir), history_ops_max=keep) as store:
        await store.check()
        yield store


def asgi_app(manager: CanvasStateManager, settings: Settings) -> Admission:
    """Return the whole application: who may come in, and what answers."""
    limits = settings.limits
    identification = Identification(
        Actor(name, actor.kind, actor.token.reveal()) for name, actor in settings.actors.items()
    )
    web = Web(
        manager,
        identification,
        WebSettings(
            stream=StreamSettings(
                refs_max=limits.listen_refs_max,
                max_age_s=settings.stream.max_age_s,
                slow_write_s=limits.slow_write_s,
                retry_ms_min=settings.stream.retry_ms_min,
                retry_ms_max=settings.stream.retry_ms_max,
            ),
            list_limit_max=limits.list_limit_max,
            history_limit_max=limits.history_limit_max,
            presence_ttl_ms_max=limits.presence_ttl_ms_max,
            presence_bytes_max=limits.presence_bytes_max,
            unsaved_age_s_max=settings.checkpoint.interval_s * 1.5,
            docs=settings.server.docs,
            access_log=settings.log.access,
        ),
    )
    rules = AdmissionRules(settings.server.allowed_hosts, settings.server.allowed_origins)
    return Admission(web, rules, web.at_once)


def state_settings(settings: Settings) -> StateSettings:
    """Return what the state floor is told."""
    limits, checkpoint = settings.limits, settings.checkpoint
    return StateSettings(
        limits=Limits(
            content_bytes_max=limits.content_bytes_max,
            ops_max=limits.ops_max,
            body_bytes_max=limits.body_bytes_max,
            canvas_bytes_max=limits.canvas_bytes_max,
            retained_ops_max=limits.retained_ops_max,
            regex_chars_max=limits.regex_chars_max,
            ndjson_line_bytes_max=limits.ndjson_line_bytes_max,
            ndjson_idle_s=limits.ndjson_idle_s,
            snapshot_bytes_max=limits.snapshot_bytes_max,
            meta_keys_max=limits.meta_keys_max,
            meta_chars_max=limits.meta_chars_max,
        ),
        checkpoint=CheckpointPolicy(
            interval_s=checkpoint.interval_s,
            ops=checkpoint.ops,
            retry_max_s=checkpoint.retry_max_s,
            unsaved_ops_max=checkpoint.unsaved_ops_max,
        ),
        durability=settings.storage.durability,
        log_events_min=limits.log_events_min,
        log_bytes_min=limits.log_bytes_min,
        heartbeat_s=settings.stream.heartbeat_s,
        flush_interval_s=settings.stream.flush_interval_ms / 1000,
        close_quiet_s=checkpoint.close_quiet_s,
        idle_unload_s=checkpoint.idle_unload_s,
        listeners_max=limits.listeners_max,
        open_canvases_max=limits.open_canvases_max,
    )


def server_limits(settings: Settings) -> ServerLimits:
    """Return how connections are served."""
    limits = settings.limits
    guard = GuardLimits(
        first_byte_s=limits.first_byte_s,
        headers_s=limits.headers_s,
        body_s=limits.body_s,
        keep_alive_s=limits.keep_alive_s,
        stalled_write_s=limits.slow_write_s + 5.0,
        header_bytes_max=limits.header_bytes_max,
        headers_max=limits.headers_max,
        connections_max=limits.connections_max,
        send_buffer_bytes=limits.send_buffer_bytes,
    )
    return ServerLimits(guard, settings.server.http)


async def _serve(settings: Settings, sock: socket.socket) -> int:
    async with (
        opened_store(settings) as store,
        CanvasStateManager(store, SystemClock(), SystemIds(), state_settings(settings)) as manager,
    ):
        app = asgi_app(manager, settings)
        # What is there now stays for good, so the collector need never look at it again.
        gc.collect()
        gc.freeze()
        durable = await run_server(app, sock, server_limits(settings), manager.drain)
    return 0 if durable else 1


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
