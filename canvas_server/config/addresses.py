"""Where providers may be: anywhere but at addresses that only this machine's network card or its landlord answers.

Rule: what is wrong as it is written is told when the settings are read. What names lead to is checked by whoever
connects, see `generation.providers.guarded`.
"""

from __future__ import annotations

import socket
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote, urlsplit

from canvas_server.core.barred import Address, barred
from canvas_server.core.errors import ConfigError


def check_address(name: str, url: str, shown: str, origin: str) -> None:
    """Check the address of a provider as it is written; names are not looked up.

    Args:
        name: of the setting.
        url: its value.
        shown: the value as it may be shown: variables in it may hold a secret.
        origin: where that comes from.

    Raises:
        ConfigError: it is no address, or one that `barred` bars, however the number is spelled.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ConfigError(f"{name} is {shown}, not an address ({origin})", hint="write https://host/path")
    address = number_of(host)
    kind = None if address is None else barred(address)
    if kind is not None:
        raise ConfigError(
            f"{name} is {shown}, a {kind} address ({origin})",
            hint="write the address of the provider; those of this machine and of private networks are allowed",
        )


def number_of(host: str) -> Address | None:
    """Return the address that a host is, in any spelling that the system or a client reads; None for a name."""
    plain = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").rstrip(".")
    if ":" in plain:
        try:
            return IPv6Address(plain.partition("%")[0])
        except ValueError:
            return None
    try:
        # Reads decimal, octal and hexadecimal numbers, and fewer than four of them, as connecting does.
        return IPv4Address(socket.inet_aton(plain))
    except (OSError, ValueError):
        return None
