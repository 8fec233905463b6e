"""The configurations of reverse proxies in the manual, run by the real Caddy and the real nginx, with TLS."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
import pytest

from canvas_server.certificates import Certificate, certificate_in
from tests.test_docs import DOCS, ROOT

pytestmark = pytest.mark.slow

NAME: Final = "canvas.example"
TOKEN: Final = "a-token-of-an-admin-for-this-test"
HELD_BACK_S: Final = 5.0
"""An event that takes longer was held back."""


class Proxied(NamedTuple):
    """A server behind a proxy."""

    http: httpx2.Client
    """Comes by the public name, over TLS."""
    direct: httpx2.Client
    """Comes to the server itself."""
    passes_on_any_name: bool
    """Whether the proxy leaves it to the server to refuse a name that is not ours."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def block(language: str) -> str:
    """Return the one block of the manual in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / "running.md").read_text(), re.DOTALL | re.MULTILINE)
    return str(found)


def binary(name: str) -> str:
    """Return a program that the tests need; without it they fail where it must be, and are skipped elsewhere."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    if found is None and os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{name} is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def caddy(folder: Path, upstream: str, port: int, certificate: Certificate) -> list[str]:
    """Return the command that runs Caddy as the manual says, with a port and a certificate of this test."""
    config = block("text caddy").replace(NAME, f"{NAME}:{port}").replace("127.0.0.1:8642", upstream)
    config = config.replace("reverse_proxy", f"tls {certificate.certificate} {certificate.key}\n    reverse_proxy")
    file = folder / "Caddyfile"
    file.write_text("{\n    admin off\n    auto_https disable_redirects\n}\n" + config)
    return [binary("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]


def nginx(folder: Path, upstream: str, port: int, certificate: Certificate) -> list[str]:
    """Return the command that runs nginx as the manual says, with a port and a certificate of this test."""
    target = upstream.replace("unix/", "unix:") + ":" if upstream.startswith("unix/") else upstream
    config = block("text nginx").replace("443", str(port)).replace("127.0.0.1:8642", target)
    config = config.replace("/path/to/certificate.pem", str(certificate.certificate))
    config = config.replace("/path/to/key.pem", str(certificate.key))
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\nclient_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f;\nuwsgi_temp_path {folder}/u;\nscgi_temp_path {folder}/s;\n{config}}}\n"
    )
    return [binary("nginx"), "-c", str(file), "-p", str(folder)]


def settings(folder: Path, port: int, public_port: int) -> Path:
    """Write the settings of the manual, for this test's folder and ports."""
    example = block("toml proxy")
    file = folder / "config.toml"
    file.write_text(
        example.replace("https://canvas.example", f"https://canvas.example:{public_port}")
        + f'port = {port}\nunix_socket = "{folder}/run/server.sock"\n'
        + f'[storage]\ndata_dir = "{folder}/data"\n'
    )
    return file


def until_it_answers(http: httpx2.Client, process: subprocess.Popen[str]) -> None:
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        assert process.poll() is None, "it ended"
        try:
            if http.get("/healthz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("it does not answer")


@contextmanager
def running(command: list[str], **variables: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, cwd=ROOT, text=True, env={**os.environ, **variables}) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(15)


@pytest.fixture(params=["caddy", "nginx", "caddy-unix", "nginx-unix"])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    kind, _, over_unix = str(request.param).partition("-")
    program: Callable[[Path, str, int, Certificate], list[str]] = {"caddy": caddy, "nginx": nginx}[kind]
    port, public_port = free_port(), free_port()
    certificate = certificate_in(tmp_path / "tls", [NAME])
    upstream = f"unix/{tmp_path}/run/server.sock" if over_unix else f"127.0.0.1:{port}"
    serve = [sys.executable, "-m", "canvas_server", "serve", "--config", str(settings(tmp_path, port, public_port))]
    trusting = ssl.create_default_context(cafile=str(certificate.certificate))
    with (
        running(serve, CANVAS_TOKEN=TOKEN) as server,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as direct,
    ):
        until_it_answers(direct, server)
        with (
            running(program(tmp_path, upstream, public_port, certificate)) as proxy,
            httpx2.Client(
                base_url=f"https://127.0.0.1:{public_port}",
                headers={"Host": f"{NAME}:{public_port}", "Authorization": f"Bearer {TOKEN}"},
                transport=_Named(trusting),
                timeout=20,
            ) as http,
        ):
            until_it_answers(http, proxy)
            yield Proxied(http, direct, kind == "nginx")


class _Named(httpx2.HTTPTransport):
    """Speaks TLS with the public name, wherever it connects to."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions["sni_hostname"] = NAME
        return super().handle_request(request)


def test_a_canvas_is_written_and_heard_through_the_proxy_at_once(proxied: Proxied) -> None:
    http = proxied.http
    version = http.put("/api/v2/canvas/notes", json={"content": "# A\n" + "x" * 600_000}).json()["version"]
    with http.stream("GET", "/api/v2/canvas/notes/ops:listen", params={"snapshot": "false"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert any('"type":"start"' in line for line in lines)
        began_s = time.monotonic()
        for number in range(5):
            operation = {
                "op_id": f"op-{number}",
                "client_version": version,
                "scope": "range",
                "action": "insert",
                "target": {"type": "position", "position": {"mode": "end"}},
                "content": "!",
            }
            assert http.post("/api/v2/canvas/notes/ops:stream", json={"ops": [operation]}).status_code == 202
            next(line for line in lines if f'"op_id":"op-{number}"' in line)
        assert time.monotonic() - began_s < HELD_BACK_S


def test_a_streamed_request_is_applied_line_by_line_through_the_proxy(proxied: Proxied) -> None:
    http = proxied.http
    version = http.put("/api/v2/canvas/poem", json={}).json()["version"]
    operation = {
        "op_id": "a",
        "client_version": version,
        "scope": "range",
        "action": "insert",
        "target": {"type": "position", "position": {"mode": "end"}},
        "content": "one",
    }
    seen: list[str] = []

    def lines() -> Iterator[bytes]:
        yield json.dumps(operation).encode() + b"\n"
        end_s = time.monotonic() + HELD_BACK_S
        while not seen and time.monotonic() < end_s:
            if "one" in http.get("/api/v2/canvas/poem").json()["content"]:
                seen.append("one")
        yield b'{"content":" two"}\n'

    headers = {"Content-Type": "application/x-ndjson"}
    assert http.post("/api/v2/canvas/poem/ops:stream", content=lines(), headers=headers).status_code == 202
    assert seen == ["one"], "the first line was held back"
    assert http.get("/api/v2/canvas/poem").json()["content"] == "one two"


def test_the_browser_s_own_page_passes_and_that_of_another_origin_does_not(proxied: Proxied) -> None:
    http = proxied.http
    own = f"https://{http.headers['Host']}"
    # A browser too old to send Sec-Fetch-Site is known by its origin, whose scheme only the proxy knows.
    assert http.put("/api/v2/canvas/own", json={}, headers={"Origin": own}).status_code == 201
    assert http.put("/api/v2/canvas/not", json={}, headers={"Origin": own.replace("https", "http")}).status_code == 403
    assert http.put("/api/v2/canvas/not", json={}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert http.get("/api/v2/canvas", headers={"Authorization": ""}).status_code == 401


def test_a_name_that_is_not_ours_reaches_nothing_of_the_server(proxied: Proxied) -> None:
    misled = proxied.http.get("/healthz", headers={"Host": "evil.example"})
    if proxied.passes_on_any_name:
        assert (misled.status_code, misled.json()["code"]) == (421, "HOST_NOT_ALLOWED")
    else:
        # Caddy serves no site of that name, and says so with nothing.
        assert (misled.status_code, misled.content, misled.headers.get("content-type")) == (200, b"", None)
    direct = proxied.direct.get("/healthz", headers={"Host": "evil.example"})
    assert (direct.status_code, direct.json()["code"]) == (421, "HOST_NOT_ALLOWED")


def test_wrong_credentials_are_counted_by_the_client_s_address_and_it_cannot_choose_that(proxied: Proxied) -> None:
    statuses = [
        proxied.http.get(
            "/api/v2/me", headers={"Authorization": "Bearer wrong", "X-Forwarded-For": f"198.51.100.{number}"}
        ).status_code
        for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    assert proxied.http.get("/api/v2/me").status_code == 200
