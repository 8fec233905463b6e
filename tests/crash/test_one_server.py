"""One server for each folder: the second refuses and names the first, and a killed one leaves no lock behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from tests.crash.clients import Client
from tests.crash.servers import Ending, Servers, starting_servers
from tests.crash.serving_process import Life
from tests.proof.findings import Findings

REFUSES: Final = 2
REFUSED_S_MAX: Final = 1.0
SLACK_S: Final = 9.0
"""What a busy machine may take longer."""


@pytest.mark.promise("R6")
@pytest.mark.slow
def test_a_second_server_on_a_folder_refuses_at_once_and_names_the_first(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    life = Life(data_dir=str(tmp_path / "data"))
    with starting_servers(tmp_path / "log") as others, servers.running(life) as first, Client(first.port) as client:
        with others.running(Life(data_dir=str(tmp_path / "other"))):
            assert client.ask("PUT", "/canvas/notes", {})[0] == 201
        started_s = time.monotonic()
        second = others.try_to_start(life)
        took_s = time.monotonic() - started_s
        assert client.ask("GET", "/canvas/notes")[0] == 200
    findings.tell("R6", "second server refused after, imports apart", f"{took_s:.2f} s", goal=f"{REFUSED_S_MAX} s")
    assert isinstance(second, Ending)
    assert second.code == REFUSES
    assert others.log.read_text().endswith(f"is in use by process {first.pid}\n")
    assert took_s <= REFUSED_S_MAX + SLACK_S


@pytest.mark.promise("R6")
@pytest.mark.slow
def test_a_killed_server_leaves_no_lock_behind(servers: Servers, tmp_path: Path) -> None:
    for _ in range(3):
        with servers.running(Life(data_dir=str(tmp_path))) as server:
            server.kill()
    with servers.running(Life(data_dir=str(tmp_path))) as server, Client(server.port) as client:
        assert client.ask("PUT", "/canvas/notes", {})[0] == 201
