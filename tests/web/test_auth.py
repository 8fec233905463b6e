"""Who asks: tokens of the settings, stored ones, those issued to jobs, tickets, cookies, and those without any."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.errors import NotFoundError
from canvas_server.core.identity import RIGHTS_OF, Right, Role, User
from canvas_server.core.ids import CanvasRef
from canvas_server.state.minting import Terms, mint
from canvas_server.web.auth import Caller, Identification, author_of
from canvas_server.web.exchange import Request
from canvas_server.web.gate import Gate
from canvas_server.web.ops import submit_at_once
from canvas_server.web.problems import AuthExpiredError, AuthRequiredError, ForbiddenError
from tests.serving import Served, append
from tests.web.gates import ADA, BOB, BOT, opened_gate

REF = CanvasRef("mine")


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with opened_gate() as gate:
        yield gate


@pytest.fixture
def identification(gate: Gate) -> Identification:
    return gate.identification


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


async def stored(identification: Identification, role: Role, terms: Terms, *rights: Right) -> str:
    """Store a user of that role with a token, and return it."""
    name = f"{role}-1"
    await identification.identity.put_user(User(name=name, role=role))
    minted = mint(name, frozenset(rights) or RIGHTS_OF[role], 1_000, terms)
    await identification.identity.put_token(minted.token)
    return minted.secret


def test_a_caller_is_known_by_the_token_and_may_do_what_its_role_allows(identification: Identification) -> None:
    ada, bob, bot = (identification.caller(bearer(token)) for token in (ADA, BOB, BOT))
    assert (ada.name, ada.kind, ada.rights, ada.admin) == ("ada", "human", RIGHTS_OF["admin"], True)
    assert (bob.name, bob.kind, bob.rights, bob.admin) == ("bob", "human", RIGHTS_OF["writer"], False)
    assert (bot.name, bot.kind, bot.rights, bot.admin) == ("bot", "agent", RIGHTS_OF["agent"], False)


def test_without_credentials_nobody_comes_in(identification: Identification) -> None:
    with pytest.raises(AuthRequiredError):
        identification.caller({})


async def test_where_nobody_is_asked_a_request_without_credentials_is_by_the_person_at_the_machine() -> None:
    async with opened_gate(required=False) as gate:
        caller = gate.identification.caller({})
        assert (caller.name, caller.kind, caller.everywhere) == ("local", "human", True)
        assert not {"admin", "unmetered"} & caller.rights
        with pytest.raises(AuthRequiredError):
            gate.identification.caller(bearer("wrong"))


@pytest.mark.parametrize(
    "authorization", [b"", b"Bearer ", b"Bearer wrong", b"Basic " + ADA.encode(), ADA.encode(), b"Bearer \xff\xfe"]
)
def test_a_token_that_is_not_known_is_refused(identification: Identification, authorization: bytes) -> None:
    with pytest.raises(AuthRequiredError):
        identification.caller({b"authorization": authorization})


async def test_a_token_allows_no_more_than_its_rights_and_no_more_than_the_role_of_its_user(
    identification: Identification,
) -> None:
    token = await stored(identification, "writer", Terms(), "read", "admin")
    assert identification.caller(bearer(token)).rights == {"read"}
    await identification.identity.put_user(User(name="writer-1", role="admin"))
    assert identification.caller(bearer(token)).rights == {"read", "admin"}


async def test_a_token_is_good_for_nothing_when_its_time_is_over_or_its_user_is_locked_out_or_gone(
    identification: Identification,
) -> None:
    expired = await stored(identification, "reader", Terms(lasts_s=5))
    with pytest.raises(AuthExpiredError):
        identification.caller(bearer(expired))
    token = await stored(identification, "writer", Terms())
    user = identification.identity.user("writer-1")
    assert user is not None
    await identification.identity.put_user(msgspec.structs.replace(user, active=False))
    with pytest.raises(AuthRequiredError):
        identification.caller(bearer(token))
    await identification.identity.put_user(user)
    assert identification.caller(bearer(token)).name == "writer-1"
    await identification.identity.delete_user("writer-1")
    with pytest.raises(AuthRequiredError):
        identification.caller(bearer(token))


async def test_a_revoked_token_takes_with_it_what_was_made_with_it(identification: Identification) -> None:
    identity = identification.identity
    session = mint("ada", RIGHTS_OF["admin"], 1, Terms(purpose="session"))
    cookie = mint("ada", RIGHTS_OF["reader"], 1, Terms(purpose="cookie", parent=session.token.id))
    for minted in (session, cookie):
        await identity.put_token(minted.token)
    await identity.delete_tokens([session.token.id])
    assert not identity.tokens
    with pytest.raises(AuthRequiredError):
        identification.caller(bearer(cookie.secret))


async def test_a_cookie_can_only_read(identification: Identification) -> None:
    token = await stored(identification, "admin", Terms(purpose="cookie"))
    headers = {b"cookie": f"other=1; {identification.cookie}={token}; more=2".encode()}
    assert identification.caller(headers, "GET").rights == {"read"}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(AuthRequiredError):
            identification.caller(headers, method)


def test_a_ticket_is_good_once(identification: Identification) -> None:
    caller = identification.caller(bearer(BOB))._replace(rights=frozenset({"read"}), canvases=frozenset({"mine"}))
    ticket = identification.tickets.give(caller)
    assert identification.caller({}, "GET", lambda: ticket) == caller
    with pytest.raises(AuthRequiredError):
        identification.caller({}, "GET", lambda: ticket)


async def test_an_issued_token_is_known_until_it_is_revoked_or_its_user_is_locked_out(
    identification: Identification,
) -> None:
    await stored(identification, "writer", Terms())
    token = identification.issue("Génération 7 é/…", "job", "mine", "writer-1")

    caller = identification.caller(bearer(token))
    assert (caller.name, caller.kind, caller.user) == ("Génération 7 é/…", "job", "writer-1")
    assert caller.rights == frozenset({"read", "write"})
    assert caller.canvases == frozenset({"mine"})
    author = author_of(caller, bearer(token), "client")
    assert (author.actor, author.kind, author.client_id) == ("Génération 7 é/…", "job", "client")

    await identification.identity.put_user(User(name="writer-1", role="writer", active=False))
    with pytest.raises(AuthRequiredError):
        identification.caller(bearer(token))
    await identification.identity.put_user(User(name="writer-1", role="writer"))
    assert identification.caller(bearer(token)) == caller
    identification.revoke(token)
    identification.revoke(token)
    with pytest.raises(AuthRequiredError):
        identification.caller(bearer(token))


def test_issued_tokens_cannot_be_guessed_and_are_never_the_same(identification: Identification) -> None:
    tokens = {identification.issue("job", "job", "notes", "ada") for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) >= 43 for token in tokens)


def test_a_canvas_that_may_not_be_read_is_not_there_and_one_that_may_be_read_says_so(
    identification: Identification,
) -> None:
    ada, bob = identification.caller(bearer(ADA)), identification.caller(bearer(BOB))
    shared = Access(owner="carl", shared={"bob": "read"})
    bob.check_canvas(REF, shared, "read")
    with pytest.raises(ForbiddenError):
        bob.check_canvas(REF, shared, "write")
    with pytest.raises(NotFoundError):
        bob.check_canvas(REF, NOBODYS, "read")
    with pytest.raises(NotFoundError):
        bob._replace(canvases=frozenset({"other"})).check_canvas(REF, shared, "read")
    ada.check_canvas(REF, NOBODYS, "own")


@pytest.mark.parametrize("right", sorted(RIGHTS_OF["admin"]))
def test_a_right_that_is_missing_is_named(right: Right) -> None:
    caller = Caller("ada", "human", RIGHTS_OF["admin"] - {right}, "ada")
    with pytest.raises(ForbiddenError, match="do not allow") as refused:
        caller.check(right)
    assert f"`{right}`" in refused.value.hint
    Caller("ada", "human", frozenset({right}), "ada").check(right)


def test_operations_that_are_taken_at_once_are_refused_at_another_canvas_too(served: Served) -> None:
    mine, other = served.canvas("mine"), served.canvas("other")

    async def submit(ref: str, version: str) -> bytes | NotFoundError | None:
        async with opened_gate() as gate:
            token = gate.identification.issue("job:1", "job", mine.ref, "ada")
            headers = [*bearer(token).items(), (b"content-type", b"application/json")]
            path = f"/api/v2/canvas/{ref}/ops:stream"
            scope = {"method": "POST", "path": path, "query_string": b"", "headers": headers}
            body = json.dumps({"ops": [append("!", client_version=version)]}).encode()
            try:
                return submit_at_once(Request(scope, gate, ref), body, served.manager)
            except NotFoundError as error:
                return error

    assert isinstance(served.run(submit(mine.ref, mine.version)), bytes)
    assert isinstance(served.run(submit(other.ref, other.version)), NotFoundError)
    assert (mine.text, other.text) == ("mine!", "other")
