"""Links that are good on this machine only, from addresses that no socket of a test has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from canvas_server.core.identity import User
from canvas_server.system import SystemClock
from canvas_server.web.exchange import Exchange
from canvas_server.web.gate import Gate
from canvas_server.web.peers import NO_PROXIES, Proxies
from canvas_server.web.problems import AuthRequiredError
from canvas_server.web.sessions import Sessions, SignInCode
from tests.web.gates import opened_gate

PROXIES = Proxies(("127.0.0.1", "::1", "192.0.2.1"))
REMOTE_PROXY = Proxies(("192.0.2.1",))


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with opened_gate() as gate:
        await gate.identification.identity.put_user(User(name="local", role="admin"))
        yield gate


async def status(gate: Gate, client: str | None, *forwarded: str, here_only: bool = True) -> int:
    """Return what a browser at an address is answered that comes with the code of a fresh link."""
    sessions = Sessions(gate.identification.identity, SystemClock(), 60.0, "http://127.0.0.1:8642")
    link = sessions.link(SignInCode("local", frozenset({"read"}), here_only=here_only))
    body = json.dumps({"code": link.partition("#t=")[2]}).encode()
    headers = [(b"content-type", b"application/json")]
    headers += [(b"x-forwarded-for", value.encode()) for value in forwarded]
    answered: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        answered.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/v2/sessions", "query_string": b"", "headers": headers}
    exchange = Exchange({**scope, "client": client and (client, 50_000)}, receive, send, gate, "")
    try:
        await sessions.sign_in(exchange)
    except AuthRequiredError:
        return 401
    told: int = answered[0]["status"]
    return told


@pytest.mark.parametrize("client", ["127.0.0.1", "127.0.0.2", "::1"])
async def test_this_machine_comes_in(gate: Gate, client: str) -> None:
    assert await status(gate, client) == 201


@pytest.mark.parametrize("client", ["192.0.2.7", "10.0.0.1", "fe80::1%eth0", "2001:db8::1", "::ffff:192.0.2.7"])
@pytest.mark.parametrize("proxies", [NO_PROXIES, PROXIES, REMOTE_PROXY])
async def test_no_other_machine_comes_in_and_with_another_link_it_does(
    gate: Gate, client: str, proxies: Proxies
) -> None:
    gate.proxies = proxies
    assert await status(gate, client) == 401
    assert await status(gate, client, "127.0.0.1") == 401
    assert await status(gate, client, here_only=False) == 201


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "192.0.2.1", None])
@pytest.mark.parametrize("forwarded", [(), ("",), ("127.0.0.1",), ("192.0.2.7",), ("192.0.2.7, 127.0.0.1",), ("?",)])
async def test_nobody_who_comes_through_a_proxy_is_here_whatever_it_writes(
    gate: Gate, client: str | None, forwarded: tuple[str, ...]
) -> None:
    gate.proxies = PROXIES
    assert await status(gate, client, *forwarded) == 401
    assert await status(gate, client, *forwarded, here_only=False) == 201


async def test_this_machine_comes_in_where_the_proxies_are_others(gate: Gate) -> None:
    gate.proxies = REMOTE_PROXY
    assert await status(gate, "127.0.0.1") == 201
