"""A provider is connected to at its own origin, at an address that was checked, and nowhere else from there.

Sockets, TLS and SDKs are real; names lead where a test says, and the interpreter tells every address that somebody
connects to.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest

from canvas_server.generation.providers import resolver
from canvas_server.generation.providers.connections import Patience, async_client
from canvas_server.generation.providers.destination import Destination
from canvas_server.generation.providers.failures import (
    AddressError,
    ProviderError,
    ProviderTimeoutError,
    UnavailableError,
)
from canvas_server.generation.providers.guarded import STAGGER_S, GuardedTransport
from canvas_server.generation.providers.registry import Access, ProviderSettings, make_factory
from tests.double.running import Double
from tests.generation.providers.asking import KEY, NETWORKED, answered, asked, text_of
from tests.generation.providers.network import Authority, Names, black_hole, connects, hosting
from tests.proof.findings import Findings

pytestmark = pytest.mark.promise("R40")

NAME: Final = "provider.test"
PATIENCE: Final = Patience(connect_s=5.0, silence_s=5.0)
LANDLORDS: Final = [
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "025177524776",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.254.43518",
    "169.16689662",
    "169。254。169。254",
    "100.100.100.200",
    "0",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[64:ff9b::169.254.169.254]",
    "[2001:0:808:808::5601:5601]",
    "[::]",
    "[ff02::1]",
]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def client(url: str, *, proxied: bool = False, patience: Patience = PATIENCE) -> httpx2.AsyncClient:
    return async_client(patience, Destination(provider="local", base_url=url, proxied=proxied))


@asynccontextmanager
async def trusting(authority: Authority, url: str, *, proxied: bool = False) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that trusts an authority of our own."""
    destination = Destination(provider="openai", base_url=url, proxied=proxied)
    async with httpx2.AsyncClient(
        transport=GuardedTransport(destination, authority.trusted()), trust_env=False, timeout=5.0
    ) as http:
        yield http


def through_sdk(provider: str, url: str, patience: Patience = PATIENCE) -> ProviderSettings:
    access = Access(base_url=url, model="toy", api_key=KEY)
    return ProviderSettings(
        openai=access, openai_background=False, mistral=access, local=access, demo_delay_ms=0, patience=patience
    )


async def ask(provider: str, url: str, patience: Patience = PATIENCE) -> str:
    """Ask by the provider's own SDK."""
    generator = make_factory(through_sdk(provider, url, patience), len).create(provider, "toy")
    try:
        return text_of(await answered(generator))
    finally:
        await generator.aclose()


def path_of(double: Double, provider: str) -> str:
    url = {"openai": double.openai_url, "mistral": double.mistral_url, "local": double.local_url}[provider]
    return url.removeprefix("http://127.0.0.1")


@pytest.mark.parametrize("host", LANDLORDS)
async def test_no_spelling_of_a_barred_address_is_connected_to(host: str) -> None:
    url = f"http://{host}:80/v1"
    with connects() as heard, pytest.raises(AddressError) as refused:
        async with client(url) as http:
            await http.get(url)
    assert heard == []
    assert refused.value.code == "PROVIDER_ADDRESS"
    assert "local.base_url" in refused.value.hint
    assert not refused.value.transient


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254", "::"])
@pytest.mark.parametrize("first", [True, False])
async def test_one_barred_address_among_those_of_a_name_is_enough(names: Names, address: str, first: bool) -> None:
    async with hosting() as host:
        names.lead(NAME, [address, "127.0.0.1"] if first else ["127.0.0.1", address])
        with connects() as heard:
            async with client(f"http://{NAME}:{host.port}") as http:
                with pytest.raises(AddressError, match=r"link-local or metadata|unspecified") as refused:
                    await http.get(f"http://{NAME}:{host.port}/")
    assert heard == []
    assert host.connections == 0
    assert address not in str(refused.value)


async def test_a_name_is_looked_up_once_for_a_connection_and_what_was_checked_is_connected_to(names: Names) -> None:
    # It leads to the landlord as soon as it is looked up a second time, as whoever attacks would have it.
    names.lead(NAME, ["127.0.0.1"], ["169.254.169.254"])
    async with hosting() as host:
        url = f"http://{NAME}:{host.port}"
        with connects() as heard:
            async with client(url) as http:
                for _ in range(3):
                    assert (await http.get(f"{url}/v1")).status_code == 200
            assert names.looked_up == [NAME]
            assert host.connections == 1
            async with client(url) as http:
                with pytest.raises(AddressError):
                    await http.get(f"{url}/v1")
    assert set(heard) == {("127.0.0.1", host.port)}
    assert names.looked_up == [NAME, NAME]
    assert host.connections == 1
    assert all(f"Host: {NAME}:{host.port}\r\n".encode().lower() in head.lower() for head in host.heads)


@pytest.mark.parametrize("provider", NETWORKED)
async def test_the_sdks_go_where_they_are_led_and_not_where_a_name_leads_later(
    names: Names, double: Double, provider: str
) -> None:
    names.lead(NAME, ["127.0.0.1"], ["169.254.169.254", "127.0.0.1"])
    url = f"http://{NAME}{path_of(double, provider)}"
    with connects() as heard:
        assert await ask(provider, url)
        with pytest.raises(AddressError) as refused:
            await ask(provider, url)
    assert len(double.calls) == 1
    assert {address for address, _ in heard} == {"127.0.0.1"}
    assert f"{provider}.base_url" in refused.value.hint
    assert names.looked_up.count(NAME) == 2


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_this_machine_may_be_asked_by_ipv4_and_ipv6(names: Names, address: str) -> None:
    names.lead(NAME, [address])
    host = f"[{address}]" if ":" in address else address
    async with hosting(address=address) as there:
        for named in (host, NAME):
            async with client(f"http://{named}:{there.port}") as http:
                assert (await http.get(f"http://{named}:{there.port}/")).status_code == 200
    assert there.connections == 2


async def test_an_address_that_refuses_is_passed_over(names: Names) -> None:
    async with hosting() as host:
        names.lead(NAME, ["::1", "127.0.0.2", "127.0.0.1"])
        with connects() as heard:
            async with client(f"http://{NAME}:{host.port}") as http:
                assert (await http.get(f"http://{NAME}:{host.port}/")).status_code == 200
    assert [address for address, _ in heard] == ["::1", "127.0.0.2", "127.0.0.1"]


async def test_an_address_that_is_silent_has_the_next_one_beside_it(names: Names) -> None:
    async with hosting() as host:
        names.lead(NAME, ["127.0.0.3", "127.0.0.1"])
        with black_hole("127.0.0.3", host.port):
            async with client(f"http://{NAME}:{host.port}") as http:
                began = asyncio.get_running_loop().time()
                assert (await http.get(f"http://{NAME}:{host.port}/")).status_code == 200
                took_s = asyncio.get_running_loop().time() - began
    assert STAGGER_S <= took_s < PATIENCE.connect_s


async def test_silent_addresses_take_no_longer_than_a_connection_may(names: Names) -> None:
    async with hosting() as host:
        port = host.port
    names.lead(NAME, ["127.0.0.3", "127.0.0.4"])
    with black_hole("127.0.0.3", port), black_hole("127.0.0.4", port):
        async with client(f"http://{NAME}:{port}", patience=Patience(connect_s=0.4)) as http:
            with pytest.raises(httpx2.ConnectTimeout):
                await http.get(f"http://{NAME}:{port}/")


async def test_a_connection_that_comes_too_late_to_be_used_is_closed(names: Names) -> None:
    async with hosting() as host:
        names.lead(NAME, ["127.0.0.3", "127.0.0.1"])
        with black_hole("127.0.0.3", host.port):
            async with client(f"http://{NAME}:{host.port}") as http:
                await http.get(f"http://{NAME}:{host.port}/")
                assert len([task for task in asyncio.all_tasks() if "_first" in repr(task)]) == 0
    assert host.connections == 1


@pytest.mark.parametrize("provider", NETWORKED)
async def test_a_name_that_leads_nowhere_is_a_provider_that_cannot_be_reached(names: Names, provider: str) -> None:
    names.lead(NAME, socket.gaierror(socket.EAI_NONAME, "not known"))
    with pytest.raises(UnavailableError):
        await ask(provider, f"http://{NAME}:9/v1")
    names.lead(NAME, [])
    with pytest.raises(UnavailableError):
        await ask(provider, f"http://{NAME}:9/v1")


@pytest.mark.parametrize("provider", NETWORKED)
async def test_a_name_server_that_is_silent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    silence = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: [silence.wait()][:0])
    try:
        async with asyncio.timeout(10.0):
            with pytest.raises(ProviderTimeoutError):
                await ask(provider, f"http://{NAME}:9/v1", Patience(connect_s=0.1))
    finally:
        silence.set()


async def test_there_are_only_so_many_lookups_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    silence, bound = threading.Event(), threading.BoundedSemaphore(2)

    def getaddrinfo(*_args: object, **_named: object) -> list[object]:
        silence.wait()
        return []

    monkeypatch.setattr(resolver, "_free", bound)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    lookups = [asyncio.ensure_future(resolver.resolved(NAME, 80)) for _ in range(3)]
    done, waiting = await asyncio.wait(lookups, return_when=asyncio.FIRST_COMPLETED)
    assert [str(one.exception()) for one in done] == ["too many lookups at once"]
    silence.set()
    await asyncio.wait(waiting)
    assert {str(one.exception()) for one in waiting} == {"0 addresses"}
    assert all(bound.acquire(blocking=False) for _ in range(2))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize("provider", NETWORKED)
async def test_no_redirect_is_followed_and_nobody_else_gets_the_key(
    findings: Findings, provider: str, status: int
) -> None:
    async with hosting() as trap:
        location = f"Location: http://127.0.0.1:{trap.port}/v1\r\nContent-Length: 0\r\n\r\n"
        async with hosting(f"HTTP/1.1 {status} Elsewhere\r\n{location}".encode()) as host:
            with pytest.raises(AddressError, match="redirect") as refused:
                await ask(provider, f"http://127.0.0.1:{host.port}/v1")
    assert (trap.connections, host.connections) == (0, 1)
    assert len(host.heads) == 1
    assert f"{provider}.base_url" in refused.value.hint
    findings.tell("R40", "redirects followed", trap.connections, "0")


@pytest.mark.parametrize("provider", NETWORKED)
async def test_the_redirect_of_the_double_is_one_as_well(double: Double, provider: str) -> None:
    double.script(fault="redirect")
    async with asked(double, provider) as generator:
        with pytest.raises(AddressError):
            await answered(generator)


@pytest.mark.parametrize(
    "other",
    [
        "http://127.0.0.1:{trap}/v1",
        "http://localhost:{port}/v1",
        "https://127.0.0.1:{port}/v1",
        "http://me:pw@127.0.0.1:{port}/v1",
        "http://127.0.0.1/v1",
    ],
)
async def test_a_request_to_another_origin_is_not_sent(other: str) -> None:
    async with hosting() as trap, hosting() as host:
        with connects() as heard:
            async with client(f"http://127.0.0.1:{host.port}/v1") as http:
                with pytest.raises(AddressError, match="not sent"):
                    await http.get(
                        other.format(trap=trap.port, port=host.port), headers={"Authorization": f"Bearer {KEY}"}
                    )
    assert heard == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "http://me:pw@127.0.0.1/", "http://", "x"]
)
@pytest.mark.parametrize("provider", NETWORKED)
async def test_what_is_no_address_of_a_provider_is_not_tried(provider: str, url: str) -> None:
    with connects() as heard, pytest.raises(ProviderError) as refused:
        await ask(provider, url)
    assert heard == []
    assert isinstance(refused.value, AddressError)


async def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    names: Names, authority: Authority
) -> None:
    names.lead(NAME, ["127.0.0.2", "127.0.0.1"])
    async with hosting(tls=authority.server(NAME)) as host:
        url = f"https://{NAME}:{host.port}/"
        async with trusting(authority, url) as http:
            assert (await http.get(url)).status_code == 200
    assert host.names == [NAME]
    assert f"host: {NAME}:{host.port}\r\n".encode() in host.heads[0].lower()


@pytest.mark.parametrize("others", [("other.test",), ("127.0.0.1",), ("*.provider.test",)])
async def test_a_certificate_of_another_name_is_refused_and_nothing_is_sent(
    names: Names, authority: Authority, others: tuple[str, ...]
) -> None:
    names.lead(NAME, ["127.0.0.1"])
    async with hosting(tls=authority.server(*others)) as host:
        url = f"https://{NAME}:{host.port}/"
        async with trusting(authority, url) as http:
            with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
                await http.get(url)
    assert host.heads == []


async def test_a_certificate_of_an_authority_that_is_not_trusted_is_refused(
    names: Names, authority: Authority, tmp_path: Path
) -> None:
    names.lead(NAME, ["127.0.0.1"])
    (tmp_path / "other").mkdir()
    async with hosting(tls=Authority(tmp_path / "other").server(NAME)) as host:
        url = f"https://{NAME}:{host.port}/"
        async with trusting(authority, url) as http:
            with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
                await http.get(url)
    assert host.heads == []


async def test_an_address_may_have_a_certificate_of_its_own(authority: Authority) -> None:
    async with hosting(tls=authority.server("127.0.0.1")) as host:
        url = f"https://127.0.0.1:{host.port}/"
        async with trusting(authority, url) as http:
            assert (await http.get(url)).status_code == 200


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
async def test_what_is_not_encrypted_goes_by_no_proxy(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    async with hosting() as host, hosting() as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        for proxied in (True, False):
            async with client(f"http://127.0.0.1:{host.port}", proxied=proxied) as http:
                await http.get(f"http://127.0.0.1:{host.port}/")
    assert (host.connections, proxy.connections) == (2, 0)


async def test_a_proxy_of_the_environment_is_used_and_cannot_read_the_key(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    async with hosting(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%20w@127.0.0.1:{proxy.port}")
        url = f"https://{NAME}/v1"
        async with trusting(authority, url, proxied=True) as http:
            with pytest.raises(httpx2.ProxyError):
                await http.get(url, headers={"Authorization": f"Bearer {KEY}"})
    assert proxy.heads[0].startswith(f"CONNECT {NAME}:443 ".encode())
    assert b"Basic bWU6cCB3" in proxy.heads[0]
    assert KEY.encode() not in proxy.heads[0]


async def test_a_proxy_at_a_barred_address_is_not_used(
    names: Names, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    names.lead("proxy.test", ["169.254.169.254"])
    monkeypatch.setenv("HTTPS_PROXY", "proxy.test:3128")
    with connects() as heard:
        async with trusting(authority, f"https://{NAME}/", proxied=True) as http:
            with pytest.raises(AddressError, match="the proxy") as refused:
                await http.get(f"https://{NAME}/")
    assert heard == []
    assert "HTTPS_PROXY" in refused.value.hint


@pytest.mark.parametrize("told", ["socks5://127.0.0.1:1080", "http://:1", "http://[::1"])
async def test_a_proxy_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, authority: Authority, told: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", told)
    with pytest.raises(AddressError, match="the proxy"):
        async with trusting(authority, f"https://{NAME}/", proxied=True):
            pass


async def test_who_needs_no_proxy_is_asked_without_it(
    names: Names, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    names.lead(NAME, ["127.0.0.1"])
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", NAME)
    async with hosting(tls=authority.server(NAME)) as host:
        url = f"https://{NAME}:{host.port}/"
        async with trusting(authority, url, proxied=True) as http:
            assert (await http.get(url)).status_code == 200


async def test_what_a_name_leads_to_is_logged_and_not_told(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    names.lead(NAME, ["169.254.169.254"])
    with caplog.at_level(logging.WARNING), pytest.raises(AddressError) as refused:
        await ask("openai", f"http://{NAME}:1/v1")
    assert "169.254" not in str(refused.value) + refused.value.hint
    assert [getattr(record, "address", None) for record in caplog.records] == ["169.254.169.254"]
    assert KEY not in caplog.text


async def test_no_connection_is_made_to_what_is_barred_by_any_way_there_is(names: Names, findings: Findings) -> None:
    tried = 0
    with connects() as heard:
        for host in LANDLORDS:
            names.lead(NAME, ["169.254.169.254"])
            for provider in NETWORKED:
                for told in (host, NAME):
                    with pytest.raises(ProviderError):
                        await ask(provider, f"http://{told}:80/v1")
                    tried += 1
    assert heard == []
    findings.tell("R40", "calls to barred addresses, by the providers' own SDKs", tried, "0 connections")
