"""Where the server listens: on this machine always, and by mode on an address of the network or on a Unix socket.

In mode `local` both loopback addresses are taken, where there are two: browsers try `::1` first for localhost, and
whoever else held that port would be sent the tokens of this server.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, NamedTuple

from canvas_server.certificates import Certificate, certificate_in
from canvas_server.config import Settings
from canvas_server.config.addresses import number_of
from canvas_server.config.modes import is_everywhere
from canvas_server.core.errors import ConfigError

_LOOPBACK: Final = IPv4Address("127.0.0.1")
_TRIES: Final = 20
"""To find a free port that is free on both loopback addresses."""


class Listening(NamedTuple):
    """A socket that listens, and what is spoken on it."""

    sock: socket.socket
    tls: ssl.SSLContext | None = None


class Listeners(NamedTuple):
    """All places where one server listens."""

    places: Sequence[Listening]
    here: str
    """Its address for programs on this machine."""
    public: str
    """Its address for people."""
    fingerprint: str | None = None
    """Of the certificate that nobody vouches for, if it has one."""

    def close(self) -> None:
        """Listen no more; nothing happens to what is closed already."""
        for place in self.places:
            place.sock.close()


def listen(settings: Settings) -> Listeners:
    """Bind every socket that the settings ask for.

    Raises:
        ConfigError: an address is taken or not of this machine, or a certificate cannot be used.
    """
    server = settings.server
    if server.mode == "lan":
        return _listen_to_network(settings)
    places = [Listening(sock) for sock in _bind_loopback(server.host, server.port)]
    here = url_of(places[0].sock)
    if server.unix_socket:
        places.append(Listening(bind_unix(Path(server.unix_socket))))
    return Listeners(places, here, server.public_url or here)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError(
            f"cannot listen on {host} port {port}: {'it is taken' if taken else reason}",
            hint="Stop what listens there, or choose another port with --port (0 picks a free one)."
            if taken
            else "Choose an address of this machine with --host, and a port that you may use with --port.",
        ) from error


def bind_unix(path: Path) -> socket.socket:
    """Return a socket that listens under a path; what a dead server left there gives way.

    Raises:
        ConfigError: the folder is not its owner's alone, or somebody listens there.
    """
    folder = path.absolute().parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise ConfigError(f"the folder {folder} is open to others", hint=f"Run: chmod 700 {folder}")
        if path.exists():
            _remove_dead(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        sock.listen(2048)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {path}: {error.strerror}", hint="Choose another path for server.unix_socket."
        ) from error
    return sock


def url_of(sock: socket.socket, scheme: str = "http") -> str:
    """Return where a program on this machine reaches a server that listens on `sock`."""
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _listen_to_network(settings: Settings) -> Listeners:
    server = settings.server
    if server.tls_certificate:
        certificate, own = Certificate(Path(server.tls_certificate), Path(server.tls_key)), False
    else:
        names = {server.host, *map(_without_port, server.allowed_hosts)}
        certificate, own = certificate_in(Path(settings.storage.data_dir) / "tls", names), True
    tls = certificate.context()
    network = _bind_network(server.host, server.port)
    here = bind("127.0.0.1", 0)
    return Listeners(
        (Listening(network, tls), Listening(here)),
        url_of(here),
        server.public_url or url_of(network, "https"),
        certificate.fingerprint() if own else None,
    )


def _without_port(name: str) -> str:
    """Return the name or the number in what a `Host` may be."""
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _bind_network(host: str, port: int) -> socket.socket:
    """Return a socket that listens on one address of this machine.

    Raises:
        ConfigError: the host leads to all addresses, or cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # What a name leads to is looked at before, so that nobody is let in for a moment; where it is bound has the last
    # word. A name that leads nowhere is refused by what binds.
    with suppress(OSError):
        try:
            found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        except UnicodeError as error:
            raise ConfigError(f"cannot listen on {host!r}: it cannot be a name", hint="Write an address.") from error
        _check_one_address(host, [str(address[0]) for *_, address in found])
    sock = bind(host, port)
    try:
        _check_one_address(host, [sock.getsockname()[0]])
    except ConfigError:
        sock.close()
        raise
    return sock


def _check_one_address(host: str, addresses: Iterable[str]) -> None:
    if any(map(is_everywhere, addresses)):
        raise ConfigError(
            f"server.host is {host!r}, which is every address of this machine, and mode is lan",
            hint="Name the one address of this machine that others shall reach: --lan --host 192.168.1.20.",
        )


def _bind_loopback(host: str, port: int) -> Sequence[socket.socket]:
    if host.lower() != "localhost" and number_of(host) != _LOOPBACK:
        return (bind(host, port),)
    host = str(_LOOPBACK)
    if not _has_ipv6():
        return (bind(host, port),)
    for _ in range(_TRIES):
        first = bind(host, port)
        try:
            return first, bind("::1", first.getsockname()[1])
        except ConfigError:
            first.close()
            if port:
                raise
    return (bind(host, port),)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def _remove_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ConfigError(f"somebody listens on {path}", hint="Stop that server first, or choose another path.")
