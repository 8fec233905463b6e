"""`cli/canvases.py`: list, make and read canvases."""

from __future__ import annotations

import json

from tests.cli.program import Program
from tests.serving import Served, append

TEXT = "# Notes\n\n## Ideas\n\nOne.\n\n### More\n\nTwo.\n\n## End\n\n## Twice\n\n# Twice\n"


def test_a_canvas_that_is_made_has_the_text_of_the_file_and_is_listed(program: Program) -> None:
    (program.folder / "notes.md").write_bytes(b"# N\r\n")
    assert program.out("new", "cli-made", "--title", "Made", "--from", "notes.md") == "cli-made\n"
    assert program.out("cat", "cli-made") == "# N\n"
    (line,) = [line for line in program.out("ls", "--limit", "200").splitlines() if line.startswith("cli-made ")]
    assert line.split()[1:4] == ["Made", "0", "4"]


def test_a_canvas_can_be_made_of_stdin_under_any_name(program: Program) -> None:
    ref = program.out("new", "--from", "-", stdin="text").strip()
    assert program.out("cat", ref) == "text"


def test_new_list_and_cat_as_json_are_what_the_server_tells(program: Program) -> None:
    made = json.loads(program.out("new", "cli-json", "--json"))
    assert (made["ref"], made["title"], made["content"]) == ("cli-json", "cli-json", "")
    listed = json.loads(program.out("ls", "--json"))
    assert {"ref", "title", "version", "size_bytes", "created_unix_ms", "updated_unix_ms"} == set(listed[0])
    read = json.loads(program.out("cat", "cli-json", "--json"))
    assert read["version"] == made["version"]


def test_a_name_that_is_taken_ends_with_1_and_one_that_cannot_be_with_2(program: Program, served: Served) -> None:
    taken = program.run("new", served.canvas().ref)
    assert taken.exit_code == 1
    assert taken.stderr.startswith("error: ")
    assert "hint: " in taken.stderr
    assert program.run("new", "a b").exit_code == 2


def test_cat_reads_the_past(program: Program, served: Served) -> None:
    canvas = served.canvas("one")
    canvas.submit(append(" two"))
    assert program.out("cat", canvas.ref, "--at", "0") == "one"
    assert program.out("cat", canvas.ref) == "one two"
    assert program.run("cat", canvas.ref, "--at", "7").exit_code == 1
    assert program.run("cat", canvas.ref, "--at", "x").exit_code == 2


def test_cat_reads_a_section_by_title_path_or_id(program: Program, served: Served) -> None:
    ref = served.canvas(TEXT).ref
    section = "## Ideas\n\nOne.\n\n### More\n\nTwo.\n\n"
    for name in ("Ideas", "Notes > Ideas", "#ideas"):
        assert program.out("cat", ref, "--section", name) == section
    told = json.loads(program.out("cat", ref, "--section", "Ideas", "--json"))
    assert (told["content"], told["length"]) == (section, len(section))


def test_a_section_that_is_not_there_or_twice_ends_with_1_and_says_what_there_is(
    program: Program, served: Served
) -> None:
    ref = served.canvas(TEXT).ref
    missing = program.run("cat", ref, "--section", "Idea")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error: there is no section Idea\nhint: There is 'Ideas'")
    twice = program.run("cat", ref, "--section", "Twice")
    assert twice.exit_code == 1
    assert "'#twice', '#twice-1'" in twice.stderr
    assert program.out("cat", ref, "--section", "#twice-1") == "# Twice\n"


def test_the_outline_is_indented_and_has_the_ids(program: Program, served: Served) -> None:
    ref = served.canvas(TEXT).ref
    lines = program.out("outline", ref).splitlines()
    assert lines[:3] == ["    1  Notes  #notes", "    3    Ideas  #ideas", "    7      More  #more"]
    assert [one["id"] for one in json.loads(program.out("outline", ref, "--json"))][:2] == ["notes", "ideas"]


def test_a_canvas_that_is_not_there_ends_with_1_and_a_hint(program: Program) -> None:
    for command in ("cat", "outline", "history", "tail", "undo", "edit"):
        result = program.run(command, "cli-nowhere", EDITOR="true")
        assert result.exit_code == 1, command
        assert result.stdout == ""
        assert "error: there is no canvas cli-nowhere\nhint: " in result.stderr


def test_what_stands_on_stdout_is_the_text_as_it_is(program: Program, served: Served) -> None:
    ref = served.canvas("\x1b[31mred\u202e é 😀").ref
    assert program.out("cat", ref) == "\x1b[31mred\u202e é 😀"
