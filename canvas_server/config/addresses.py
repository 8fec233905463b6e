"""Where providers may be: anywhere but at addresses that only this machine's network card or its landlord answers.

Clouds hand out the keys of a machine at such an address to whoever asks from there. Loopback and private addresses are
allowed: that is where a model of one's own runs.
"""

from __future__ import annotations

import socket
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from canvas_server.core.errors import ConfigError

_METADATA: Final = frozenset((ip_address("fd00:ec2::254"),))
"""Addresses that are not link-local and still answer for the machine itself."""


def check_address(name: str, url: str, origin: str) -> None:
    """Check the address of a provider as it is written; names are not looked up.

    Args:
        name: of the setting.
        url: its value.
        origin: where that comes from.

    Raises:
        ConfigError: it is no address, or is link-local or one for metadata, however the number is spelled.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ConfigError(f"{name} is {url!r}, not an address ({origin})", hint="write https://host/path")
    address = _number(host)
    if address is not None and (address.is_link_local or address in _METADATA):
        raise ConfigError(
            f"{name} is {url!r}, a link-local or metadata address ({origin})",
            hint="write the address of the provider; those of this machine and of private networks are allowed",
        )


def _number(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, in any spelling that the system or a client reads; None for a name."""
    plain = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").rstrip(".")
    if ":" in plain:
        try:
            address = IPv6Address(plain.partition("%")[0])
        except ValueError:
            return None
        return address.ipv4_mapped or address
    try:
        # Reads decimal, octal and hexadecimal numbers, and fewer than four of them, as connecting does.
        return IPv4Address(socket.inet_aton(plain))
    except (OSError, ValueError):
        return None
