"""The running server: uvicorn behind our guard, and a way down of our own.

On the first SIGTERM, SIGINT or SIGHUP: take nothing more, finish what was taken, save everything, say `bye` to
everybody, end. On the second: end now.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import uvicorn
from starlette.types import ASGIApp

from canvas_server.core.counts import Counts
from canvas_server.listening import Listening
from canvas_server.web.admission import SECURITY_HEADERS, Admission, AtOnce
from canvas_server.web.connection import Connection, GuardLimits
from canvas_server.web.greeting import TlsDoor
from canvas_server.web.guard import guarded
from canvas_server.web.strangers import Strangers

log = logging.getLogger(__name__)

_DRAIN_S: Final = 6.0
_LINGER_S: Final = 2


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How connections are served."""

    guard: GuardLimits
    http: Literal["httptools", "h11"]


class _Server(uvicorn.Server):
    """uvicorn without its own idea of signals; says on one line where it listens, once it does."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def __init__(self, config: uvicorn.Config, places: Sequence[Listening], welcome: str) -> None:
        super().__init__(config)
        self._places = places
        self._welcome = welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on every place, each in its own way, where uvicorn would speak TLS on all of them or on none."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for sock, tls in self._places:
            if tls is None:
                self.servers.append(await loop.create_server(self._protocol, sock=sock, backlog=2048))
            else:
                door = TlsDoor(sock, tls, self._protocol, self._kind)
                self.servers.append(door)  # type: ignore[arg-type]  # uvicorn only closes them
        sys.stdout.write(self._welcome)
        sys.stdout.flush()

    @property
    def _kind(self) -> type[Connection]:
        kind = self.config.http_protocol_class
        assert isinstance(kind, type)
        assert issubclass(kind, Connection)
        return kind

    def _protocol(self) -> Connection:
        return self._kind(  # type: ignore[call-arg]  # what it takes depends on the class
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


async def run_server(
    app: Admission,
    places: Sequence[Listening],
    limits: ServerLimits,
    drain: Callable[[float], Awaitable[bool]],
    welcome: str,
) -> bool:
    """Serve until a signal comes; return whether everything was saved.

    Args:
        app: what answers.
        places: sockets that listen already.
        limits: of connections.
        drain: stops the rooms within the seconds it is given.
        welcome: printed when the server listens.
    """
    server = _Server(uvicorn_config(app, limits, app.at_once, app.strangers, app.counts), places, welcome)
    stop = asyncio.Event()
    _on_signals(server, stop)
    serving = asyncio.ensure_future(server.serve([]))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping")
    durable = await drain(_DRAIN_S)
    server.should_exit = True
    await serving
    stopping.cancel()
    log.info("stopped", extra={"durable": durable})
    return durable


def uvicorn_config(
    app: ASGIApp,
    limits: ServerLimits,
    at_once: AtOnce | None = None,
    strangers: Strangers | None = None,
    counts: Counts | None = None,
) -> uvicorn.Config:
    """Return how uvicorn is to serve `app`: behind the guard, with nothing of its own on the wire.

    Args:
        app: what answers.
        limits: of connections.
        at_once: what of `app` need not wait.
        strangers: take note of connections on which nobody has shown credentials.
        counts: is told of connections and refusals.
    """
    protocol = guarded(limits.guard, parser=limits.http, at_once=at_once, strangers=strangers, counts=counts)
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=[(name.decode(), value.decode()) for name, value in SECURITY_HEADERS],
        timeout_keep_alive=round(limits.guard.keep_alive_s),
        timeout_graceful_shutdown=_LINGER_S,
        backlog=2048,
    )


def allow_open_files(count: int) -> None:
    """Raise this process's bound on open files as far as it may go, up to `count`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _on_signals(server: uvicorn.Server, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop_or_abort() -> None:
        if stop.is_set():
            log.warning("stopping now")
            server.force_exit = True
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # What nohup has had ignored is to stay so: the terminal may close.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop_or_abort)
