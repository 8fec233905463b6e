"""Addresses that no provider can be at, and that nobody is connected to.

Clouds hand out the keys of a machine, at an address that only it can reach, to whoever asks from there. Loopback and
private addresses are not barred: that is where a model of one's own runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Final, Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Kind: TypeAlias = Literal["link-local or metadata", "multicast", "unspecified", "reserved"]

_LANDLORD: Final = "link-local or metadata"
_METADATA: Final = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # all clouds
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure
            "192.0.0.192/32",  # Oracle
            "fd00:ec2::/32",  # Amazon, by IPv6
            "fd20:ce::254/128",  # Google, by IPv6
        ),
    )
)
_UNSPECIFIED: Final = ip_network("0.0.0.0/8")
"""Some systems take all of it for themselves."""
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
_TRANSLATED_LOCALLY: Final = IPv6Network("64:ff9b:1::/48")
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


def barred(address: Address) -> Kind | None:
    """Return why an address must not be connected to, None if it may be.

    An IPv6 address that stands for an IPv4 address, or leads to one, is what that one is.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None or address in _TRANSLATED:
            # Its own bits say nothing: the system, or a gateway, connects to the other.
            return _own_kind(IPv4Address(address.packed[12:]))
        # The others may stand for several, and most of these for nothing.
        if any(_own_kind(inner) == _LANDLORD for inner in _within(address)):
            return _LANDLORD
    return _own_kind(address)


def _own_kind(address: Address) -> Kind | None:
    if address.is_link_local or any(address in network for network in _METADATA):
        return _LANDLORD
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or address in _UNSPECIFIED:
        return "unspecified"
    if address.is_reserved and not address.is_loopback and address not in _TRANSLATED_LOCALLY:
        return "reserved"
    return None


def _within(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address may lead to."""
    packed = address.packed
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _TRANSLATED_LOCALLY or packed[8:12] in _ISATAP:
        yield IPv4Address(packed[12:])
    if address in _TRANSLATED_LOCALLY:
        # RFC 6052 puts them behind a prefix of 48 bits, around an octet of zero.
        yield IPv4Address(packed[6:8] + packed[9:11])
