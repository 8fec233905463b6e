"""An attack on the log: whatever a client sends, and wherever, no line and no field of the log is the client's.

The server is a process of its own with its real log, so that what Python, uvicorn and the loop print counts too.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.listener import PATIENCE_S
from tests.processes import Process, running

FORGED: Final = "canvas_server.forged"
LINE: Final = '{"time":"2026-01-01T00:00:00.000Z","level":"info","logger":"canvas_server.forged","message":"forged"}'
HOSTILE: Final = (
    f"a\n{LINE}",
    f"a\r\n{LINE}\r\n",
    f'a", "logger": "{FORGED}", "x": "',
    f"a 2026-01-01T00:00:00.000Z INFO {FORGED} forged request_id=forged",
    f"a\n2026-01-01T00:00:00.000Z INFO {FORGED} forged",
    "a\u2028b\u2029c\x85d",
    "a\x1b[2J\x1b]0;title\x07\x9b31m",
    "a\u202e\u2066evil\u2069\u200f",
    "a\x00b\x7f\ufeff",
    "a=b status=200 client=10.0.0.1",
    "\\u000a\\n%0a%0d",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
)
KEYS: Final = {"time", "level", "logger", "message", "request_id"}
LOGGERS: Final = re.compile(r"canvas_server(\.[a-z_]+)+|uvicorn\.error|asyncio")
SOON: Final = {f"CANVAS_LIMITS_{name}_S": "0.3" for name in ("FIRST_BYTE", "HEADERS", "BODY", "KEEP_ALIVE")}
"""A request that never comes to its end is not waited for."""
HEAD: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (INFO|WARNING|ERROR|CRITICAL) ([a-z_.]+) ")


def send(port: int, request: bytes) -> bytes:
    """Send a request as it is, and return what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
        sock.sendall(request)
        received = b""
        try:
            while piece := sock.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
        return received


def raw(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    size = b"Content-Length: %d" % len(body)
    kind = b"Content-Type: application/json"
    return b"\r\n".join([line, *fields, kind, size, b"Connection: close", b"", body])


def attacks(text: str) -> Iterator[bytes]:
    """Yield requests that have a text wherever a client may put one."""
    host, plain, escaped = b"Host: localhost", text.encode(), quote(text, safe="").encode()
    get, ops = b"GET /healthz HTTP/1.1", b"POST /api/v2/canvas/notes/ops:stream HTTP/1.1"
    yield raw(b"GET /%s HTTP/1.1" % escaped, host)
    yield raw(b"GET /api/v2/canvas/%s HTTP/1.1" % escaped, host)
    yield raw(b"GET /healthz?q=%s HTTP/1.1" % escaped, host)
    yield raw(b"GET /api/v2/canvas/notes/ops/%s HTTP/1.1" % escaped, host)
    yield raw(b"PUT /api/v2/canvas/%s HTTP/1.1" % escaped, host, body=b"{}")
    yield raw(b"GET /" + plain + b" HTTP/1.1", host)
    yield raw(plain + b" / HTTP/1.1", host)
    for name in (b"X-Request-Id", b"User-Agent", b"X-Client-Id", b"Origin", b"Authorization", b"Last-Event-ID"):
        yield raw(get, host, name + b": " + plain)
        yield raw(ops, host, name + b": " + plain, body=b"{}")
    yield raw(get, b"Host: " + plain)
    yield raw(get, b"Host: localhost" + plain)
    yield raw(get, host, b"traceparent: " + plain)
    yield raw(get, host, b"X-Forwarded-For: " + plain)
    yield raw(get, host, b"Content-Type: " + plain)
    yield raw(b"PUT /api/v2/canvas/titled HTTP/1.1", host, body=json.dumps({"title": text, "content": text}).encode())
    target = {"type": "position", "position": {"mode": "end"}}
    op = {"op_id": text, "action": "insert", "target": target, "content": text, "client_version": text}
    for changed in (op, {**op, "op_id": "good"}, {**op, text: text}, {**op, "meta": {text: text}}):
        yield raw(ops, host, body=json.dumps({"ops": [changed]}).encode())
    job = {"prompt": text, "provider": text, "model": text, "idempotency_key": text, "canvas": {"ref": text}}
    yield raw(b"POST /api/v1/dialogues/generate/jobs HTTP/1.1", host, body=json.dumps(job).encode())
    preset = {"name": text, "prompt": text}
    yield raw(b"POST /api/v1/presets HTTP/1.1", host, body=json.dumps(preset).encode())
    yield raw(b"PUT /api/v1/dialogues/%s HTTP/1.1" % escaped, host, body=json.dumps({"x": text}).encode())


def attack(server: Process) -> int:
    """Send every attack; return how many were answered."""
    assert b" 201 " in send(server.port, raw(b"PUT /api/v2/canvas/notes HTTP/1.1", b"Host: localhost", body=b"{}"))
    answered = sum(bool(send(server.port, request)) for text in HOSTILE for request in attacks(text))
    assert send(server.port, raw(b"GET /last HTTP/1.1", b"Host: localhost")).startswith(b"HTTP/1.1 404")
    return answered


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
def test_no_json_line_and_no_field_of_one_is_a_client_s(tmp_path: Path, parser: str) -> None:
    with running(
        tmp_path, CANVAS_LOG_ACCESS="true", CANVAS_SERVER_AUTH="false", CANVAS_SERVER_HTTP=parser, **SOON
    ) as server:
        answered = attack(server)
    lines = server.lines()
    assert answered > 300
    assert len(lines) > 300
    requests = [line for line in lines if line["logger"] == "canvas_server.access"]
    assert requests[-1]["path"] == "/last"
    for line in lines:
        check(line)
    for text in HOSTILE[:3]:
        assert any(text in str(line.get("path")) for line in lines), "what was sent is told, as a value"


def check(line: dict[str, Any]) -> None:
    assert line.keys() >= KEYS
    assert LOGGERS.fullmatch(line["logger"]), line
    assert "forged" not in line["message"], line
    assert line["request_id"] is None or re.fullmatch(r"[A-Za-z0-9._-]{1,64}", line["request_id"])
    assert line["level"] in ("info", "warning", "error")
    assert line["level"] != "error", "and nothing of all that was a mistake of ours"
    assert all(re.fullmatch(r"[a-z_]+", name) for name in line), line
    if line["logger"] == "canvas_server.access":
        assert line["client"] == "127.0.0.1"
        assert line["status"] in (200, 201, 202, 400, 401, 403, 404, 405, 409, 413, 415, 422)


@pytest.mark.slow
def test_no_line_of_text_is_a_client_s(tmp_path: Path) -> None:
    with running(
        tmp_path, CANVAS_LOG_ACCESS="true", CANVAS_SERVER_AUTH="false", CANVAS_LOG_FORMAT="text", **SOON
    ) as server:
        assert attack(server) > 300
    text = server.log.read_text()
    lines = text.split("\n")[:-1]
    assert len(lines) > 300
    for line in lines:
        assert line.isprintable()
        head = HEAD.match(line)
        assert head, line
        assert LOGGERS.fullmatch(head[2])
        assert not line[head.end() :].startswith("forged")
        facts = re.findall(r'(?:^| )([a-z_]+)=(?:"(?:[^"\\]|\\.)*"|[^ "]*)', line[head.end() :])
        assert len(facts) == len(set(facts)), line
