"""The face for programs without an event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from canvas_server.client import Ack, Change, ClientError, Event, UnreachableError
from canvas_server.client.sync import CanvasClient
from tests.serving import Served, append

TEXT = "# Notes\n\n## Ideas\n\nOne.\n"


def acks(events: Iterator[Event]) -> Iterator[Ack]:
    return (event for event in events if isinstance(event, Ack))


def test_a_canvas_is_edited_read_and_listened_to(served: Served) -> None:
    made = served.canvas(TEXT)
    with CanvasClient(served.url) as client, client.open(made.ref) as canvas:
        events = acks(canvas.events())
        canvas.edit([Change(7, 7, "é"), Change(8, 8, "!")])
        canvas.replace("One", "Two")
        canvas.settled(timeout_s=10)
        made.submit(append("x", op_id="theirs"))
        assert isinstance(canvas.wait("theirs", timeout_s=10), Ack)
        assert canvas.text == made.text == TEXT.replace("One", "Two").replace("Notes", "Notesé!") + "x"
        heard = list(islice(events, 2))
        assert [ack.client_id for ack in heard] == [client.client_id] * 2
        ack = canvas.send({"action": "insert", "target": {"type": "text", "text": {"match": "Two"}}, "content": "-"})
        assert isinstance(ack, Ack)
        with canvas.write_stream("Ideas") as writer:
            for token in ["a", "b"]:
                writer.write(token)
        assert canvas.wait(writer.op_id) in client.history(made.ref)
        canvas.undo(lambda applied: applied.op_id.startswith(writer.op_id))
        canvas.settled()
        assert client.read(made.ref).text == canvas.text
        assert client.outline(made.ref)[1].id == "ideas"
        assert client.list(limit=1)[0].version


def test_it_leaves_no_thread(served: Served) -> None:
    before = set(threading.enumerate())
    client = CanvasClient(served.url)
    client.open(served.canvas(TEXT).ref).append("x")
    assert len(threading.enumerate()) == len(before) + 1
    client.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ClientError, match="closed"):
        client.list()


def test_what_takes_too_long_is_told(served: Served) -> None:
    with CanvasClient(served.url) as client:
        canvas = client.open(served.canvas("").ref)
        with pytest.raises(TimeoutError):
            canvas.wait("never", timeout_s=0.01)


def test_a_folder_without_a_server_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as told:
        CanvasClient.local(tmp_path)
    assert "serve" in told.value.hint
