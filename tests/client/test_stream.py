"""Reading a stream of events, wherever it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.client.errors import BusyError, ClientError, ForbiddenError, RefusedError, refusal
from canvas_server.client.events import QUEUE_MAX, EventStream
from canvas_server.client.stream import EventStreamParser, Frame, decode_event
from canvas_server.core.event import CheckpointFailed, Heartbeat

FRAMES = [
    b"retry: 1000\n\n",
    b'id: a:1-0\ndata: {"type":"x"}\n\n',
    b": a comment\n\n",
    b"data: one\ndata: two\n\n",
    "data: é🙂\r\n\r\n".encode(),
]


@given(st.lists(st.sampled_from(FRAMES)), st.lists(st.integers(1, 9)))
def test_frames_are_the_same_wherever_the_stream_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    whole = list(EventStreamParser().feed(stream))
    parser, pieces, at = EventStreamParser(), list[Frame](), 0
    for cut in [*cuts, len(stream)]:
        pieces += parser.feed(stream[at : at + cut])
        at += cut
    assert pieces == whole
    assert len(whole) == len(frames)


def test_what_frames_say_is_read() -> None:
    told = [*EventStreamParser().feed(b"".join(FRAMES))]
    assert told[0].retry_ms == 1000
    assert told[1].id == "a:1-0"
    assert told[3].data == b"one\ntwo"
    assert told[4].data.decode() == "é🙂"


def test_an_event_that_is_not_known_is_no_mistake() -> None:
    assert decode_event(b'{"type":"of a newer server","canvas":"a"}') is None
    assert decode_event(b'{"type":"ack"}') is None
    assert decode_event(b"no JSON") is None
    failed = (
        b'{"type":"checkpoint","canvas":"a","failed":true,"server_version":"","checkpoint_version":"","retry_in_ms":1}'
    )
    assert isinstance(decode_event(failed), CheckpointFailed)


async def test_a_reader_that_is_too_slow_is_told() -> None:
    stream, beat = EventStream(), Heartbeat(canvas="a", server_version="", length=0, crc32=0)
    for _ in range(QUEUE_MAX + 5):
        stream.put(beat)
    for _ in range(QUEUE_MAX):
        assert await anext(stream) == beat
    with pytest.raises(ClientError) as told:
        await anext(stream)
    assert told.value.code == "SLOW_READER"


def test_refusals_are_errors_of_a_kind() -> None:
    problem = b'{"code":"FORBIDDEN","detail":"no","hint":"ask","status":403,"retryable":false}'
    error = refusal(403, problem, None)
    assert isinstance(error, ForbiddenError)
    assert (error.code, str(error), error.hint, error.retryable) == ("FORBIDDEN", "no", "ask", False)
    busy = refusal(429, problem, "7")
    assert isinstance(busy, BusyError)
    assert busy.retry_after_s == 7
    strange = refusal(502, b"<html>", "soon")
    assert isinstance(strange, BusyError)
    assert strange.retryable
    assert type(refusal(418, b"", None)) is RefusedError
