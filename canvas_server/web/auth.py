"""Who asks: the credentials of a request become a `Caller`; the body of a request never says who sent it.

Rule: what a caller may do is the least of three: the rights of the user's role, those of the token, and those to the
canvas. Where a canvas may not even be read, the answer is that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from canvas_server.core.access import Access, Level
from canvas_server.core.canvas import Author
from canvas_server.core.errors import InvalidFieldError, no_canvas
from canvas_server.core.event import Kind
from canvas_server.core.identity import LOCAL_USER, RIGHTS, RIGHTS_OF, Right, TokenId
from canvas_server.core.ids import CanvasRef, is_client_id
from canvas_server.core.ports import Clock
from canvas_server.state.identity import Identity, Known
from canvas_server.state.minting import digest_of, new_secret
from canvas_server.web.problems import AuthExpiredError, AuthRequiredError, ForbiddenError
from canvas_server.web.secrets import OneUse

TICKET_S: Final = 30.0

_WRITING: Final[frozenset[Right]] = frozenset({"read", "write"})
_READING: Final[frozenset[Right]] = frozenset({"read"})
_NOBODYS: Final[frozenset[Right]] = frozenset(RIGHTS) - {"admin", "unmetered"}
"""Where nobody is asked for credentials."""
_SAFE: Final = ("GET", "HEAD")
_COOKIES_MAX: Final = 64


class Caller(NamedTuple):
    """Who asks, and how far it may go."""

    name: str
    """As events tell it."""
    kind: Kind
    rights: frozenset[Right]
    user: str
    """Whose rights to canvases count, and who pays."""
    canvases: frozenset[str] | None = None
    """Refs of the only canvases; None for all that the user may reach."""
    everywhere: bool = False
    """Whether the rights to single canvases are not asked."""
    token: TokenId | None = None
    ops_per_s: int | None = None

    @property
    def admin(self) -> bool:
        """Whether this is an admin."""
        return "admin" in self.rights

    def check(self, right: Right) -> None:
        """Check a right.

        Raises:
            ForbiddenError: the caller does not have it.
        """
        if right not in self.rights:
            raise ForbiddenError(f"these credentials do not allow to {RIGHTS[right]}", hint=_hint_for(right))

    def check_canvas(self, ref: CanvasRef, access: Access, level: Level) -> None:
        """Check the rights to a canvas.

        Raises:
            NotFoundError: the caller may not even know of it.
            ForbiddenError: the caller may read it, and no more.
        """
        if not self.reaches(ref, access, "read"):
            raise no_canvas(ref)
        if not self.reaches(ref, access, level):
            raise ForbiddenError(
                f"canvas {ref} is shared with you for less than that", hint="Ask its owner for more rights to it."
            )

    def reaches(self, ref: CanvasRef, access: Access, level: Level) -> bool:
        """Tell whether the rights to a canvas go as far as `level`."""
        if self.canvases is not None and ref not in self.canvases:
            return False
        return self.everywhere or access.allows(self.user, level)

    def check_unbound(self) -> None:
        """Check that these credentials are for more than single canvases.

        Raises:
            ForbiddenError: they are not.
        """
        if self.canvases is not None:
            raise ForbiddenError("this token is for single canvases only", hint="Use a token that is for all of yours.")


class _Issued(NamedTuple):
    """A job's way in."""

    name: str
    kind: Kind
    user: str
    canvas: str


class Identification:
    """Tells who asks.

    Args:
        identity: the users and tokens.
        clock: says what is expired.
        required: whether a request without credentials is refused; else it is by the person at this machine, and the
            rights to single canvases are not asked of anybody.
        cookie: the name of the cookie that can only read.
    """

    def __init__(self, identity: Identity, clock: Clock, *, required: bool = True, cookie: str = "canvas_read") -> None:
        self.identity = identity
        self.required = required
        self.cookie = cookie
        self.tickets = OneUse[Caller](clock, TICKET_S)
        """Each is a caller with few rights, for whoever cannot send a header."""
        self._clock = clock
        self._issued: dict[str, _Issued] = {}
        self._callers: dict[str, Caller] = {}
        self._nobody = Caller(LOCAL_USER, "human", _NOBODYS, LOCAL_USER, everywhere=True)
        self._cookie_prefix = cookie.encode() + b"="
        identity.changed.append(self._callers.clear)

    def issue(self, name: str, kind: Kind, canvas: str, user: str) -> str:
        """Return a fresh token to write into one canvas in the name of a user, known until `revoke` or a restart."""
        token = new_secret()
        self._issued[digest_of(token)] = _Issued(name, kind, user, canvas)
        return token

    def revoke(self, token: str) -> None:
        """Forget a token that was issued; nothing happens if it is forgotten already."""
        digest = digest_of(token)
        self._issued.pop(digest, None)
        self._callers.pop(digest, None)

    def caller(
        self, headers: Mapping[bytes, bytes], method: str = "GET", ticket: Callable[[], str | None] | None = None
    ) -> Caller:
        """Return who asks.

        Args:
            headers: of the request, names in lower case.
            method: of the request: tickets and cookies are good for GET and HEAD only.
            ticket: returns the ticket in the query, if there is one; asked only where nothing else tells.

        Raises:
            AuthRequiredError: there are no credentials, or they are not known.
            AuthExpiredError: their time is over.
        """
        authorization = headers.get(b"authorization")
        if authorization is not None:
            return self._by_token(_bearer(authorization))
        if method in _SAFE:
            if ticket is not None and (found := ticket()) and (taken := self._by_ticket(found)):
                return taken
            if cookies := self._cookies_in(headers):
                return self._by_cookie(cookies)
        if self.required:
            raise AuthRequiredError("this needs credentials", hint=_HINT)
        return self._nobody

    def check_required(self) -> None:
        """Check that credentials are asked for, before some are made: they would outlive a start without.

        Raises:
            ForbiddenError: they are not.
        """
        if not self.required:
            raise ForbiddenError(
                "this server was started without credentials, and makes none",
                hint="Start it with credentials: without --no-auth, or server.auth = false.",
            )

    def is_good(self, caller: Caller) -> bool:
        """Tell whether what a caller came in with is still good, and for as much as then."""
        if caller.token is None:
            return not self.required or self.is_active(caller.user)
        known = self._known_by_id(caller.token)
        if known is None:
            return False
        now = self._caller_of(known)
        # An admin who is one no more keeps some rights, and yet does not go everywhere any longer.
        return caller.rights <= now.rights and caller.everywhere <= now.everywhere

    def is_active(self, name: str) -> bool:
        """Tell whether there is such a user, who is not locked out; where nobody is asked, there is any."""
        user = self.identity.user(name)
        return user.active if user is not None else not self.required

    def _by_ticket(self, ticket: str) -> Caller | None:
        """Return whom a ticket lets in, if what it was made with is still good."""
        taken = self.tickets.take(ticket)
        return taken if taken is not None and self.is_good(taken) else None

    def _by_cookie(self, cookies: Sequence[str]) -> Caller:
        """Return whom the first cookie lets in that is good: any server of this machine can plant one of that name."""
        for number, cookie in enumerate(cookies, 1):
            try:
                caller = self._by_token(cookie)
            except AuthRequiredError:
                if number == len(cookies):
                    raise
            else:
                return caller._replace(rights=caller.rights & _READING)
        raise AssertionError("there is a last one")

    def _by_token(self, token: str) -> Caller:
        digest = digest_of(token)
        caller = self._callers.get(digest)
        if caller is None or caller.token is not None:
            known = self.identity.find(digest)
            if known is not None:
                now_unix_ms = self._clock.now_ms()
                if known.token.is_expired(now_unix_ms):
                    raise AuthExpiredError("the time of this token is over", hint=_HINT)
                self.identity.note_used(known.token, now_unix_ms)
            caller = caller or self._found(digest, known)
        return caller

    def _found(self, digest: str, known: Known | None) -> Caller:
        if known is not None:
            caller = self._caller_of(known)
        else:
            issued = self._issued.get(digest)
            if issued is None:
                raise AuthRequiredError("the token is not known", hint=_HINT)
            if not self.is_active(issued.user):
                raise AuthExpiredError("the user of this job is locked out", hint=_HINT)
            caller = self._writer_of(issued)
        self._callers[digest] = caller
        return caller

    def _caller_of(self, known: Known) -> Caller:
        user, token = known
        rights = RIGHTS_OF[user.role] & token.rights
        return Caller(
            name=user.name,
            kind=user.kind,
            rights=rights,
            user=user.name,
            canvases=token.canvases,
            everywhere=not self.required or "admin" in rights,
            token=token.id,
            ops_per_s=token.ops_per_s,
        )

    def _writer_of(self, issued: _Issued) -> Caller:
        user = self.identity.user(issued.user)
        everywhere = not self.required or (user is not None and user.role == "admin")
        return Caller(
            issued.name, issued.kind, _WRITING, issued.user, frozenset({issued.canvas}), everywhere=everywhere
        )

    def _known_by_id(self, name: TokenId) -> Known | None:
        known = self.identity.find_by_id(name)
        return None if known is None or known.token.is_expired(self._clock.now_ms()) else known

    def _cookies_in(self, headers: Mapping[bytes, bytes]) -> Sequence[str]:
        sent = headers.get(b"cookie")
        if sent is None:
            return ()
        pairs = [part.strip() for part in sent.split(b";")[:_COOKIES_MAX]]
        prefix = self._cookie_prefix
        return [pair[len(prefix) :].decode("latin-1") for pair in pairs if pair.startswith(prefix)]


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


_HINT: Final = (
    "Open the page with the link of `canvas-server open`, or send `Authorization: Bearer` with a token; "
    "`token` in the data folder holds one."
)


def _bearer(authorization: bytes) -> str:
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer":
        raise AuthRequiredError("only bearer tokens are known here", hint=_HINT)
    return token.strip().decode("latin-1")


def _hint_for(right: Right) -> str:
    return f"Use a token with the right `{right}`, of a user whose role has it."
