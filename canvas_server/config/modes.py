"""Who can reach the server, and what must then be set: the wrong mix is refused at the start, not found out later."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_network

from canvas_server.config.addresses import number_of
from canvas_server.config.settings import ServerSettings
from canvas_server.core.errors import ConfigError


def check_mode(server: ServerSettings, origins: Mapping[str, str]) -> None:
    """Check that the settings of the server fit its mode.

    Raises:
        ConfigError: they do not.
    """
    match server.mode:
        case "local":
            _check_local(server, origins)
        case "lan":
            _check_lan(server, origins)
        case "proxy":
            _check_proxy(server, origins)
    if server.mode != "local" and not server.auth:
        raise ConfigError(
            f"credentials can be left out only in mode local ({origins['server.auth']})",
            hint="Leave --no-auth out, and make users: canvas-server user create NAME.",
        )
    if bool(server.tls_certificate) != bool(server.tls_key):
        raise ConfigError("server.tls_certificate and server.tls_key go together", hint="Set both, or neither.")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone, however its number is spelled."""
    number = number_of(host)
    return host.lower() == "localhost" or (number is not None and number.is_loopback)


def is_everywhere(host: str) -> bool:
    """Tell whether a host is all addresses of this machine, however that is spelled; names are not looked up."""
    number = number_of(host)
    if isinstance(number, IPv6Address):
        number = number.ipv4_mapped or number
    return number is not None and number.is_unspecified


def _check_local(server: ServerSettings, origins: Mapping[str, str]) -> None:
    if not is_loopback(server.host):
        raise ConfigError(
            f"server.host is {server.host!r} ({origins['server.host']}), which others can reach, and mode is local",
            hint="Serve others with --lan (TLS and tokens), or with --behind-proxy.",
        )


def _check_lan(server: ServerSettings, origins: Mapping[str, str]) -> None:
    if is_everywhere(server.host) or is_loopback(server.host):
        raise ConfigError(
            f"server.host is {server.host!r} ({origins['server.host']}), and mode is lan",
            hint="Name the one address of this machine that others shall reach: --lan --host 192.168.1.20.",
        )


def _check_proxy(server: ServerSettings, origins: Mapping[str, str]) -> None:
    if not is_loopback(server.host):
        raise ConfigError(
            f"server.host is {server.host!r} ({origins['server.host']}), and mode is proxy",
            hint="Let only the proxy reach it: leave --host out, or use server.unix_socket.",
        )
    if not server.allowed_hosts:
        raise ConfigError(
            "mode is proxy, and server.allowed_hosts is empty",
            hint='List the names under which people reach the proxy: allowed_hosts = ["canvas.example"].',
        )
    for proxy in server.proxies:
        try:
            ip_network(proxy)
        except ValueError as error:
            raise ConfigError(
                f"server.proxies holds {proxy!r} ({origins['server.proxies']}), no address and no network",
                hint="Write addresses, such as 127.0.0.1 or 10.0.0.0/24.",
            ) from error
