"""Looks names up, in a bounded time and with a bounded number of threads, and returns only what may be connected to."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from canvas_server.core.barred import Address, Kind, barred

log = logging.getLogger(__name__)

_THREADS_MAX: Final = 32
"""Lookups at once. A dead name server holds a thread of each for as long as the system waits for it."""
_ADDRESSES_MAX: Final = 256
"""Of one name; what has more is no provider."""

_free = threading.BoundedSemaphore(_THREADS_MAX)


class BarredError(Exception):
    """A name leads to an address that nobody is connected to.

    Attributes:
        kind: of that address.
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind: Final = kind


async def resolved(host: str, port: int) -> tuple[Address, ...]:
    """Return the addresses of a host, in the order in which the system wants them tried; the caller has a deadline.

    Args:
        host: a name, or a number in any spelling that the system reads.
        port: to connect to.

    Raises:
        OSError: it has none, or too much is being looked up already.
        BarredError: one of them is barred, so that none is to be used.
    """
    found = tuple(dict.fromkeys(await _lookup(host, port)))
    if not 0 < len(found) <= _ADDRESSES_MAX:
        raise OSError(f"{len(found)} addresses")
    for address in found:
        kind = barred(address)
        if kind is not None:
            log.warning("a provider leads to an address that is barred", extra={"address": str(address), "kind": kind})
            raise BarredError(kind)
    return found


async def _lookup(host: str, port: int) -> Sequence[Address]:
    # In a daemon of its own: the loop's threads are few, others wait for them, and a process ends only after them.
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()
    if not _free.acquire(blocking=False):
        raise OSError("too many lookups at once")

    def tell(found: Sequence[Address] | Exception) -> None:
        if answer.done():
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        try:
            found = _asked(host, port)
        finally:
            _free.release()
        try:
            loop.call_soon_threadsafe(tell, found)
        except RuntimeError:
            log.debug("a name was found after its loop had ended")

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return await answer


def _asked(host: str, port: int) -> Sequence[Address] | Exception:
    try:
        told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        return [ip_address(address[0]) for *_, address in told]
    except (OSError, ValueError) as error:
        # ValueError, UnicodeError among them: a name that is none.
        return OSError(type(error).__name__)
