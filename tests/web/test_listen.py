"""What a listener hears: where it is, what it missed, then all that happens, in order (PROTOCOL section 5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import CheckpointSettings, LimitSettings, StreamSettings
from tests.listener import Event, Listener
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, insert, serving


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas("# One 😀\n", title="A title")


def cursor(version: str) -> str:
    return version[3:-1]


def heard(listener: Listener, last_op_id: str) -> list[Event]:
    """Return the state events up to that of an operation."""
    return [event for event in listener.until("ack", op_id=last_op_id) if event.id is not None]


def test_the_stream_is_neither_stored_nor_buffered_nor_compressed_on_its_way(canvas: Canvas) -> None:
    with canvas.listen(headers={"Accept-Encoding": "gzip, br"}) as listener:
        listener.take(2)
        assert listener.status == 200
        assert listener.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert listener.headers["cache-control"] == "no-cache, no-transform"
        assert listener.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in listener.headers
        assert listener.frames.retry_ms is not None
        assert 1000 <= listener.frames.retry_ms <= 5000


def test_a_reader_hears_where_it_is_and_then_the_whole_text(canvas: Canvas) -> None:
    version = canvas.version
    with canvas.listen(headers={"X-Client-Id": "tab-1"}) as listener:
        start, snapshot = listener.take(2)
    told = {
        "type": "start",
        "canvas": canvas.ref,
        "protocol": 2,
        "server_version": version,
        "checkpoint_version": version,
        "client_id": "tab-1",
        "unit": "utf16",
        "heartbeat_ms": 15_000,
        "resumed": False,
    }
    assert {name: value for name, value in start.data.items() if name != "limits"} == told
    limits = start["limits"]
    assert (limits["content_bytes_max"], limits["ops_max"], limits["ndjson_idle_s"]) == (262_144, 100, 30)
    assert start.id is None
    assert snapshot.id == cursor(version)
    assert snapshot.data == {
        "type": "snapshot",
        "canvas": canvas.ref,
        "title": "A title",
        "server_version": version,
        "content": "# One 😀\n",
    }


def test_a_reader_without_a_name_is_given_one_and_may_say_it_in_the_query(canvas: Canvas) -> None:
    names = []
    for query in ("", "", "client_id=mine"):
        with canvas.listen(query) as listener:
            names.append(listener.next()["client_id"])
    assert len(set(names)) == 3
    assert names[2] == "mine"


def test_a_reader_may_do_without_the_snapshot(canvas: Canvas) -> None:
    with canvas.listen("snapshot=false") as listener:
        listener.expect("start")
        canvas.submit(append("x", op_id="first"))
        assert listener.next()["op_id"] == "first"


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_reader_that_comes_back_hears_exactly_what_it_missed(canvas: Canvas, how: str) -> None:
    with canvas.listen() as listener:
        listener.expect("snapshot")
        canvas.submit(append("a"), append("b😀"), insert(0, "c"), append("d", op_id="last"))
        told = listener.take(4)
    for seen in range(4):
        position = told[seen].id
        assert position is not None
        query, headers = ("", {"Last-Event-ID": position}) if how == "header" else (f"last_event_id={position}", {})
        with canvas.listen(query, headers) as back:
            start = back.next()
            canvas.submit(append("", op_id=f"after-{how}-{seen}"))
            events = back.until("ack", op_id=f"after-{how}-{seen}")
        assert start["resumed"] is True
        assert events[: 3 - seen] == told[seen + 1 :]
        assert [event["op_id"] for event in events[3 - seen :]] == [f"after-{how}-{done}" for done in range(seen + 1)]


def test_the_header_is_newer_than_the_query_of_a_reader_that_reconnects_by_itself(canvas: Canvas) -> None:
    old = cursor(canvas.version)
    canvas.submit(append("a"))
    with canvas.listen(f"last_event_id={old}", {"Last-Event-ID": cursor(canvas.version)}) as listener:
        assert listener.next()["resumed"] is True
        canvas.submit(append("b", op_id="next"))
        assert listener.next()["op_id"] == "next"


def test_refusals_are_heard_again_by_who_missed_them(canvas: Canvas) -> None:
    position = cursor(canvas.version)
    canvas.submit({"op_id": "wrong", "action": "delete", "target": {"type": "text", "text": {"match": "nowhere"}}})
    canvas.http.patch(canvas.path, json={"title": "Other"})
    with canvas.listen(headers={"Last-Event-ID": position}) as listener:
        assert [event.type for event in listener.take(3)] == ["start", "error", "title"]


def test_a_reader_can_resume_after_the_canvas_was_unloaded(canvas: Canvas) -> None:
    position = cursor(canvas.version)
    acks = canvas.submit(insert(8, "a"), insert(0, "😀"))
    canvas.http.post(f"{canvas.path}:close")
    with canvas.listen(headers={"Last-Event-ID": position}) as listener:
        assert listener.next()["resumed"] is True
        assert [event.data for event in listener.take(2)] == acks


@pytest.mark.parametrize(
    "position", ["0-0123456789abcdef", "7-0123456789abcdef", "nonsense", "0-", "%D9%A3-0123456789abcdef"]
)
def test_a_position_in_no_history_is_reset_and_a_snapshot_follows(canvas: Canvas, position: str) -> None:
    for query in (f"last_event_id={position}", f"last_event_id={position}&snapshot=false"):
        with canvas.listen(query) as listener:
            start, reset, snapshot = listener.take(3)
        assert (start["resumed"], reset["reason"]) == (False, "history")
        assert snapshot["content"] == canvas.text


def test_a_position_that_fell_off_the_log_is_reset_as_evicted() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(log_events_min=4, log_bytes_min=1))) as served:
        canvas = served.canvas("")
        positions = [cursor(canvas.submit(append("x"))[0]["server_version"]) for _ in range(20)]
        with canvas.listen(headers={"Last-Event-ID": positions[0]}) as listener:
            assert [event.type for event in listener.take(3)] == ["start", "reset", "snapshot"]
        with canvas.listen(headers={"Last-Event-ID": positions[0]}) as listener:
            assert listener.expect("reset")["reason"] == "evicted"
        with canvas.listen(headers={"Last-Event-ID": positions[-4]}) as listener:
            assert listener.next()["resumed"] is True
            assert [event.id for event in listener.take(3)] == positions[-3:]


def test_a_position_in_a_canvas_that_was_deleted_and_created_again_is_reset_as_recreated(canvas: Canvas) -> None:
    position = cursor(canvas.version)
    canvas.http.delete(canvas.path)
    canvas.http.put(canvas.path, json={"content": "new"})
    with canvas.listen(headers={"Last-Event-ID": position}) as listener:
        start, reset, snapshot = listener.take(3)
    assert (start["resumed"], reset["reason"], snapshot["content"]) == (False, "recreated", "new")


def test_the_first_event_after_a_snapshot_is_its_version_plus_one_whenever_one_joins(canvas: Canvas) -> None:
    def write() -> None:
        for number in range(60):
            canvas.post(append(str(number), client_version=canvas.version, scope="range"))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            with canvas.listen() as listener:
                snapshot = listener.expect("snapshot")
                canvas.submit(append("!", op_id=(mark := f"mark-{snapshot.id}"), scope="range"))
                states = heard(listener, mark)
            assert states[0]["base_version"] == snapshot["server_version"]
        writing.result()


def test_all_listeners_hear_one_order_which_is_that_of_application(canvas: Canvas) -> None:
    version = canvas.version

    def write(author: int) -> None:
        for number in range(20):
            canvas.post(
                insert(0, f"{author}", op_id=f"by-{author}-{number}", client_version=version, scope="range"),
                append("x", op_id=f"also-{author}-{number}", client_version=version),
            )

    with canvas.listen() as first, canvas.listen("unit=codepoint") as second:
        for listener in (first, second):
            listener.expect("snapshot")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        canvas.submit(append("", op_id="the-end"))
        streams = [listener.until("ack", op_id="the-end") for listener in (first, second)]
    orders = [[(event.id, event.type, event.data.get("op_id")) for event in stream] for stream in streams]
    assert orders[0] == orders[1]
    told = [name for _, kind, name in orders[0] if kind in ("ack", "conflict")]
    assert len(told) == len(set(told)) == 161
    acked = [event.data for event in streams[0] if event.type == "ack"]
    assert acked == canvas.http.get(f"{canvas.path}/ops", params={"limit": "1000"}).json()["events"]
    bases = [ack["base_version"] for ack in acked]
    assert bases == [version, *(ack["server_version"] for ack in acked[:-1])]


def test_a_heartbeat_tells_length_and_checksum_by_which_a_reader_notices_drift() -> None:
    with serving(replace(IN_MEMORY, stream=StreamSettings(heartbeat_s=0.05))) as served:
        canvas = served.canvas("a😀\n")
        for unit, length in (("utf16", 4), ("codepoint", 3)):
            with canvas.listen(f"unit={unit}") as listener:
                assert listener.next()["heartbeat_ms"] == 50
                beat = listener.expect("heartbeat")
                assert beat.id is None
                assert (beat["server_version"], beat["length"]) == (canvas.version, length)
                assert beat["crc32"] == crc32("a😀\n".encode())
        with canvas.listen() as listener:
            canvas.submit(append("b"))
            listener.expect("ack")
            assert listener.expect("heartbeat")["crc32"] == crc32("a😀\nb".encode())


def test_a_large_text_is_told_by_url_where_it_can_be_had_at_that_very_version() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(snapshot_bytes_max=10))) as served:
        canvas = served.canvas("123456789é")
        with canvas.listen() as listener:
            snapshot = listener.expect("snapshot")
        canvas.submit(append("later"))
        assert "content" not in snapshot.data
        got = served.http.get(snapshot["content_url"]).json()
        assert (got["content"], got["version"]) == ("123456789é", snapshot["server_version"])


def test_text_that_json_must_escape_never_makes_an_event_too_large_for_clients(served: Served) -> None:
    canvas = served.canvas("\x01" * 200_000)
    with canvas.listen() as listener:
        assert "content_url" in listener.expect("snapshot").data


def test_a_checkpoint_tells_what_is_durable_apart_from_what_is_applied() -> None:
    with serving(replace(IN_MEMORY, checkpoint=CheckpointSettings(ops=3))) as served:
        canvas = served.canvas("")
        with canvas.listen() as listener:
            assert listener.next()["checkpoint_version"] == canvas.version
            acks = canvas.submit(append("a"), append("b"), append("c"))
            checkpoint = listener.expect("checkpoint")
        assert (checkpoint["server_version"], checkpoint["ops"]) == (acks[2]["server_version"], 3)
        assert checkpoint["duration_ms"] >= 0
        assert checkpoint.id is None
        assert canvas.state["checkpoint_version"] == acks[2]["server_version"]


def test_a_title_a_close_and_a_delete_are_told_to_all_and_the_last_two_end_the_stream(served: Served) -> None:
    for end in ("closed", "deleted"):
        canvas = served.canvas("")
        [ack] = canvas.submit(append("x"))
        with canvas.listen() as first, canvas.listen() as second:
            for listener in (first, second):
                listener.expect("snapshot")
            canvas.http.patch(canvas.path, json={"title": "New"})
            if end == "closed":
                canvas.http.post(f"{canvas.path}:close")
            else:
                canvas.http.delete(canvas.path)
            for listener in (first, second):
                title = listener.expect("title")
                assert (title["title"], title["actor"]) == ("New", "local")
                last = listener.expect(end)
                assert last["canvas"] == canvas.ref
                assert last.data.get("server_version", ack["server_version"]) == ack["server_version"]
                assert listener.rest() == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("unit=byte", "/unit"), ("snapshot=maybe", "/snapshot"), ("client_id=a%20b", ""), ("client_id=" + "x" * 65, "")],
)
def test_a_question_that_cannot_be_understood_is_refused_for_good(canvas: Canvas, query: str, pointer: str) -> None:
    answer = canvas.http.get(f"{canvas.path}/ops:listen?{query}")
    assert (answer.status_code, answer.json()["code"], answer.json()["pointer"]) == (422, "INVALID_FIELD", pointer)


def present(canvas: Canvas, client_id: str, **body: object) -> int:
    answer = canvas.http.post(f"{canvas.path}/presence", json=body, headers={"X-Client-Id": client_id})
    return answer.status_code


def test_presence_is_told_to_who_listens_and_to_who_comes_later(canvas: Canvas) -> None:
    body: Json = {"name": "Ann", "section": "one-", "cursor": 8, "selection": {"from": 6, "to": 8}}
    with canvas.listen() as early:
        early.expect("snapshot")
        assert present(canvas, "ann", **body) == 204
        told = early.next()
    assert told.id is None
    assert told.data == {
        "type": "presence",
        "canvas": canvas.ref,
        "client_id": "ann",
        "actor": "local",
        "kind": "human",
        "ttl_ms": 30_000,
        **body,
    }
    with canvas.listen("unit=codepoint") as late:
        late.expect("snapshot")
        shifted = late.next()
    assert shifted.data == {**told.data, "cursor": 7, "selection": {"from": 6, "to": 7}}


def test_the_newest_word_of_each_client_counts_and_none_is_a_goodbye(canvas: Canvas) -> None:
    present(canvas, "ann", cursor=1)
    present(canvas, "bob", cursor=2)
    present(canvas, "ann", cursor=3)
    present(canvas, "bob", ttl_ms=0)
    canvas.submit(append("x", op_id="only"))
    with canvas.listen() as listener:
        listener.expect("snapshot")
        assert (listener.next()["cursor"], present(canvas, "cid", cursor=4)) == (3, 204)
        assert listener.next()["client_id"] == "cid"


def test_a_place_that_is_not_in_the_text_any_more_is_the_nearest_one(canvas: Canvas) -> None:
    """Somebody whose last words are still under way, or whose text another has just cut, is refused nothing."""
    with canvas.listen() as listener:
        listener.expect("snapshot")
        assert present(canvas, "ann", cursor=10**9, selection={"from": 7, "to": 10**9}) == 204
        told = listener.next()
    assert (told["cursor"], told["selection"]) == (len(canvas.text) + 1, {"from": 6, "to": len(canvas.text) + 1})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"cursor": -1}, "/cursor"),
        ({"selection": {"from": -1, "to": 1}}, "/selection/from"),
        ({"selection": {"from": 0}}, "/selection/to"),
        ({"ttl_ms": 60_001}, "/ttl_ms"),
        ({"ttl_ms": -1}, "/ttl_ms"),
        ({"name": "x" * 81}, "/name"),
        ({"actor": "somebody"}, "/actor"),
    ],
)
def test_presence_that_cannot_be_is_an_invalid_field(canvas: Canvas, body: Json, pointer: str) -> None:
    answer = canvas.http.post(f"{canvas.path}/presence", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["pointer"]) == (422, "INVALID_FIELD", pointer)
