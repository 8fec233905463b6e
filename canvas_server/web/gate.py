"""The gate behind the door: credentials, rights and rates, asked of every request in one place.

Rule: a route says what it needs (`Need`), and its handler is reached only by who has it. What a handler must ask
besides, because it stands in a body or a query, it asks here as well.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final, NamedTuple

from starlette.types import Scope

from canvas_server.core.access import Level
from canvas_server.core.errors import RateLimitedError
from canvas_server.core.identity import Right
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import Clock
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.auth import Caller, Identification
from canvas_server.web.peers import Proxies
from canvas_server.web.problems import AuthExpiredError, AuthRequiredError
from canvas_server.web.rates import Buckets
from canvas_server.web.strangers import Strangers

_FAILURES_AT_ONCE: Final = 10
_FAILURES_PER_S: Final = 1 / 60
"""Ten wrong tokens from an address, then one a minute."""


class Need(NamedTuple):
    """What a route needs of who asks: a right, and how far the rights to the canvas in its path must go."""

    right: Right | None
    level: Level | None = None
    known: bool = True
    """Whether it needs credentials at all."""
    bound: bool = False
    """Whether credentials for single canvases will do though the path names none: the handler sees to which."""


OPEN: Final = Need(None, known=False)
"""Of a route that is for everybody, without credentials."""

KNOWN: Final = Need(None, bound=True)
"""Of a route for whoever has good credentials, whatever they allow."""


class Rates(NamedTuple):
    """How much each actor may do. Zero: as much as it likes."""

    ops_per_s: float = 0.0
    ops_burst: float = 0.0
    presences_per_s: float = 0.0
    """Of one client."""
    presences_of_user_per_s: float = 0.0


class Gate:
    """Asks every request.

    Args:
        identification: tells who asks.
        manager: has the rights to canvases.
        clock: for rates.
        rates: for each actor.
        proxies: say where requests come from.
        strangers: the connections on which nobody has shown credentials yet.
    """

    def __init__(
        self,
        identification: Identification,
        manager: CanvasStateManager,
        clock: Clock,
        rates: Rates,
        proxies: Proxies,
        strangers: Strangers,
    ) -> None:
        self.identification = identification
        self.proxies = proxies
        self._manager = manager
        self.strangers = strangers
        self._failures = Buckets(clock, _FAILURES_PER_S, _FAILURES_AT_ONCE)
        self._ops = Buckets(clock, rates.ops_per_s, rates.ops_burst) if rates.ops_per_s else None
        self._slow = Buckets(clock, rates.ops_per_s, rates.ops_burst) if rates.ops_per_s else None
        self._crowd = Buckets(clock, rates.ops_per_s / 2, rates.ops_burst / 2) if rates.ops_per_s else None
        presences_per_s = rates.presences_per_s
        self._presences = Buckets(clock, presences_per_s, presences_per_s) if presences_per_s else None
        of_user_per_s = rates.presences_of_user_per_s
        self._presences_of_user = Buckets(clock, of_user_per_s, of_user_per_s) if of_user_per_s else None

    def caller(self, scope: Scope, headers: dict[bytes, bytes], ticket: str | None, *, counts: bool = True) -> Caller:
        """Return who asks.

        Args:
            scope: of the request.
            headers: of the request.
            ticket: in the query, if there is one.
            counts: whether a wrong token counts; not where the same request will be asked again.

        Raises:
            AuthRequiredError: there are no credentials, or they are not good.
            RateLimitedError: too many that were not good came from the same address.
        """
        try:
            caller = self.identification.caller(headers, scope["method"], lambda: ticket)
        except AuthExpiredError:
            # It was good once, so nobody guessed it; programs that do not know of its end yet ask often.
            raise
        except AuthRequiredError:
            if counts and b"authorization" in headers:
                self.count_failure(scope, headers)
            raise
        self.strangers.forget(scope.get("client"))
        return caller

    def count_failure(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Take note of a secret that was wrong.

        Raises:
            RateLimitedError: too many came from the same address.
        """
        wait_s = self._failures.take(self.proxies.address_of(scope, headers))
        if wait_s:
            raise too_often("too many wrong credentials came from this address", wait_s)

    def check_failures(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse to look at one more secret from an address that sent too many wrong ones; raises as above."""
        if self._failures.is_empty(self.proxies.address_of(scope, headers)):
            raise too_often("too many wrong credentials came from this address", 1 / _FAILURES_PER_S)

    async def check_canvas(self, caller: Caller, ref: CanvasRef, level: Level) -> None:
        """Check the rights to a canvas that may not be open; raises as `Caller.check_canvas` does.

        Raises:
            NotFoundError: there is none.
        """
        room = self._manager.get(ref)
        if room is not None:
            caller.check_canvas(ref, room.canvas.access, level)
        elif caller.canvases is not None or not caller.everywhere:
            caller.check_canvas(ref, await self._manager.access(ref), level)

    def ops_wait_s(self, caller: Caller, ref: CanvasRef, count: int) -> float:
        """Take operations out of what an actor may send; return 0, or how long to wait before they may be sent.

        While people write into a canvas, agents and jobs together get half of what one actor may send to it. A token
        with a rate of its own has a bucket of its own besides, so that it takes no more from its user than it sends.
        """
        if self._ops is None or self._slow is None or self._crowd is None:
            return 0.0
        if caller.kind == "human" and caller.ops_per_s is None:
            return self._ops.take(caller.user, count)
        takes: list[tuple[Buckets, Hashable, int | None]] = [(self._ops, caller.user, None)]
        if caller.ops_per_s is not None:
            takes.append((self._slow, caller.token, caller.ops_per_s))
        if caller.kind != "human" and (room := self._manager.get(ref)) is not None and room.people_write:
            takes.append((self._crowd, ref, None))
        # All or none: what one bucket gave and another refused would be lost.
        wait_s = max(buckets.wait_s(key, count, per_s) for buckets, key, per_s in takes)
        if not wait_s:
            for buckets, key, per_s in takes:
                buckets.take(key, count, per_s)
        return wait_s

    def check_ops(self, caller: Caller, ref: CanvasRef, count: int) -> None:
        """Refuse operations beyond what an actor may send.

        Raises:
            RateLimitedError: they are; `retry_after_s` says when there is room for them.
        """
        wait_s = self.ops_wait_s(caller, ref, count)
        if wait_s:
            raise too_often(f"{caller.name} sends more operations than one actor may", wait_s)

    def drops_presence(self, caller: Caller, client_id: str | None) -> bool:
        """Tell whether a client says so often where it is that this time nobody need hear of it.

        Clients name themselves, so all of a user's have a bound together, too.
        """
        if self._presences is not None and self._presences.take((caller.user, client_id)):
            return True
        return self._presences_of_user is not None and self._presences_of_user.take(caller.user) > 0


def too_often(message: str, wait_s: float) -> RateLimitedError:
    """Return the error for what came too often, with the time to wait."""
    error = RateLimitedError(message, hint="Wait as long as Retry-After says, then send the same again.")
    error.retry_after_s = max(1, math.ceil(wait_s))
    return error
