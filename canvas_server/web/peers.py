"""Where a request comes from: the other end of its connection, or whom a proxy that we trust says it is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import Scope

_UNIX: Final = "unix"
_UNKNOWN: Final = "unknown"


class Proxies:
    """The proxies that may speak for others.

    Args:
        addresses: of the proxies, as addresses or networks. None: there is none, and what requests say of where they
            come from is not believed. Who comes over a Unix socket is a proxy as soon as there is any.
    """

    def __init__(self, addresses: Iterable[str] | None = None) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(map(ip_network, addresses or ()))
        self._are_trusted = addresses is not None

    def address_of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """Return the address of the client: of several that a chain of proxies wrote, the last that is none of ours."""
        peer = _peer(scope)
        if not self.speaks_for_others(peer):
            return peer
        for entry in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
            address = entry.strip()
            if not _is_address(address):
                # Somebody came through the proxy, and it cannot be told who: surely nobody at this machine.
                return _UNKNOWN if address else peer
            peer = address
            if not self.speaks_for_others(address):
                break
        return peer

    def is_here(self, scope: Scope) -> bool:
        """Tell whether the client is surely at this machine.

        Who comes through a proxy never is, whatever headers say: some proxies pass on what clients write there, or
        write nothing.
        """
        peer = _peer(scope)
        return not self.speaks_for_others(peer) and (peer == _UNIX or _is_loopback(peer))

    def scheme_of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """Return the scheme that the client used."""
        scheme: str = scope["scheme"]
        if not self._are_trusted or not self.speaks_for_others(_peer(scope)):
            return scheme
        told = headers.get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
        return told if told in ("http", "https") else scheme

    def speaks_for_others(self, peer: str) -> bool:
        """Tell whether what a peer says of its clients is believed."""
        if not self._are_trusted:
            return False
        return peer == _UNIX or any(ip_address(peer) in network for network in self._networks)


NO_PROXIES: Final = Proxies()
"""Nobody speaks for others."""


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return _UNIX if client is None or not client[0] else str(client[0]).partition("%")[0]


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ip_address(text).is_loopback


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
