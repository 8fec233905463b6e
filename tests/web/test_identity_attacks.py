"""Attacks on identity: each test is somebody who tries to get further than the credentials go."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from msgspec.structs import replace

from canvas_server.config.settings import DemoSettings
from canvas_server.core.identity import RIGHTS_OF
from canvas_server.state.minting import Terms, digest_of, mint
from tests.serving import IN_MEMORY, Served, append, serving
from tests.upload import Upload
from tests.web.people import Answer, Person, bearer, change, forgive, person

JOBS = "/api/v1/dialogues/generate/jobs"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    settings = replace(IN_MEMORY, demo=DemoSettings(delay_ms=5))
    with serving(settings, credentials=True) as running:
        yield running


@pytest.fixture(autouse=True)
def forgiven(server: Served) -> None:
    """Forget wrong credentials: all tests come from the same address."""
    forgive(server)


@pytest.fixture
def ada(server: Served) -> Person:
    return person(server, "admin")


@pytest.fixture
def bob(server: Served) -> Person:
    return person(server)


@pytest.fixture
def eve(server: Served) -> Person:
    return person(server)


def nobody(server: Served, method: str, path: str, **options: object) -> Answer:
    return server.http.request(method, path, **options)  # type: ignore[arg-type]


def ticket(of: Person, **asked: object) -> str:
    answer = of.ask("POST", "/api/v2/tickets", asked)
    assert answer.status_code == 201, answer.text
    told: str = answer.json()["ticket"]
    return told


def code_of(answer: Answer) -> str:
    told: str = answer.json()["url"].partition("#t=")[2]
    return told


def cookie_in(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


# Tickets and cookies


def test_a_ticket_lets_in_one_of_a_hundred_who_come_with_it_at_once(server: Served, bob: Person) -> None:
    ref = bob.canvas("mine")
    told = ticket(bob, refs=[ref])

    def come(_number: int) -> int:
        with httpx2.Client(base_url=server.url, trust_env=False) as http:
            return http.get(f"/api/v2/canvas/{ref}?ticket={told}").status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(come, range(100)))
    assert sorted(set(statuses)) == [200, 401]
    assert statuses.count(200) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v2/sessions/cookie"),
        ("POST", "/api/v2/tickets"),
        ("DELETE", "/api/v2/sessions"),
        ("POST", "/api/v2/canvas/{ref}/presence"),
        ("POST", "/api/v2/canvas/{ref}/ops:preview"),
        ("POST", "/api/v2/canvas/{ref}/ops:stream"),
        ("POST", JOBS),
    ],
)
@pytest.mark.parametrize("kind", ["refs", "generate"])
def test_a_ticket_is_good_for_reading_only_and_makes_nothing_that_lasts(
    server: Served, bob: Person, kind: str, method: str, path: str
) -> None:
    ref = bob.canvas("mine")
    told = ticket(bob, refs=[ref]) if kind == "refs" else ticket(bob, generate=True)
    path = path.replace("{ref}", ref)
    body = {"refs": [ref]} if path.endswith("tickets") else {"prompt": "x", "provider": "demo"}
    answer = nobody(server, method, f"{path}?ticket={told}", json=body)
    assert answer.status_code == 401, answer.text
    assert bob.text(ref) == "mine"


def test_a_ticket_that_was_given_before_the_token_was_revoked_tells_nothing(server: Served, bob: Person) -> None:
    ref = bob.canvas("a secret text")
    told = [ticket(bob, refs=[ref]) for _ in range(3)]
    server.run(server.house.identity.delete_tokens([bob.token.id]))
    for path in (f"/api/v2/canvas/{ref}/ops:listen", f"/api/v2/canvas/{ref}", f"/api/v2/ops:listen?ref={ref}"):
        answer = nobody(server, "GET", f"{path}{'&' if '?' in path else '?'}ticket={told.pop()}")
        assert answer.status_code == 401
        assert "secret" not in answer.text


def test_a_ticket_of_somebody_who_was_locked_out_starts_no_job(server: Served, bob: Person) -> None:
    told = ticket(bob, generate=True)
    change(server, bob.name, active=False)
    answer = nobody(server, "GET", f"/api/v1/generate/stream?prompt=x&provider=demo&ticket={told}")
    assert answer.status_code == 401


def test_a_ticket_for_generation_starts_the_one_job_it_is_for(server: Served, bob: Person) -> None:
    told = ticket(bob, generate=True)
    path = f"/api/v1/generate/stream?prompt=x&provider=demo&ticket={told}"
    answer = nobody(server, "GET", path)
    assert answer.status_code == 200, answer.text
    assert '"type":"complete"' in answer.text
    assert nobody(server, "GET", path).status_code == 401


def test_a_ticket_of_an_admin_who_is_one_no_more_does_not_go_everywhere(
    server: Served, ada: Person, bob: Person
) -> None:
    ref = bob.canvas("bob's secret")
    told = ticket(ada, refs=[ref])
    change(server, ada.name, role="reader")
    answer = nobody(server, "GET", f"/api/v2/canvas/{ref}?ticket={told}")
    assert answer.status_code in (401, 404)
    assert "secret" not in answer.text


def test_a_ticket_for_one_canvas_makes_no_cookie_for_all(server: Served, bob: Person) -> None:
    mine, other = bob.canvas("mine"), bob.canvas("other")
    bound = person(server, name=bob.name, canvases=[mine])
    answer = bound.ask("POST", "/api/v2/sessions/cookie")
    assert answer.status_code == 204
    headers = {"Cookie": cookie_in(answer)}
    assert nobody(server, "GET", f"/api/v2/canvas/{mine}", headers=headers).status_code == 200
    assert nobody(server, "GET", f"/api/v2/canvas/{other}", headers=headers).status_code == 404


def test_a_cookie_made_with_a_cookie_ends_with_the_session_too(server: Served, bob: Person) -> None:
    first = cookie_in(bob.ask("POST", "/api/v2/sessions/cookie"))
    value = first.partition("=")[2]
    second = nobody(server, "POST", "/api/v2/sessions/cookie", headers=bearer(value))
    server.run(server.house.identity.delete_tokens([bob.token.id]))
    assert not [token for token in server.house.identity.tokens if token.user == bob.name]
    if second.status_code == 204:
        headers = {"Cookie": cookie_in(second)}
        assert nobody(server, "GET", "/api/v2/me", headers=headers).status_code == 401


@pytest.mark.parametrize("spelling", ['{n}="{v}"', "x{n}={v}", "{N}={v}", "{n} = {v}", "{n}x={v}", "{n}={v}x", "{n}="])
def test_a_cookie_is_known_by_its_very_name_and_value(server: Served, bob: Person, spelling: str) -> None:
    name, _, value = cookie_in(bob.ask("POST", "/api/v2/sessions/cookie")).partition("=")
    sent = spelling.format(n=name, N=name.upper(), v=value)
    assert nobody(server, "GET", "/api/v2/me", headers={"Cookie": sent}).status_code == 401


def test_a_cookie_that_another_port_of_this_machine_planted_before_ours_keeps_nobody_out(
    server: Served, bob: Person
) -> None:
    ours = cookie_in(bob.ask("POST", "/api/v2/sessions/cookie"))
    planted = f"{ours.partition('=')[0]}=cvs_planted"
    assert nobody(server, "GET", "/api/v2/me", headers={"Cookie": f"{planted}; {ours}"}).status_code == 200


def test_a_cookie_neither_writes_nor_spends(server: Served, bob: Person) -> None:
    ref = bob.canvas("mine")
    headers = {"Cookie": cookie_in(bob.ask("POST", "/api/v2/sessions/cookie"))}
    assert nobody(server, "GET", f"/api/v2/canvas/{ref}", headers=headers).status_code == 200
    for path in (f"/api/v2/canvas/{ref}/presence", f"/api/v2/canvas/{ref}/ops:stream", "/api/v2/tickets"):
        assert nobody(server, "POST", path, headers=headers, json={}).status_code == 401
    spending = nobody(server, "GET", "/api/v1/generate/stream?prompt=x&provider=demo", headers=headers)
    assert spending.status_code == 403


# Sessions and links


def test_a_code_makes_one_session_for_all_who_come_with_it_at_once(server: Served, bob: Person) -> None:
    code = code_of(bob.ask("POST", "/api/v2/links", {}))

    def come(_number: int) -> int:
        with httpx2.Client(base_url=server.url, trust_env=False) as http:
            return http.post("/api/v2/sessions", json={"code": code}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(come, range(8)))
    assert statuses.count(201) == 1


def test_a_session_is_another_one_each_time_and_none_that_was_sent(server: Served, bob: Person) -> None:
    fixed = "cvs_" + "A" * 43
    code = code_of(bob.ask("POST", "/api/v2/links", {}))
    answer = nobody(server, "POST", "/api/v2/sessions", json={"code": code}, headers={"Cookie": f"session={fixed}"})
    assert answer.status_code == 201
    assert answer.json()["token"] != fixed
    assert nobody(server, "GET", "/api/v2/me", headers=bearer(fixed)).status_code in (401, 429)


def test_a_link_made_with_a_token_that_is_revoked_signs_nobody_in(server: Served, bob: Person) -> None:
    code = code_of(bob.ask("POST", "/api/v2/links", {}))
    server.run(server.house.identity.delete_tokens([bob.token.id]))
    assert nobody(server, "POST", "/api/v2/sessions", json={"code": code}).status_code == 401


def test_a_link_of_somebody_locked_out_signs_nobody_in(server: Served, bob: Person) -> None:
    code = code_of(bob.ask("POST", "/api/v2/links", {}))
    change(server, bob.name, active=False)
    assert nobody(server, "POST", "/api/v2/sessions", json={"code": code}).status_code == 401


# What is made with weak credentials is no stronger


def test_a_token_made_with_one_that_expires_does_not_outlast_it(server: Served) -> None:
    weak = person(server, lasts_s=60)
    answer = weak.ask("POST", "/api/v2/tokens", {"expires_in_s": 10_000_000})
    assert answer.status_code == 201
    assert answer.json()["about"]["expires_unix_ms"] <= (weak.token.expires_unix_ms or 0)
    answer = weak.ask("POST", "/api/v2/tokens", {})
    assert answer.json()["about"]["expires_unix_ms"] <= (weak.token.expires_unix_ms or 0)


def test_a_token_made_with_a_slow_one_is_no_faster(server: Served) -> None:
    weak = person(server, ops_per_s=3)
    for asked in ({}, {"ops_per_s": 1_000}):
        assert weak.ask("POST", "/api/v2/tokens", asked).json()["about"]["ops_per_s"] == 3
    assert weak.ask("POST", "/api/v2/tokens", {"ops_per_s": 1}).json()["about"]["ops_per_s"] == 1


@pytest.mark.parametrize("weak", [{"lasts_s": 60.0}, {"ops_per_s": 3}, {"canvases": ["one"]}])
def test_a_token_that_is_bounded_makes_no_link_to_a_session_that_is_not(
    server: Served, weak: dict[str, object]
) -> None:
    answer = person(server, **weak).ask("POST", "/api/v2/links", {})  # type: ignore[arg-type]
    assert answer.status_code == 403, answer.text


def test_what_a_token_made_goes_with_it(server: Served, bob: Person) -> None:
    made = bob.ask("POST", "/api/v2/tokens", {}).json()["token"]
    made_by_that = nobody(server, "POST", "/api/v2/tokens", headers=bearer(made), json={}).json()["token"]
    server.run(server.house.identity.delete_tokens([bob.token.id]))
    for secret in (made, made_by_that):
        assert nobody(server, "GET", "/api/v2/me", headers=bearer(secret)).status_code == 401


@pytest.mark.parametrize("rights", [["admin"], ["unmetered"], ["read", "generate"]])
def test_a_token_cannot_make_one_with_more_rights(server: Served, rights: list[str]) -> None:
    weak = person(server, "admin", rights=["read", "manage", "write"])
    assert weak.ask("POST", "/api/v2/tokens", {"rights": rights}).status_code == 403
    made = weak.ask("POST", "/api/v2/tokens", {}).json()["about"]
    assert set(made["rights"]) <= {"read", "manage", "write"}
    assert weak.ask("POST", "/api/v2/tokens", {"user": "local", "rights": ["read"]}).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v2/users", None),
        ("POST", "/api/v2/users", {"name": "mallory", "role": "admin"}),
        ("PATCH", "/api/v2/users/{name}", {"role": "admin"}),
        ("DELETE", "/api/v2/users/{other}", None),
        ("GET", "/api/v2/tokens?all=true", None),
        ("GET", "/api/v2/tokens", None),
        ("POST", "/api/v2/tokens", {}),
        ("DELETE", "/api/v2/tokens/{token}", None),
        ("POST", "/api/v2/links", {}),
        ("PUT", "/api/v1/costs/quota/{name}", {"quota": 1000}),
        ("GET", "/api/v1/costs/entries", None),
        ("POST", "/api/v1/presets", {"name": "x"}),
    ],
)
def test_a_token_for_one_canvas_is_for_nothing_that_is_no_canvas_even_an_admins(
    server: Served, ada: Person, bob: Person, method: str, path: str, body: object
) -> None:
    ref = ada.canvas("one")
    bound = person(server, "admin", name=ada.name, canvases=[ref])
    path = path.format(name=ada.name, other=bob.name, token=ada.token.id)
    answer = bound.ask(method, path, body)
    assert answer.status_code == 403, answer.text
    assert ada.ask("GET", "/api/v2/me").status_code == bob.ask("GET", "/api/v2/me").status_code == 200


def test_a_token_for_one_canvas_knows_no_jobs_but_those_that_write_there(server: Served, bob: Person) -> None:
    one, two = bob.canvas("one"), bob.canvas("two")
    end = {"type": "position", "position": {"mode": "end"}}
    jobs = {}
    for ref in (one, two, None):
        place = {} if ref is None else {"canvas": {"ref": ref, "target": end, "action": "insert"}}
        answer = bob.ask("POST", JOBS, {"prompt": f"for {ref}", "provider": "demo", **place})
        assert answer.status_code == 201, answer.text
        jobs[ref] = answer.json()["job_id"]
    bound = person(server, name=bob.name, canvases=[one])
    assert {job["job_id"] for job in bound.ask("GET", JOBS).json()["jobs"]} == {jobs[one]}
    assert bound.ask("GET", f"{JOBS}/{jobs[one]}").status_code == 200
    for ref in (two, None):
        for method, path in (
            ("GET", f"{JOBS}/{jobs[ref]}"),
            ("GET", f"{JOBS}/{jobs[ref]}/stream"),
            ("POST", f"{JOBS}/{jobs[ref]}/cancel"),
            ("GET", f"/api/chat/chunks/{jobs[ref]}"),
        ):
            assert bound.ask(method, path).status_code == 404, path


# Bodies, headers and paths


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/v2/users/{name}", {"active": True, "name": "local"}),
        ("POST", "/api/v2/users", {"name": "new", "role": "reader", "shown_as": "human"}),
        ("POST", "/api/v2/tokens", {"purpose": "session"}),
        ("POST", "/api/v2/tokens", {"id": "0000000000000000", "digest": "00"}),
        ("POST", "/api/v2/tickets", {"refs": ["x"], "user": "local"}),
        ("POST", "/api/v2/links", {"user": "local", "rights": ["admin"]}),
        ("POST", "/api/v2/sessions", {"code": "x", "user": "local"}),
        ("PUT", "/api/v2/canvas/{ref}/access", {"link": "none", "level": "own"}),
        ("PUT", "/api/v2/canvas/{ref}", {"content": "", "owner": "local"}),
        ("POST", "/api/v2/canvas", {"content": "", "access": {"owner": "local"}}),
        ("PATCH", "/api/v2/canvas/{ref}", {"title": "t", "owner": "eve"}),
        (
            "POST",
            "/api/v2/canvas/{ref}/ops:stream",
            {"ops": [{**append("x"), "client_version": 'W/"0-0"'}], "actor": "local"},
        ),
        (
            "POST",
            "/api/v2/canvas/{ref}/ops:stream",
            {"ops": [{**append("x"), "client_version": 'W/"0-0"', "actor": "local"}]},
        ),
        ("POST", "/api/v2/canvas/{ref}/presence", {"actor": "local", "kind": "human"}),
        ("POST", JOBS, {"prompt": "x", "provider": "demo", "user": "local"}),
        ("POST", JOBS, {"prompt": "x", "provider": "demo", "unlimited": True}),
    ],
)
def test_no_body_says_who_one_is_or_what_one_may(
    server: Served, ada: Person, method: str, path: str, body: object
) -> None:
    ref = ada.canvas("mine")
    answer = ada.ask(method, path.format(name=ada.name, ref=ref), body)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("name", ["ada\n", "", ".ada", "a" * 65, "ада", "a b", "a/b", "a\0", "-a", "ada\u2028", "ädä"])
def test_a_name_with_odd_characters_is_refused_at_the_edge(server: Served, ada: Person, name: str) -> None:
    ref = ada.canvas("mine")
    for method, path, body in (
        ("POST", "/api/v2/users", {"name": name}),
        ("POST", "/api/v2/tokens", {"user": name}),
        ("POST", "/api/v2/links", {"user": name}),
        ("PUT", f"/api/v2/canvas/{ref}/access", {"shared_with": {name: "read"}}),
        ("PUT", f"/api/v2/canvas/{ref}/access", {"owner": name}),
    ):
        assert ada.ask(method, path, body).status_code == 422, (path, name)
    assert server.house.identity.user(name) is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("access", {"link": "none\n"}),
        ("access", {"link": "write "}),
        ("tokens", {"label": "x\n"}),
        ("tokens", {"canvases": ["x\n"]}),
        ("tickets", {"refs": ["x\n"]}),
        ("tokens", {"rights": ["read", "root"]}),
        ("tokens", {"canvases": []}),
        ("tokens", {"rights": []}),
        ("tokens", {"expires_in_s": -1}),
        ("tokens", {"expires_in_s": 10**18}),
        ("tokens", {"ops_per_s": 0}),
    ],
)
def test_a_field_that_ends_in_a_newline_or_is_out_of_bounds_is_refused(ada: Person, path: str, body: object) -> None:
    if path == "access":
        answer = ada.ask("PUT", f"/api/v2/canvas/{ada.canvas()}/access", body)
    else:
        answer = ada.ask("POST", f"/api/v2/{path}", body)
    assert answer.status_code == 422, answer.text


def raw(server: Served, *lines: bytes) -> bytes:
    """Send a head as it is, and return what comes until the server closes or says no more."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        answer = b""
        while piece := sock.recv(65_536):
            answer += piece
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_no_trick_with_the_header_makes_a_token_of_what_is_none(server: Served, bob: Person) -> None:
    host, good = b"Host: 127.0.0.1:%d" % server.port, bob.secret.encode()
    line = b"GET /api/v2/me HTTP/1.1"
    assert status(raw(server, line, host, b"Authorization: Bearer " + good)) == 200
    for expected, fields in (
        ((400,), [b"Authorization: Bearer wrong", b"Authorization: Bearer " + good]),
        ((400,), [b"Authorization: Bearer " + good, b"authorization: Bearer wrong"]),
        ((400, 401), [b"Authorization: Bearer", b" " + good]),
        ((401, 429), [b"Authorization: Bearer " + good[:-1]]),
        ((401, 429), [b"Authorization: Bearer " + good + b", Bearer x"]),
        ((401, 429), [b"Authorization: " + good]),
        ((401, 429), [b"Authorization: Bearer\xa0" + good]),
        ((401, 429), [b"Authorization: Bearer " + good.decode().translate(_FULL_WIDTH).encode()]),
        ((400, 401, 429), [b"Authorization: Bearer " + good + b"\0"]),
        ((400, 401, 429), [b"Authorization: Bearer \0" + good]),
        ((400, 431), [b"Authorization: Bearer " + b"x" * 70_000]),
        ((401, 429), [b"Authorization: Bearer " + b"x" * 60_000]),
        ((401,), [b"X-Authorization: Bearer " + good]),
        ((401,), [b"Proxy-Authorization: Bearer " + good]),
        ((401,), [b"X-Forwarded-User: local", b"X-Remote-User: local", b"Remote-User: local"]),
    ):
        assert status(raw(server, line, host, *fields)) in expected, fields
    assert status(raw(server, line, host, b"Authorization: Bearer " + good)) == 200


_FULL_WIDTH = {digit: 0xFF10 + digit - 0x30 for digit in range(0x30, 0x3A)} | {ord("c"): 0x0441}


@pytest.mark.parametrize(
    "trick",
    [
        "/api/v2/canvas/{ref}%2fops:stream",
        "/api/v2/canvas//{ref}/ops:stream",
        "/api/v2/canvas/./{ref}/ops:stream",
        "/api/v2/canvas/x/../{ref}/ops:stream",
        "/api/v2/canvas/{ref}/ops:stream/",
        "/API/v2/canvas/{ref}/ops:stream",
        "/api/v2/canvas/{ref};x=1/ops:stream",
        "/api/v2/canvas/{ref}%00/ops:stream",
        "/api/v2/canvas/{REF}/ops:stream",
        "/api/v2/canvas/{ref}/OPS:STREAM",
        "/api/v2/canvas/{ref}%20/ops:stream",
        "//api/v2/canvas/{ref}/ops:stream",
        "/api/v2/canvas/mine/ops:stream/../../{ref}/ops:stream",
        "/api/v2/canvas/%2e%2e/canvas/{ref}/ops:stream",
        "/api/v2/canvas/{ref}%0a/ops:stream",
        "/api/v2/canvas/{ref}%252fops:stream",
        "/api/v2/canvas/%C0%AF{ref}/ops:stream",
        "/api/v2/canvas/{ref}/ops%3Astream",
        "/page/../api/v2/canvas/{ref}/ops:stream",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE", "PATCH"])
def test_no_spelling_of_a_path_goes_round_the_gate(
    server: Served, bob: Person, eve: Person, trick: str, method: str
) -> None:
    ref = bob.canvas("private")
    version = bob.ask("GET", f"/api/v2/canvas/{ref}").json()["version"]
    body = json.dumps({"ops": [{**append("!"), "client_version": version}]}).encode()
    path = trick.replace("{ref}", ref).replace("{REF}", ref.upper()).encode()
    host = b"Host: 127.0.0.1:%d" % server.port
    fields = [host, b"Content-Type: application/json", b"Authorization: Bearer " + eve.secret.encode()]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        head = [b"%s %s HTTP/1.1" % (method.encode(), path), *fields, b"Content-Length: %d" % len(body)]
        sock.sendall(b"\r\n".join([*head, b"Connection: close", b"", body]))
        answer = sock.recv(65_536)
    assert status(answer) in (400, 403, 404, 405), answer
    assert b"private" not in answer
    assert bob.text(ref) == "private"


@pytest.mark.parametrize("field", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_makes_another_method_of_one(server: Served, bob: Person, field: str) -> None:
    ref = bob.canvas("mine", access={"link": "read"})
    reader = person(server, "reader")
    answer = reader.ask("GET", f"/api/v2/canvas/{ref}?_method=DELETE", headers={field: "DELETE"})
    assert answer.status_code == 200
    assert bob.text(ref) == "mine"
    assert nobody(server, "OPTIONS", f"/api/v2/canvas/{ref}").status_code == 405


# What belongs to others


def test_nothing_of_a_canvas_of_others_can_be_told_from_one_that_is_not_there(bob: Person, eve: Person) -> None:
    ref, absent = bob.canvas("# Secret\n\ntext"), "no-" + "x" * 5
    end = {"type": "position", "position": {"mode": "end"}}

    def job_into(name: str) -> dict[str, object]:
        return {"prompt": "x", "provider": "demo", "canvas": {"ref": name, "action": "insert", "target": end}}

    asks: list[Callable[[str], Answer]] = [
        lambda name: eve.ask("GET", f"/api/v2/canvas/{name}?section=secret"),
        lambda name: eve.ask("GET", f"/api/v2/canvas/{name}?at=0"),
        lambda name: eve.ask("GET", f"/api/v2/canvas/{name}?at=nonsense"),
        lambda name: eve.ask("GET", f"/api/v2/canvas/{name}", headers={"If-None-Match": "*"}),
        lambda name: eve.ask("GET", f"/api/v2/canvas/{name}/ops?after=0"),
        lambda name: eve.ask("GET", f"/api/v2/canvas/{name}/ops:listen?last_event_id=0-0000000000000000"),
        lambda name: eve.ask("GET", f"/api/v2/ops:listen?ref={name}&last_event_id={name}:0-0000000000000000"),
        lambda name: eve.ask("POST", "/api/v2/tickets", {"refs": [name]}),
        lambda name: eve.ask("GET", f"/api/v1/dialogues/{name}"),
        lambda name: eve.ask("POST", JOBS, job_into(name)),
    ]
    for ask in asks:
        told, never = ask(ref), ask(absent)
        assert told.text.replace(ref, "@") == never.text.replace(absent, "@")
        assert told.status_code == never.status_code == 404
        assert "Secret" not in told.text


def test_a_stream_of_mine_and_theirs_tells_of_neither(bob: Person, eve: Person) -> None:
    mine, theirs = eve.canvas("mine"), bob.canvas("theirs")
    answer = eve.ask("GET", f"/api/v2/ops:listen?ref={mine}&ref={theirs}&last_event_id={theirs}:0-0")
    assert answer.status_code == 404
    assert "mine" not in answer.json()["detail"].replace(theirs, "")


def test_a_canvas_made_under_the_name_of_a_dialogue_of_another_does_not_open_that(bob: Person, eve: Person) -> None:
    name = f"diary-of-{bob.name}"
    assert bob.ask("PUT", f"/api/v1/dialogues/{name}", {"nodes": ["dear diary"]}).status_code == 200
    assert eve.ask("GET", f"/api/v1/dialogues/{name}").status_code == 404
    eve.ask("PUT", f"/api/v2/canvas/{name}", {"content": "mine"})
    answer = eve.ask("GET", f"/api/v1/dialogues/{name}")
    assert "diary" not in answer.text.replace(name, "")
    answer = eve.ask("PUT", f"/api/v1/dialogues/{name}", {"nodes": ["eve was here"]})
    assert bob.ask("GET", f"/api/v1/dialogues/{name}").json()["nodes"] == ["dear diary"], answer.text


def test_a_job_of_another_is_not_there(bob: Person, eve: Person) -> None:
    job = bob.ask("POST", JOBS, {"prompt": "a secret plan", "provider": "demo"}).json()["job_id"]
    absent = "00000000-0000-4000-8000-000000000000"
    for method, path in (
        ("GET", JOBS + "/{}"),
        ("GET", JOBS + "/{}/stream"),
        ("POST", JOBS + "/{}/cancel"),
        ("GET", "/api/chat/chunks/{}"),
    ):
        told, never = eve.ask(method, path.format(job)), eve.ask(method, path.format(absent))
        assert told.status_code == never.status_code == 404
        assert told.text.replace(job, "@") == never.text.replace(absent, "@")
    answer = eve.ask("GET", "/api/v1/generate/stream", headers={"Last-Event-ID": f"{job}.0"})
    assert answer.status_code == 404
    assert eve.ask("GET", f"{JOBS}?all=true").json() == {"jobs": []}


def test_an_idempotency_key_of_another_finds_nothing_of_theirs(bob: Person, eve: Person) -> None:
    body = {"prompt": f"plan of {bob.name}", "provider": "demo", "idempotency_key": f"key-{bob.name}"}
    first, second = bob.ask("POST", JOBS, body), eve.ask("POST", JOBS, body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["job_id"] != second.json()["job_id"]


def test_an_answer_that_another_paid_is_not_told_again(bob: Person, eve: Person) -> None:
    def ask(who: Person) -> bool:
        started = who.ask("POST", JOBS, {"prompt": f"about {bob.name}", "provider": "demo"})
        path = f"{JOBS}/{started.json()['job_id']}"
        assert who.ask("GET", f"{path}/stream").status_code == 200
        cached: bool = who.ask("GET", path).json()["cached"]
        return cached

    assert (ask(bob), ask(bob)) == (False, True)
    assert ask(eve) is False


@pytest.mark.parametrize("path", ["/api/v1/costs/usage?user={}", "/api/v1/costs/entries?user={}"])
def test_what_another_spends_is_not_told(bob: Person, eve: Person, path: str) -> None:
    told, never = eve.ask("GET", path.format(bob.name)), eve.ask("GET", path.format("nobody-at-all"))
    assert told.status_code == never.status_code == 403
    assert told.text == never.text
    assert eve.ask("PUT", f"/api/v1/costs/quota/{eve.name}", {"quota": 1000}).status_code == 403


def test_tokens_are_told_to_their_owner_only_and_never_themselves(ada: Person, bob: Person, eve: Person) -> None:
    made = bob.ask("POST", "/api/v2/tokens", {"label": "robot"})
    assert made.headers["cache-control"] == "no-store"
    secret, about = made.json()["token"], made.json()["about"]
    assert about["id"] in {token["id"] for token in bob.ask("GET", "/api/v2/tokens").json()["tokens"]}
    assert about["id"] not in eve.ask("GET", "/api/v2/tokens").text
    assert eve.ask("GET", "/api/v2/tokens?all=true").status_code == 403
    told, never = (eve.ask("DELETE", f"/api/v2/tokens/{name}") for name in (about["id"], "0123456789abcdef"))
    assert told.status_code == never.status_code == 404
    assert told.text.replace(about["id"], "") == never.text.replace("0123456789abcdef", "")
    everything = ada.ask("GET", "/api/v2/tokens?all=true").text
    assert about["id"] in everything
    for hidden in (secret, digest_of(secret), ada.secret, bob.secret):
        assert hidden not in everything
    assert bob.ask("GET", "/api/v2/me").status_code == 200


# Races


def test_a_body_that_was_begun_before_the_token_was_revoked_changes_nothing_after_it(
    server: Served, bob: Person
) -> None:
    ref = bob.canvas("before")
    version = bob.ask("GET", f"/api/v2/canvas/{ref}").json()["version"]
    body = json.dumps({"ops": [{**append("after"), "client_version": version}]}).encode()
    path = f"/api/v2/canvas/{ref}/ops:stream"
    with Upload(server.port, path, "application/json", headers=bob.headers) as upload:
        upload.send(body[:10])
        time.sleep(1.2)  # it must come late to be looked at again
        server.run(server.house.identity.delete_tokens([bob.token.id]))
        upload.send(body[10:])
        assert upload.end().status == 401
    again = person(server, name=bob.name)
    assert again.text(ref) == "before"


def test_two_admins_who_take_each_other_away_at_once_leave_one() -> None:
    for way in ("PATCH", "DELETE"):
        with serving(IN_MEMORY, credentials=True) as server:
            ada, bob = person(server, "admin", "ada"), person(server, "admin", "bob")
            barrier = threading.Barrier(2)

            def take(one: Person, other: str, way: str = way, barrier: threading.Barrier = barrier) -> int:
                with httpx2.Client(base_url=one.served.url, headers=one.headers, trust_env=False) as http:
                    http.get("/api/v2/me")
                    barrier.wait()
                    body = {"json": {"role": "reader"}} if way == "PATCH" else {}
                    return http.request(way, f"/api/v2/users/{other}", **body).status_code  # type: ignore[arg-type]

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(take, (ada, bob), ("bob", "ada")))
            admins = [user for user in server.house.identity.users if user.role == "admin" and user.active]
            assert len(admins) == 1, way


def test_the_last_admin_cannot_be_removed_or_demoted_or_locked_out() -> None:
    with serving(IN_MEMORY, credentials=True) as server:
        ada = person(server, "admin", "ada")
        person(server, "writer", "bob")
        for method, body in (("DELETE", None), ("PATCH", {"role": "writer"}), ("PATCH", {"active": False})):
            answer = ada.ask(method, "/api/v2/users/ada", body)
            assert answer.status_code == 422
            assert answer.json()["code"] == "LAST_ADMIN"
        assert ada.ask("POST", "/api/v2/users", {"name": "carl", "role": "admin"}).status_code == 201
        assert ada.ask("DELETE", "/api/v2/users/ada").status_code == 204
        assert ada.ask("GET", "/api/v2/me").status_code == 401


def test_a_session_of_another_purpose_is_not_signed_out(server: Served, bob: Person) -> None:
    assert bob.ask("DELETE", "/api/v2/sessions").status_code == 403
    session = person(server, name=bob.name, purpose="session")
    cookie = {"Cookie": cookie_in(session.ask("POST", "/api/v2/sessions/cookie"))}
    assert session.ask("DELETE", "/api/v2/sessions").status_code == 204
    assert session.ask("GET", "/api/v2/me").status_code == 401
    assert nobody(server, "GET", "/api/v2/me", headers=cookie).status_code == 401
    assert bob.ask("GET", "/api/v2/me").status_code == 200


def test_who_is_named_as_one_who_was_deleted_is_not_that_one(server: Served, ada: Person) -> None:
    old = person(server, "writer", "namesake")
    code = code_of(old.ask("POST", "/api/v2/links", {}))
    told = ticket(old, generate=True)
    assert ada.ask("DELETE", "/api/v2/users/namesake").status_code == 204
    assert ada.ask("POST", "/api/v2/users", {"name": "namesake", "role": "writer"}).status_code == 201
    assert old.ask("GET", "/api/v2/me").status_code == 401
    assert nobody(server, "POST", "/api/v2/sessions", json={"code": code}).status_code == 401
    answer = nobody(server, "GET", f"/api/v1/generate/stream?prompt=x&provider=demo&ticket={told}")
    assert answer.status_code == 401


def test_the_digest_that_is_stored_is_no_token(server: Served, bob: Person) -> None:
    for secret in (bob.token.digest, bob.token.id, digest_of(bob.token.digest)):
        assert nobody(server, "GET", "/api/v2/me", headers=bearer(secret)).status_code in (401, 429)
    assert mint("x", RIGHTS_OF["reader"], 0, Terms()).token.digest != bob.token.digest
