"""Clients of a real server, over a bad line, while the server is killed: whatever happens, and in whatever order, ends
with the same text everywhere, and nothing that anybody wrote is lost or there twice.

Every character that is written is another one (`simulation.mjs`), so that loss and doubling are seen.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.crash.servers import Server, Servers, starting_servers
from tests.crash.serving_process import Life
from tests.web.client.bad_line import BadLine, Fault, bad_line
from tests.web.test_page_files import require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PEERS: Final = Path(__file__).parent / "peers.mjs"
REF: Final = "shared"
EXAMPLES: Final = int(os.environ.get("CLIENT_EXAMPLES", "12"))
FAULTS: Final[list[Fault]] = ["none", "away", "lost request", "lost answer", "twice", "slow"]


class Peers:
    """The clients, which do what they are told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, action: str, **options: object) -> Any:
        """Have something done, and return what it came to."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"do": action, **options}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["ok"]


@contextmanager
def peers(port: int, count: int) -> Iterator[Peers]:
    command = [require("node"), str(PEERS), f"http://127.0.0.1:{port}", REF, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Peers(process)
        finally:
            process.kill()


class World(NamedTuple):
    """A server that can be killed, and the line to it."""

    servers: Servers
    line: BadLine
    life: Life

    def start(self) -> Server:
        server = self.servers.start(self.life)
        self.line.upstream = server.port
        return server

    def kill(self, server: Server) -> None:
        server.kill()
        server.ending()
        self.line.cut()


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Draw what happens, one after the other."""
    edit = st.fixed_dictionaries(
        {
            "client": st.integers(0, 3),
            "seed": st.integers(1, 10**6),
            "count": st.sampled_from([1, 1, 2, 5]),
        }
    )
    step = st.one_of(
        st.tuples(st.just("edit"), edit),
        st.tuples(st.just("edit"), edit),
        st.tuples(st.just("edit"), edit),
        st.tuples(st.just("raw"), st.fixed_dictionaries({"client": st.integers(0, 3)})),
        st.tuples(st.just("pause"), st.fixed_dictionaries({"ms": st.sampled_from([1, 5, 20, 60])})),
        st.tuples(st.just("fault"), st.fixed_dictionaries({"fault": st.sampled_from(FAULTS)})),
        st.tuples(st.just("cut"), st.just({})),
        st.tuples(st.just("retry"), st.just({})),
        st.tuples(st.just("kill"), st.just({})),
    )
    return draw(st.lists(step, min_size=8, max_size=60))


@given(count=st.integers(2, 4), interval_s=st.sampled_from([0.05, 0.4, 30.0]), told=steps())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_interleaving_ends_with_the_same_text_everywhere_and_all_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, count: int, interval_s: float, told: list[tuple[str, dict[str, Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("interleaving")
    with starting_servers(folder / "log") as servers, bad_line() as line:
        world = World(servers, line, Life(data_dir=str(folder / "data"), interval_s=interval_s))
        server = world.start()
        created = httpx2.put(f"http://127.0.0.1:{server.port}/api/v2/canvas/{REF}", json={"content": "# A\n"})
        assert created.status_code == 201
        with peers(line.port, count) as clients:
            clients.do("open")
            for action, options in told:
                server = _step(world, server, clients, action, options)
            line.fault = "none"
            clients.do("retry")
            clients.do("settle")
            clients.do("close")
        world.kill(server)


def _step(world: World, server: Server, clients: Peers, action: str, options: dict[str, Any]) -> Server:
    if action == "fault":
        world.line.fault = options["fault"]
        if options["fault"] == "away":
            world.line.cut()
    elif action == "cut":
        world.line.cut()
        clients.do("retry")
    elif action == "kill":
        world.kill(server)
        return world.start()
    else:
        clients.do(action, **options)
    return server
