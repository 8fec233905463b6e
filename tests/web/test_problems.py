"""Refusals of requests: the right status, and a problem that says what to do (PROTOCOL section 2)."""

from __future__ import annotations

import re
from typing import Final

import httpx2
import pytest
from msgspec.structs import replace

from canvas_server.config.settings import CheckpointSettings, LimitSettings
from canvas_server.core.errors import StorageCorruptError, StorageUnavailableError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CheckpointRequest, LoadedCanvas
from canvas_server.storage.memory import MemoryCanvasStore
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, serving
from tests.web.people import person

MEMBERS: Final = {"type", "title", "status", "detail", "instance", "code", "hint", "retryable"}


class Disk(MemoryCanvasStore):
    """The store that ships, on a disk that can fail."""

    is_full = False
    is_torn = False

    async def save(self, request: CheckpointRequest) -> None:
        if self.is_full:
            raise StorageUnavailableError("the disk is full", hint="Free some space.")
        await super().save(request)

    async def load(self, ref: CanvasRef, ops_max: int) -> LoadedCanvas:
        if self.is_torn:
            raise StorageCorruptError("the file is torn", hint="Restore it.")
        return await super().load(ref, ops_max)


def problem(answer: httpx2.Response) -> Json:
    """Return the problem that an answer tells, once it is a whole one."""
    told: Json = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert told.keys() >= MEMBERS, told
    assert told["status"] == answer.status_code
    assert told["instance"] == answer.request.url.path
    assert told["hint"].endswith(".")
    assert told["retryable"] == ("retry-after" in answer.headers)
    return told


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas("text\n")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/outline", "GET, HEAD"),
        ("/ops", "GET, HEAD"),
        ("/ops/some-op", "GET, HEAD"),
        ("/ops:listen", "GET"),
        ("/ops:stream", "POST"),
        ("/ops:preview", "POST"),
        ("/presence", "POST"),
        (":close", "POST"),
    ],
)
def test_a_method_that_a_resource_does_not_know_is_answered_with_those_it_knows(
    canvas: Canvas, path: str, allowed: str
) -> None:
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - set(allowed.split(", ")):
        answer = canvas.http.request(method, f"{canvas.path}{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        if method != "HEAD":
            assert problem(answer)["code"] == "METHOD_NOT_ALLOWED"
    assert canvas.text == "text\n"


@pytest.mark.parametrize(
    "path", ["/api", "/api/v2", "/api/v1/canvas", "/api/v2/canvas/", "/api/v2/canvas/a/b", "/nope"]
)
def test_nothing_is_found_under_a_path_that_is_not_there(served: Served, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert problem(served.http.request(method, path))["code"] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["/ops:stream", "/ops:preview", "/presence", ""])
@pytest.mark.parametrize("kind", ["", "text/plain", "application/json5", "multipart/form-data; boundary=x", "*/*"])
def test_a_body_of_another_type_is_not_read(canvas: Canvas, path: str, kind: str) -> None:
    method = "POST" if path else "PATCH"
    answer = canvas.http.request(method, f"{canvas.path}{path}", content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, problem(answer)["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_an_encoded_body_is_not_read(canvas: Canvas) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = canvas.http.post(f"{canvas.path}/ops:stream", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, problem(answer)["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_the_type_of_a_body_is_read_as_http_has_it(canvas: Canvas, kind: str) -> None:
    answer = canvas.http.patch(canvas.path, content=b'{"title":"x"}', headers={"Content-Type": kind})
    assert answer.status_code == 200


def test_a_page_of_another_origin_and_another_name_of_the_server_are_refused(canvas: Canvas) -> None:
    for headers, status, code in (
        ({"Origin": "https://elsewhere.example"}, 403, "ORIGIN_NOT_ALLOWED"),
        ({"Host": "elsewhere.example"}, 421, "HOST_NOT_ALLOWED"),
    ):
        answer = canvas.http.patch(canvas.path, json={"title": "x"}, headers=headers)
        assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert canvas.state["title"] == canvas.ref


def test_a_body_larger_than_allowed_is_refused_whether_declared_or_streamed() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(body_bytes_max=1000))) as served:
        canvas = served.canvas("text\n")
        headers = {"Content-Type": "application/json"}
        for content in (b"x" * 1001, (b"x" * 100 for _ in range(11))):
            answer = canvas.http.post(f"{canvas.path}/ops:stream", content=content, headers=headers)
            assert (answer.status_code, problem(answer)["code"]) == (413, "TOO_LARGE")
        assert canvas.text == "text\n"


def test_every_limit_on_an_operation_is_held_to_the_byte() -> None:
    limits = LimitSettings(ops_max=2, content_bytes_max=10, regex_chars_max=3, meta_keys_max=1, meta_chars_max=2)
    with serving(replace(IN_MEMORY, limits=limits)) as served:
        canvas = served.canvas("text\n")
        pattern = {"type": "regex", "regex": {"pattern": "text"}}
        fits = [append("12345678é", meta={"ab": "cd"}), append("")]
        for pointer, operations in (
            ("/ops/0/content", [append("123456789é")]),
            ("/ops/1/content", [append(""), append("123456789é")]),
            ("/ops", [append(""), append(""), append("")]),
            ("/ops/0/target/regex/pattern", [{**append("x"), "target": pattern}]),
            ("/ops/0/meta", [append("x", meta={"a": "b", "c": "d"})]),
            ("/ops/0/meta", [append("x", meta={"a": "bcd"})]),
        ):
            first, *others = operations
            answer = canvas.post({"client_version": canvas.version, **first}, *others)
            assert (answer.status_code, problem(answer)["pointer"]) == (422, pointer)
        assert canvas.text == "text\n"
        assert [event["type"] for event in canvas.submit(*fits)] == ["ack", "ack"]


def test_a_full_disk_is_told_on_the_stream_and_nothing_is_lost() -> None:
    disk = Disk(0)
    checkpoint = CheckpointSettings(ops=2, unsaved_ops_max=3, retry_max_s=0.01)
    with serving(replace(IN_MEMORY, checkpoint=checkpoint), disk) as served:
        canvas = served.canvas("")
        disk.is_full = True
        with canvas.listen() as listener:
            listener.expect("snapshot")
            acks = canvas.submit(append("a"), append("b"), append("c"))
            failed = listener.expect("checkpoint")
            assert (failed["failed"], failed["checkpoint_version"]) == (True, acks[0]["base_version"])
            assert failed["retry_in_ms"] > 0
            answer = canvas.post(append("d", client_version=canvas.version))
            assert (answer.status_code, problem(answer)["code"]) == (503, "STORAGE_UNAVAILABLE")
            refused = canvas.http.post(f"{canvas.path}:close")
            assert (refused.status_code, problem(refused)["code"]) == (503, "STORAGE_UNAVAILABLE")
            assert served.http.get("/readyz").status_code == 503
            disk.is_full = False
            saved = listener.expect("checkpoint", server_version=acks[2]["server_version"], failed=None)
            assert saved["ops"] == 3
        assert canvas.text == "abc"
        assert served.http.get("/readyz").status_code == 200


def test_a_canvas_that_cannot_be_read_is_an_error_and_never_an_empty_canvas() -> None:
    disk = Disk(0)
    with serving(IN_MEMORY, disk) as served:
        canvas = served.canvas("text\n")
        disk.is_torn = True
        for path in ("", "/ops", "/ops:listen"):
            answer = canvas.http.get(f"{canvas.path}{path}")
            assert (answer.status_code, problem(answer)["code"]) == (503, "STORAGE_CORRUPT")
        disk.is_torn = False
        assert canvas.text == "text\n"


class CheckedDisk(Disk):
    """A disk that counts how often it was asked whether it can be written to."""

    checks = 0

    async def check(self) -> None:
        self.checks += 1
        if self.is_full:
            raise StorageUnavailableError("/home/ann/canvas.db is full", hint="Free some space.")


def test_who_asks_whether_the_server_is_ready_learns_nothing_of_the_machine_and_makes_it_no_work() -> None:
    disk = CheckedDisk(0)
    with serving(IN_MEMORY, disk, credentials=True) as served:
        disk.is_full = True
        told = [served.http.get("/readyz") for _ in range(200)]
        assert {answer.status_code for answer in told} == {503}
        assert {tuple(answer.json()["reasons"]) for answer in told} == {("the store cannot be written to",)}
        assert disk.checks < 50
        ann = person(served)
        assert ann.ask("GET", "/readyz").json()["reasons"] == [
            "the store cannot be written to: /home/ann/canvas.db is full"
        ]


def test_nothing_that_is_answered_is_kept_on_the_way_unless_it_says_how(canvas: Canvas) -> None:
    description = canvas.http.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        if "get" not in methods or "listen" in path or "stream" in path or "chunks" in path:
            continue
        filled = re.sub(r"\{[^}]+\}", canvas.ref, path)
        told = canvas.http.get(filled).headers.get_list("cache-control")
        assert told in (["no-store"], ["no-cache"]), (path, told)


def test_the_server_says_that_it_is_alive_and_ready() -> None:
    with serving(IN_MEMORY) as served:
        assert served.http.get("/healthz").json() == {"status": "ok"}
        assert served.http.get("/readyz").json() == {"ready": True, "reasons": [], "oldest_unsaved_s": 0.0}
