"""Users, what their roles allow, and the tokens that speak for them.

Rule: a token never allows more than the role of its user, as that is now. A role can be changed and a user be locked
out at any moment, whatever tokens there are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NewType, Protocol, TypeAlias

from msgspec import Struct

from canvas_server.core.event import Kind

TokenId = NewType("TokenId", str)
"""Names a token without being one: 16 hex digits."""

Role: TypeAlias = Literal["admin", "writer", "agent", "reader"]
Right: TypeAlias = Literal["read", "write", "create", "manage", "generate", "admin", "unmetered"]
Purpose: TypeAlias = Literal["token", "session", "cookie", "file", "settings"]
"""What a token was made for: a program, a page that signed in, what a browser fetches by itself, the file in the data
folder, whoever the settings name."""

RIGHTS: Final[Mapping[Right, str]] = MappingProxyType(
    {
        "read": "read canvases, listen, see jobs of one's own and what they cost",
        "write": "send operations to canvases, say where one is, put dialogues",
        "create": "make canvases",
        "manage": "rename, close, delete and share canvases, change presets, make tokens of one's own",
        "generate": "start jobs, which may cost money",
        "admin": "see and change everything: all canvases, users, tokens, quotas, metrics",
        "unmetered": "start jobs beyond one's quota",
    }
)
"""Every right, and what it allows."""

RIGHTS_OF: Final[Mapping[Role, frozenset[Right]]] = MappingProxyType(
    {
        "admin": frozenset(RIGHTS),
        "writer": frozenset({"read", "write", "create", "manage", "generate"}),
        "agent": frozenset({"read", "write", "create", "generate"}),
        "reader": frozenset({"read"}),
    }
)
"""What each role allows. An agent deletes, closes and shares nothing, and makes no tokens."""

LOCAL_USER: Final = "local"
"""The person at this machine: who starts a server is this user."""

USER_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
LABEL_CHARS_MAX: Final = 120

_USER_NAME: Final = re.compile(USER_NAME_PATTERN[1:-1])
_TOKEN_ID: Final = re.compile(r"[0-9a-f]{16}")


class User(Struct, frozen=True, kw_only=True):
    """Somebody who may come in."""

    name: str
    role: Role
    active: bool = True
    """False: locked out, with all tokens and open streams."""
    created_unix_ms: int = 0
    shown_as: Kind | None = None
    """How others see this user, where that does not follow from the role."""

    @property
    def kind(self) -> Kind:
        """How others see this user."""
        return self.shown_as or ("agent" if self.role == "agent" else "human")


class Token(Struct, frozen=True, kw_only=True):
    """What is kept of a token; the token itself is known to its bearer only."""

    id: TokenId
    digest: str
    """SHA-256 of the token, in hex."""
    user: str
    purpose: Purpose = "token"
    label: str = ""
    rights: frozenset[Right]
    canvases: frozenset[str] | None = None
    """Refs of the only canvases it is for; None for all that its user may reach, and for what is no canvas."""
    ops_per_s: int | None = None
    """Operations a second, fewer than the settings allow anybody; None for those of the settings."""
    parent: TokenId | None = None
    """The token it was made with and ends with, if it does."""
    created_unix_ms: int
    expires_unix_ms: int | None = None
    used_unix_ms: int | None = None
    """When it was last seen, within some minutes."""

    def is_expired(self, now_unix_ms: int) -> bool:
        """Tell whether its time is over."""
        return self.expires_unix_ms is not None and self.expires_unix_ms <= now_unix_ms


class Identities(Struct, frozen=True):
    """All users and tokens at one moment."""

    users: tuple[User, ...]
    tokens: tuple[Token, ...]
    count: int
    """Grows with each change of a user or a token."""


class IdentityStore(Protocol):
    """Durable users and tokens. Errors are those of every store."""

    async def load(self) -> Identities:
        """Read all of it."""
        ...

    async def count(self) -> int:
        """Read `Identities.count` only."""
        ...

    async def put_user(self, user: User) -> None:
        """Store a user, in place of one of that name."""
        ...

    async def delete_user(self, name: str) -> None:
        """Remove a user with all tokens; nothing happens if there is none."""
        ...

    async def put_token(self, token: Token) -> None:
        """Store a token, in place of one with that id."""
        ...

    async def delete_tokens(self, ids: Collection[TokenId]) -> None:
        """Remove tokens, those whose parents they are, and so on; nothing happens with those that are not there."""
        ...

    async def note_used(self, used_unix_ms: Mapping[TokenId, int]) -> None:
        """Store when tokens were last seen; this does not count as a change."""
        ...


def is_last_admin(user: User, users: Iterable[User]) -> bool:
    """Tell whether nobody but `user` could change users and rights any more."""
    return not any(other.role == "admin" and other.active and other.name != user.name for other in users)


def is_user_name(text: str) -> bool:
    """Tell whether `text` can name a user."""
    return _USER_NAME.fullmatch(text) is not None


def is_token_id(text: str) -> bool:
    """Tell whether `text` can name a token."""
    return _TOKEN_ID.fullmatch(text) is not None
