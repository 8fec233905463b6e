"""The certificate of a server on a local network, made once and shown by its fingerprint.

Nobody vouches for it: whoever opens the page compares the fingerprint that the browser shows with the one printed here.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from canvas_server.core.errors import ConfigError

_LASTS: Final = timedelta(days=397)
"""Browsers refuse certificates that last longer than 398 days."""
_RENEWED_BEFORE: Final = timedelta(days=30)


class Certificate(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    def fingerprint(self) -> str:
        """Return its SHA-256 as browsers show it."""
        digest = sha256(ssl.PEM_cert_to_DER_cert(_first(self.certificate.read_text()))).hexdigest().upper()
        return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))

    def context(self) -> ssl.SSLContext:
        """Return what a server speaks TLS with.

        Raises:
            ConfigError: the files cannot be read, or are no certificate with its key.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"the certificate {self.certificate} with the key {self.key} cannot be used: {error}",
                hint="Name PEM files of a certificate and of its key without a passphrase.",
            ) from error
        return context


def certificate_in(folder: Path, names: Collection[str]) -> Certificate:
    """Return the certificate in a folder; it is made when missing, nearly over, or for other names.

    Args:
        folder: made when missing, for its owner alone.
        names: hosts and addresses, all of which it is to be good for.

    Raises:
        ConfigError: a name cannot stand in a certificate.
    """
    found = Certificate(folder / "certificate.pem", folder / "key.pem")
    if not _is_good(found, names):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(found, names)
    return found


def _is_good(found: Certificate, names: Collection[str]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found.context()
    except (OSError, ValueError, x509.ExtensionNotFound, ConfigError):
        return False
    if certificate.not_valid_after_utc - _RENEWED_BEFORE < datetime.now(UTC):
        return False
    return {_general(name) for name in names} <= set(held)


def _make(wanted: Certificate, names: Collection[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "canvas-server")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LASTS)
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(wanted.key, secret)
    _write(wanted.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _write(path: Path, content: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise ConfigError(
            f"{name!r} cannot stand in a certificate", hint="Write names outside of ASCII as the DNS does, as xn--..."
        ) from error


def _first(chain: str) -> str:
    end = "-----END CERTIFICATE-----"
    return chain[chain.index("-----BEGIN") : chain.index(end) + len(end)]
