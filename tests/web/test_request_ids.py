"""The id of a request: in its answer, in every line of the log it causes, in the problem of a mistake of ours."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from canvas_server.config.settings import GenerationSettings, LogSettings, ServerSettings
from canvas_server.core.current import REQUEST_ID
from canvas_server.logs import JsonFormatter
from tests.listener import PATIENCE_S
from tests.serving import IN_MEMORY, Served, append, serving

OWN = re.compile(r"[0-9a-f]{8}-[1-9][0-9]*")
LOGGING = msgspec.structs.replace(
    IN_MEMORY, log=LogSettings(access=True), generation=GenerationSettings(provider="demo")
)
CHOSEN = ["a", "A-b_c.9", "x" * 64]
NOT_TAKEN = ["", "x" * 65, "a b", "a,b", "é", 'a"b', "a\x1b[2J", "a\u2028b".encode().decode("latin-1")]


class Lines(logging.Handler):
    """Takes the lines of the log as they would be written, in the context in which they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(msgspec.json.decode(JsonFormatter().format(record)))

    def of(self, request_id: str) -> list[dict[str, Any]]:
        return [line for line in self.told if line["request_id"] == request_id]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("canvas_server")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture(scope="module", params=["httptools", "h11"])
def either(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with each of the parsers."""
    with serving(msgspec.structs.replace(IN_MEMORY, server=ServerSettings(http=request.param))) as served:
        yield served


@pytest.fixture(scope="module")
def logged() -> Iterator[Served]:
    """A server that logs each request."""
    with serving(LOGGING) as served:
        yield served


def exchange(port: int, *lines: bytes) -> bytes:
    """Send a request, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
        sock.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        received = b""
        while piece := sock.recv(65536):
            received += piece
        return received


@pytest.mark.parametrize("chosen", CHOSEN)
def test_an_id_that_the_client_chose_is_told_back(either: Served, chosen: str) -> None:
    canvas = either.canvas()
    for answer in (
        either.http.get("/healthz", headers={"X-Request-Id": chosen}),
        either.http.get("/nowhere", headers={"X-Request-Id": chosen}),
        canvas.post({**append("x"), "client_version": canvas.version}, headers={"X-Request-Id": chosen}),
    ):
        assert answer.headers.get_list("X-Request-Id") == [chosen]


@pytest.mark.parametrize("chosen", NOT_TAKEN)
def test_what_can_be_no_id_is_replaced_by_one_of_ours(either: Served, chosen: str) -> None:
    received = exchange(
        either.port, b"GET /healthz HTTP/1.1", b"Host: localhost", b"X-Request-Id: " + chosen.encode("latin-1")
    )
    told = re.findall(rb"(?i)x-request-id: (.*)\r\n", received)
    # A parser may refuse the request for its bytes, before there is one to be named.
    assert received.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    assert all(OWN.fullmatch(one.decode()) for one in told)
    assert len(told) == 1 or received.startswith(b"HTTP/1.1 400")


def test_of_two_ids_none_is_taken(either: Served) -> None:
    received = exchange(
        either.port, b"GET /healthz HTTP/1.1", b"Host: localhost", b"X-Request-Id: a", b"X-Request-Id: b"
    )
    (told,) = re.findall(rb"(?i)x-request-id: (.*)\r\n", received)
    assert OWN.fullmatch(told.decode())


def test_each_request_without_an_id_gets_another(either: Served) -> None:
    canvas = either.canvas()
    told = [either.http.get("/healthz").headers["X-Request-Id"] for _ in range(20)]
    told += [canvas.post({**append("x"), "client_version": canvas.version}).headers["X-Request-Id"] for _ in range(20)]
    assert len(set(told)) == 40
    assert all(OWN.fullmatch(one) for one in told)
    assert len({one.partition("-")[0] for one in told}) <= 2, "a prefix is that of the process"


def test_streams_and_refusals_of_every_kind_tell_their_id(served: Served) -> None:
    canvas = served.canvas()
    with canvas.listen(headers={"X-Request-Id": "hear-1"}) as listener:
        assert listener.headers["x-request-id"] == "hear-1"
    for lines in (
        [b"GET / HTTP/1.1", b"Host: evil.example"],
        [b"GET / HTTP/1.1"],
        [b"rubbish"],
        [b"GET / HTTP/1.1", b"Host: localhost", b"X-Long: " + b"x" * 100_000],
    ):
        received = exchange(served.port, *lines)
        assert received.startswith(b"HTTP/1.1 4"), received
        assert len(re.findall(rb"\r\nx-request-id: [0-9a-f]{8}-[0-9]+\r\n", received)) == 1, received


def test_a_mistake_of_ours_is_told_by_the_id_under_which_the_log_has_its_story(
    logged: Served, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ArithmeticError("a secret of the inside")

    monkeypatch.setattr(logged.manager, "list_canvases", fail)
    answer = logged.http.get("/api/v2/canvas", headers={"X-Request-Id": "lost.1"})
    assert answer.status_code == 500
    assert answer.json()["instance"] == "lost.1"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    failed, access = lines.of("lost.1")
    assert failed["exception"].endswith("ArithmeticError: a secret of the inside")
    assert (access["message"], access["status"]) == ("request", 500)


def test_the_access_line_names_client_and_operations(logged: Served, lines: Lines) -> None:
    canvas = logged.canvas("text")
    ops = [{**append("x"), "op_id": f"op-{number}", "scope": "range"} for number in range(12)]
    ops[0]["client_version"] = canvas.version
    lines.told.clear()
    assert canvas.post(*ops, headers={"X-Request-Id": "json"}).status_code == 202
    body = b"\n".join(msgspec.json.encode({**op, "op_id": f"line-{at}"}) for at, op in enumerate(ops[:2]))
    headers = {"Content-Type": "application/x-ndjson", "X-Request-Id": "ndjson"}
    more = b'\n{"content": "more"}\n'
    body = body.replace(b'"scope"', b'"client_version":' + msgspec.json.encode(canvas.version) + b',"scope"') + more
    answer = logged.http.post(f"{canvas.path}/ops:stream", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    preview = {"ops": [{**append("x"), "op_id": "seen", "client_version": canvas.version}]}
    assert logged.http.post(f"{canvas.path}/ops:preview", json=preview, headers={"X-Request-Id": "preview"}).is_success

    told = {line["request_id"]: line for line in lines.told if line["logger"] == "canvas_server.access"}
    assert {line["client"] for line in told.values()} == {"127.0.0.1"}
    assert (told["json"]["ops"], told["json"]["op_ids"]) == (12, [f"op-{number}" for number in range(10)])
    assert (told["ndjson"]["ops"], told["ndjson"]["op_ids"]) == (3, ["line-0", "line-1", "line-1.1"])
    assert (told["preview"]["ops"], told["preview"]["op_ids"]) == (1, ["seen"])
    assert all("ops" not in line for line in lines.of("r") if line["path"].endswith("healthz"))


def test_what_a_request_has_done_in_other_tasks_carries_its_id(served: Served, lines: Lines) -> None:
    canvas = served.canvas("text")
    assert served.http.post(f"{canvas.path}:close", headers={"X-Request-Id": "close-1"}).is_success
    lines.told.clear()
    answer = served.http.get(f"{canvas.path}/outline", headers={"X-Request-Id": "open-1"})
    assert answer.is_success
    # The room is loaded by a task that any request may wait for.
    assert [line["message"] for line in lines.of("open-1")] == ["canvas opened"]


def test_requests_on_one_connection_do_not_get_the_id_of_one_before(logged: Served, lines: Lines) -> None:
    for number in range(3):
        logged.http.get("/healthz", headers={"X-Request-Id": f"r-{number}"} if number != 1 else {})
    access = [line["request_id"] for line in lines.told if line["logger"] == "canvas_server.access"]
    assert access[0::2] == ["r-0", "r-2"]
    assert OWN.fullmatch(access[1])
    assert REQUEST_ID.get() == ""


def test_every_line_of_a_job_carries_the_job_and_the_request_that_made_it(logged: Served, lines: Lines) -> None:
    canvas = logged.canvas("# A\n")
    target = {"type": "heading", "heading": {"path": ["A"]}}
    asked = {"prompt": "Write.", "max_output_tokens": 5, "canvas": {"ref": canvas.ref, "target": target}}
    answer = logged.http.post("/api/v1/dialogues/generate/jobs", json=asked, headers={"X-Request-Id": "make-1"})
    assert answer.status_code == 201, answer.text
    job_id = answer.json()["job_id"]
    logged.http.get("/healthz", headers={"X-Request-Id": "meanwhile"})
    assert '"complete"' in logged.http.get(answer.json()["stream_url"]).text

    of_job = [line for line in lines.told if line.get("job_id") == job_id]
    assert {line["message"] for line in of_job} >= {"job taken", "Génération terminée, cleanup automatique"}
    assert {line["request_id"] for line in of_job} == {"make-1"}
    writing = [line for line in lines.of("make-1") if line["logger"] == "canvas_server.access" and line.get("ops")]
    assert writing, "what the job writes into its canvas is found by the same id"
    assert all("job_id" not in line for line in lines.of("meanwhile"))
