"""`cli/writing.py`: text goes into a canvas, at once or as it comes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.cli.servers import Place, kill, started
from tests.serving import Canvas, Served

TEXT = "# Notes\n\n## Todo\n\n- a\n\n## End\n"


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas(TEXT)


def test_what_is_appended_is_a_paragraph_of_its_own(program: Program, canvas: Canvas) -> None:
    program.out("append", canvas.ref, "At the end.")
    program.out("append", canvas.ref, "--section", "Todo", stdin="Of stdin.\r\n\n")
    assert canvas.text == "# Notes\n\n## Todo\n\n- a\n\nOf stdin.\n\n## End\n\nAt the end."


def test_an_item_goes_below_the_last_of_its_list(program: Program, canvas: Canvas) -> None:
    program.out("append", canvas.ref, "- b", "--section", "Todo", "--tight")
    assert canvas.text == "# Notes\n\n## Todo\n\n- a\n- b\n\n## End\n"
    program.out("append", canvas.ref, "--tight", "--", "- c")
    program.out("append", canvas.ref, "--tight", "- d")
    assert canvas.text.endswith("## End\n- c\n- d")


def test_a_section_that_is_missing_is_made_if_that_is_asked(program: Program, canvas: Canvas) -> None:
    missing = program.run("append", canvas.ref, "x", "--section", "Tood")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error: ")
    assert "hint: " in missing.stderr
    program.out("append", canvas.ref, "x", "--section", "New", "--create")
    assert canvas.text.endswith("## End\n\n## New\n\nx\n")


def test_append_as_json_is_the_ack_and_else_says_the_version(program: Program, canvas: Canvas) -> None:
    told = json.loads(program.out("append", canvas.ref, "x", "--json"))
    assert (told["type"], told["action"], told["server_version"]) == ("ack", "insert", canvas.version)
    said = program.run("append", canvas.ref, "yz")
    assert said.stderr == f"note: 2 characters appended; {canvas.ref} is at version 2\n"


def test_nothing_to_append_ends_with_1(program: Program, canvas: Canvas) -> None:
    assert program.run("append", canvas.ref, stdin="\n").exit_code == 1
    assert canvas.text == TEXT


def test_what_is_too_large_for_one_operation_is_to_be_streamed(program: Program, canvas: Canvas) -> None:
    result = program.run("append", canvas.ref, stdin="x" * 300_000)
    assert result.exit_code == 2
    assert f"hint: Pipe it into `canvas-server write {canvas.ref}`" in result.stderr
    assert canvas.text == TEXT


@pytest.mark.slow
def test_much_text_is_there_to_the_last_character(program: Program, canvas: Canvas) -> None:
    """Text was cut into operations behind newlines, and the first lost its own to the blank lines around a text."""
    text = "x\n" * 40_000 + "\n\N{SNOWMAN}" * 20_000
    with program.process("write", canvas.ref, "--section", "Todo") as process:
        assert program.ended(process, text.encode())[0] == 0
    assert canvas.text == TEXT.replace("- a", f"- a\n\n{text}")


@pytest.mark.slow
def test_what_a_canvas_cannot_hold_ends_a_stream_and_says_how_much_is_there(program: Program, canvas: Canvas) -> None:
    with program.process("write", canvas.ref) as process:
        code, _, err = program.ended(process, b"x\n\n" * 800_000)
    assert code == 1
    there = len(canvas.text) - len(TEXT)
    assert re.match(rf"note: {there - 1} characters were written, and stay\nerror: .*\nhint: ", err)


@pytest.mark.parametrize(
    "arguments", [("write", "--create"), ("write", "--replace"), ("append", "--create"), ("write", "--section")]
)
def test_options_that_do_not_go_together_are_refused(program: Program, arguments: tuple[str, ...]) -> None:
    command, *options = arguments
    assert program.run(command, "notes", *options, stdin="x").exit_code == 2


@pytest.mark.slow
def test_what_comes_on_stdin_is_seen_before_it_ends(program: Program, canvas: Canvas) -> None:
    with (
        canvas.listen() as listener,
        program.process("write", canvas.ref, "--section", "Log", "--create") as process,
    ):
        assert process.stdin is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert "one" in listener.expect("ack")["changes"][0]["insert"]
        process.stdin.write("two \N{SNOWMAN}\n".encode()[:-2])
        process.stdin.flush()
        assert listener.expect("ack")["changes"][0]["insert"] == "\ntwo "
        code, out, err = program.ended(process, "\N{SNOWMAN}\n\nthree\r\n".encode()[2:])
    assert (code, out) == (0, "")
    assert re.fullmatch(rf"note: 16 characters written; {canvas.ref} is at version [3-5]\n", err)
    assert canvas.text.endswith("## End\n\n## Log\n\none\ntwo \N{SNOWMAN}\n\nthree\n")


@pytest.mark.slow
def test_a_section_is_replaced_by_what_comes_also_by_nothing(program: Program, canvas: Canvas) -> None:
    with program.process("write", canvas.ref, "--section", "Todo", "--replace", "--json") as process:
        code, out, _ = program.ended(process, b"\n\nx\n\ny\n\n")
    assert (code, canvas.text) == (0, "# Notes\n\n## Todo\n\nx\n\ny\n\n## End\n")
    told = json.loads(out)
    assert told == {"ref": canvas.ref, "chars": 4, "version": canvas.version, "interrupted": False}
    with program.process("write", canvas.ref, "--section", "Todo", "--replace") as process:
        code, _, _ = program.ended(process)
    assert code == 0
    assert "x" not in canvas.text


@pytest.mark.slow
def test_the_output_of_a_program_is_a_block_of_code_also_when_it_is_cut_off(program: Program, canvas: Canvas) -> None:
    with program.process("write", canvas.ref, "--code") as process:
        assert program.ended(process, b"# one\n```\n  two\n")[0] == 0
    assert canvas.text == f"{TEXT}\n````text\n# one\n```\n  two\n````"
    with canvas.listen() as listener, program.process("write", canvas.ref, "--section", "Todo", "--code") as process:
        assert process.stdin is not None
        process.stdin.write(b"three\n")
        process.stdin.flush()
        while "three" not in listener.expect("ack")["changes"][0]["insert"]:
            pass
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
    assert "- a\n\n````text\nthree\n````\n\n## End" in canvas.text


@pytest.mark.slow
def test_bytes_that_are_no_text_stop_nothing(program: Program, canvas: Canvas, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"a\xff\x00b")
    with (tmp_path / "noise").open("rb") as file, program.process("write", canvas.ref, stdin=file) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"note: some of it was no text in UTF-8" in err
    assert canvas.text.endswith("a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b")


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_written_and_says_so(program: Program, canvas: Canvas) -> None:
    with canvas.listen() as listener, program.process("write", canvas.ref) as process:
        assert process.stdin is not None
        process.stdin.write(b"kept")
        process.stdin.flush()
        listener.expect("ack")
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        err = process.stderr.read().decode()
    assert err == f"error: interrupted: 4 characters written; {canvas.ref} is at version 1; they stay\n"
    assert canvas.text.endswith("\nkept")


@pytest.mark.slow
def test_a_section_that_is_not_there_ends_a_stream_with_1(program: Program, canvas: Canvas) -> None:
    with program.process("write", canvas.ref, "--section", "Nowhere") as process:
        code, _, err = program.ended(process, b"x")
    assert code == 1
    assert err.startswith("error: ")
    assert canvas.text == TEXT


@pytest.mark.slow
def test_a_server_that_is_killed_while_text_streams_loses_and_doubles_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    server = started(place)
    program = Program(place.url, tmp_path)
    program.out("new", "notes", "--from", "-", stdin="# Notes\n")
    words = [f"word-{number} " for number in range(200)]
    try:
        with program.process("write", "notes") as process:
            assert process.stdin is not None
            for number, word in enumerate(words):
                process.stdin.write(word.encode())
                process.stdin.flush()
                if number in (60, 130):
                    _wait_until_it_has(program, words[number - 20])
                    kill(server)
                    server = started(place)
            code, _, err = program.ended(process)
        assert code == 0, err
        assert program.out("cat", "notes") == "# Notes\n\n" + "".join(words)
    finally:
        kill(server)


def _wait_until_it_has(program: Program, word: str) -> None:
    """Wait until the server has a word, so that it is killed in the middle of the text."""
    with program.process("tail", "notes", "-n", "1000", stdin=subprocess.DEVNULL) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            if word.strip().encode() in line or word.encode() in program.out("cat", "notes").encode():
                return
    raise AssertionError("the stream ended")
