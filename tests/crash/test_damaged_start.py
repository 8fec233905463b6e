"""The real server on damaged files: it refuses, or what it serves is right; it never serves an empty canvas instead."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.crash.clients import Client
from tests.crash.servers import Ending, Server, Servers
from tests.crash.serving_process import Life
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import append
from tests.storage.damage import DATABASE, LOG, copy_files, cut, flip

REF: Final = "notes"
OPS: Final = 60
REFUSES: Final = 2
"""The exit code of a server that cannot use its database."""


def write(servers: Servers, data_dir: Path, *, stop: bool) -> dict[str, str]:
    """Have a server write, then stop or kill it; return each version's text, oldest first."""
    life = Life(data_dir=str(data_dir), durability="journal")
    with servers.running(life) as server, Client(server.port) as client:
        state = client.ask("PUT", f"/canvas/{REF}", {"content": "# Notes\n\n"})[1]
        end(server)
    version, texts = state["version"], {state["version"]: state["content"]}
    with servers.running(life) as server, Client(server.port) as client:
        for number in range(OPS):
            client.submit(REF, [append(f"{number}. ", op_id=f"op-{number}", client_version=version, scope="range")])
            state = client.ask("GET", f"/canvas/{REF}")[1]
            texts[state["version"]] = state["content"]
        if stop:
            end(server)
    (data_dir / LOG).touch()
    return texts


def end(server: Server) -> None:
    server.signal(signal.SIGTERM)
    assert server.ending().code == 0


def check_refusal(servers: Servers, ending: Ending, damaged: Path, content: bytes) -> None:
    """Hold a server to what it must do that will not serve."""
    assert ending.code == REFUSES
    assert DATABASE in servers.log.read_text().splitlines()[-1]
    assert damaged.read_bytes() == content, "the file was changed"


def check_served(server: Server, texts: dict[str, str], allowed: set[str]) -> bool:
    """Hold a server to what it serves; return whether it serves the canvas.

    Args:
        server: stopped afterwards.
        texts: of each version.
        allowed: versions that it may hold.
    """
    try:
        with Client(server.port) as client:
            status, answer = client.ask("GET", f"/canvas/{REF}")
    finally:
        server.kill()
        server.ending()
    if status == 200:
        assert answer["version"] in allowed
        assert answer["content"] == texts[answer["version"]]
    else:
        assert (status, answer["code"]) == (503, "STORAGE_CORRUPT")
        assert DATABASE in answer["detail"]
    return status == 200


@pytest.mark.promise("R5")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=900))
@pytest.mark.parametrize("name", [DATABASE, LOG])
def test_a_server_on_damaged_files_serves_what_is_right_or_says_which_file_is_wrong(
    servers: Servers, tmp_path: Path, findings: Findings, name: str
) -> None:
    variants, random = amount(ci=20, hand=250), Random(10)
    texts = write(servers, tmp_path / "whole", stop=name == DATABASE)
    whole, served = (tmp_path / "whole" / name).read_bytes(), 0
    for _ in range(variants):
        content = random.choice((cut, flip))(whole, random)
        copy_files(tmp_path / "whole", tmp_path / "torn")
        (tmp_path / "torn" / name).write_bytes(content)
        server = servers.try_to_start(Life(data_dir=str(tmp_path / "torn")))
        if isinstance(server, Ending):
            check_refusal(servers, server, tmp_path / "torn" / name, content)
        else:
            served += check_served(server, texts, set(texts) if name == LOG else {list(texts)[-1]})
        shutil.rmtree(tmp_path / "torn")
    findings.tell("R5", f"servers started on a damaged {name}", variants, goal="0 wrong, 0 empty, 0 overwritten")
    findings.tell("R5", f"servers that served the canvas from a damaged {name}", served)
    assert (served > 0, served < variants) == (True, name == DATABASE)
