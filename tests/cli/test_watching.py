"""`cli/watching.py`: what happens to a canvas, live."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.cli.servers import Place, kill, started
from tests.serving import Canvas, Served, append

pytestmark = pytest.mark.slow


@pytest.fixture
def canvas(served: Served) -> Canvas:
    canvas = served.canvas("# Notes\n\n## Ideas\n\nOne.\n")
    canvas.submit(append("before", op_id="before"))
    return canvas


@contextmanager
def watching(program: Program, canvas: Canvas, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Watch a canvas, from when the last operation before was shown."""
    with program.process("tail", canvas.ref, "-n", "1", *options, stdin=subprocess.DEVNULL) as process:
        assert "before" in line_of(process)
        yield process


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode()


def test_who_did_what_and_where_is_shown_as_it_happens(program: Program, canvas: Canvas) -> None:
    with watching(program, canvas) as process:
        canvas.submit({"op_id": "o", "action": "delete", "target": {"type": "text", "text": {"match": "One."}}})
        seq, _time, actor, section, *what = line_of(process).split()
        assert (seq, actor, section, " ".join(what)) == ("2", "local", "Ideas", '-4 "One."')
        canvas.http.patch(canvas.path, json={"title": "Other"})
        assert line_of(process).endswith("local gave it the title Other\n")
        canvas.http.post(f"{canvas.path}/presence", json={"name": "Ada", "section": "ideas"})
        assert line_of(process).endswith("Ada is in #ideas\n")
        canvas.http.post(f"{canvas.path}/presence", json={"name": "Ada", "ttl_ms": 0})
        assert line_of(process).endswith("Ada left\n")


def test_it_ends_with_the_canvas(program: Program, canvas: Canvas) -> None:
    with watching(program, canvas) as process:
        canvas.http.delete(canvas.path)
        assert line_of(process).endswith("local deleted it\n")
        assert process.wait(20) == 0


def test_as_json_it_is_every_event_on_a_line(program: Program, canvas: Canvas) -> None:
    with watching(program, canvas, "--json") as process:
        canvas.submit(append("x", op_id="mine"))
        told = json.loads(line_of(process))
        while told["type"] != "ack":
            told = json.loads(line_of(process))
        assert (told["op_id"], told["canvas"], told["changes"][0]["insert"]) == ("mine", canvas.ref, "x")


def test_ctrl_c_ends_it_with_130(program: Program, canvas: Canvas) -> None:
    with watching(program, canvas) as process:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_it_ends_when_nobody_reads_any_more_though_nothing_happens(program: Program, canvas: Canvas) -> None:
    with watching(program, canvas) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_cat_into_a_pipe_that_is_closed_says_nothing(program: Program, served: Served) -> None:
    canvas = served.canvas("x" * 500_000)
    for unbuffered in ("", "1"):
        with program.process("cat", canvas.ref, PYTHONUNBUFFERED=unbuffered) as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == b"x"
            process.stdout.close()
            assert process.wait(20) == 141
            assert process.stderr is not None
            assert process.stderr.read() == b""


def test_it_says_that_the_server_is_gone_and_back_and_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    server = started(place)
    program = Program(place.url, tmp_path)
    try:
        program.out("new", "notes")
        program.out("append", "notes", "one")
        with program.process("tail", "notes", "-n", "1", stdin=subprocess.DEVNULL) as process:
            assert line_of(process).rstrip().endswith('+3 "one"')
            kill(server)
            assert process.stderr is not None
            assert process.stderr.readline() == b"note: the server does not answer; waiting for it\n"
            server = started(place)
            assert process.stderr.readline() == b"note: the server is back\n"
            program.out("append", "notes", "two")
            while '"two"' not in line_of(process):
                pass
    finally:
        kill(server)
