"""Rights hold everywhere: every route of the table of contents against every kind of caller, over real sockets.

A route without a row in `tests/web/policy.py` fails. What is refused for a canvas that is secret must be, byte for
byte, what is refused for one that is not there; and whatever is refused must change nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from types import MethodType
from typing import Any, Final, NamedTuple

import httpx2
import msgspec
import pytest
from msgspec.structs import replace
from starlette.routing import Route

from canvas_server.config.settings import DemoSettings, LimitSettings, ServerSettings
from canvas_server.core.access import Access, Shared
from canvas_server.core.errors import NotFoundError
from canvas_server.core.identity import RIGHTS, User
from canvas_server.core.ids import CanvasRef
from canvas_server.core.job import JobId
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.web.dialogues import Dialogues
from canvas_server.web.exchange import Resource
from canvas_server.web.routes import Web
from canvas_server.web.sessions import SignInCode
from tests.proof.findings import Findings
from tests.serving import IN_MEMORY, Served, append, serving
from tests.web.people import bearer, forgive, person
from tests.web.policy import CALLERS, INTO, JOB, PRESET, ROWS, Row, Who, expected

pytestmark = [pytest.mark.slow, pytest.mark.promise("R38")]

OWNER: Final = "owner"
JOBS: Final = "/api/v1/dialogues/generate/jobs"
_numbers: Final = itertools.count(1)
_FAST: Final[list[Served]] = []
"""Servers whose canvases are open, so that what can be answered at once is."""


def settings_of(parser: str) -> Any:
    # No bound on what a test of rights does often: users start many jobs here, and open many streams.
    generation = replace(IN_MEMORY.generation, running_max=64, running_per_actor_max=60, queued_per_actor_max=1_000)
    return replace(
        IN_MEMORY,
        server=ServerSettings(http=parser),  # type: ignore[arg-type]
        demo=DemoSettings(delay_ms=0),
        generation=generation,
        limits=LimitSettings(listeners_per_user_max=0),
    )


@pytest.fixture(scope="module", params=["httptools", "h11"])
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(settings_of(request.param), credentials=True) as running:
        running.run(running.house.identity.put_user(User(name=OWNER, role="writer")))
        if request.param == "httptools":
            _FAST.append(running)
        yield running


def web_of(server: Served) -> Web:
    web = server.house.app._app
    assert isinstance(web, Web)
    return web


def routes_of(web: Web) -> list[str]:
    """Return `METHOD path` of every route; HEAD is tried with each GET."""
    names = []
    for route in web._routes:
        assert isinstance(route, Route)
        assert isinstance(route.app, Resource)
        names += [f"{method} {route.path}" for method in route.app._handlers if method != "HEAD"]
    return names


def test_every_route_has_a_row_and_answers_head_as_get(server: Served, findings: Findings) -> None:
    names = routes_of(web_of(server))
    assert sorted(names) == sorted(ROWS)
    findings.tell("R38", "routes, callers of each", f"{len(names)}, {len(CALLERS)}", "as the policy says")


class Case(NamedTuple):
    """One request of one caller."""

    server: Served
    who: Who
    row: Row
    ref: str
    values: dict[str, str]
    headers: Mapping[str, str]
    ticket: str | None

    def absent(self, method: str, path: str) -> tuple[httpx2.Response, str]:
        """Send the same about what is not there, and return by what name."""
        if self.row.about == "job":
            name = "00000000-0000-4000-8000-000000000000"
            return self.send(method, path, job_id=name, task_id=name), name
        name = "absent".ljust(len(self.ref), "x")
        about = {"id": "0" * 16} if self.row.about == "token" else {"ref": name, "id": name}
        return self.send(method, path, **about), name

    def send(self, method: str, path: str, **about: str) -> httpx2.Response:
        """Send it, about something else if that is told; of a stream only the head is read."""
        values = {**self.values, **about}
        query = _filled(self.row.query, values)
        if self.ticket is not None:
            query += f"&ticket={self._fresh_ticket()}"
        headers, content = dict(self.headers), None
        if self.row.body is not None:
            body = _filled(self.row.body, values)
            content = json.dumps(body).encode() + (b"\n" if self.row.ndjson else b"")
            headers["Content-Type"] = "application/x-ndjson" if self.row.ndjson else "application/json"
        forgive(self.server)
        target = f"{_filled(path, values)}?{query}"
        with self.server.http.stream(method, target, headers=headers, content=content) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
            return answer

    def _fresh_ticket(self) -> str:
        identification = web_of(self.server)._gate.identification
        assert self.ticket is not None

        async def give() -> str:
            caller = identification.caller({b"authorization": f"Bearer {self.ticket}".encode()})
            refs = frozenset({self.ref if self.who.bound == "here" else "elsewhere"})
            return identification.tickets.give(caller._replace(rights=frozenset({"read"}), canvases=refs))

        return self.server.run(give())


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, told in values.items():
            value = value.replace("{" + name + "}", told)
        return value
    if isinstance(value, dict):
        return {name: _filled(item, values) for name, item in value.items()}
    return [_filled(item, values) for item in value] if isinstance(value, list) else value


class Cast:
    """All callers, for one canvas."""

    def __init__(self, server: Served, row: Row, ref: str) -> None:
        self._server, self._row, self._ref = server, row, ref
        self.root = person(server, "admin", "root")
        self.made = [self.root]
        # httptools with the canvas open is the fast path; the other parser has none, and finds the canvas closed.
        self.is_warm = server in _FAST

    def credentials(self, name: str, who: Who) -> tuple[dict[str, str], str | None]:
        """Return the headers of a caller, and the token that its tickets are made with."""
        bound = {"here": [self._ref], "elsewhere": ["elsewhere"]}.get(who.bound)
        match name:
            case "nobody":
                return {}, None
            case "wrong token":
                return bearer("cvs_wrong"), None
            case _:
                pass
        user = self.user_of(name, who)
        if who.way == "job":
            identification = web_of(self._server)._gate.identification
            assert bound is not None
            self._server.run(self._server.house.identity.put_user(User(name=user, role="writer")))
            return bearer(identification.issue("job:1", "job", bound[0], user)), None
        gone = self._row.needs if who.without == "it" else who.without
        made = person(
            self._server,
            who.role,  # type: ignore[arg-type]
            user,
            rights=RIGHTS.keys() - set(gone.split()),
            canvases=None if who.way == "ticket" else bound,
            lasts_s=-5.0 if name == "expired token" else None,
            purpose="session" if who.way == "session" else "token",
        )
        self.made.append(made)
        identity = self._server.house.identity
        match name:
            case "revoked token":
                self._server.run(identity.delete_tokens([made.token.id]))
            case "locked out":
                self._server.run(identity.put_user(User(name=user, role="writer", active=False)))
            case "deleted user":
                self._server.run(identity.delete_user(user))
            case _:
                pass
        if who.way == "cookie":
            answer = made.ask("POST", "/api/v2/sessions/cookie")
            return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}, None
        return ({}, made.secret) if who.way == "ticket" else (made.headers, None)

    def user_of(self, name: str, who: Who) -> str:
        return f"{name.translate(_PLAIN)}-{who.role}"

    def access(self, name: str, who: Who) -> Access:
        """Return rights to the canvas under which a caller has its level."""
        user = self.user_of(name, who)
        shared: dict[str, Shared] = {"some-body": "read"}
        if "link" in name:
            return Access(owner=OWNER, link="write" if who.level == "write" else "read", shared=shared)
        if who.level == "own":
            return Access(owner=user, shared=shared)
        if who.level in ("read", "write"):
            shared[user] = "write" if who.level == "write" else "read"
        return Access(owner=OWNER, shared=shared)

    def close(self) -> None:
        """Take all tokens away, so that the list of them stays short."""
        self._server.run(self._server.house.identity.delete_tokens([made.token.id for made in self.made]))


_PLAIN: Final = str.maketrans({" ": "-", ",": ""})


async def _state(server: Served, ref: CanvasRef) -> tuple[object, ...]:
    """Return what refused requests must not change."""
    identity, manager = server.house.identity, server.manager
    try:
        saved = await manager.saved(ref)
        room = manager.get(ref)
        told: object = (saved.title, saved.version, saved.access, room and str(room.canvas.document.text))
    except NotFoundError as error:
        told = str(error)
    listed = await manager.list_canvases(200, None)
    users = [(user.name, user.role, user.active) for user in identity.users]
    tokens = [token.id for token in identity.tokens]
    jobs = await server.house.engine._shop.jobs.list(None, active=False, limit=1_000)
    quotas = [
        (user.name, (await server.house.engine._shop.costs.standing(user.name)).quota_micros) for user in identity.users
    ]
    return told, [one.ref for one in listed.canvases], users, tokens, [job.id for job in jobs], quotas


async def _made(cast: Cast, case: Case, access: Access, path: str) -> None:
    """Make a canvas, a user and a code anew, as far as a case is about them."""
    row, ref, values, house = case.row, CanvasRef(case.ref), case.values, case.server.house
    if row.about != "new":
        saved, _ = await house.manager.create(ref, ref, "text", access)
        values["version"] = saved.version.etag
        if cast.is_warm:
            await house.manager.open(ref)
    if row.open:
        code = SignInCode(OWNER, frozenset({"read"}), here_only=False)
        values["code"] = house.sessions.link(code).partition("#t=")[2]
    elif "name}" in path + row.query + str(row.body):
        await house.identity.put_user(User(name=values["name"], role="reader"))


def _prepared(cast: Cast, case: Case, access: Access, path: str) -> None:
    """Make anew all that a case is about."""
    server, row, ref, values = case.server, case.row, case.ref, case.values
    owner = access.owner or OWNER

    server.run(_made(cast, case, access, path))
    match row.about:
        case "job":
            answer = cast.root.ask("POST", JOBS, {**JOB, "canvas": {**INTO["canvas"], "ref": ref}})
            assert answer.status_code == 201, answer.text
            values["job_id"] = values["task_id"] = answer.json()["job_id"]
            cast.root.ask("GET", f"{JOBS}/{values['job_id']}/stream")  # to its end
            server.run(_give_job(server, values["job_id"], owner))
        case "token":
            made = person(server, "writer", owner)
            values["id"] = made.token.id
            cast.made.append(made)
        case "copy":
            assert cast.root.ask("PUT", f"/api/v1/dialogues/{ref}", {"nodes": ["x"]}).status_code == 200
        case "preset":
            answer = cast.root.ask("POST", "/api/v1/presets", PRESET)
            assert answer.status_code == 201, answer.text
            values["id"] = answer.json()["id"]
        case _:
            pass
    if "op_id" in path:
        assert cast.root.post(ref, {**append("!"), "op_id": "op"}).status_code == 202


async def _give_job(server: Served, job_id: str, user: str) -> None:
    """Make a job, once it has ended, that of another user."""
    store = server.house.engine._shop.jobs
    job = await store.load(JobId(job_id))

    def give(connection: sqlite3.Connection) -> None:
        body = msgspec.json.encode(replace(job, user=user))
        connection.execute("UPDATE job SET user = ?, body = ? WHERE id = ?", (user, body, job_id))

    assert isinstance(store, SqliteJobStore)
    await store._database.write(give)


def _undone(case: Case, path: str) -> None:
    async def undo() -> None:
        manager, ref = case.server.manager, CanvasRef(case.ref)
        with suppress(NotFoundError):
            await manager.delete(ref, "test")
        if case.row.about == "copy":
            await _dialogues(case.server)._copies._files.delete(case.ref)
        # A job that was let in opens the canvas of the next case, if it has not noticed yet that its own is gone.
        jobs = case.server.house.engine._shop.jobs
        async with asyncio.timeout(10.0):
            while await jobs.list(None, active=True, limit=1):  # noqa: ASYNC110 - a job tells of its end to its readers only
                await asyncio.sleep(0.005)

    case.server.run(undo())
    if case.row.about == "preset":
        root = person(case.server, "admin", "root")
        root.ask("DELETE", f"/api/v1/presets/{case.values['id']}")
        case.server.run(case.server.house.identity.delete_tokens([root.token.id]))


def _dialogues(server: Served) -> Dialogues:
    route = next(route for route in web_of(server)._routes if route.path == "/api/v1/dialogues/{id}")
    assert isinstance(route.app, Resource)
    handler = route.app._handlers["GET"].handler
    assert isinstance(handler, MethodType)
    assert isinstance(handler.__self__, Dialogues)
    return handler.__self__


def _check(cast: Cast, case: Case, method: str, path: str) -> Iterator[str]:
    """Send a request, and yield what is wrong with what comes of it."""
    server, row, who = case.server, case.row, case.who
    before = server.run(_state(server, CanvasRef(case.ref)))
    answer = case.send(method, path)
    wanted = expected(row, method, who)
    if answer.status_code != wanted:
        yield f"{answer.status_code} instead of {wanted}: {answer.text if answer.is_stream_consumed else ''}"
        return
    if wanted >= 400 and (after := server.run(_state(server, CanvasRef(case.ref)))) != before:
        yield f"refused, and changed {[pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]}"
    if wanted == 404 and not row.one_way:
        yield from _differences(case, answer, *case.absent(method, path))
    if method == "GET" and (head := case.send("HEAD", path)).status_code not in (wanted, 405):
        yield f"HEAD {head.status_code} instead of {wanted}"


def _differences(case: Case, secret: httpx2.Response, absent: httpx2.Response, name: str) -> Iterator[str]:
    """Yield by what a refusal for what is secret can be told from one for what is not there."""
    if secret.status_code != absent.status_code:
        yield f"absent: {absent.status_code}"
        return
    told = [
        {field: value for field, value in answer.headers.items() if field not in ("date", "x-request-id")}
        for answer in (secret, absent)
    ]
    if told[0] != told[1]:
        yield f"headers {told}"
    real = case.ref if name.startswith("absent") else case.values.get("job_id", "")
    bodies = [_told(secret, real), _told(absent, name)]
    if bodies[0] != bodies[1]:
        yield f"bodies {bodies}"


def _told(answer: httpx2.Response, name: str) -> object:
    """Return the fields of a problem but `instance`, which says again what was asked, with `@` for a name."""
    return {
        field: value.replace(name or "@", "@") if isinstance(value, str) else value
        for field, value in answer.json().items()
        if field != "instance"
    }


SERVED_FILES = {"/page/{name}": "index.html", "/client/{name}": "index.js"}


@pytest.mark.parametrize("name", ROWS)
def test_every_caller_may_do_what_the_policy_says_and_no_more(server: Served, name: str) -> None:
    method, _, path = name.partition(" ")
    wrong = []
    for row in ROWS[name]:
        ref = f"row-{next(_numbers):06}"
        with closing(Cast(server, row, ref)) as cast:
            for called, who in CALLERS.items():
                headers, ticket = cast.credentials(called, who)
                number = next(_numbers)
                target = SERVED_FILES.get(path, f"target-{number}")
                values = {"ref": ref, "id": ref, "op_id": "op", "name": target, "user": target}
                case = Case(server, who, row, ref, {**values, "fresh": f"fresh-{number}"}, headers, ticket)
                _prepared(cast, case, cast.access(called, who), path)
                wrong += [f"{called}: {problem}" for problem in _check(cast, case, method, path)]
                _undone(case, path)
    assert wrong == []
