"""The double of the providers, started and told what to do by tests.

`Double.start()` runs it in a thread of the test; `Double.spawn()` as a process that outlives what it serves.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2
import msgspec
import uvicorn

from tests.double.ledger import Asked, Line
from tests.double.script import Plan
from tests.double.server import Provider

_PATIENCE_S: Final = 15.0
_ROOT: Final = Path(__file__).parents[2]


class Double:
    """A running double.

    Args:
        url: where it answers.
        stop: ends it.
    """

    def __init__(self, url: str, stop: Callable[[], None]) -> None:
        self.url: Final = url
        self._stop: Final = stop
        self._http: Final = httpx2.Client(base_url=url, timeout=_PATIENCE_S, trust_env=False)

    @classmethod
    def start(cls) -> Self:
        """Run it in a thread with a loop of its own."""
        sock = bound()
        server = uvicorn.Server(server_config())
        thread = threading.Thread(target=_serve, args=(server, sock), name="provider-double")
        thread.start()

        def stop() -> None:
            server.should_exit = server.force_exit = True
            thread.join()

        return cls(address(sock), stop)

    @classmethod
    def spawn(cls) -> Self:
        """Run it as a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.double", "--port", "0"], cwd=_ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the double did not start"

        def stop() -> None:
            with process:
                process.terminate()

        return cls(url, stop)

    @property
    def openai_url(self) -> str:
        return f"{self.url}/openai/v1"

    @property
    def mistral_url(self) -> str:
        return f"{self.url}/mistral"

    @property
    def local_url(self) -> str:
        return f"{self.url}/local/v1"

    @property
    def ledger(self) -> list[Line]:
        """What is billed so far, a line a call."""
        return msgspec.json.decode(self._get("/ledger"), type=list[Line])

    @property
    def calls(self) -> list[Asked]:
        """What was asked so far."""
        return msgspec.json.decode(self._get("/calls"), type=list[Asked])

    def script(self, plan: Plan | None = None, **fields: object) -> None:
        """Say how the next call is answered; see `Plan` for the fields."""
        told = plan or msgspec.convert(fields, Plan)
        self._http.post("/script", content=msgspec.json.encode(told)).raise_for_status()

    def reset(self) -> None:
        """Forget what was asked and told."""
        self._http.post("/reset").raise_for_status()

    def called(self, call: int = 1) -> Line:
        """Wait until so many calls came."""
        return self._wait(call, "id", call)

    def closed(self, call: int = 1) -> Line:
        """Wait until nobody is connected for a call any more."""
        return self._wait(call, "open_streams", 0)

    def produced(self, tokens: int, call: int = 1) -> Line:
        """Wait until so much is produced."""
        return self._wait(call, "output_tokens", tokens)

    def finished(self, call: int = 1) -> Line:
        """Wait until an answer is produced to its end."""
        return self._wait(call, "finished", 1)

    def close(self) -> None:
        """End it."""
        self._http.close()
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, path: str) -> bytes:
        return self._http.get(path).raise_for_status().content

    def _wait(self, call: int, field: str, least: int) -> Line:
        return msgspec.json.decode(self._get(f"/ledger/{call}/{field}/{least}"), type=Line)


def bound(port: int = 0) -> socket.socket:
    """Return a socket that listens on this machine only."""
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol; with it, words come in bunches.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen()
    return sock


def address(sock: socket.socket) -> str:
    """Return the URL of a socket."""
    return f"http://127.0.0.1:{sock.getsockname()[1]}"


def server_config() -> uvicorn.Config:
    """Return how the double is served: silent, and gone at once when it is to stop."""
    return uvicorn.Config(
        Provider().app, lifespan="off", log_config=None, log_level="critical", access_log=False, ws="none"
    )


def _serve(server: uvicorn.Server, sock: socket.socket) -> None:
    with sock:
        asyncio.run(server.serve([sock]))


@contextmanager
def doubled() -> Iterator[Double]:
    """Run a double until the block ends."""
    with Double.start() as double:
        yield double
