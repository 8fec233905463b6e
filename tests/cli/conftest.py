"""What the tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.serving import Served


@pytest.fixture
def program(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Commands against the server of all tests, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Program(served.url, tmp_path)
