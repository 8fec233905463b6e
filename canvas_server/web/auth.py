"""Who asks: the credentials of a request become an `Author`; the body of a request never says who sent it.

Whoever is bound to a canvas may read it and write into it, and do nothing else anywhere.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final, Literal, NamedTuple, TypeAlias

from canvas_server.core.canvas import Author
from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.event import Kind
from canvas_server.core.ids import is_client_id
from canvas_server.web.problems import AuthRequiredError, ForbiddenError

Role: TypeAlias = Literal["writer", "admin"]

_TOKEN_BYTES: Final = 32
_CANVASES: Final = "/api/v2/canvas/"


class Actor(NamedTuple):
    """Somebody with a token of their own."""

    name: str
    kind: Kind
    token: str
    role: Role = "writer"
    canvas: str | None = None
    """The only one it is for; None for all, and all that there is beside them."""


class Caller(NamedTuple):
    """Who asks for something that is nobody else's, or only an admin's."""

    name: str
    kind: Kind
    admin: bool
    canvas: str | None = None
    """As `Actor.canvas`."""

    def check(self, method: str, path: str) -> None:
        """Check that a request is within what it is for.

        Raises:
            ForbiddenError: it is bound to a canvas, and this is no way to read that one or to write into it.
        """
        if self.canvas is not None and not _is_within(self.canvas, method, path):
            raise ForbiddenError(
                "this token is only for reading one canvas and writing into it", hint="Use a token of the settings."
            )


_LOCAL: Final = Caller("local", "human", admin=False)
"""Whoever has no token: a person at this machine."""


class Identification:
    """Knows the tokens.

    Args:
        actors: who has one. Without a token a request is by `local`, a person at this machine.
    """

    def __init__(self, actors: Iterable[Actor]) -> None:
        self._by_digest = {_digest(actor.token): actor for actor in actors}

    def issue(self, name: str, kind: Kind, canvas: str) -> str:
        """Return a fresh token for a writer of one canvas; it is known until `revoke`, or until the server stops."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._by_digest[_digest(token)] = Actor(name, kind, token, canvas=canvas)
        return token

    def revoke(self, token: str) -> None:
        """Forget a token that was issued; nothing happens if it is forgotten already."""
        self._by_digest.pop(_digest(token), None)

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Return who asks.

        Raises:
            AuthRequiredError: the token is not known.
        """
        authorization = headers.get(b"authorization")
        if authorization is None:
            return _LOCAL
        actor = self._actor(authorization)
        return Caller(actor.name, actor.kind, actor.role == "admin", actor.canvas)

    def _actor(self, authorization: bytes) -> Actor:
        scheme, _, token = authorization.partition(b" ")
        digest = sha256(token.strip()).digest()
        actor = self._by_digest.get(digest)
        known = actor is not None and hmac.compare_digest(_digest(actor.token), digest)
        if scheme.lower() != b"bearer" or actor is None or not known:
            raise AuthRequiredError("the token is not known", hint="Send a token of the settings, or none.")
        return actor


def author_of(caller: Caller, headers: Mapping[bytes, bytes], client_id: str | None = None) -> Author:
    """Return who sends a request.

    Args:
        caller: whose request it is.
        headers: of the request, names in lower case.
        client_id: where the client cannot set `X-Client-Id`.

    Raises:
        InvalidFieldError: the client id is not well-formed.
    """
    sent = headers.get(b"x-client-id")
    if sent is not None:
        client_id = sent.decode("latin-1")
    if client_id is not None and not is_client_id(client_id):
        raise InvalidFieldError(
            "a client id is 1 to 64 letters, digits, _ or -", hint="Send a random id in X-Client-Id, or none."
        )
    return Author(caller.name, caller.kind, client_id)


def _is_within(canvas: str, method: str, path: str) -> bool:
    place = _CANVASES + canvas
    if method in ("GET", "HEAD"):
        return path == place or path.startswith(f"{place}/")
    return method == "POST" and path in (f"{place}/ops:stream", f"{place}/presence")


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
