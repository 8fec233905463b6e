"""Asking a running server over HTTP, with the standard library: what a broken installation still has.

Rule: everything is bounded in time and size, no redirect is followed, and a token goes only where it was meant to go.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from time import monotonic
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from canvas_server.core.errors import ConfigError

ANSWER_S_MAX: Final = 10.0
EVENT_S_MAX: Final = 5.0
"""Until an event is taken for held back."""
_BYTES_MAX: Final = 4 * 1024 * 1024
_JSON: Final = "application/json"
_LINE_BYTES_MAX: Final = 1024 * 1024


class UnreachableError(Exception):
    """The server did not answer; the text says why."""


class Answer(NamedTuple):
    """What it answered."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    took_s: float

    def field(self, name: str) -> object:
        """Return a field of a JSON object; None if there is none."""
        try:
            told = json.loads(self.body)
        except ValueError:
            return None
        return told.get(name) if isinstance(told, dict) else None

    @property
    def refusal(self) -> str:
        """What a refusal says, on one line."""
        code, detail = self.field("code"), self.field("detail")
        return f"{self.status} {code}: {detail}" if code else f"{self.status}"

    @property
    def hint(self) -> str:
        """What a refusal tells to do; empty if it tells nothing."""
        return str(self.field("hint") or "")


class Visit:
    """A program that asks a server.

    Args:
        url: `http://` or `https://`, a name or number, perhaps a port and a path before all others.
        token: sent with each request unless it is empty.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(self, url: str, token: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is not the address of a server", hint="Write http://name:port.")
        self.is_secure = parts.scheme == "https"
        self.host = parts.hostname
        self.is_loopback = is_loopback(parts.hostname)
        self._port = port
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection: HTTPConnection | None = None

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request, with `body` as JSON, and return the answer.

        Raises:
            UnreachableError: there was none within `ANSWER_S_MAX`.
        """
        content = None if body is None else json.dumps(body).encode()
        fields = {**self._headers, **(headers or {}), **({} if body is None else {"Content-Type": _JSON})}
        started_s = monotonic()
        try:
            if self._connection is None:
                self._connection = self._connect(ANSWER_S_MAX)
            self._connection.request(method, self._prefix + path, content, fields)
            response = self._connection.getresponse()
            told = response.read(_BYTES_MAX)
        except (OSError, HTTPException) as error:
            self.close()
            raise UnreachableError(_reason(error)) from error
        if response.will_close or not response.isclosed():
            self.close()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, told, monotonic() - started_s)

    @contextmanager
    def listen(self, path: str) -> Iterator[Iterator[dict[str, object]]]:
        """Open a stream of events for a block, and yield them as they come, each within `EVENT_S_MAX`.

        Raises:
            UnreachableError: the stream does not begin, or the next event does not come, in time.
        """
        connection = self._connect(EVENT_S_MAX)
        try:
            connection.request("GET", self._prefix + path, None, {**self._headers, "Accept": "text/event-stream"})
            response = connection.getresponse()
            if response.status != 200:
                raise UnreachableError(f"the stream is refused with {response.status}")
            yield _events(response)
        except (OSError, HTTPException) as error:
            raise UnreachableError(_reason(error)) from error
        finally:
            connection.close()

    def certificate(self) -> Mapping[str, object]:
        """Return the server's certificate, as `ssl.SSLSocket.getpeercert` tells it; empty over plain HTTP.

        Raises:
            UnreachableError: it cannot be trusted, or nobody answers.
        """
        if not self.is_secure:
            return {}
        try:
            connection = self._connect(ANSWER_S_MAX)
            connection.connect()
        except OSError as error:
            raise UnreachableError(_reason(error)) from error
        try:
            assert isinstance(connection.sock, ssl.SSLSocket)
            return dict(connection.sock.getpeercert() or {})
        finally:
            connection.close()

    def close(self) -> None:
        """Close what is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, timeout_s: float) -> HTTPConnection:
        if self.is_secure:
            context = ssl.create_default_context()
            return HTTPSConnection(self.host, self._port, timeout=timeout_s, context=context)
        return HTTPConnection(self.host, self._port, timeout=timeout_s)


def is_loopback(host: str) -> bool:
    """Tell whether a name or number is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _events(response: HTTPResponse) -> Iterator[dict[str, object]]:
    while line := response.readline(_LINE_BYTES_MAX):
        if line.startswith(b"data:"):
            yield json.loads(line[5:])
    raise UnreachableError("the stream ended")


def _reason(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate cannot be trusted: {error.verify_message}"
        case TimeoutError():
            return "nothing came in time"
        case socket.gaierror():
            return "its name is not known"
        case OSError(strerror=str(text)) if text:
            return text[:1].lower() + text[1:]
        case _:
            return type(error).__name__
