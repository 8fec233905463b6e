"""The stream as other people's clients understand it: httpx2, npm's `eventsource`, and Chromium's own EventSource.

Each follows one canvas while the server drops the stream every moment (a tiny greatest age): each reconnects by itself,
and all hear every operation once and in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import httpx2
import pytest
from msgspec.structs import replace

from canvas_server.config.settings import StreamSettings
from tests.listener import PATIENCE_S
from tests.serving import IN_MEMORY, Canvas, Served, append, serving
from tests.web.event_sources import run_in_browser, run_in_node

CONNECTIONS: Final = 5
READER: Final = """
let opened = 0;
const heard = [];
const write = (number) => fetch(given.ops, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ ops: [{ ...given.operation, op_id: `heard-${number}` }] }),
});
const source = new EventSource(given.stream);
source.onmessage = (message) => {
  const event = JSON.parse(message.data);
  if (event.type === "start" && opened < given.connections) write(opened++);
  if (event.type === "ack") heard.push([message.lastEventId, event.op_id]);
  if (heard.length === given.connections) { source.close(); done(heard); }
};
"""


@pytest.fixture(scope="module")
def impatient() -> Iterator[Served]:
    """A server that asks its readers to reconnect all the time."""
    with serving(replace(IN_MEMORY, stream=StreamSettings(max_age_s=0.05, retry_ms_min=10, retry_ms_max=10))) as served:
        yield served


@pytest.fixture
def canvas(impatient: Served) -> Canvas:
    return impatient.canvas("")


def told_in(canvas: Canvas) -> list[list[str]]:
    """Return what every client must have heard, as pairs of id and op_id."""
    events = canvas.http.get(f"{canvas.path}/ops").json()["events"]
    return [[event["server_version"][3:-1], event["op_id"]] for event in events]


def script(canvas: Canvas) -> str:
    """Return a reader that writes once for each connection, and is done when it heard all that."""
    url = f"{canvas.served.url}{canvas.path}"
    operation = append("é😀", client_version=canvas.version, scope="range")
    given = {
        "stream": f"{url}/ops:listen",
        "ops": f"{url}/ops:stream",
        "operation": operation,
        "connections": CONNECTIONS,
    }
    return f"const given = {json.dumps(given)};\n{READER}"


@pytest.mark.promise("R13")
async def test_httpx2_hears_every_operation_once_over_reconnects(canvas: Canvas) -> None:
    heard: list[list[str]] = []
    headers = {"Last-Event-ID": canvas.version[3:-1]}
    async with httpx2.AsyncClient(base_url=canvas.served.url, timeout=PATIENCE_S, trust_env=False) as http:
        for _ in range(CONNECTIONS):
            canvas.submit(append("é😀"))
            async with http.sse(f"{canvas.path}/ops:listen", headers=headers) as source:
                events = [event async for event in source]
            told = [json.loads(event.data) for event in events]
            assert told[0]["type"] == "start"
            assert told[-1] == {"type": "bye", "reason": "max_age", "retry_ms": 10}
            acks = [(event.id, ack) for event, ack in zip(events, told, strict=True) if ack["type"] == "ack"]
            heard += [[event_id, ack["op_id"]] for event_id, ack in acks]
            headers = {"Last-Event-ID": heard[-1][0]}
    assert heard == told_in(canvas)


@pytest.mark.promise("R13")
@pytest.mark.slow
def test_the_eventsource_of_npm_hears_every_operation_once_over_reconnects(canvas: Canvas) -> None:
    heard = run_in_node(script(canvas))
    assert len(heard) == CONNECTIONS
    assert heard == told_in(canvas)


@pytest.mark.promise("R13")
@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_hears_every_operation_once_over_reconnects(canvas: Canvas) -> None:
    heard = run_in_browser(f"{canvas.served.url}/healthz", script(canvas))
    assert len(heard) == CONNECTIONS
    assert heard == told_in(canvas)
