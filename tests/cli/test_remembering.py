"""`cli/remembering.py`, `cli/undoing.py` and `cli/past.py`: the history, and taking it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from canvas_server.config import Secret, ServerSettings, Settings, StorageSettings
from canvas_server.config.settings import ActorSettings
from tests.cli.program import Program
from tests.serving import Canvas, Json, Served, append, insert, op_id, serving

AGENT = "an-agent-with-a-long-token"
PERSON = "a-person-with-a-long-token"


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    """A server with a person and an agent."""
    settings = Settings(
        server=ServerSettings(token=Secret(PERSON)),
        storage=StorageSettings(ephemeral=True),
        actors={"bot": ActorSettings(token=Secret(AGENT), role="agent", kind="agent")},
    )
    with serving(settings, credentials=True) as running:
        running.http.headers["Authorization"] = f"Bearer {PERSON}"
        yield running


@pytest.fixture
def canvas(shared: Served) -> Canvas:
    canvas = shared.canvas("# Notes\n\n## Ideas\n\nOne.\n\n## End\n")
    access = canvas.http.put(f"{canvas.path}/access", json={"shared_with": {"bot": "write"}})
    assert access.status_code == 200, access.text
    return canvas


@pytest.fixture
def person(shared: Served, program: Program) -> Program:
    return Program(shared.url, program.folder, {"CANVAS_TOKEN": PERSON})


def as_bot(canvas: Canvas, *operations: Json) -> None:
    answer = canvas.post(
        *({"client_version": canvas.version, "scope": "range", **operation} for operation in operations),
        headers={"Authorization": f"Bearer {AGENT}"},
    )
    assert answer.status_code == 202, answer.text


def test_the_history_is_in_lines_newest_first(person: Program, canvas: Canvas) -> None:
    canvas.submit(insert(23, " By me.", op_id="mine"))
    as_bot(canvas, append("By bot.", op_id="its"))
    newest, older = person.out("history", canvas.ref).splitlines()
    assert newest.split()[0] == "2"
    assert newest.split()[2:] == ["bot", "End", "+7", '"By', 'bot."', "its"]
    assert older.split()[2:] == ["local", "Ideas", "+7", '"By', 'me."', "mine"]


def test_the_history_is_paged_back_from_the_newest(person: Program, canvas: Canvas) -> None:
    for number in range(5):
        canvas.submit(append(f"{number}"))
    first = person.run("history", canvas.ref, "--limit", "2")
    assert [line.split()[0] for line in first.stdout.splitlines()] == ["5", "4"]
    assert first.stderr == "hint: Older ones: --before 4\n"
    second = person.run("history", canvas.ref, "--limit", "2", "--before", "4")
    assert [line.split()[0] for line in second.stdout.splitlines()] == ["3", "2"]
    last = person.run("history", canvas.ref, "--limit", "2", "--before", "2")
    assert [line.split()[0] for line in last.stdout.splitlines()] == ["1"]
    assert last.stderr == ""
    after = person.out("history", canvas.ref, "--after", "3")
    assert [line.split()[0] for line in after.splitlines()] == ["5", "4"]
    assert person.run("history", canvas.ref, "--after", "x").exit_code == 2


def test_what_was_streamed_is_one_line_unless_each_operation_is_wanted(person: Program, canvas: Canvas) -> None:
    canvas.submit(append("before"))
    stream(canvas, append("one", op_id="ada-2"), {"content": " two"}, {"content": " three"})
    first, second = person.out("history", canvas.ref).splitlines()
    assert first.split()[0] == "4"
    assert first.endswith('+13 "one two three"  ada-2 +2')
    assert second.split()[0] == "1"
    each = person.out("history", canvas.ref, "--each").splitlines()
    assert [line.split()[-1] for line in each[:3]] == ["ada-2.2", "ada-2.1", "ada-2"]
    page = person.run("history", canvas.ref, "--limit", "1")
    assert page.stderr == "hint: Older ones: --before 2\n"
    assert len(json.loads(person.out("history", canvas.ref, "--limit", "2", "--json"))) == 2


def stream(canvas: Canvas, first: Json, *lines: Json) -> None:
    stands = {"client_version": canvas.version, "scope": "range"}
    answer = canvas.http.post(
        f"{canvas.path}/ops:stream",
        content="\n".join(json.dumps(line) for line in ({**stands, **first}, *lines)),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 202, answer.text


def test_a_history_that_was_cut_begins_where_it_can(program: Program, tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(data_dir=str(tmp_path), history_ops_max=5))
    with serving(settings) as served:
        canvas = served.canvas()
        for number in range(0, 600, 50):
            canvas.submit(*(append(f"{number + one} ") for one in range(50)))
            # It is cut where a text is saved, which is now and then.
            assert canvas.http.post(f"{canvas.path}:close").status_code == 200
        here = Program(served.url, program.folder)
        told = [int(line.split()[0]) for line in here.out("history", canvas.ref, "--limit", "1000").splitlines()]
        assert 5 <= len(told) < 600
        assert told == list(range(600, 600 - len(told), -1))
        here.out("undo", canvas.ref)
        assert canvas.text.endswith("597 598 ")


def test_the_history_as_json_says_what_went_and_where(person: Program, canvas: Canvas) -> None:
    canvas.submit({"op_id": "o", "action": "delete", "target": {"type": "text", "text": {"match": "One."}}})
    (told,) = json.loads(person.out("history", canvas.ref, "--json"))
    assert (told["op_id"], told["section"], told["removed"]) == ("o", ["Notes", "Ideas"], "One.")
    assert told["changes"] == [{"from": 19, "to": 23, "insert": ""}]


def test_a_canvas_that_nobody_wrote_to_has_an_empty_history(person: Program, canvas: Canvas) -> None:
    assert person.out("history", canvas.ref) == ""
    assert json.loads(person.out("history", canvas.ref, "--json")) == []


def test_undo_takes_back_what_oneself_did_last_and_the_next_time_what_was_before(
    person: Program, canvas: Canvas
) -> None:
    text = canvas.text
    canvas.submit(append("first"))
    canvas.submit(append("second"))
    as_bot(canvas, append("its"))
    person.out("undo", canvas.ref)
    assert canvas.text == f"{text}firstits"
    person.out("undo", canvas.ref)
    assert canvas.text == f"{text}its"
    nothing = person.run("undo", canvas.ref)
    assert nothing.exit_code == 1
    assert nothing.stderr.startswith("error: there is nothing to undo\nhint: ")


def test_a_text_that_was_streamed_is_taken_back_at_once(person: Program, canvas: Canvas) -> None:
    text = canvas.text
    canvas.submit(append("before", op_id="ada-1"))
    stream(canvas, append("one", op_id="ada-2"), {"content": " two"})
    assert canvas.text == f"{text}beforeone two"
    person.out("undo", canvas.ref)
    assert canvas.text == f"{text}before"


def test_undo_says_first_what_it_would_take_back(person: Program, canvas: Canvas) -> None:
    canvas.submit(append("mine", op_id="mine"))
    told = person.run("undo", canvas.ref, "--dry-run")
    assert told.exit_code == 0
    assert told.stdout.split()[-1] == "mine"
    assert told.stderr == "note: 1 operation would be taken back\n"
    assert canvas.text.endswith("mine")
    as_json = json.loads(person.out("undo", canvas.ref, "--dry-run", "--json"))
    assert as_json == {"ref": canvas.ref, "dry_run": True, "undone": ["mine"], "version": None, "changed": False}


def test_all_that_an_agent_wrote_is_taken_back_and_what_others_wrote_in_it_stays(
    person: Program, canvas: Canvas
) -> None:
    text = canvas.text
    as_bot(canvas, append("The bot wrote."), {**append("Bot again."), "op_id": "again"})
    end = len(text)
    canvas.submit(insert(end + 8, "(and I)", scope="range"))
    as_bot(canvas, {"op_id": op_id(), "action": "delete", "target": {"type": "text", "text": {"match": "One."}}})
    assert "One." not in canvas.text
    told = json.loads(person.out("undo", canvas.ref, "--by", "bot", "--json"))
    assert len(told["undone"]) == 3
    assert told["changed"] is True
    assert canvas.text == f"{text}(and I)"
    assert person.run("undo", canvas.ref, "--by", "bot").exit_code == 1


def test_only_the_last_of_an_agent_are_taken_back_if_that_is_asked(person: Program, canvas: Canvas) -> None:
    text = canvas.text
    for number in range(3):
        as_bot(canvas, append(f"{number}"))
    person.out("undo", canvas.ref, "--by", "bot", "--last", "2")
    assert canvas.text == f"{text}0"
    person.out("undo", canvas.ref, "--by", "bot")
    assert canvas.text == text


def test_what_came_before_a_version_is_left_alone(person: Program, canvas: Canvas) -> None:
    text = canvas.text
    as_bot(canvas, append("0"))
    as_bot(canvas, append("1"))
    person.out("undo", canvas.ref, "--by", "bot", "--after", "1")
    assert canvas.text == f"{text}0"


def test_one_operation_is_taken_back_by_name_also_an_undo(person: Program, canvas: Canvas) -> None:
    text = canvas.text
    as_bot(canvas, append("its", op_id="its"))
    undo = json.loads(person.out("undo", canvas.ref, "--op", "its", "--json"))
    assert canvas.text == text
    newest = json.loads(person.out("history", canvas.ref, "--limit", "1", "--json"))[0]
    assert (newest["reverts"], newest["server_version"]) == ("its", undo["version"])
    person.out("undo", canvas.ref, "--op", newest["op_id"])
    assert canvas.text == f"{text}its"
    assert person.run("undo", canvas.ref, "--op", "nobody-s").exit_code == 1


def test_one_operation_that_others_changed_since_is_taken_back_around_what_they_wrote(
    person: Program, canvas: Canvas
) -> None:
    text = canvas.text
    as_bot(canvas, append("abcdef", op_id="its"))
    canvas.submit(insert(len(text) + 3, "-mine-", scope="range"))
    person.out("undo", canvas.ref, "--op", "its")
    assert canvas.text == f"{text}-mine-"


def test_what_is_gone_already_changes_nothing(person: Program, canvas: Canvas) -> None:
    text = canvas.text
    as_bot(canvas, append("its"))
    canvas.submit({"op_id": op_id(), "action": "delete", "target": {"type": "text", "text": {"match": "its"}}})
    told = person.run("undo", canvas.ref, "--by", "bot")
    assert told.exit_code == 0
    assert told.stderr == "note: nothing was left of 1 operation\n"
    assert canvas.text == text


def test_an_undo_of_more_than_a_request_takes_is_whole(person: Program, canvas: Canvas) -> None:
    spots = "".join(f"{number:03} " for number in range(250))
    canvas.submit(append(spots))
    text = canvas.text
    end = len(text)
    for start in range(0, 250, 50):
        numbers = range(start, start + 50)
        as_bot(canvas, *(insert(end - len(spots) + start + 4 * number + 3, "!") for number in numbers))
    assert canvas.text == text[: end - len(spots)] + spots.replace(" ", "! ")
    person.out("undo", canvas.ref, "--by", "bot")
    assert canvas.text == text


def test_to_say_two_things_at_once_is_refused(person: Program, canvas: Canvas) -> None:
    assert person.run("undo", canvas.ref, "--by", "bot", "--op", "x").exit_code == 2
