"""The JSON of requests and answers about users, tokens, sessions and rights, as types that check themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from canvas_server.core.access import SHARED_WITH_MAX, Level, Shared
from canvas_server.core.event import Kind
from canvas_server.core.identity import LABEL_CHARS_MAX, USER_NAME_PATTERN, Purpose, Right, Role, Token, User
from canvas_server.core.ids import CANVAS_REF_PATTERN

_NO_NEWLINE: Final = r"(?!\n)"
"""Behind a `$`, which would else let a newline pass at the end of a text."""

Name = Annotated[str, Meta(pattern=USER_NAME_PATTERN + _NO_NEWLINE)]
Ref = Annotated[str, Meta(pattern=CANVAS_REF_PATTERN + _NO_NEWLINE)]
Refs = Annotated[tuple[Ref, ...], Meta(min_length=1, max_length=100)]
Label = Annotated[str, Meta(max_length=LABEL_CHARS_MAX, pattern=r"^[^\x00-\x1f\x7f]*$" + _NO_NEWLINE)]

EXPIRES_S_MAX: Final = 10 * 366 * 86_400
OPS_PER_S_MAX: Final = 1_000_000


class MeBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who the credentials of a request are."""

    name: str
    kind: Kind
    rights: Sequence[Right]
    canvases: Sequence[str] | None
    """Refs of the only canvases they are for; null for all that the user may reach."""
    expires_unix_ms: int | None
    signed_in: bool
    """False where the server asks nobody for credentials."""


class CodeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for a link to the page."""

    user: Name | None = None
    """Who is to be signed in by it; whoever asks, if left out. Only an admin may name another."""


class LinkBody(msgspec.Struct, frozen=True):
    """A link to the page that signs in once."""

    url: str
    user: str
    expires_in_s: float


class SignInBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a link, which is good for one session."""

    code: Annotated[str, Meta(max_length=128)]


class SessionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A session; its token is told this once."""

    token: str
    user: str
    expires_unix_ms: int


class TicketRequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ticket is to be good for: either, not both."""

    refs: Refs | None = None
    """Canvases to listen to."""
    generate: bool = False
    """One `GET /api/v1/generate/stream`."""


class TicketBody(msgspec.Struct, frozen=True):
    """A ticket: good for one request, as the parameter `ticket` of its query."""

    ticket: str
    expires_in_s: float


class NewUserBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user to be made."""

    name: Name
    role: Role = "writer"


class UserChangeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change of a user; what is left out stays."""

    role: Role | None = None
    active: bool | None = None
    """False locks the user out: tokens are good for nothing, open streams end."""


class UserBody(msgspec.Struct, frozen=True, kw_only=True):
    """A user."""

    name: str
    role: Role
    kind: Kind
    active: bool
    created_unix_ms: int
    settled: bool
    """The settings name this user, who cannot be changed here."""


class UserList(msgspec.Struct, frozen=True):
    """All users."""

    users: Sequence[UserBody]


class NewTokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made, for oneself unless an admin names another."""

    user: Name | None = None
    label: Label = ""
    rights: Annotated[tuple[Right, ...], Meta(min_length=1)] | None = None
    """All that the role of the user allows but `unmetered`, if left out."""
    canvases: Refs | None = None
    expires_in_s: Annotated[int, Meta(ge=1, le=EXPIRES_S_MAX)] | None = None
    ops_per_s: Annotated[int, Meta(ge=1, le=OPS_PER_S_MAX)] | None = None


class TokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token."""

    id: str
    user: str
    purpose: Purpose
    label: str
    rights: Sequence[Right]
    canvases: Sequence[str] | None
    ops_per_s: int | None
    created_unix_ms: int
    expires_unix_ms: int | None
    used_unix_ms: int | None


class MadeTokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just made; it is told this once."""

    token: str
    about: TokenBody


class TokenList(msgspec.Struct, frozen=True):
    """Tokens, the oldest first."""

    tokens: Sequence[TokenBody]


class AccessBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who else may do what with a canvas."""

    link: Literal["none", "read", "write"] = "none"
    shared_with: Annotated[Mapping[Name, Shared], Meta(max_length=SHARED_WITH_MAX)] = {}
    owner: Name | None = None
    """Its new owner; the one it has, if left out."""


class AccessState(msgspec.Struct, frozen=True, kw_only=True):
    """The rights to a canvas, as far as whoever asks may know them."""

    ref: str
    level: Level
    """How far whoever asks may go."""
    owner: str | None
    link: str
    shared_with: Mapping[str, Shared] | None
    """Told to the owner and to admins."""


def token_body(token: Token) -> TokenBody:
    """Return what is told of a token."""
    return TokenBody(
        id=token.id,
        user=token.user,
        purpose=token.purpose,
        label=token.label,
        rights=sorted(token.rights),
        canvases=None if token.canvases is None else sorted(token.canvases),
        ops_per_s=token.ops_per_s,
        created_unix_ms=token.created_unix_ms,
        expires_unix_ms=token.expires_unix_ms,
        used_unix_ms=token.used_unix_ms,
    )


def user_body(user: User, *, settled: bool) -> UserBody:
    """Return what is told of a user."""
    return UserBody(
        name=user.name,
        role=user.role,
        kind=user.kind,
        active=user.active,
        created_unix_ms=user.created_unix_ms,
        settled=settled,
    )
