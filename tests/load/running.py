"""A server in a process of its own, and what can be seen of it from outside.

`running()` is the interface; it serves with the settings it is given, from a folder or from memory.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import msgspec
from msgspec.structs import replace

from canvas_server.config import Settings
from canvas_server.config.settings import ServerSettings, StorageSettings
from tests.listener import PATIENCE_S
from tests.load.probed_process import Counts, Held, Lag, revealed

ROOT: Final = Path(__file__).parents[2]
MIB: Final = 1024 * 1024
ANY_PORT: Final = ServerSettings(port=0, auth=False)
IN_MEMORY: Final = Settings(server=ANY_PORT, storage=StorageSettings(ephemeral=True))
"""Default settings, and nothing on disk; vary them with `msgspec.structs.replace`."""

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    """A running server."""

    port: int
    http: httpx2.Client
    """Asks the server over connections of its own; its base is the server's address."""
    _process: subprocess.Popen[str]

    @property
    def rss_bytes(self) -> int:
        """What the process holds in memory."""
        return int(self._told("statm").split()[1]) * _PAGE_BYTES

    @property
    def cpu_s(self) -> float:
        """How much processor time it has used."""
        user, system = self._told("stat").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS_PER_S

    @property
    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    @property
    def lags(self) -> list[Lag]:
        """How late the probe woke each time since this was last asked."""
        return msgspec.json.decode(self.http.get("/probe/lag").raise_for_status().content, type=list[Lag])

    @property
    def counts(self) -> Counts:
        """How much there is of what a soak watches."""
        return msgspec.json.decode(self.http.get("/probe/counts").raise_for_status().content, type=Counts)

    @property
    def held(self) -> Held:
        """What it holds, garbage aside."""
        return msgspec.json.decode(self.http.get("/probe/held").raise_for_status().content, type=Held)

    def create(self, ref: str, content: str = "") -> str:
        """Create a canvas and return its version."""
        answer = self.http.put(f"/api/v2/canvas/{ref}", json={"content": content})
        assert answer.status_code == 201, answer.text
        version: str = answer.json()["version"]
        return version

    def stop(self) -> int:
        """Stop it in good order and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)

    def _told(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


@contextmanager
def running(settings: Settings = IN_MEMORY, port: int = 0) -> Iterator[Running]:
    """Run a server until the block ends.

    Args:
        settings: of the server; `server` is replaced.
        port: to listen on; 0 picks a free one.
    """
    told = msgspec.json.encode(
        replace(settings, server=ServerSettings(port=port, auth=False)), enc_hook=revealed
    ).decode()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.load.probed_process", told],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line, "the server did not start"
            url = line.split()[-1]
            with httpx2.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
                yield Running(int(url.rpartition(":")[2]), http, process)
        finally:
            process.kill()


def at_share(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
