from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis.strategies import integers, ip_addresses

from canvas_server.core.barred import barred

LANDLORDS = ["169.254.0.0", "169.254.169.254", "169.254.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192"]
LANDLORDS_BY_6 = ["fe80::", "fe80::1%eth0", "febf:ffff::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"]
OTHERS = {
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "reserved": ["240.0.0.1", "255.255.255.255", "::2", "100::1", "4000::1", "::7f00:1", "::ffff:0:a9fe:a9fe"],
}
ALLOWED = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.201",
    "169.253.255.255",
    "169.255.0.0",
    "1.1.1.1",
    "::1",
    "fc00::1",
    "fd12::1",
    "2606:4700::1111",
    "64:ff9b:1::808:808",
]


@pytest.mark.parametrize("text", LANDLORDS + LANDLORDS_BY_6)
def test_what_only_this_machine_reaches_is_barred(text: str) -> None:
    assert barred(ip_address(text)) == "link-local or metadata"


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in OTHERS.items() for text in texts])
def test_what_is_nobodys_address_is_barred(kind: str, text: str) -> None:
    assert barred(ip_address(text)) == kind


@pytest.mark.parametrize("text", ALLOWED)
def test_this_machine_private_networks_and_everybody_else_are_allowed(text: str) -> None:
    assert barred(ip_address(text)) is None


def spellings(inner: IPv4Address, prefix: int = 0) -> dict[str, IPv6Address]:
    """Return the IPv6 addresses that lead to an IPv4 address, by how they do."""
    number = int(inner)
    high, low = number >> 16, number & 0xFFFF
    return {
        "mapped": IPv6Address((0xFFFF << 32) | number),
        "6to4": IPv6Address((0x2002 << 112) | (number << 80) | prefix),
        "NAT64": IPv6Address((0x64FF9B << 96) | number),
        "NAT64, local": IPv6Address((0x64FF9B0001 << 80) | number),
        "NAT64, local, by RFC 6052": IPv6Address((0x64FF9B0001 << 80) | (high << 64) | (low << 40)),
        "Teredo, client": IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF)),
        "Teredo, server": IPv6Address((0x20010000 << 96) | (number << 64) | (0x08080808 ^ 0xFFFFFFFF)),
        "ISATAP": IPv6Address((0x20010DB8 << 96) | (0x00005EFE << 32) | number),
        "ISATAP, global": IPv6Address((0x20010DB8 << 96) | (0x02005EFE << 32) | number),
    }


@given(integers(0, 0xFFFF), integers(0, 2**64 - 1))
def test_no_spelling_by_ipv6_leads_around_the_bar(low: int, prefix: int) -> None:
    inner = IPv4Address((169 << 24) | (254 << 16) | low)
    for how, address in spellings(inner, prefix).items():
        assert barred(address) == "link-local or metadata", (how, address)


@pytest.mark.parametrize("text", LANDLORDS)
def test_every_metadata_address_is_known_in_every_spelling(text: str) -> None:
    for how, address in spellings(IPv4Address(text)).items():
        assert barred(address) == "link-local or metadata", (how, address)


@given(ip_addresses(v=4))
def test_an_ipv4_address_that_is_mapped_or_translated_is_what_it_is_itself(inner: IPv4Address | IPv6Address) -> None:
    assert isinstance(inner, IPv4Address)
    told = spellings(inner)
    assert {barred(told[how]) for how in ("mapped", "NAT64")} == {barred(inner)}


@given(ip_addresses())
def test_every_address_is_judged(address: IPv4Address | IPv6Address) -> None:
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        assert barred(address)
    if address.is_global and address.version == 4 and str(address) not in LANDLORDS and not address.is_multicast:
        assert barred(address) is None
