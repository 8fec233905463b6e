"""`cli/editing.py`: a canvas in an editor, while others go on writing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.serving import Canvas, Served

TEXT = "# Notes\n\nThe bridge is old.\n\n## End\n"


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas(TEXT)


@pytest.fixture
def program(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Commands whose files for editors are in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Program(served.url, tmp_path)


def editor(program: Program, *lines: str) -> str:
    """Return an editor that runs lines of a shell, with the file as $1."""
    script = program.folder / "editor"
    script.write_text("\n".join(("#!/bin/sh", "set -e", *lines, "")))
    script.chmod(0o700)
    return str(script)


def meanwhile(canvas: Canvas, old: str, new: str) -> str:
    """Return a line of a shell in which somebody else replaces something."""
    version = canvas.version.replace('"', '\\"')
    body = (
        f'{{"ops": [{{"op_id": "theirs", "client_version": "{version}", "scope": "range", "action": "replace", '
        f'"target": {{"type": "text", "text": {{"match": "{old}"}}}}, "content": "{new}"}}]}}'
    )
    url = f"{canvas.served.url}{canvas.path}/ops:stream"
    return f"curl -sSf -o /dev/null '{url}' -H 'Content-Type: application/json' -d '{body}'"


def kept(program: Program) -> list[Path]:
    return list(program.folder.glob("canvas-*/*"))


def test_what_was_saved_goes_in_and_the_file_goes(program: Program, canvas: Canvas) -> None:
    result = program.run("edit", canvas.ref, EDITOR=editor(program, "sed -i 's/old/new/' \"$1\""))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"note: saved; {canvas.ref} is at version 1\n"
    assert canvas.text == TEXT.replace("old", "new")
    assert kept(program) == []


def test_what_others_wrote_meanwhile_is_kept(program: Program, canvas: Canvas) -> None:
    script = editor(program, meanwhile(canvas, "The bridge", "That bridge"), "sed -i 's/old/very old/' \"$1\"")
    assert program.run("edit", canvas.ref, EDITOR=script).exit_code == 0
    assert canvas.text == TEXT.replace("The bridge is old", "That bridge is very old")


def test_where_both_changed_the_same_place_both_stay_and_it_is_said(program: Program, canvas: Canvas) -> None:
    script = editor(program, meanwhile(canvas, "old", "rotten"), "sed -i 's/old/new/' \"$1\"")
    result = program.run("edit", canvas.ref, EDITOR=script)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"note: saved; {canvas.ref} is at version 2\nerror: others had changed the same lines: look at line 4\nhint: "
    )
    assert canvas.text == TEXT.replace("is old.", "is rotten.\nThe bridge is new.")
    assert kept(program) == []


def test_nothing_changed_sends_nothing_also_when_the_editor_ends_the_last_line(
    program: Program, served: Served
) -> None:
    canvas = served.canvas("no end")
    for script in ("true", editor(program, 'echo >> "$1"')):
        result = program.run("edit", canvas.ref, EDITOR=script)
        assert (result.exit_code, result.stderr) == (0, "note: nothing was changed\n")
    assert canvas.text == "no end"
    assert canvas.state["version"].startswith('W/"0-')
    assert kept(program) == []


def test_an_editor_that_fails_sends_nothing_and_what_was_typed_is_kept(program: Program, canvas: Canvas) -> None:
    result = program.run("edit", canvas.ref, EDITOR=editor(program, 'echo typed > "$1"', "exit 3"))
    assert result.exit_code == 1
    (file,) = kept(program)
    assert result.stderr == (
        f"error: the editor ended with code 3; nothing was sent\nhint: Your text is kept in {file}\n"
    )
    assert file.read_text() == "typed\n"
    assert canvas.text == TEXT


def test_an_editor_that_fails_with_nothing_typed_leaves_no_file(program: Program, canvas: Canvas) -> None:
    assert program.run("edit", canvas.ref, EDITOR="false").exit_code == 1
    assert kept(program) == []


def test_what_a_canvas_that_is_gone_does_not_take_is_kept(program: Program, canvas: Canvas) -> None:
    url = f"{canvas.served.url}{canvas.path}"
    script = editor(program, 'echo typed >> "$1"', f"curl -sSf -X DELETE '{url}'")
    result = program.run("edit", canvas.ref, EDITOR=script)
    assert result.exit_code == 1
    (file,) = kept(program)
    assert result.stderr.endswith(f"Your text is kept in {file}\n")
    assert file.read_text() == f"{TEXT}typed\n"


def test_what_is_too_large_for_a_canvas_is_kept(program: Program, canvas: Canvas) -> None:
    script = editor(program, "head -c 2200000 /dev/zero | tr '\\0' 'x' >> \"$1\"")
    result = program.run("edit", canvas.ref, EDITOR=script)
    assert result.exit_code == 2, result.stderr
    (file,) = kept(program)
    assert re.match(r"error: not all of it was taken: .*\nhint: .*Your text is kept in ", result.stderr)
    assert file.stat().st_size > 2_200_000


def test_a_canvas_is_made_if_that_is_asked(program: Program) -> None:
    script = editor(program, 'echo "# New" > "$1"')
    assert program.run("edit", "cli-edited", EDITOR=script).exit_code == 1
    assert program.run("edit", "cli-edited", "--create", EDITOR=script).exit_code == 0
    assert program.out("cat", "cli-edited") == "# New"


def test_an_editor_that_is_none_is_refused_before_anything_is_asked(program: Program, canvas: Canvas) -> None:
    for name in ("no-such-editor --wait", "'"):
        result = program.run("edit", canvas.ref, VISUAL=name)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: there is no editor")


@pytest.mark.slow
def test_a_change_all_over_a_long_text_is_whole(program: Program, served: Served) -> None:
    canvas = served.canvas("".join(f"line {number} of old text\n" for number in range(1_500)))
    script = editor(program, meanwhile(canvas, "line 700 of", "line 700 of very"), "sed -i 's/ old/ new/' \"$1\"")
    result = program.run("edit", canvas.ref, EDITOR=script)
    assert result.exit_code == 0, result.stderr
    text = canvas.text
    assert text.count(" new text") == 1_500
    assert "line 700 of very" in text
