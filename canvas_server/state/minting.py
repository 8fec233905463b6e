"""Making tokens, in one way for the server and for the command line.

A token is 256 bits of chance behind a prefix by which a scanner of secrets can tell it. What is kept is its digest.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Final, NamedTuple

from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.identity import RIGHTS_OF, Purpose, Right, Role, Token, TokenId

PREFIX: Final = "cvs_"
_TOKEN_BYTES: Final = 32
_ID_BYTES: Final = 8


class Minted(NamedTuple):
    """A token, and what is kept of it."""

    secret: str
    token: Token


class Terms(NamedTuple):
    """What a token is for, and for how long."""

    purpose: Purpose = "token"
    label: str = ""
    canvases: frozenset[str] | None = None
    lasts_s: float | None = None
    parent: TokenId | None = None
    ops_per_s: int | None = None


FOR_GOOD: Final = Terms()
"""Of a token for a program that may do all that its rights allow, until it is revoked."""


def mint(user: str, rights: frozenset[Right], now_unix_ms: int, terms: Terms = FOR_GOOD) -> Minted:
    """Return a fresh token; whoever asked stores what is to be kept of it."""
    secret = new_secret()
    token = Token(
        id=TokenId(secrets.token_hex(_ID_BYTES)),
        digest=digest_of(secret),
        user=user,
        purpose=terms.purpose,
        label=terms.label,
        rights=rights,
        canvases=terms.canvases,
        ops_per_s=terms.ops_per_s,
        parent=terms.parent,
        created_unix_ms=now_unix_ms,
        expires_unix_ms=None if terms.lasts_s is None else now_unix_ms + round(terms.lasts_s * 1000),
    )
    return Minted(secret, token)


def rights_for(role: Role, asked: tuple[Right, ...] | None) -> frozenset[Right]:
    """Return the rights of a token for a user of that role: those asked for, or all but `unmetered`.

    Raises:
        InvalidFieldError: the role has not all that were asked for.
    """
    if asked is None:
        return RIGHTS_OF[role] - {"unmetered"}
    if beyond := set(asked) - RIGHTS_OF[role]:
        raise InvalidFieldError(
            f"the role {role} does not have the right {min(beyond)}",
            pointer="/rights",
            hint=f"Choose out of: {', '.join(sorted(RIGHTS_OF[role]))}.",
        )
    return frozenset(asked)


def new_secret() -> str:
    """Return a fresh token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def digest_of(secret: str) -> str:
    """Return what is kept of a token: its SHA-256, in hex."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
