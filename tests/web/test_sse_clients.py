"""The stream as other people's clients understand it: httpx2, npm's `eventsource`, and Chromium's own EventSource.

Each follows one canvas while the server drops the stream every moment (a tiny greatest age): each reconnects by itself,
and all hear every operation once and in order.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest
from msgspec.structs import replace
from playwright.sync_api import sync_playwright

from canvas_server.config.settings import StreamSettings
from tests.listener import PATIENCE_S
from tests.serving import IN_MEMORY, Canvas, append, serving

OPS: Final = 12
LAST: Final = f"heard-{OPS - 1}"
CACHE: Final = Path(__file__).parents[2] / ".venv" / "eventsource-4"
READER: Final = """
let opened = 0;
const heard = [];
const source = new EventSource(URL_OF_STREAM);
source.onopen = () => { opened += 1; };
source.onmessage = (message) => {
  const event = JSON.parse(message.data);
  if (event.type !== "ack") return;
  heard.push([message.lastEventId, event.op_id]);
  if (event.op_id === LAST_OP_ID) { source.close(); done({ heard, opened }); }
};
"""


@pytest.fixture(scope="module")
def canvas() -> Iterator[Canvas]:
    """A canvas whose readers are asked to reconnect all the time."""
    with serving(replace(IN_MEMORY, stream=StreamSettings(max_age_s=0.05, retry_ms_min=10, retry_ms_max=10))) as served:
        yield served.canvas("")


@pytest.fixture
def expected(canvas: Canvas) -> list[list[str]]:
    """What every client must hear, as pairs of id and op_id; written before it comes, heard by resuming."""
    if canvas.state["length"] == 0:
        canvas.submit(*(append("é😀", op_id=f"heard-{number}") for number in range(OPS)))
    events = canvas.http.get(f"{canvas.path}/ops").json()["events"]
    return [[event["server_version"][3:-1], event["op_id"]] for event in events]


def stream_url(canvas: Canvas) -> str:
    """Return the address of a stream that begins before the first operation."""
    genesis = canvas.http.get(canvas.path, params={"at": "0"}).json()["version"][3:-1]
    return f"{canvas.served.url}{canvas.path}/ops:listen?last_event_id={genesis}"


def script(canvas: Canvas) -> str:
    told = READER.replace("URL_OF_STREAM", json.dumps(stream_url(canvas)))
    return told.replace("LAST_OP_ID", json.dumps(LAST))


def unavailable(what: str) -> None:
    """Skip aloud, or fail where everything must be there."""
    if os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what} is not there, and CANVAS_REQUIRE_SERVICES=1 asks for it")
    pytest.skip(f"{what} is not there")


async def test_httpx2_hears_every_operation_once_over_reconnects(canvas: Canvas, expected: list[list[str]]) -> None:
    heard: list[list[str]] = []
    url, headers = stream_url(canvas), dict[str, str]()
    async with httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        for _ in range(3):
            async with http.sse(url, headers=headers) as source:
                events = [event async for event in source]
            told = [json.loads(event.data) for event in events]
            assert told[0]["type"] == "start"
            assert told[-1] == {"type": "bye", "reason": "max_age", "retry_ms": 10}
            heard += [[event.id, ack["op_id"]] for event, ack in zip(events, told, strict=True) if ack["type"] == "ack"]
            headers = {"Last-Event-ID": heard[-1][0]}
    assert heard == expected


@pytest.mark.slow
def test_the_eventsource_of_npm_hears_every_operation_once(canvas: Canvas, expected: list[list[str]]) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        unavailable("npm")
    if not (CACHE / "node_modules" / "eventsource").exists():
        CACHE.mkdir(exist_ok=True)
        command = [npm or "", "install", "--no-audit", "--no-fund", "--prefix", str(CACHE), "eventsource@4"]
        if subprocess.run(command, capture_output=True, timeout=50, check=False).returncode:
            unavailable("the npm package eventsource")
    program = 'import { EventSource } from "eventsource";\nconst done = (told) => console.log(JSON.stringify(told));\n'
    told = subprocess.run(
        [node or "", "--input-type=module"],
        input=program + script(canvas),
        cwd=CACHE,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert json.loads(told.stdout)["heard"] == expected


@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_hears_every_operation_once_over_reconnects(canvas: Canvas, expected: list[list[str]]) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        unavailable("chromium")
    # A page of the server's own origin, whose policy lets it connect nowhere else.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(f"{canvas.served.url}/healthz")
            told = page.evaluate("() => new Promise((done) => {" + script(canvas) + "})")
        finally:
            browser.close()
    assert told["heard"] == expected
