"""`cli/told.py`: the history in lines."""

from __future__ import annotations

import click
import pytest

from canvas_server.cli.told import Follower, joined, line_of
from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.document import Document
from canvas_server.core.event import Ack
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation
from canvas_server.core.ports import CanvasKey
from canvas_server.core.submission import Submission
from canvas_server.core.version import genesis
from tests.serving import Json, append, at

TEXT = "# Notes\n\n## Ideas\n\nOne.\n\n## End\n"
VERSION = genesis("0" * 16)


def acks(*operations: Json) -> list[Ack]:
    """Apply operations to the canvas, and return what is told."""
    import msgspec

    canvas = Canvas(CanvasKey(1), CanvasRef("notes"), "Notes", Document(TEXT, VERSION), History(VERSION, 100))
    told = []
    for operation in operations:
        submission = Submission(canvas, Author("ada", "human", None), "codepoint", Limits())
        stands = {"client_version": canvas.document.version.etag, **operation}
        event = submission.step(msgspec.convert(stands, Operation), 1_795_269_324_712).event
        assert isinstance(event, Ack), event
        told.append(event)
    return told


def lines(*operations: Json) -> list[str]:
    follower = Follower(TEXT, VERSION.etag)
    return [click.unstyle(line_of(follower.follow(ack))) for ack in acks(*operations)]


def ideas(**fields: object) -> Json:
    return {"op_id": "a", "action": "insert", "target": {"type": "heading", "heading": {"path": ["Ideas"]}}, **fields}


def test_a_line_says_version_moment_actor_section_and_what_came() -> None:
    (line,) = lines(ideas(content="From\nada."))
    seq, _date, _time, actor, section, *what = line.split()
    assert (seq, actor, section) == ("1", "ada", "Ideas")
    assert " ".join(what) == '+11 "From⏎ada." a'


def test_a_line_says_what_went() -> None:
    (line,) = lines(ideas(action="delete", target={"type": "text", "text": {"match": "One"}}))
    assert '-3 "One"' in line
    assert " Ideas " in line


def test_a_replacement_says_both_and_an_undo_says_of_what() -> None:
    told = lines(
        ideas(action="replace", target={"type": "text", "text": {"match": "One"}}, content="Two"),
        ideas(op_id="b", action="revert", target={"type": "op", "op": {"op_id": "a"}}),
    )
    assert '-3 "One" +3 "Two"' in told[0]
    assert 'undid a -3 "Two" +3 "One"' in told[1]


def test_what_makes_a_section_is_under_it_and_what_is_above_all_headings_under_none() -> None:
    told = lines(append("\n## New\n\nText."), {**append("Top.\n\n"), "target": at("start")})
    assert " New " in told[0]
    assert "  -  " in told[1]


def test_text_that_would_drive_a_terminal_is_shown_without_it() -> None:
    (line,) = lines(append("\x1b[2Jgone\x07"))
    assert "\x1b" not in line
    assert "\x07" not in line


def test_an_ack_that_does_not_follow_is_refused() -> None:
    _first, second = acks(append("a"), append("b"))
    with pytest.raises(ValueError, match="does not follow"):
        Follower(TEXT, VERSION.etag).follow(second)


def test_the_text_is_that_after_what_was_followed() -> None:
    follower = Follower(TEXT, VERSION.etag)
    for ack in acks(append("a"), append("b")):
        follower.follow(ack)
    assert follower.text == TEXT + "ab"
    assert follower.version.startswith('W/"2-')


def test_what_was_streamed_at_once_is_told_at_once() -> None:
    operations = [
        append("one", op_id="a"),
        append(" two", op_id="b"),
        append(" three", op_id="a-1"),
        append(".", op_id="c-1"),
    ]
    follower = Follower(TEXT, VERSION.etag)
    deeds = [follower.follow(ack) for ack in acks(*operations)]
    assert [(deed.name, deed.ops, deed.inserted) for deed in joined([deeds[0], deeds[2], deeds[3], deeds[1]])] == [
        ("a", 2, "one three"),
        ("c-1", 1, "."),
        ("b", 1, " two"),
    ]
    assert click.unstyle(line_of(joined([deeds[0], deeds[2]])[0])).endswith('+9 "one three"  a +1')
