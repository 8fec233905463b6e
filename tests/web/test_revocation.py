"""Rights that are lost while something is open: streams and uploads end within seconds, and nothing leaks after it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server import accounts
from canvas_server.config.settings import DemoSettings, Settings, StorageSettings
from canvas_server.core.access import Access
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import Clock
from canvas_server.state.identity import Identity
from canvas_server.storage.canvases import SqliteCanvasStore
from tests.listener import Event, Listener
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import IN_MEMORY, Served, append, serving
from tests.upload import Upload
from tests.web.people import Person, forgive, person

pytestmark = pytest.mark.promise("R38")

JOBS: Final = "/api/v1/dialogues/generate/jobs"
WITHIN_S: Final = amount(ci=10, hand=5)
"""A busy machine has other work to do, too."""
LASTS_S: Final = 4.0
"""A token that is to expire: until then everything that it is to end must have begun."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(
        storage=StorageSettings(data_dir=str(tmp_path_factory.mktemp("data"))), demo=DemoSettings(delay_ms=200)
    )
    with serving(settings, credentials=True) as running:
        yield running


@pytest.fixture(autouse=True)
def forgiven(server: Served) -> None:
    forgive(server)


@pytest.fixture
def ann(server: Served) -> Person:
    """Owns the canvas, and stays."""
    return person(server, "admin")


def http_of(ann: Person, method: str, path: str, body: object = None) -> None:
    answer = ann.ask(method, path, body)
    assert answer.status_code < 300, answer.text


def _elsewhere(server: Served, work: Callable[[Identity], object]) -> None:
    """Change users as another process does: in the database."""

    async def run(identity: Identity, _clock: Clock) -> None:
        await work(identity)  # type: ignore[misc]

    data_dir = _data_dir(server)
    with ThreadPoolExecutor(1) as pool:  # it has a loop of its own, as the command line has
        pool.submit(accounts.change_identity, Settings(storage=StorageSettings(data_dir=data_dir)), run).result()


def _data_dir(server: Served) -> str:
    store = server.manager._store
    assert isinstance(store, SqliteCanvasStore)
    return str(store._database.path.parent)


Loss = Callable[[Served, Person, Person, str], None]


def _revoke(server: Served, ann: Person, bob: Person, ref: str) -> None:
    http_of(ann, "DELETE", f"/api/v2/tokens/{bob.token.id}")


def _lock_out(server: Served, ann: Person, bob: Person, ref: str) -> None:
    http_of(ann, "PATCH", f"/api/v2/users/{bob.name}", {"active": False})


def _delete_user(server: Served, ann: Person, bob: Person, ref: str) -> None:
    http_of(ann, "DELETE", f"/api/v2/users/{bob.name}")


def _unshare(server: Served, ann: Person, bob: Person, ref: str) -> None:
    http_of(ann, "PUT", f"/api/v2/canvas/{ref}/access", {"shared_with": {}})


def _revoke_elsewhere(server: Served, ann: Person, bob: Person, ref: str) -> None:
    _elsewhere(server, lambda identity: identity.delete_tokens([bob.token.id]))


def _delete_elsewhere(server: Served, ann: Person, bob: Person, ref: str) -> None:
    _elsewhere(server, lambda identity: identity.delete_user(bob.name))


def _lower_role(server: Served, ann: Person, bob: Person, ref: str) -> None:
    http_of(ann, "PATCH", f"/api/v2/users/{bob.name}", {"role": "reader"})


def _wait_for_expiry(server: Served, ann: Person, bob: Person, ref: str) -> None:
    """Do nothing: the time of the token is over soon."""


LOSSES: Final[dict[str, Loss]] = {
    "token revoked": _revoke,
    "user locked out": _lock_out,
    "user deleted": _delete_user,
    "token revoked by another process": _revoke_elsewhere,
    "user deleted by another process": _delete_elsewhere,
    "role lowered": _lower_role,
    "token expired": _wait_for_expiry,
    "canvas not shared any more": _unshare,
}
BY_TOKEN: Final = [name for name in LOSSES if name != "canvas not shared any more"]


def _bob(server: Served, loss: str) -> Person:
    return person(server, lasts_s=LASTS_S if loss == "token expired" else None)


def _shared(ann: Person, bob: Person) -> str:
    return ann.canvas("text", access={"shared_with": {bob.name: "write"}})


def _lose(server: Served, ann: Person, bob: Person, ref: str, loss: str) -> float:
    """Take the right away; return when that was done, or will be."""
    LOSSES[loss](server, ann, bob, ref)
    ends_unix_ms = bob.token.expires_unix_ms
    return time.monotonic() + (0.0 if ends_unix_ms is None else ends_unix_ms / 1000 - time.time())


def _rest(stream: Listener) -> bytes:
    """Return what the stream of a job still tells, up to its end in good order."""
    told = b""
    while not told.endswith(b"\r\n0\r\n"):
        told += stream._raw.readline()
    return told


def _ends(listener: Listener, since_s: float) -> tuple[list[Event], float]:
    """Return what a stream still tells, and how long after the loss it ended."""
    events = listener.rest()
    return events, time.monotonic() - since_s


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("many", [False, True], ids=["one canvas", "many canvases"])
def test_a_stream_ends_when_its_right_is_lost_and_tells_nothing_of_what_comes_after(
    server: Served, ann: Person, loss: str, many: bool, findings: Findings
) -> None:
    bob = _bob(server, loss)
    ref, own = _shared(ann, bob), bob.canvas("own")
    path = f"/api/v2/ops:listen?ref={own}&ref={ref}" if many else f"/api/v2/canvas/{ref}/ops:listen"
    with bob.listen(path) as stream, ann.hear(ref) as stays:
        stream.until("snapshot", canvas=ref)
        before = append("before")
        assert ann.post(ref, before).status_code == 202
        stream.expect("ack", op_id=before["op_id"])
        since_s = _lose(server, ann, bob, ref, loss)
        if loss in ("token expired", "token revoked by another process", "user deleted by another process"):
            heard, took_s = _ends(stream, since_s)  # noticed within a second or two, not at once
            after = append("after")
            assert ann.post(ref, after).status_code == 202
        else:
            after = append("after")
            assert ann.post(ref, after).status_code == 202
            heard, took_s = _ends(stream, since_s)
        stays.expect("ack", op_id=after["op_id"])
    assert heard[-1].type == "bye"
    assert heard[-1]["reason"] == "revoked"
    assert not any("after" in json.dumps(event.data) for event in heard)
    assert took_s < WITHIN_S
    findings.tell("R38", f"stream after: {loss}", f"{took_s:.2f} s", "ends within 5 s, nothing leaks")


@pytest.mark.parametrize("loss", BY_TOKEN)
def test_the_stream_of_a_job_ends_when_its_right_is_lost(server: Served, ann: Person, loss: str) -> None:
    bob = _bob(server, loss)
    job = bob.ask("POST", JOBS, {"prompt": "x", "provider": "demo"}).json()["job_id"]
    with bob.listen(f"{JOBS}/{job}/stream") as stream:
        while b'"type":"chunk"' not in stream._raw.readline():
            pass
        since_s = _lose(server, ann, bob, "", loss)
        told = _rest(stream)
    assert b'"type":"bye","reason":"revoked"' in told
    assert b"complete" not in told
    assert time.monotonic() - since_s < WITHIN_S


@pytest.mark.parametrize("loss", LOSSES)
def test_an_upload_ends_when_its_right_is_lost_and_writes_nothing_more(server: Served, ann: Person, loss: str) -> None:
    bob = _bob(server, loss)
    ref = _shared(ann, bob)
    version = ann.ask("GET", f"/api/v2/canvas/{ref}").json()["version"]
    with Upload(server.port, f"/api/v2/canvas/{ref}/ops:stream", headers=bob.headers) as upload, ann.hear(ref) as hears:
        upload.line({**append("-before"), "client_version": version})
        hears.expect("ack")
        since_s = _lose(server, ann, bob, ref, loss)
        answer = upload.answer()
        took_s = time.monotonic() - since_s
        upload.line(append("-after"))
    assert answer.status == 401
    assert answer.body["accepted_ops"] == 1
    assert took_s < WITHIN_S
    assert ann.text(ref) == "text-before"


def test_a_stream_of_others_goes_on(server: Served, ann: Person) -> None:
    bob, carl = person(server), person(server)
    ref = ann.canvas("text", access={"shared_with": {bob.name: "read", carl.name: "write"}})
    other = person(server, name=bob.name)
    with carl.hear(ref) as of_carl, other.hear(ref) as of_other, bob.hear(ref) as of_bob:
        for stream in (of_carl, of_other, of_bob):
            stream.expect("snapshot")
        _revoke(server, ann, bob, ref)
        assert of_bob.rest()[-1]["reason"] == "revoked"
        operation = append("!")
        assert carl.post(ref, operation).status_code == 202
        for stream in (of_carl, of_other):
            stream.expect("ack", op_id=operation["op_id"])


def test_who_may_write_no_more_reads_on_and_the_upload_ends(server: Served, ann: Person) -> None:
    bob = person(server)
    ref = _shared(ann, bob)
    version = ann.ask("GET", f"/api/v2/canvas/{ref}").json()["version"]
    with Upload(server.port, f"/api/v2/canvas/{ref}/ops:stream", headers=bob.headers) as upload, bob.hear(ref) as hears:
        upload.line({**append("-before"), "client_version": version})
        hears.expect("ack")
        http_of(ann, "PUT", f"/api/v2/canvas/{ref}/access", {"shared_with": {bob.name: "read"}})
        assert upload.answer().status == 401
        operation = append("-after")
        assert ann.post(ref, operation).status_code == 202
        hears.expect("ack", op_id=operation["op_id"])


def test_an_admin_who_is_one_no_more_hears_no_canvas_of_others_by_a_ticket_either(server: Served, ann: Person) -> None:
    boss = person(server, "admin")
    ref = ann.canvas("text")
    ticket = boss.ask("POST", "/api/v2/tickets", {"refs": [ref]}).json()["ticket"]
    with server.listen(f"/api/v2/canvas/{ref}/ops:listen?ticket={ticket}") as stream:
        stream.expect("snapshot")
        http_of(ann, "PATCH", f"/api/v2/users/{boss.name}", {"role": "reader"})
        assert stream.rest()[-1]["reason"] == "revoked"


def test_a_user_has_as_many_streams_as_one_may_however_they_come(ann: Person) -> None:
    limits = replace(IN_MEMORY.limits, listeners_per_user_max=8)
    with serving(replace(IN_MEMORY, limits=limits), credentials=True) as server:
        bob, carl = person(server), person(server)
        refs = [bob.canvas(access={"link": "read"}) for _ in range(24)]
        with ThreadPoolExecutor(24) as pool:
            streams = list(pool.map(bob.hear, refs))
        firsts = [stream.next() for stream in streams]
        assert [first["reason"] for first in firsts if first.type == "bye"] == ["overload"] * 16
        assert all(stream.status == 200 for stream in streams)
        with carl.hear(refs[0]) as others:
            assert others.next().type == "start"
        for stream in streams:
            stream.close()


def test_the_jobs_of_somebody_locked_out_stop(server: Served, ann: Person) -> None:
    bob = person(server)
    ref = bob.canvas("text", access={"shared_with": {ann.name: "read"}})
    place = {"ref": ref, "action": "insert", "target": {"type": "position", "position": {"mode": "end"}}}
    jobs = [
        bob.ask("POST", JOBS, {"prompt": f"{number}", "provider": "demo", "canvas": place}).json()["job_id"]
        for number in range(6)
    ]
    with ann.listen(f"{JOBS}/{jobs[0]}/stream") as stream:
        while b'"type":"chunk"' not in stream._raw.readline():
            pass
        _lock_out(server, ann, bob, ref)
        _rest(stream)
    deadline_s = time.monotonic() + WITHIN_S
    states = [""]
    while (set(states) != {"cancelled"} or server.house.engine.running) and time.monotonic() < deadline_s:
        states = [ann.ask("GET", f"{JOBS}/{job}").json()["state"] for job in jobs]
    assert set(states) == {"cancelled"}, states
    assert server.house.engine.running == 0


def test_a_right_that_is_lost_while_a_stream_opens_is_lost_to_it_too(
    server: Served, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = person(server)
    ref = _shared(ann, bob)
    server.run(server.manager.close(CanvasRef(ref)))
    store = server.manager._store
    load = store.load

    async def load_slowly(*args: object) -> object:
        """The right is lost after it was asked for, and before the text is there."""
        loaded = await load(*args)  # type: ignore[arg-type]
        await store.set_access(loaded.canvas.key, Access(owner=ann.name))
        return await load(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "load", load_slowly)
    with bob.hear(ref) as stream:
        assert stream.status in (401, 404)
