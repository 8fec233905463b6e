"""Durability `journal`: nothing is told, or shown, before it is on disk (PROTOCOL section 8)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import StorageSettings
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.ports import CheckpointRequest
from canvas_server.state.journal import Journal
from canvas_server.web.routes import Web
from tests.listener import PATIENCE_S
from tests.serving import IN_MEMORY, Canvas, append, serving
from tests.web.gullible import JOBS
from tests.web.test_problems import Disk
from tests.web.test_uploads_again import HeldDisk

T = TypeVar("T")

JOURNAL = replace(IN_MEMORY, storage=StorageSettings(ephemeral=True, durability="journal"))


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_what_the_disk_refuses_is_an_error_changes_nothing_and_may_be_sent_again() -> None:
    disk = Disk(0)
    with serving(JOURNAL, disk) as served:
        canvas = served.canvas("")
        operations = [append("a"), append("b")]
        with canvas.listen() as listener:
            listener.expect("snapshot")
            disk.is_full = True
            canvas.post({**operations[0], "client_version": canvas.version}, operations[1])
            refused = listener.take(2)
            assert [(event.type, event["code"]) for event in refused] == [("error", "STORAGE_UNAVAILABLE")] * 2
            assert canvas.state["version"] == canvas.state["checkpoint_version"]
            assert canvas.text == ""
            disk.is_full = False
            canvas.post({**operations[0], "client_version": canvas.version}, operations[1])
            assert [event.type for event in listener.take(2)] == ["ack", "ack"]
        assert canvas.text == "ab"


def test_what_was_acked_is_on_disk(tmp_path: Path) -> None:
    storage = StorageSettings(data_dir=str(tmp_path / "data"), durability="journal")
    with serving(replace(IN_MEMORY, storage=storage)) as served:
        canvas = served.canvas("")
        with canvas.listen() as listener:
            listener.expect("snapshot")
            canvas.post(append("x", client_version=canvas.version))
            version = listener.expect("ack")["server_version"]
            assert canvas.state["checkpoint_version"] == version


class DyingDisk(HeldDisk):
    """A disk that keeps one waiting, and then refuses, until it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    async def save(self, request: CheckpointRequest) -> None:
        await self.may_write.wait()
        if self.is_full:
            raise StorageUnavailableError("the disk is full", hint="Free some space.")
        await super().save(request)


def test_a_preview_that_waited_for_its_turn_shows_nothing_that_is_not_on_disk() -> None:
    """Its text was taken after the wait, when the journal may have been busy again."""
    disk = DyingDisk()
    with serving(JOURNAL, disk) as served, ThreadPoolExecutor(2) as pool:
        web = served.house.app._app
        assert isinstance(web, Web)
        canvas = served.canvas("[" * 100_000)
        version = canvas.version
        slow = pool.submit(served.http.get, f"{canvas.path}/preview")
        until(lambda: bool(web.press._running))
        waiting = pool.submit(served.http.get, f"{canvas.path}/preview")
        until(lambda: web.press._waiting == 2)
        assert not slow.done()
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        assert canvas.post(append("b", client_version=version)).status_code == 202
        assert slow.result().json()["version"] == version
        time.sleep(0.1)
        served.loop.call_soon_threadsafe(disk.may_write.set)
        assert waiting.result().json()["version"] == version


def test_the_list_tells_no_version_that_is_not_on_disk() -> None:
    disk = HeldDisk()
    with serving(JOURNAL, disk) as served:
        canvas = served.canvas("a")
        before = served.http.get("/api/v2/canvas").json()["canvases"]
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        assert canvas.post(append("b", client_version=canvas.version)).status_code == 202
        assert served.http.get("/api/v2/canvas").json()["canvases"] == before
        served.loop.call_soon_threadsafe(disk.may_write.set)
        assert canvas.text == "ab"
        assert served.http.get("/api/v2/canvas").json()["canvases"] != before


OLD: Final = "# Notes\n\nOne.\n\n## Kept\n\nOld.\n"
LOST: Final = {**append("\nNew.\n\n## Lost\n"), "op_id": "lost"}
INTO_LOST: Final = {"type": "heading", "heading": {"path": ["Lost"]}}

Told: TypeAlias = tuple[object, ...]
Question: TypeAlias = Callable[[Canvas, str], Told]
"""Asks about a canvas, knowing what its version would be after `LOST`; what it returns is told of the text."""


def get(rest: str = "", accept: str = "application/json", **headers: str) -> Question:
    """Return a question to a canvas, or what is below it; `{lost}` stands for the version after `LOST`."""

    def ask(canvas: Canvas, lost: str) -> Told:
        fields = {"Accept": accept} | {
            name.replace("_", "-"): value.format(lost=lost) for name, value in headers.items()
        }
        target, _, query = f"{canvas.path}{rest}".partition("?")
        parameters = dict(pair.split("=") for pair in query.format(lost=lost).split("&") if pair)
        answer = canvas.http.get(target, params=parameters, headers=fields)
        return answer.status_code, answer.headers.get("ETag"), answer.text

    return ask


def hear(target: str, *kinds: str, **headers: str) -> Question:
    """Return the question of a new reader of a stream, who listens until it has heard events of these kinds."""

    def ask(canvas: Canvas, lost: str) -> Told:
        fields = {name.replace("_", "-"): value.format(lost=cursor_of(lost)) for name, value in headers.items()}
        with canvas.served.listen(target.format(ref=canvas.ref, path=canvas.path), fields) as listener:
            told = [listener.expect(kind) for kind in kinds]
            return tuple((event["server_version"], event.data.get("content")) for event in told)

    return ask


def cursor_of(etag: str) -> str:
    return etag.removeprefix('W/"').removesuffix('"')


def say_where(canvas: Canvas, _lost: str) -> Told:
    """Say where one's cursor is: at the end of the text, wherever that is, as others are told."""
    answer = canvas.http.post(f"{canvas.path}/presence", json={"cursor": 10**6})
    with canvas.listen("snapshot=false") as listener:
        listener.expect("start")
        return answer.status_code, listener.next()["cursor"]


def try_out(canvas: Canvas, lost: str) -> Told:
    """Ask what an operation would do that needs the new heading."""
    operation = {**append("x"), "op_id": "tried", "target": INTO_LOST, "where": "inside_end", "client_version": lost}
    answer = canvas.http.post(f"{canvas.path}/ops:preview", json={"ops": [operation]})
    body = answer.json()
    return answer.status_code, body["server_version"], [event["type"] for event in body["events"]]


def start_job(canvas: Canvas, _lost: str) -> Told:
    """Have a model write under the new heading."""
    place = {"ref": canvas.ref, "action": "insert", "target": INTO_LOST, "where": "inside_end"}
    answer = canvas.http.post(JOBS, json={"prompt": "x", "provider": "demo", "canvas": place})
    return answer.status_code, answer.json().get("pointer")


QUESTIONS: Final = {
    "read": get(),
    "read as text": get(accept="text/markdown"),
    "read if it changed": get(If_None_Match="{lost}"),
    "read the past": get("?at=1"),
    "read the past by its version": get("?at={lost}"),
    "read the past as text": get("?at=1", "text/markdown"),
    "read a section": get("?section=kept"),
    "read a new section": get("?section=lost"),
    "read a section as text": get("?section=kept", "text/markdown"),
    "read a section of the past": get("?section=kept&at=1"),
    "outline": get("/outline"),
    "outline if it changed": get("/outline", If_None_Match="{lost}"),
    "history": get("/ops"),
    "history after a version": get("/ops?after={lost}"),
    "preview": get("/preview"),
    "preview of the past": get("/preview?at=1"),
    "presence": say_where,
    "ops:preview": try_out,
    "job": start_job,
    "listen": hear("{path}/ops:listen", "start", "snapshot"),
    "listen without a snapshot": hear("{path}/ops:listen?snapshot=false", "start"),
    "listen to many": hear("/api/v2/ops:listen?ref={ref}", "start", "snapshot"),
    "listen from a version": hear("{path}/ops:listen", "start", Last_Event_ID="{lost}"),
}
"""For each place that waits for the journal; every answer is another once `LOST` is on disk."""


def asked_while_held(monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor, ask: Callable[[], T]) -> Future[T]:
    """Ask something in a thread, and return when it is answered or waits for the journal."""
    waits, settled = threading.Event(), Journal.settled

    async def noticed(journal: Journal) -> None:
        waits.set()
        await settled(journal)

    monkeypatch.setattr(Journal, "settled", noticed)
    asked = pool.submit(ask)
    asked.add_done_callback(lambda _: waits.set())
    assert waits.wait(PATIENCE_S)
    return asked


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_nobody_is_told_what_is_not_on_disk(question: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = DyingDisk()
    with serving(JOURNAL, disk) as served, ThreadPoolExecutor(1) as pool:
        canvas = served.canvas(OLD)
        operation = {**LOST, "client_version": canvas.version}
        tried = canvas.http.post(f"{canvas.path}/ops:preview", json={"ops": [operation]}).json()
        lost = tried["server_version"]
        before = question(canvas, lost)
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        assert canvas.post(operation).status_code == 202
        asked = asked_while_held(monkeypatch, pool, lambda: question(canvas, lost))
        served.loop.call_soon_threadsafe(disk.may_write.set)
        assert asked.result() == before
        assert canvas.text == OLD
        disk.is_full = False
        canvas.submit(operation)
        assert canvas.version == lost
        assert question(canvas, lost) != before, "the answer says nothing of what was taken back"


def test_what_became_of_an_operation_is_told_when_it_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = DyingDisk()
    with serving(JOURNAL, disk) as served, ThreadPoolExecutor(1) as pool:
        canvas = served.canvas(OLD)
        operation = {**LOST, "client_version": canvas.version}
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        assert canvas.post(operation).status_code == 202
        asked = asked_while_held(monkeypatch, pool, lambda: canvas.http.get(f"{canvas.path}/ops/lost").json())
        served.loop.call_soon_threadsafe(disk.may_write.set)
        assert asked.result().get("type") != "ack"
        disk.is_full = False
        assert [event["type"] for event in canvas.submit(operation)] == ["ack"]
