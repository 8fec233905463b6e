"""Doubles of a network: names that lead where a test says, hosts that answer as told, an authority of our own.

And an ear at the interpreter's `connect`.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
Lookup = Sequence[str] | OSError


class Names:
    """A resolver: some names lead where it is told, each time to the next; all others where they do.

    Attributes:
        looked_up: every host that was looked up, in order.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._real: Final = socket.getaddrinfo
        self._told: dict[str, list[Lookup]] = {}
        self.looked_up: list[str] = []
        patch.setattr(socket, "getaddrinfo", self._look_up)

    def lead(self, name: str, *answers: Lookup) -> None:
        """Have a name lead to one list of addresses after the other; the last one stays."""
        self._told[name] = list(answers)

    def _look_up(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        self.looked_up.append(host)
        answers = self._told.get(host)
        if answers is None:
            return self._real(host, port, *args, **kwargs)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return [_told(address, port) for address in answer]


def _told(address: str, port: int) -> tuple[Any, ...]:
    if ip_address(address).version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))


@dataclass
class Host:
    """What a host saw.

    Attributes:
        heads: of all requests, up to the empty line.
        names: that TLS clients asked for.
    """

    port: int = 0
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


@asynccontextmanager
async def hosting(
    answer: bytes = OK, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Host]:
    """Run a host that answers every request with the same bytes and keeps connections open."""
    host = Host()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                host.heads.append(head)
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: host.names.append(name)
    server = await asyncio.start_server(serve, address, port, ssl=tls)
    async with server:
        host.port = server.sockets[0].getsockname()[1]
        yield host


@contextmanager
def black_hole(address: str, port: int) -> Iterator[None]:
    """Have an address take no connection and refuse none: its queue is full."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind((address, port))
        listening.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex((address, port))
        yield


_ears: Final[list[list[tuple[str, int]]]] = []


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple):
        for heard in _ears:
            heard.append((args[1][0], args[1][1]))


sys.addaudithook(_hear)


@contextmanager
def connects() -> Iterator[list[tuple[str, int]]]:
    """Give every address that is connected to in the block, as the interpreter itself sees it."""
    heard: list[tuple[str, int]] = []
    _ears.append(heard)
    try:
        yield heard
    finally:
        _ears.remove(heard)


class Authority:
    """An authority of one's own.

    Args:
        folder: where its files are put.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._made: Counter[str] = Counter()
        self._key: Final = ec.generate_private_key(ec.SECP256R1())
        self._name: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority for tests")])
        own = (
            self._begun(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )
        self.file: Final = folder / "authority.pem"
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def trusted(self) -> ssl.SSLContext:
        """Return what a client needs that trusts it and nobody else."""
        return ssl.create_default_context(cafile=self.file)

    def server(self, *names: str) -> ssl.SSLContext:
        """Return what a server of some names and addresses needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            self._begun(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._made["server"] += 1
        file = self._folder / f"server-{self._made['server']}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
