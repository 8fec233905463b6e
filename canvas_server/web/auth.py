"""Who asks: the credentials of a request become an `Author`; the body of a request never says who sent it."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from canvas_server.core.canvas import Author
from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.event import Kind
from canvas_server.core.ids import is_client_id
from canvas_server.web.problems import AuthRequiredError


class Actor(NamedTuple):
    """Somebody with a token of their own."""

    name: str
    kind: Kind
    token: str


class Identification:
    """Knows the tokens.

    Args:
        actors: who has one. Without a token a request is by `local`, a person at this machine.
    """

    def __init__(self, actors: Iterable[Actor]) -> None:
        self._by_digest = {sha256(actor.token.encode()).digest(): actor for actor in actors}

    def author(self, headers: Mapping[bytes, bytes], client_id: str | None = None) -> Author:
        """Return who sends a request.

        Args:
            headers: of the request, names in lower case.
            client_id: where the client cannot set `X-Client-Id`.

        Raises:
            AuthRequiredError: the token is not known.
            InvalidFieldError: the client id is not well-formed.
        """
        sent = headers.get(b"x-client-id")
        if sent is not None:
            client_id = sent.decode("latin-1")
        if client_id is not None and not is_client_id(client_id):
            raise InvalidFieldError(
                "a client id is 1 to 64 letters, digits, _ or -", hint="Send a random id in X-Client-Id, or none."
            )
        authorization = headers.get(b"authorization")
        if authorization is None:
            return Author("local", "human", client_id)
        actor = self._actor(authorization)
        return Author(actor.name, actor.kind, client_id)

    def _actor(self, authorization: bytes) -> Actor:
        scheme, _, token = authorization.partition(b" ")
        digest = sha256(token.strip()).digest()
        actor = self._by_digest.get(digest)
        known = actor is not None and hmac.compare_digest(sha256(actor.token.encode()).digest(), digest)
        if scheme.lower() != b"bearer" or actor is None or not known:
            raise AuthRequiredError("the token is not known", hint="Send a token of the settings, or none.")
        return actor
