"""The guide is true: its examples run in order beside a server, and print what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, running
from tests.test_docs import DOCS, blocks

GUIDE = DOCS / "python-client.md"


def program(examples: list[str]) -> str:
    """Return a program that runs examples as `python -m asyncio` would, and prints a line between their outputs."""
    return f"""
import ast, asyncio, inspect

async def main():
    scope = {{"__name__": "__main__"}}
    for example in {examples!r}:
        code = compile(example, "guide", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, scope)
        if inspect.isawaitable(running):
            await running
        print("---")

asyncio.run(main())
"""


def printed(folder: Path, script: str) -> str:
    environ = {name: value for name, value in os.environ.items() if name not in {"CANVAS_TOKEN", "CANVAS_URL"}}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_of_the_guide_print_what_it_says(tmp_path: Path) -> None:
    examples, (sync,) = blocks(GUIDE, "python"), blocks(GUIDE, "python sync")
    *told, told_sync = blocks(GUIDE, "text")
    assert len(examples) == len(told) >= 7
    with running(tmp_path):
        assert printed(tmp_path, program(examples)).split("---\n")[:-1] == told
        assert printed(tmp_path, sync) == told_sync


def test_the_guide_names_each_error_that_may_be_raised() -> None:
    import canvas_server.client as package

    errors = [name for name in package.__all__ if name.endswith("Error")]
    assert len(errors) > 8
    assert [name for name in errors if f"`{name}`" not in GUIDE.read_text()] == []
