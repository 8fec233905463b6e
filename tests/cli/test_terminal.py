"""`cli/terminal.py`: what a terminal is shown."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from canvas_server.cli.terminal import one_line
from tests.cli.program import ROOT, Program
from tests.serving import Served, append

pytestmark = pytest.mark.slow


def on_a_terminal(program: Program, *arguments: str, typed: str | None = None, **environ: str) -> str:
    """Return what a person sees of a command, stdout and stderr, and what they type themselves."""
    ours, theirs = pty.openpty()
    os.write(ours, (typed or "").encode())
    kept = {name: value for name, value in os.environ.items() if name not in ("CANVAS_TOKEN", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "canvas_server", *arguments],
        stdin=subprocess.DEVNULL if typed is None else theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=program.folder,
        env={**kept, "PYTHONPATH": str(ROOT), "CANVAS_URL": program.url, "COLUMNS": "90", **environ},
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 65_536):
                seen += piece
        except OSError:
            pass  # What a terminal tells at its end.
        os.close(ours)
        assert process.wait(20) == 0, seen.decode()
    return seen.decode().replace("\r\n", "\n")


def test_text_of_others_does_not_drive_the_terminal_but_goes_into_a_pipe_as_it_is(
    program: Program, served: Served
) -> None:
    ref = served.canvas("\x1b]0;owned\x07a\tb\n\u202ec").ref
    sign = "\N{REPLACEMENT CHARACTER}"
    assert on_a_terminal(program, "cat", ref) == f"{sign}]0;owned{sign}a\tb\n{sign}c\n"
    assert program.out("cat", ref) == "\x1b]0;owned\x07a\tb\n\u202ec"


def test_colours_are_for_terminals_and_not_for_who_wants_none(program: Program, served: Served) -> None:
    canvas = served.canvas("# T\n")
    canvas.submit(append("x" * 200, op_id="o"))
    coloured = on_a_terminal(program, "history", canvas.ref)
    plain = on_a_terminal(program, "history", canvas.ref, NO_COLOR="1")
    assert "\x1b[" in coloured
    assert "\x1b" not in plain
    assert len(plain.rstrip("\n")) <= 90
    assert "\x1b" not in program.out("history", canvas.ref)


def test_what_counts_while_something_runs_leaves_nothing_behind(program: Program, served: Served) -> None:
    canvas = served.canvas()
    seen = on_a_terminal(program, "write", canvas.ref, "--code")
    assert seen.splitlines()[-1].endswith(f"{canvas.ref} is at version 2")


def test_who_is_to_type_is_told_so(program: Program, served: Served) -> None:
    canvas = served.canvas()
    for command in ("append", "write"):
        seen = on_a_terminal(program, command, canvas.ref, typed="typed\n\x04")
        assert "note: reading what you type; Ctrl-D at the beginning of a line ends it\n" in seen
    assert canvas.text == "typed\n\ntyped"


def test_text_on_one_line_is_cut_off_and_has_no_line_ends() -> None:
    assert one_line("a\nb\x1b\tc\u2028d") == "a⏎b\N{REPLACEMENT CHARACTER} c\N{REPLACEMENT CHARACTER}d"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
