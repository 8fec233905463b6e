"""What is bound, by what is asked for; names lead where the tests say."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from canvas_server.config import Settings
from canvas_server.config.settings import ServerSettings, StorageSettings
from canvas_server.core.errors import ConfigError
from canvas_server.listening import Listeners, _bind_network, listen


@contextmanager
def listening(server: ServerSettings, data_dir: Path) -> Iterator[Listeners]:
    listeners = listen(Settings(server=server, storage=StorageSettings(data_dir=str(data_dir))))
    try:
        yield listeners
    finally:
        listeners.close()


def lan(*allowed: str, host: str = "127.0.0.2") -> ServerSettings:
    return ServerSettings(mode="lan", host=host, port=0, allowed_hosts=allowed)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost", "127.1"])
def test_both_loopback_addresses_are_taken_whatever_this_machine_is_called(host: str, tmp_path: Path) -> None:
    with listening(ServerSettings(host=host, port=0), tmp_path) as listeners:
        bound = [place.sock.getsockname()[:2] for place in listeners.places]
        assert [address for address, _ in bound] == ["127.0.0.1", "::1"]
        assert bound[0][1] == bound[1][1]
        assert listeners.here == f"http://127.0.0.1:{bound[0][1]}"


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_of_another_loopback_address_only_that_is_taken(host: str, tmp_path: Path) -> None:
    with listening(ServerSettings(host=host, port=0), tmp_path) as listeners:
        assert [place.sock.getsockname()[0] for place in listeners.places] == [host]


@pytest.mark.parametrize("host", ["0", "0.0", "0x0", "::0", "0:0:0:0:0:0:0:0", "0.0.0.0"])
def test_all_addresses_are_never_taken_however_they_are_spelled(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every address"):
        listen(Settings(server=lan(host=host), storage=StorageSettings(data_dir=str(tmp_path))))


def test_a_name_that_leads_to_all_addresses_is_refused_unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("0.0.0.0", 0))]

    def bound(*_: object, **__: object) -> socket.socket:
        raise AssertionError("it listened")

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(socket, "create_server", bound)
    with pytest.raises(ConfigError, match=r"'box\.example', which is every address"):
        _bind_network("box.example", 0)


def test_where_a_socket_is_bound_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = socket.create_server(("0.0.0.0", 0))
    monkeypatch.setattr(socket, "create_server", lambda *_, **__: everywhere)
    with pytest.raises(ConfigError, match="every address"):
        _bind_network("127.0.0.2", 0)
    assert everywhere.fileno() == -1


def test_the_certificate_is_for_the_names_without_their_ports(tmp_path: Path) -> None:
    allowed = ("[2001:db8::1]", "[2001:db8::2]:8443", "box.local", "other.local:8443", "192.0.2.7:1", "192.0.2.8")
    with listening(lan(*allowed), tmp_path):
        pass
    made = x509.load_pem_x509_certificate((tmp_path / "tls" / "certificate.pem").read_bytes())
    held = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name) for name in held.get_values_for_type(x509.DNSName)} == {"box.local", "other.local"}
    assert {str(name) for name in held.get_values_for_type(x509.IPAddress)} == {
        *("127.0.0.2", "192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db8::2")
    }


@pytest.mark.parametrize("name", ["bücher.example", "bücher.example:8443"])
def test_a_name_that_no_certificate_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot stand in a certificate") as refused, listening(lan(name), tmp_path):
        pass
    assert "xn--" in refused.value.hint


def test_a_host_that_cannot_be_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be a name"):
        _bind_network("a" * 70 + ".é", 0)
