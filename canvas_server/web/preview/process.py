"""The other end of `worker.py`: a process that renders, started when it is needed and killed when it takes too long.

Rule: nothing that a text does to the renderer is felt here: the loop only waits for a socket, and not for long.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.errors import OverloadedError, TooLargeError
from canvas_server.web.preview.worker import HEADER, SIZE, Outcome, WorkerLimits

log = logging.getLogger(__name__)

_MODULE: Final = "canvas_server.web.preview.worker"
_PATIENCE: Final = 4.0
"""How many times its processor time a text may take by the clock, and how many seconds beyond that for a start."""
_ASK_FOR_TEXT: Final = "Read the canvas as text, or split it into several."


class Rendering(NamedTuple):
    """The HTML of a text, as a JSON string; and whether the process can render another."""

    html_json: bytes
    is_last: bool


class RenderProcess:
    """One running process; `render` is called again only when the call before has returned.

    Args:
        process: reads and writes the other end of `reader` and `writer`.
        limits: what it was told.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: WorkerLimits,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._limits = limits

    @staticmethod
    async def start(limits: WorkerLimits) -> RenderProcess:
        """Start a process; raises `OverloadedError` when the system has no room for one."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _no_room() from error
        spawning = asyncio.ensure_future(asyncio.to_thread(_spawn, theirs, limits))
        try:
            process = await asyncio.shield(spawning)
        except OSError as error:
            ours.close()
            raise _no_room() from error
        except asyncio.CancelledError:
            # What a thread has begun it ends: nobody but us would end the process.
            ours.close()
            await _ended(await spawning)
            raise
        reader, writer = await asyncio.open_connection(sock=ours)
        return RenderProcess(process, reader, writer, limits)

    @property
    def is_alive(self) -> bool:
        """Whether it has not been seen to die."""
        return not self._reader.at_eof()

    async def render(self, text: bytes) -> Rendering:
        """Render a text.

        Raises:
            TooLargeError: it takes more time or memory than it may, or becomes more HTML.
            OverloadedError: the process died for another reason; another one may do better.
        """
        try:
            async with asyncio.timeout(_PATIENCE * (self._limits.cpu_s + 1)):
                self._writer.write(SIZE.pack(len(text)) + text)
                await self._writer.drain()
                outcome, size = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                told = await self._reader.readexactly(size)
        except TimeoutError as error:
            raise OverloadedError("the machine is too busy to render", hint="Try again in a moment.") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise await self._death() from error
        match outcome:
            case Outcome.RENDERED | Outcome.RENDERED_LAST:
                return Rendering(told, outcome == Outcome.RENDERED_LAST)
            case Outcome.TOO_LARGE:
                raise TooLargeError("the canvas becomes too much HTML to be previewed", hint=_ASK_FOR_TEXT)
            case _:
                log.error("rendering failed", extra={"error": told.decode()})
                raise OverloadedError("the canvas could not be rendered", hint="Try again, once.")

    async def stop(self) -> None:
        """End it, whatever it does, and wait until it is gone."""
        self._writer.close()
        await _ended(self._process)

    async def _death(self) -> TooLargeError | OverloadedError:
        status = await asyncio.to_thread(self._process.wait)
        if status == -signal.SIGPROF:
            return TooLargeError("the canvas takes too long to be previewed", hint=_ASK_FOR_TEXT)
        log.warning("a process that renders died", extra={"status": status})
        return OverloadedError("the process that renders died", hint="Try again in a moment.")


def _spawn(theirs: socket.socket, limits: WorkerLimits) -> subprocess.Popen[bytes]:
    # It is told where to find what it imports, and nothing else: no key of the environment is its business.
    told = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"}
    known = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    command = [sys.executable, "-P", "-m", _MODULE, msgspec.json.encode(limits).decode()]
    with theirs:
        return subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            env={**known, **told},
        )


async def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    await asyncio.shield(asyncio.to_thread(process.wait))


def _no_room() -> OverloadedError:
    return OverloadedError("no process can be started to render", hint="Try again in a moment.")
