"""The table of who comes in, cell by cell, and the answers to those who do not."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from canvas_server.core.errors import ConfigError
from canvas_server.web.admission import (
    FIELD_REPEATED,
    FRAMING_NOT_ALLOWED,
    HOST_NOT_ALLOWED,
    LOOPBACK_HOSTS,
    ORIGIN_NOT_ALLOWED,
    TARGET_NOT_ALLOWED,
    Admission,
    AdmissionRules,
    Refusal,
)
from canvas_server.web.problems import Headers

DATA: Final = "/api/v2/canvas/a"
RULES: Final = AdmissionRules(("Canvas.example", "lan.example:8443", "[fd00::1]"), ("https://App.example:443",))
HERE: Final = b"http://localhost:8642"
LISTED: Final = b"https://app.example"

SITES: Final = (None, b"same-origin", b"same-site", b"cross-site", b"none")
MODES: Final = (b"navigate", b"cors", b"no-cors")
ORIGINS: Final = (None, HERE, LISTED, b"http://localhost:3000", b"https://evil.example", b"null")


def refusal(method: str, path: str, *headers: tuple[bytes, bytes], scheme: str = "http") -> Refusal | None:
    return RULES.refusal(method, path, [(b"host", b"localhost:8642"), *headers], scheme)


def browser_headers(site: bytes | None, mode: bytes, origin: bytes | None) -> Headers:
    headers = [(b"accept", b"*/*")]
    if site is not None:
        headers += [(b"sec-fetch-site", site), (b"sec-fetch-mode", mode)]
    if origin is not None:
        headers.append((b"origin", origin))
    return headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize("path", [DATA, "/"])
def test_writing_is_for_our_own_page_listed_origins_and_what_is_no_browser(method: str, path: str) -> None:
    passed = {
        (site, origin)
        for site, mode, origin in product(SITES, MODES, ORIGINS)
        if refusal(method, path, *browser_headers(site, mode, origin)) is None
    }
    by_listed = {(site, LISTED) for site in SITES}
    by_our_page = {(b"same-origin", origin) for origin in ORIGINS}
    assert passed == by_listed | by_our_page | {(None, None), (None, HERE)}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_data_is_read_by_our_own_page_the_address_bar_listed_origins_and_what_is_no_browser(method: str) -> None:
    cells = list(product(SITES, MODES, ORIGINS))
    passed = {cell for cell in cells if refusal(method, DATA, *browser_headers(*cell)) is None}
    assert passed == {
        (site, mode, origin)
        for site, mode, origin in cells
        if site in (None, b"same-origin") or origin == LISTED or (site, mode) == (b"none", b"navigate")
    }


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/api", "/healthz"])
def test_what_is_no_data_may_be_read_from_anywhere(path: str) -> None:
    for cell in product(SITES, MODES, ORIGINS):
        assert refusal("GET", path, *browser_headers(*cell)) is None


@pytest.mark.parametrize("purpose", [b"prefetch", b"prefetch;prerender", b"Prefetch"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_data_is_never_fetched_ahead(method: str, purpose: bytes) -> None:
    assert refusal(method, DATA, (b"sec-purpose", purpose)) is ORIGIN_NOT_ALLOWED
    assert refusal(method, DATA, (b"sec-purpose", purpose), (b"sec-fetch-site", b"same-origin")) is ORIGIN_NOT_ALLOWED
    assert refusal("GET", "/", (b"sec-purpose", purpose)) is None


@pytest.mark.parametrize(
    ("scheme", "host", "origin", "passes"),
    [
        ("http", b"localhost:8642", b"http://localhost:8642", True),
        ("https", b"canvas.example", b"https://canvas.example", True),
        ("http", b"[::1]:8642", b"http://[::1]:8642", True),
        ("https", b"localhost:8642", b"http://localhost:8642", False),
        ("http", b"localhost:8642", b"http://localhost:8643", False),
        ("http", b"localhost:8642", b"http://127.0.0.1:8642", False),
        ("http", b"localhost:8642", b"http://localhost:8642.evil.example", False),
    ],
)
def test_without_sec_fetch_site_our_own_origin_is_scheme_host_and_port(
    scheme: str, host: bytes, origin: bytes, passes: bool
) -> None:
    refused = RULES.refusal("POST", DATA, [(b"host", host), (b"origin", origin)], scheme)
    assert refused is (None if passes else ORIGIN_NOT_ALLOWED)


@pytest.mark.parametrize(
    "host",
    b"localhost LocalHost:1 127.0.0.1 127.0.0.1:65535 [::1] [::1]:8642"
    b" canvas.example CANVAS.example:80 lan.example:8443 [fd00::1]:8642".split(),
)
def test_the_loopback_names_and_those_listed_are_answered_to_on_any_port_unless_one_is_listed(host: bytes) -> None:
    for _ in range(2):
        assert RULES.refusal("POST", DATA, [(b"host", host)], "http") is None


@pytest.mark.parametrize(
    "host",
    b"|evil.example|localhost.evil.example|evil.example:localhost|localhost.|localhost:|localhost:http|localhost:123456"
    b"|localhost:8642:8642|evil@localhost|localhost@evil|lan.example|lan.example:8444|::1|[::1|0.0.0.0|127.1|2130706433"
    b"|localhost, evil.example|localhost\0".split(b"|"),
)
def test_no_other_name_is_answered_to(host: bytes) -> None:
    for _ in range(2):
        assert RULES.refusal("GET", "/", [(b"host", host)], "http") is HOST_NOT_ALLOWED


@given(st.text(alphabet="localhst127.0:[]@%\t,é", max_size=24).map(str.encode))
def test_a_name_is_answered_to_exactly_if_it_is_loopback_with_or_without_a_port(host: bytes) -> None:
    name, colon, port = host.rpartition(b":") if host[-1:] != b"]" else (host, b"", b"")
    if not colon:
        name = host
    is_ours = name in [known.encode() for known in LOOPBACK_HOSTS] and (not colon or (port.isdigit() and len(port) < 6))
    assert (AdmissionRules().refusal("GET", "/", [(b"host", host)], "http") is None) == is_ours


def test_without_a_name_or_with_two_nobody_is_answered() -> None:
    host = (b"host", b"localhost")
    assert RULES.refusal("GET", "/", [], "http") is HOST_NOT_ALLOWED
    assert RULES.refusal("GET", "/", [host, host], "http") is HOST_NOT_ALLOWED
    assert RULES.refusal("GET", "/", [host, (b"accept", b"a"), (b"accept", b"b")], "http") is None


@pytest.mark.parametrize(
    "name", [b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-purpose", b"authorization", b"content-type"]
)
def test_what_decides_may_not_be_said_twice(name: bytes) -> None:
    values: Headers = [(name, b"same-origin"), (name, b"cross-site")]
    for headers in (values, values[::-1]):
        assert refusal("POST", DATA, *headers) is FIELD_REPEATED


def test_a_body_framed_in_two_ways_is_refused() -> None:
    both: Headers = [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]
    assert refusal("POST", DATA, *both) is FRAMING_NOT_ALLOWED
    assert refusal("POST", DATA, both[0]) is None
    assert refusal("POST", DATA, both[1]) is None


def test_a_target_that_is_no_path_is_refused() -> None:
    assert refusal("GET", "http://localhost/api/v2/canvas") is TARGET_NOT_ALLOWED
    assert refusal("GET", "*") is TARGET_NOT_ALLOWED
    assert refusal("GET", "") is TARGET_NOT_ALLOWED
    assert refusal("OPTIONS", "*") is None


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "", "app.example", "http://", "https://app.example/", "https://*.example", "ftp://app.example"],
)
def test_an_origin_that_no_page_can_have_is_not_listed(origin: str) -> None:
    with pytest.raises(ConfigError, match="origin"):
        AdmissionRules((), [origin])


@pytest.mark.parametrize("name", ["", "*", "http://app.example", "fd00::1", "bücher.example", "a b", "app.example:"])
def test_a_name_that_no_client_can_send_is_not_listed(name: str) -> None:
    with pytest.raises(ConfigError, match="Host"):
        AdmissionRules([name])


def test_a_server_met_under_many_ports_remembers_few_of_them() -> None:
    rules = AdmissionRules()
    for port in range(1, 65536, 97):
        assert rules.refusal("GET", "/", [(b"host", b"localhost:%d" % port)], "http") is None
    assert rules.refusal("GET", "/", [(b"host", b"evil.example:1")], "http") is HOST_NOT_ALLOWED


@dataclass
class App:
    """Answers 200, and counts how often it was asked."""

    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b'W/"0-0"')]})
            await send({"type": "http.response.body", "body": b"read"})


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            self.body += message["body"]


async def ask(
    app: App, method: str, path: str, *headers: tuple[bytes, bytes], host: bytes = b"localhost:8642"
) -> Answer:
    answer = Answer()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": "http",
        "headers": [(b"host", host), *headers],
        "state": {"request_id": "r-1"},
    }
    await Admission(app, RULES)(scope, asyncio.Queue[Message]().get, answer.take)
    return answer


async def test_who_comes_in_is_served_and_nothing_is_added() -> None:
    app = App()
    answer = await ask(app, "POST", DATA)
    assert (app.asked, answer.status, answer.headers, answer.body) == (1, 200, {b"etag": b'W/"0-0"'}, b"read")


async def test_who_does_not_come_in_is_told_by_a_problem_and_the_application_never_hears_of_it() -> None:
    app = App()
    answer = await ask(app, "POST", DATA, (b"origin", b"null"))
    assert app.asked == 0
    assert answer.status == 403
    assert answer.headers[b"content-type"] == b"application/problem+json"
    assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": ORIGIN_NOT_ALLOWED.detail,
        "instance": DATA,
        "code": "ORIGIN_NOT_ALLOWED",
        "hint": ORIGIN_NOT_ALLOWED.hint,
        "retryable": False,
    }


async def test_a_wrong_name_is_told_as_a_misdirected_request() -> None:
    answer = await ask(App(), "GET", "/", host=b"evil.example")
    assert (answer.status, json.loads(answer.body)["code"]) == (421, "HOST_NOT_ALLOWED")


async def test_after_a_request_that_can_be_read_in_two_ways_the_connection_closes() -> None:
    answer = await ask(App(), "POST", DATA, (b"content-length", b"1"), (b"transfer-encoding", b"chunked"))
    assert (answer.status, answer.headers[b"connection"]) == (400, b"close")


async def test_a_listed_origin_may_read_the_answer_and_its_etag() -> None:
    answer = await ask(App(), "GET", DATA, (b"origin", LISTED), (b"sec-fetch-site", b"cross-site"))
    assert answer.status == 200
    assert answer.headers == {
        b"etag": b'W/"0-0"',
        b"access-control-allow-origin": LISTED,
        b"access-control-expose-headers": b"ETag, Retry-After, X-Request-Id",
        b"vary": b"Origin",
    }


async def test_the_preflight_of_a_listed_origin_is_answered_here() -> None:
    app = App()
    answer = await ask(app, "OPTIONS", DATA, (b"origin", LISTED), (b"access-control-request-method", b"PATCH"))
    assert (app.asked, answer.status, answer.body) == (0, 204, b"")
    assert answer.headers[b"access-control-allow-origin"] == LISTED
    assert b"PATCH" in answer.headers[b"access-control-allow-methods"]
    assert b"X-Client-Id" in answer.headers[b"access-control-allow-headers"]
    assert b"access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", HERE])
async def test_no_other_origin_is_ever_allowed_to_read(origin: bytes) -> None:
    for method in ("GET", "OPTIONS"):
        answer = await ask(App(), method, DATA, (b"origin", origin), (b"access-control-request-method", b"POST"))
        assert not any(name.startswith(b"access-control") for name in answer.headers)


async def test_the_lifespan_passes() -> None:
    app = App()
    await Admission(app, RULES)({"type": "lifespan"}, asyncio.Queue[Message]().get, Answer().take)
    assert app.asked == 1
