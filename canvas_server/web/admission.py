"""Which requests come in, decided by their headers alone, before any route sees them.

Rule: a web page of another origin can neither write, spend nor read. Programs that are no browser send neither `Origin`
nor `Sec-Fetch-*` and pass; what they may do is a matter of credentials, not of this module.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canvas_server.core.counts import Counts
from canvas_server.core.current import REQUEST_ID
from canvas_server.core.errors import ConfigError, InvalidRequestError
from canvas_server.core.tracer import Tracer
from canvas_server.web.peers import NO_PROXIES, Proxies
from canvas_server.web.problems import Headers, Problem, problem_bytes
from canvas_server.web.request_id import HEADER as REQUEST_ID_HEADER
from canvas_server.web.request_id import RequestIds, given, keep_chosen
from canvas_server.web.strangers import Strangers
from canvas_server.web.traced import serve_traced

log = logging.getLogger(__name__)

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")

SECURITY_HEADERS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
"""What every answer carries. They belong in `uvicorn.Config(headers=...)`: there they reach what Starlette, uvicorn and
the guard answer by themselves as well, and cost no wrapper. A listed origin needs no other resource policy: browsers do
not consult it where CORS lets a page read (Fetch standard, "cross-origin resource policy check")."""

AtOnce: TypeAlias = Callable[[Scope, bytes], bytes | None]
"""Answers a whole POST that needs no waiting, with status 202 and in JSON. With None nothing has happened."""

SPENDING_PATH: Final = "/api/v1/generate/stream"
"""A GET of this starts a job and spends money, so it is admitted as a write is."""

_DATA_PREFIX: Final = "/api/"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SINGLE: Final = (b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-purpose", b"authorization", b"content-type")
_HOST: Final = re.compile(rb"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"https?://(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_HOSTS_LEARNED_MAX: Final = 256
_HOST_CHARS_MAX: Final = 256
"""Of a refused name, as it is logged."""

_PREFLIGHT: Final = b"access-control-request-method"
_CORS_HEADERS: Final[Headers] = [
    (b"vary", b"Origin"),
    (b"access-control-expose-headers", b"ETag, Retry-After, X-Request-Id"),
]
_PREFLIGHT_HEADERS: Final[Headers] = [
    (b"vary", b"Origin"),
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Accept, Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, X-Client-Id, X-Request-Id",
    ),
    (b"access-control-max-age", b"600"),
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request does not come in, as HTTP shows it; nothing of it was looked at any further."""

    status: int
    code: str
    detail: str
    hint: str = ""
    retry_after_s: int | None = None


HOST_NOT_ALLOWED: Final = Refusal(
    421,
    "HOST_NOT_ALLOWED",
    "This server does not answer to the name in the Host header.",
    "Use localhost or 127.0.0.1, or add the name to server.allowed_hosts.",
)
ORIGIN_NOT_ALLOWED: Final = Refusal(
    403,
    "ORIGIN_NOT_ALLOWED",
    "Web pages of another origin may not use this server.",
    "Open the server's own page, or add the page's origin to server.allowed_origins.",
)
FRAMING_NOT_ALLOWED: Final = Refusal(
    400,
    InvalidRequestError.code,
    "The request carries both Content-Length and Transfer-Encoding.",
    "Send one of the two.",
)
FIELD_REPEATED: Final = Refusal(
    400,
    InvalidRequestError.code,
    "A header field that has one value occurs twice.",
    f"Send each of {', '.join(name.decode() for name in _SINGLE)} at most once.",
)
TARGET_NOT_ALLOWED: Final = Refusal(
    400,
    InvalidRequestError.code,
    "The request target is not a path.",
    "Send the path in the request line and the name of the server in Host.",
)


class AdmissionRules:
    """The names this server answers to and the origins whose pages may use it.

    Args:
        allowed_hosts: names besides the loopback ones; one without a port fits every port, one with a port only that.
        allowed_origins: `scheme://host[:port]` of pages that may read and write.

    Raises:
        ConfigError: a name or origin is not of that form; `*` and `null` never are.
    """

    def __init__(self, allowed_hosts: Iterable[str] = (), allowed_origins: Iterable[str] = ()) -> None:
        self._hosts = frozenset(map(_host_as_sent, (*LOOPBACK_HOSTS, *allowed_hosts)))
        self.allowed_origins = frozenset(map(_origin_as_sent, allowed_origins))
        self._hosts_learned = set(self._hosts)

    def refusal(self, method: str, path: str, headers: Headers, scheme: str) -> Refusal | None:
        """Say why a request may not come in, or None when it may.

        Args:
            method: in upper case.
            path: percent-decoded, without the query.
            headers: all of the request's, names in lower case.
            scheme: `http` or `https`, as the client sees this server.
        """
        fields = dict(headers)
        if len(fields) != len(headers) and (refusal := _refusal_of_repeated(headers)):
            return refusal
        if fields.get(b"host", b"") not in self._hosts_learned and not self._learns(fields.get(b"host", b"")):
            return HOST_NOT_ALLOWED
        if b"transfer-encoding" in fields and b"content-length" in fields:
            return FRAMING_NOT_ALLOWED
        if path[:1] != "/" and (method, path) != ("OPTIONS", "*"):
            return TARGET_NOT_ALLOWED
        if b"sec-fetch-site" in fields or b"origin" in fields or b"sec-purpose" in fields:
            return self._refusal_for_browser(method, path, fields, scheme)
        return None

    def _learns(self, host: bytes) -> bool:
        """Tell whether a Host not met before names this server, and remember it: the next one costs no regex."""
        match = _HOST.fullmatch(host.lower())
        if match is None or (match[0] not in self._hosts and match[1] not in self._hosts):
            return False
        if len(self._hosts_learned) < _HOSTS_LEARNED_MAX:
            self._hosts_learned.add(host)
        return True

    def _refusal_for_browser(
        self, method: str, path: str, fields: Mapping[bytes, bytes], scheme: str
    ) -> Refusal | None:
        is_data = path.startswith(_DATA_PREFIX)
        if is_data and fields.get(b"sec-purpose", b"").lower().startswith(b"prefetch"):
            return ORIGIN_NOT_ALLOWED
        if method not in _SAFE_METHODS or path == SPENDING_PATH:
            return None if self._may_write(fields, scheme) else ORIGIN_NOT_ALLOWED
        return None if not is_data or self._may_read(fields) else ORIGIN_NOT_ALLOWED

    def _may_read(self, fields: Mapping[bytes, bytes]) -> bool:
        site = fields.get(b"sec-fetch-site")
        if site is None or site == b"same-origin" or fields.get(b"origin") in self.allowed_origins:
            return True
        return site == b"none" and fields.get(b"sec-fetch-mode") == b"navigate"

    def _may_write(self, fields: Mapping[bytes, bytes], scheme: str) -> bool:
        site, origin = fields.get(b"sec-fetch-site"), fields.get(b"origin")
        if site == b"same-origin" or origin in self.allowed_origins:
            return True
        # Host is one of ours by now, so an origin equal to it is our own page in a browser without Sec-Fetch-Site.
        return site is None and (origin is None or origin == b"%s://%s" % (scheme.encode(), fields[b"host"]))


class Admission:
    """ASGI application that lets `rules` decide before `app` is asked, and speaks CORS to the listed origins.

    Args:
        app: what answers.
        rules: who may come in.
        at_once: what of `app` need not wait; not used where requests are traced.
        counts: is told of refusals.
        proxies: say which scheme their clients use.
        strangers: connections on which nobody has shown credentials; handed on to the guard.
        tracer: told of each request, if there is one.
    """

    def __init__(
        self,
        app: ASGIApp,
        rules: AdmissionRules,
        at_once: AtOnce | None = None,
        *,
        counts: Counts | None = None,
        proxies: Proxies = NO_PROXIES,
        strangers: Strangers | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._app = app
        self._rules = rules
        self._at_once = at_once if tracer is None else None
        self._proxies = proxies
        self.strangers = strangers
        self.counts = Counts() if counts is None else counts
        """Of the server that this stands before."""
        self._tracer = tracer
        self._request_ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        assert scope["type"] == "http", "no other protocol is served here"
        request_id = given(scope)
        if request_id is None:
            request_id, send = self._name(scope, send)
        REQUEST_ID.set(request_id)
        if self._tracer is None:
            await self._serve(scope, receive, send)
        else:
            await serve_traced(self._serve, self._tracer, scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._rules.refusal(scope["method"], scope["path"], scope["headers"], self._scheme_of(scope))
        if refusal is not None:
            self.counts.refuse("admission", refusal.code)
            self._note(refusal, scope)
            await _refuse(refusal, scope["path"], send)
        elif self._rules.allowed_origins and (origin := self._listed_origin(scope["headers"])):
            await self._serve_listed(origin, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _note(self, refusal: Refusal, scope: Scope) -> None:
        """Log a refusal as the guard logs its own; the name that was asked for tells an operator what to allow."""
        headers = dict(scope["headers"])
        facts = {"code": refusal.code, "status": refusal.status, "method": scope["method"], "path": scope["path"]}
        host = headers.get(b"host", b"").decode("latin-1")[:_HOST_CHARS_MAX]
        log.info("request refused", extra={**facts, "host": host, "client": self._proxies.address_of(scope, headers)})

    def _name(self, scope: Scope, send: Send) -> tuple[str, Send]:
        """Name a request that the guard did not name, as it does with httptools; return the way to answer it, too."""
        keep_chosen(scope, scope["headers"])
        request_id = self._request_ids.of(scope)
        named = (REQUEST_ID_HEADER, request_id.encode())

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), named]
            await send(message)

        return request_id, send_named

    def at_once(self, scope: Scope, body: bytes) -> bytes | None:
        """Return what the application answers at once to a request that comes in and needs no CORS; else None."""
        headers = scope["headers"]
        scheme = self._scheme_of(scope)
        if self._at_once is None or self._rules.refusal(scope["method"], scope["path"], headers, scheme):
            return None
        if self._rules.allowed_origins and self._listed_origin(headers):
            return None
        return self._at_once(scope, body)

    def _scheme_of(self, scope: Scope) -> str:
        """Return the scheme as the client sees it."""
        if self._proxies is NO_PROXIES:
            scheme: str = scope["scheme"]
            return scheme
        return self._proxies.scheme_of(scope, dict(scope["headers"]))

    def _listed_origin(self, headers: Headers) -> bytes | None:
        return next(
            (value for name, value in headers if name == b"origin" and value in self._rules.allowed_origins), None
        )

    async def _serve_listed(self, origin: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a page of a listed origin: its preflight here, all else by the application, readable for that page."""
        allow = (b"access-control-allow-origin", origin)
        if scope["method"] == "OPTIONS" and any(name == _PREFLIGHT for name, _ in scope["headers"]):
            await _answer(204, [allow, *_PREFLIGHT_HEADERS], b"", send)
            return

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A browser takes no answer that allows two origins; what is for all is for this one, too.
                others = [field for field in message.get("headers", ()) if field[0] != allow[0]]
                message["headers"] = [*others, allow, *_CORS_HEADERS]
            await send(message)

        await self._app(scope, receive, send_readable)


def problem(refusal: Refusal, instance: str = "") -> tuple[Headers, bytes]:
    """Return header fields and body of the problem that tells a refusal; `instance` is the request's path."""
    told = Problem(
        type="about:blank",
        title=HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        detail=refusal.detail,
        instance=instance,
        code=refusal.code,
        hint=refusal.hint,
        retryable=refusal.retry_after_s is not None,
    )
    return problem_bytes(told, refusal.retry_after_s)


async def _refuse(refusal: Refusal, path: str, send: Send) -> None:
    headers, body = problem(refusal, path)
    if refusal.status == HTTPStatus.BAD_REQUEST:
        # After a request that can be read in two ways nobody knows where the next one begins.
        headers.append((b"connection", b"close"))
    await _answer(refusal.status, headers, body, send)


async def _answer(status: int, headers: Headers, body: bytes, send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refusal_of_repeated(headers: Headers) -> Refusal | None:
    """Refuse a second value of what has one, and on which something is decided here or further on."""
    names = [name for name, _ in headers]
    if names.count(b"host") > 1:
        return HOST_NOT_ALLOWED
    return FIELD_REPEATED if any(names.count(name) > 1 for name in _SINGLE) else None


def _host_as_sent(name: str) -> bytes:
    host = name.lower().encode("ascii", "replace")
    if _HOST.fullmatch(host) is None:
        raise ConfigError(
            f"{name!r} cannot be a Host", hint="Write name or name:port; an IPv6 address stands in brackets."
        )
    return host


def _origin_as_sent(origin: str) -> bytes:
    """Return an origin as browsers write it: lower case, without the default port of its scheme."""
    sent = origin.lower()
    if _ORIGIN.fullmatch(sent) is None:
        raise ConfigError(
            f"{origin!r} is no origin that can be listed",
            hint="Write scheme://name[:port]; * and null cannot be allowed.",
        )
    return sent.removesuffix(":443" if sent.startswith("https:") else ":80").encode()
