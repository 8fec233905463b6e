"""Several canvases on one connection (PROTOCOL section 2)."""

from __future__ import annotations

import pytest

from tests.listener import Event, Listener
from tests.serving import Canvas, Served, append


@pytest.fixture
def canvases(served: Served) -> list[Canvas]:
    return [served.canvas(content) for content in ("a", "b", "c")]


def listen(canvases: list[Canvas], query: str = "", headers: dict[str, str] | None = None) -> Listener:
    refs = "&".join(f"ref={canvas.ref}" for canvas in canvases)
    return canvases[0].served.listen(f"/api/v2/ops:listen?{refs}{query}", headers)


def name(canvas: Canvas, version: str) -> str:
    return f"{canvas.ref}:{version[3:-1]}"


def by_canvas(events: list[Event]) -> dict[str, list[Event]]:
    told: dict[str, list[Event]] = {}
    for event in events:
        told.setdefault(event["canvas"], []).append(event)
    return told


def test_each_canvas_begins_with_start_and_snapshot_and_names_itself_in_every_event_and_id(
    canvases: list[Canvas],
) -> None:
    with listen(canvases) as listener:
        told = by_canvas(listener.take(6))
        for canvas in canvases:
            start, snapshot = told[canvas.ref]
            assert (start.type, start.id) == ("start", None)
            assert (snapshot.type, snapshot.id) == ("snapshot", name(canvas, canvas.version))
        for canvas in canvases:
            [ack] = canvas.submit(append("x"))
            event = listener.next()
            assert (event["canvas"], event.id, event.data) == (canvas.ref, name(canvas, ack["server_version"]), ack)


def test_a_reader_resumes_each_canvas_at_its_own_position_and_gets_a_snapshot_of_the_others(
    canvases: list[Canvas],
) -> None:
    one, two, three = canvases
    first = one.submit(append("1"), append("2"))
    two.submit(append("3"))
    query = f"&last_event_id={name(one, first[0]['server_version'])}&last_event_id={name(two, two.version)}"
    with listen(canvases, query) as listener:
        one.submit(append("4", op_id="end-of-one"))
        told = by_canvas(listener.until("ack", op_id="end-of-one"))
    assert [event.type for event in told[one.ref]] == ["start", "ack", "ack"]
    assert told[one.ref][1].data == first[1]
    assert [event.type for event in told[two.ref]] == ["start"]
    assert [event.type for event in told[three.ref]] == ["start", "snapshot"]
    assert [events[0]["resumed"] for events in told.values()] == [True, True, False]


def test_a_browser_that_reconnects_by_itself_names_one_position_in_the_header(canvases: list[Canvas]) -> None:
    one, two, _ = canvases
    position = name(two, two.version)
    two.submit(append("missed"))
    with listen([one, two], headers={"Last-Event-ID": position}) as listener:
        told = by_canvas(listener.take(4))
    assert [event.type for event in told[one.ref]] == ["start", "snapshot"]
    assert [event.type for event in told[two.ref]] == ["start", "ack"]


def test_a_position_in_no_history_is_reset_in_that_canvas_only(canvases: list[Canvas]) -> None:
    one, two, _ = canvases
    query = f"&last_event_id={one.ref}:0-0123456789abcdef&last_event_id={name(two, two.version)}"
    with listen([one, two], query) as listener:
        told = by_canvas(listener.take(4))
    assert [event.type for event in told[one.ref]] == ["start", "reset", "snapshot"]
    assert [event.type for event in told[two.ref]] == ["start"]


def test_a_canvas_asked_for_twice_is_told_once(canvases: list[Canvas]) -> None:
    one = canvases[0]
    with listen([one, one]) as listener:
        listener.take(2)
        one.submit(append("x", op_id="once"))
        one.submit(append("y", op_id="then"))
        assert [event["op_id"] for event in listener.take(2)] == ["once", "then"]


def test_a_canvas_that_is_not_there_refuses_the_whole_question(canvases: list[Canvas]) -> None:
    answer = canvases[0].http.get(f"/api/v2/ops:listen?ref={canvases[0].ref}&ref=never-created")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("query", ["", "?ref=", "?ref=a/b", "?" + "&".join(f"ref=r{n}" for n in range(65))])
def test_none_too_many_or_names_that_cannot_be_are_an_invalid_field(served: Served, query: str) -> None:
    answer = served.http.get(f"/api/v2/ops:listen{query}")
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/ref")


def test_sixty_four_canvases_fit_on_one_connection(served: Served) -> None:
    canvases = [served.canvas("") for _ in range(64)]
    with listen(canvases) as listener:
        told = by_canvas(listener.take(128))
        assert told.keys() == {canvas.ref for canvas in canvases}
