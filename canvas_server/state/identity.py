"""Users and tokens as they are now: held in memory, changed through here, and read again when another program did.

Rule: the store is the truth. Whoever looks at every moment finds what it held a second ago at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.errors import CanvasError
from canvas_server.core.identity import Identities, IdentityStore, Token, TokenId, User
from canvas_server.core.ports import Clock

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""From one look at the store to the next, and so the longest that a revoked token may still be good for."""
_USED_MS: Final = 5 * 60_000
"""How exactly it is known when a token was last seen."""


_EXPIRED_KEPT_MS: Final = 30 * 86_400_000
"""For how long after its time a token is still told of as expired, and not as unknown."""


class Known(NamedTuple):
    """A token, and the user it speaks for."""

    user: User
    token: Token


class Identity:
    """The users and tokens of one server. Use as an async context manager: its watch ends with it.

    Args:
        store: durable users and tokens.
        clock: says what is expired.
        settled: users and tokens that the settings name; they are not stored, and cannot be changed here.
    """

    def __init__(self, store: IdentityStore, clock: Clock, settled: Iterable[Known] = ()) -> None:
        self._store = store
        self._clock = clock
        self._settled = tuple(settled)
        self._users: dict[str, User] = {}
        self._tokens: dict[TokenId, Token] = {}
        self._known: dict[str, Known] = {}
        self._known_by_id: dict[TokenId, Known] = {}
        self._count = -1
        self._used: dict[TokenId, int] = {}
        self._failing = False
        self._watch: asyncio.Task[None] | None = None
        self.changed: list[Callable[[], None]] = []
        """Called after users or tokens changed, or the time of one was over."""

    async def __aenter__(self) -> Identity:
        await self.reload()
        await self.delete_tokens(self._long_expired())
        self._watch = asyncio.get_running_loop().create_task(self._look_for_ever(), name="identity")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    @property
    def users(self) -> Collection[User]:
        """All users, those of the settings first."""
        return self._users.values()

    @property
    def tokens(self) -> Collection[Token]:
        """All stored tokens, the oldest first."""
        return self._tokens.values()

    def user(self, name: str) -> User | None:
        """Return a user."""
        return self._users.get(name)

    def is_settled(self, name: str) -> bool:
        """Tell whether the settings name a user, so that nobody can change it here."""
        return any(known.user.name == name for known in self._settled)

    def find(self, digest: str) -> Known | None:
        """Return whose token it is, also if its time is over; None if it is not known or its user is locked out."""
        return self._known.get(digest)

    def find_by_id(self, name: TokenId) -> Known | None:
        """Return whose token an id names; as `find`."""
        return self._known_by_id.get(name)

    def note_used(self, token: Token, now_unix_ms: int) -> None:
        """Take note that a token was seen."""
        if now_unix_ms - (self._used.get(token.id) or token.used_unix_ms or 0) >= _USED_MS:
            self._used[token.id] = now_unix_ms

    async def put_user(self, user: User) -> None:
        """Store a user; durable, and in force, when this returns."""
        await self._store.put_user(user)
        await self.reload()

    async def delete_user(self, name: str) -> None:
        """Remove a user with all tokens."""
        await self._store.delete_user(name)
        await self.reload()

    async def put_token(self, token: Token) -> None:
        """Store a token; durable, and in force, when this returns."""
        await self._store.put_token(token)
        await self.reload()

    async def delete_tokens(self, ids: Collection[TokenId]) -> None:
        """Revoke tokens; they are good for nothing when this returns."""
        if ids:
            await self._store.delete_tokens(ids)
            await self.reload()

    async def reload(self) -> None:
        """Read everything again."""
        read = await self._store.load()
        # Of two reads at a time the older may come later; it must not bring back what the newer one saw revoked.
        if read.count >= self._count:
            self._take(read)

    def _take(self, read: Identities) -> None:
        settled = {known.user.name: known.user for known in self._settled}
        self._users = {**settled, **{user.name: user for user in read.users if user.name not in settled}}
        self._tokens = {token.id: token for token in read.tokens}
        self._known = dict(self._match((*(known.token for known in self._settled), *read.tokens)))
        self._known_by_id = {known.token.id: known for known in self._known.values()}
        self._count = read.count
        self._tell()

    def _long_expired(self) -> Collection[TokenId]:
        before_unix_ms = self._clock.now_ms() - _EXPIRED_KEPT_MS
        return [token.id for token in self._tokens.values() if token.is_expired(before_unix_ms)]

    def _match(self, tokens: Iterable[Token]) -> Iterable[tuple[str, Known]]:
        for token in tokens:
            user = self._users.get(token.user)
            if user is not None and user.active:
                yield token.digest, Known(user, token)

    def _tell(self) -> None:
        for listener in self.changed:
            try:
                listener()
            except Exception:
                # Whatever our bug is, the others must hear that somebody lost a right.
                log.exception("a change of users was not heard")

    async def _look_for_ever(self) -> None:
        looked_unix_ms = self._clock.now_ms()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await self._store.count() != self._count:
                    await self.reload()
                await self._store_used()
            except CanvasError as error:
                self._complain(error)
            else:
                self._failing = False
            now_unix_ms = self._clock.now_ms()
            if any(looked_unix_ms < (token.expires_unix_ms or 0) <= now_unix_ms for token in self._tokens.values()):
                self._tell()
            looked_unix_ms = now_unix_ms

    def _complain(self, error: CanvasError) -> None:
        """Say once that the store does not answer; what was read last stays in force."""
        if not self._failing:
            self._failing = True
            log.warning("users cannot be read", extra={"why": str(error)})

    async def _store_used(self) -> None:
        used = self._used
        if used:
            self._used = {}
            await self._store.note_used(used)
            self._tokens.update(_seen(self._tokens, used))


def _seen(tokens: Mapping[TokenId, Token], used: Mapping[TokenId, int]) -> Mapping[TokenId, Token]:
    return {
        name: msgspec.structs.replace(tokens[name], used_unix_ms=seen) for name, seen in used.items() if name in tokens
    }
