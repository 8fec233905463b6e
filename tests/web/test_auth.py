"""Who asks: tokens of the settings, tokens issued for a while, and those without one."""

from __future__ import annotations

import json

import httpx2
import pytest

from canvas_server.web.auth import Actor, Caller, Identification, author_of
from canvas_server.web.exchange import Exchange, Request, Resource
from canvas_server.web.ops import submit_at_once
from canvas_server.web.problems import AuthRequiredError, ForbiddenError
from tests.serving import Served, append

TOKEN = "ada-ada-ada-ada-ada"
MINE = "/api/v2/canvas/mine"


@pytest.fixture
def identification() -> Identification:
    return Identification([Actor("ada", "human", TOKEN, "admin"), Actor("bot", "agent", "bot-bot-bot-bot-bot")])


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


def test_a_caller_is_known_by_the_token_and_is_an_admin_only_if_the_settings_say_so(
    identification: Identification,
) -> None:
    assert identification.caller(bearer(TOKEN)) == Caller("ada", "human", admin=True)
    assert identification.caller(bearer("bot-bot-bot-bot-bot")) == Caller("bot", "agent", admin=False)
    assert identification.caller({}) == Caller("local", "human", admin=False)


@pytest.mark.parametrize(
    "authorization", [b"", b"Bearer ", b"Bearer wrong", b"Basic " + TOKEN.encode(), TOKEN.encode()]
)
def test_a_token_that_is_not_known_is_refused(identification: Identification, authorization: bytes) -> None:
    with pytest.raises(AuthRequiredError):
        identification.caller({b"authorization": authorization})


def test_an_issued_token_is_known_until_it_is_revoked(identification: Identification) -> None:
    token = identification.issue("Génération 7 é/…", "job", "notes")

    caller = identification.caller(bearer(token))
    assert caller == Caller("Génération 7 é/…", "job", admin=False, canvas="notes")
    author = author_of(caller, bearer(token), "client")
    assert (author.actor, author.kind, author.client_id) == ("Génération 7 é/…", "job", "client")

    identification.revoke(token)
    identification.revoke(token)
    with pytest.raises(AuthRequiredError):
        identification.caller(bearer(token))
    assert identification.caller(bearer(TOKEN)).name == "ada"


def test_issued_tokens_cannot_be_guessed_and_are_never_the_same(identification: Identification) -> None:
    tokens = {identification.issue("job", "job", "notes") for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) >= 43 for token in tokens)


async def asked_with(token: str, identification: Identification, method: str, path: str) -> int:
    """Return the status of an answer to a request that every handler would serve."""

    async def serve(exchange: Exchange) -> None:
        await exchange.answer(204)

    app = Resource(identification, dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), serve))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost") as http:
        answer = await http.request(method, path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (204, 403)
    assert answer.status_code == 204 or method == "HEAD" or answer.json()["code"] == "FORBIDDEN"
    return answer.status_code


WITHIN = [
    ("GET", MINE),
    ("HEAD", MINE),
    ("GET", f"{MINE}/ops"),
    ("GET", f"{MINE}/ops/op-1"),
    ("GET", f"{MINE}/ops:listen"),
    ("GET", f"{MINE}/outline"),
    ("POST", f"{MINE}/ops:stream"),
    ("POST", f"{MINE}/presence"),
]
BEYOND = [
    ("DELETE", MINE),
    ("PUT", MINE),
    ("PATCH", MINE),
    ("POST", f"{MINE}:close"),
    ("POST", f"{MINE}/ops:preview"),
    ("GET", f"{MINE}-not"),
    ("POST", f"{MINE}-not/ops:stream"),
    ("DELETE", "/api/v2/canvas/other"),
    ("GET", "/api/v2/canvas"),
    ("POST", "/api/v2/canvas"),
    ("GET", "/api/v2/ops:listen?ref=mine&ref=other"),
    ("POST", "/api/v1/dialogues/generate/jobs"),
    ("GET", "/api/v1/costs/usage"),
    ("PUT", "/api/v1/presets/mine"),
]


@pytest.mark.parametrize(("method", "path"), WITHIN)
async def test_a_writer_of_a_canvas_may_read_it_and_write_into_it(
    identification: Identification, method: str, path: str
) -> None:
    token = identification.issue("job:1", "job", "mine")
    assert await asked_with(token, identification, method, path) == 204


@pytest.mark.parametrize(("method", "path"), BEYOND)
async def test_a_writer_of_a_canvas_may_do_nothing_else_anywhere(
    identification: Identification, method: str, path: str
) -> None:
    token = identification.issue("job:1", "job", "mine")
    assert await asked_with(token, identification, method, path) == 403


@pytest.mark.parametrize(("method", "path"), WITHIN + BEYOND)
async def test_whoever_the_settings_name_is_bound_to_no_canvas(
    identification: Identification, method: str, path: str
) -> None:
    assert await asked_with(TOKEN, identification, method, path) == 204


def test_operations_that_are_taken_at_once_are_refused_at_another_canvas_too(
    served: Served, identification: Identification
) -> None:
    mine, other = served.canvas("mine"), served.canvas("other")
    token = identification.issue("job:1", "job", mine.ref)

    async def submit(ref: str, version: str) -> bytes | None:
        headers = [*bearer(token).items(), (b"content-type", b"application/json")]
        path = f"/api/v2/canvas/{ref}/ops:stream"
        scope = {"method": "POST", "path": path, "query_string": b"", "headers": headers}
        body = json.dumps({"ops": [append("!", client_version=version)]}).encode()
        return submit_at_once(Request(scope, identification, ref), body, served.manager)

    assert served.run(submit(mine.ref, mine.version)) is not None
    with pytest.raises(ForbiddenError):
        served.run(submit(other.ref, other.version))
    assert (mine.text, other.text) == ("mine!", "other")
