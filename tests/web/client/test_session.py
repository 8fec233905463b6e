"""A session on a real server, in Node: one scenario of `sessions.mjs` or `copies.mjs` each."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server.config import Settings
from canvas_server.config.settings import CheckpointSettings, LimitSettings
from tests.serving import IN_MEMORY, Served, serving
from tests.web.people import person
from tests.web.test_page_files import require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPTS: Final = [Path(__file__).parent / name for name in ("sessions.mjs", "copies.mjs")]
SCRIPT_OF: Final = {
    name: script for script in SCRIPTS for name in re.findall(r'^  async "(.*)"\(', script.read_text(), re.MULTILINE)
}
ALL: Final = list(SCRIPT_OF)
WITH_PEOPLE: Final = [name for name in ALL if name.startswith(("who", "without"))]
SMALL: Final = replace(IN_MEMORY, limits=LimitSettings(canvas_bytes_max=4096))
LIMITED: Final = {
    **{name: SMALL for name in ALL if "too large" in name or SCRIPT_OF[name] == SCRIPTS[1]},
    "what is written is saved in the end": replace(IN_MEMORY, checkpoint=CheckpointSettings(interval_s=0.05)),
}


def play(scenario: str, served: Served, **facts: object) -> None:
    command = [require("node"), str(SCRIPT_OF[scenario]), scenario, served.url, json.dumps(facts)]
    played = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert played.returncode == 0, played.stdout + played.stderr


@pytest.fixture(scope="module")
def quiet() -> Iterator[Served]:
    """A server of its own: one test counts its streams."""
    with serving() as served:
        yield served


@pytest.mark.parametrize("scenario", [name for name in ALL if name not in LIMITED and name not in WITH_PEOPLE])
def test_scenario(scenario: str, quiet: Served) -> None:
    play(scenario, quiet)


@pytest.mark.parametrize("scenario", LIMITED)
def test_scenario_within_limits(scenario: str) -> None:
    settings: Settings = LIMITED[scenario]
    with serving(settings) as served:
        play(scenario, served, most=settings.limits.canvas_bytes_max)


@pytest.mark.parametrize("scenario", WITH_PEOPLE)
def test_scenario_with_credentials(scenario: str) -> None:
    """Whoever writes too fast may write three operations a second, and three at once."""
    slow = replace(IN_MEMORY, limits=LimitSettings(ops_per_s=3, ops_burst=3))
    with serving(slow if "faster" in scenario else IN_MEMORY, credentials=True) as served:
        owner = person(served, "admin")
        other = person(served, "writer") if "better" not in scenario else person(served, "admin", owner.name)
        facts = {"name": other.name, "token": owner.secret, "tokenId": owner.token.id}
        play(scenario, served, **facts, other=other.secret, otherId=other.token.id)
