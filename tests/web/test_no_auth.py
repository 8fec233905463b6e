"""Where nobody is asked for credentials none are made, as they would be good after a start that asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from canvas_server.core.identity import User
from canvas_server.state.minting import Terms, mint
from canvas_server.web.sessions import SignInCode
from tests.serving import Served, serving
from tests.web.people import bearer

PATHS = ("/api/v2/tokens", "/api/v2/links", "/api/v2/sessions")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as running:
        running.run(running.house.identity.put_user(User(name="local", role="admin")))
        yield running


def refused(served: Served, path: str, body: dict[str, str], headers: dict[str, str]) -> None:
    before = served.house.identity.tokens
    answer = served.http.post(path, json=body, headers=headers)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (403, "FORBIDDEN"), answer.text
    assert "--no-auth" in problem["hint"]
    assert list(served.house.identity.tokens) == list(before)


@pytest.mark.parametrize("path", PATHS)
def test_without_credentials_none_are_made(served: Served, path: str) -> None:
    body: dict[str, str] = {}
    if path.endswith("sessions"):
        link = served.house.sessions.link(SignInCode("local", frozenset({"read"}), here_only=False))
        body["code"] = link.partition("#t=")[2]
    refused(served, path, body, {})


@pytest.mark.parametrize("path", PATHS[:2])
def test_not_even_with_credentials(served: Served, path: str) -> None:
    identity = served.house.identity
    minted = mint("root", frozenset({"read", "manage", "admin"}), 1_000, Terms())
    served.run(identity.put_user(User(name="root", role="admin")))
    served.run(identity.put_token(minted.token))
    try:
        refused(served, path, {}, bearer(minted.secret))
    finally:
        served.run(identity.delete_user("root"))


def test_what_ends_with_the_server_is_made(served: Served) -> None:
    ref = served.canvas("text").ref
    assert served.http.post("/api/v2/tickets", json={"refs": [ref]}).status_code == 201
