"""`canvas_server.config.addresses`: where a provider may be, and what is refused when the settings are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from canvas_server.config import load
from canvas_server.core.errors import ConfigError

pytestmark = pytest.mark.promise("R40")

LANDLORD = [
    "169.254.169.254",
    "169.254.0.1",
    "169.254.169.254.",
    "2852039166",
    "0xA9FEA9FE",
    "025177524776",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.254.43518",
    "169.16689662",
    "169%2e254%2e169%2e254",
    "１６９.254.169.254",
    "169。254。169。254",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[febf::1]",
    "[fd00:ec2::254]",
    "[FD00:0EC2:0:0:0:0:0:254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[64:ff9b::a9fe:a9fe]",
    "100.100.100.200",
]
NOBODYS = {
    "unspecified": ["0.0.0.0", "0", "[::]"],
    "multicast": ["224.0.0.1", "[ff02::1]"],
    "reserved": ["255.255.255.255", "[4000::1]"],
}
ALLOWED = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "192.168.1.20",
    "10.0.0.3",
    "172.16.0.1",
    "[fd12:3456::1]",
    "2130706433",
    "api.openai.com",
    "169.254.example.org",
    "models",
]


@pytest.mark.parametrize("port", ["", ":8080"])
@pytest.mark.parametrize("host", LANDLORD)
def test_a_link_local_or_metadata_address_is_refused_however_it_is_spelled(
    tmp_path: Path, host: str, port: str
) -> None:
    with pytest.raises(ConfigError, match="link-local or metadata") as refused:
        load(environ={"CANVAS_LOCAL_BASE_URL": f"http://{host}{port}/v1"}, directory=tmp_path)
    assert "local.base_url" in str(refused.value)
    assert "CANVAS_LOCAL_BASE_URL" in str(refused.value)


@pytest.mark.parametrize(("kind", "host"), [(kind, host) for kind, hosts in NOBODYS.items() for host in hosts])
def test_what_is_nobodys_address_is_refused(tmp_path: Path, kind: str, host: str) -> None:
    with pytest.raises(ConfigError, match=f"local.base_url is .*, a {kind} address"):
        load(environ={"CANVAS_LOCAL_BASE_URL": f"http://{host}/v1"}, directory=tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/", "http://me:pw@host/", "host:80", "//host/"])
def test_other_schemes_and_credentials_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"local\.base_url is"):
        load(environ={"CANVAS_LOCAL_BASE_URL": url}, directory=tmp_path)


@pytest.mark.parametrize("host", ALLOWED)
def test_addresses_of_this_machine_of_private_networks_and_names_are_allowed(tmp_path: Path, host: str) -> None:
    url = f"http://{host}:1234/v1"
    assert load(environ={"CANVAS_LOCAL_BASE_URL": url}, directory=tmp_path).settings.local.base_url == url


@pytest.mark.parametrize("section", ["openai", "mistral", "local"])
def test_every_provider_is_checked(tmp_path: Path, section: str) -> None:
    (tmp_path / "config.toml").write_text(f'[{section}]\nbase_url = "http://169.254.169.254"\napi_key = "${{KEY}}"\n')
    with pytest.raises(ConfigError, match=f"{section}.base_url"):
        load(environ={"KEY": "sk-key"}, directory=tmp_path)


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port/", "http://host:99999/", "http:///v1", "http://:80/"])
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="not an address"):
        load(environ={"CANVAS_LOCAL_BASE_URL": url}, directory=tmp_path)


@pytest.mark.parametrize("text", ["http://16[${KEY}", "http://169.254.169.254/${KEY}"])
def test_what_a_variable_holds_is_not_told_with_an_address_that_is_refused(tmp_path: Path, text: str) -> None:
    # Found by fuzzing: all other refusals show the name of the variable.
    (tmp_path / "config.toml").write_text(f'local.base_url = "{text}"\n')
    with pytest.raises(ConfigError) as refused:
        load(environ={"KEY": "sk-canary"}, directory=tmp_path)
    assert "sk-canary" not in str(refused.value)
    assert "${KEY}" in str(refused.value)


def test_what_a_variable_holds_is_not_told_with_a_time_zone_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('cost.time_zone = "${KEY}"\n')
    with pytest.raises(ConfigError) as refused:
        load(environ={"KEY": "sk-canary"}, directory=tmp_path)
    assert "sk-canary" not in str(refused.value) + refused.value.hint
