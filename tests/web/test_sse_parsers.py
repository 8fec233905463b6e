"""Any parser understands the stream: one recording of all that it can tell, read by four, however it is cut."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import httpx2
import pytest
from msgspec.structs import replace

from canvas_server.config.settings import CheckpointSettings, StreamSettings
from tests.listener import PATIENCE_S, Frames
from tests.proof.findings import Findings
from tests.serving import IN_MEMORY, Canvas, append, insert, serving
from tests.web.event_sources import run_in_browser, run_in_node
from tests.web.event_stream import EventStream, Message

EVENT_BYTES_MAX: Final = 512 * 1024
ID: Final = re.compile(r"[0-9]+-[0-9a-f]{16}")
HARD: Final = "\ufeff# data: 1\n\nid: 2\n\n: 3\n\nevent: x\u2028\u2029\x85é😀\x0b\x0c\x1e\n\nretry: 4\n\ndata\n"
"""Text with all that means something in a stream of events."""
LARGE: Final = '"' * (239 * 1024)
"""Of the content that makes the largest event: every character of it takes two in JSON."""
TOLD: Final = {
    "start",
    "snapshot",
    "ack",
    "conflict",
    "error",
    "checkpoint",
    "presence",
    "heartbeat",
    "title",
    "deleted",
}
ACK: Final = b'"type":"ack"'
ACKS: Final = 3
BYTEWISE: Final = 8192
"""So much of the recording is sent byte by byte, what comes then in pieces that cut characters and lines."""
PIECE_BYTES: Final = 4093
READER: Final = """
const heard = [];
const source = new EventSource(given.url);
source.onmessage = (message) => {
  heard.push([message.lastEventId, message.data]);
  if (heard.length === given.count) { source.close(); done(heard); }
};
"""


@pytest.fixture(scope="module")
def recorded() -> bytes:
    """The body of one stream, from `start` to the end."""
    stream = StreamSettings(heartbeat_s=0.1)
    with serving(replace(IN_MEMORY, stream=stream, checkpoint=CheckpointSettings(interval_s=0.05))) as served:
        canvas = served.canvas(HARD)
        connection = HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
        connection.request("GET", f"{canvas.path}/ops:listen")
        answer = connection.getresponse()
        tell_everything(canvas)
        heard = b""
        # A heartbeat behind the last ack: by then the connection takes what is written.
        while heard.count(ACK) < ACKS or not {b'"type":"heartbeat"', b'"type":"checkpoint"'} <= types_behind_acks(
            heard
        ):
            heard += answer.read1(65536)
        assert canvas.http.delete(canvas.path).status_code == 204
        heard += answer.read()
        connection.close()
    return heard


def types_behind_acks(heard: bytes) -> set[bytes]:
    """Return which types of events came after the last ack."""
    return set(re.findall(rb'"type":"[a-z]+"', heard[heard.rfind(ACK) + len(ACK) :]))


def tell_everything(canvas: Canvas) -> None:
    """Have events of every type told."""
    canvas.http.post(f"{canvas.path}/presence", json={"cursor": 1, "name": HARD.replace("\0", "")[:80]})
    canvas.http.patch(canvas.path, json={"title": "\u2028 é😀"})
    version = canvas.version
    canvas.submit(append(HARD, meta={"a\n": "\r\nb"}), append(HARD))
    canvas.submit(insert(0, "x", client_version=version))
    canvas.submit(insert(10**6, "x"))
    canvas.submit(append(LARGE))


@pytest.fixture(scope="module")
def messages(recorded: bytes) -> list[Message]:
    return list(EventStream().feed(recorded))


def as_pairs(messages: list[Message]) -> list[list[str]]:
    return [list(message) for message in messages]


def pieces(recorded: bytes) -> Iterator[bytes]:
    """Yield the recording as it is sent: byte by byte at first."""
    for at in range(min(BYTEWISE, len(recorded))):
        yield recorded[at : at + 1]
    for at in range(BYTEWISE, len(recorded), PIECE_BYTES):
        yield recorded[at : at + PIECE_BYTES]


@contextmanager
def replaying(recorded: bytes) -> Iterator[str]:
    """Serve the recording, cut into pieces, and an empty page; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.send_response(200)
            if self.path != "/stream":
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in pieces(recorded):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def script(url: str, messages: list[Message]) -> str:
    return f"const given = {json.dumps({'url': f'{url}stream', 'count': len(messages)})};\n{READER}"


@pytest.mark.promise("R13")
def test_ids_are_of_one_form_events_are_bounded_and_every_type_is_in_the_recording(
    recorded: bytes, messages: list[Message], findings: Findings
) -> None:
    told = [json.loads(message.data) for message in messages]
    assert {event["type"] for event in told} == TOLD
    ids = [line.removeprefix(b"id: ").decode() for line in recorded.split(b"\n") if line.startswith(b"id: ")]
    largest = max(map(len, recorded.split(b"\n\n")))
    findings.tell("R13", "events recorded, of types", f"{len(told)}, {len(TOLD)}")
    findings.tell("R13", "largest event", f"{largest / 1024:.0f} KiB", "under 512 KiB")
    assert len(ids) >= 4
    assert all(ID.fullmatch(one) for one in ids)
    assert EVENT_BYTES_MAX * 0.9 < largest < EVENT_BYTES_MAX
    assert told[1]["content"] == HARD


@pytest.mark.promise("R13")
def test_a_parser_of_the_standard_hears_the_same_wherever_the_stream_is_cut(
    recorded: bytes, messages: list[Message], findings: Findings
) -> None:
    short = recorded[: recorded.index(LARGE[:10].replace('"', '\\"').encode())]
    expected = list(EventStream().feed(short))
    for cut in range(len(short)):
        stream = EventStream()
        assert [*stream.feed(short[:cut]), *stream.feed(short[cut:])] == expected, cut
    stream = EventStream()
    assert [message for piece in pieces(recorded) for message in stream.feed(piece)] == messages
    assert stream.retry_ms is not None
    findings.tell("R13", "places where the stream was cut", len(short), "the same events")
    assert len(short) > 2000


@pytest.mark.promise("R13")
async def test_httpx2_hears_the_same(recorded: bytes, messages: list[Message]) -> None:
    with replaying(recorded) as url:
        async with (
            asyncio.timeout(PATIENCE_S),
            httpx2.AsyncClient(trust_env=False) as http,
            http.sse(f"{url}stream") as source,
        ):
            heard = [event async for event in source]
    assert [event.data for event in heard] == [message.data for message in messages]
    assert [event.id for event in heard] == [message.last_id for message in messages]


@pytest.mark.promise("R13")
@pytest.mark.slow
def test_the_eventsource_of_npm_hears_the_same(recorded: bytes, messages: list[Message]) -> None:
    # Its `lastEventId` is the event's own, and not the last that there was as the standard has it; it still resumes.
    own = [[event.id or "", message.data] for event, message in zip(Frames().feed(recorded), messages, strict=True)]
    with replaying(recorded) as url:
        assert run_in_node(script(url, messages)) == own


@pytest.mark.promise("R13")
@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_hears_the_same(recorded: bytes, messages: list[Message]) -> None:
    with replaying(recorded) as url:
        assert run_in_browser(url, script(url, messages)) == as_pairs(messages)
