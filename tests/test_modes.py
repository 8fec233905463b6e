"""The server as others on a network meet it, and as this machine does beside them; real processes, real TLS."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
import pytest

from canvas_server.app import serve
from canvas_server.certificates import certificate_in
from canvas_server.config import Settings
from canvas_server.config.settings import ServerSettings, StorageSettings
from canvas_server.core.errors import ConfigError, StorageUnavailableError
from canvas_server.listening import bind_unix
from tests.test_docs import ROOT

pytestmark = pytest.mark.slow

NETWORK: Final = "127.0.0.2"
"""Stands for an address of a network; the settings would refuse it, so they are made by hand."""
SERVE: Final = """
import sys, msgspec
from canvas_server import app
from canvas_server.config import Settings
told = msgspec.json.decode(sys.argv[1])
sys.exit(app.serve(msgspec.convert(told, Settings)))
"""


class Lan(NamedTuple):
    """A server of mode lan."""

    told: list[str]
    """What it printed."""
    port: int
    data_dir: Path

    @property
    def token(self) -> str:
        return (self.data_dir / "token").read_text().strip()

    @property
    def here(self) -> str:
        url: str = json.loads((self.data_dir / "server.json").read_text())["url"]
        return url


@contextmanager
def lan_server(data_dir: Path) -> Iterator[Lan]:
    settings = {
        "server": {"mode": "lan", "host": NETWORK, "port": 0, "allowed_hosts": ["box.local"]},
        "storage": {"data_dir": str(data_dir)},
        "generation": {"provider": "demo"},
        "demo": {"delay_ms": 0},
    }
    command = [sys.executable, "-c", SERVE, json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(4)]
        try:
            yield Lan(told, int(told[0].rpartition(":")[2]), data_dir)
        finally:
            process.terminate()
            assert process.wait(15) == 0


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    with lan_server(tmp_path_factory.mktemp("lan") / "data") as running:
        yield running


@contextmanager
def client(lan: Lan, **headers: str) -> Iterator[httpx2.Client]:
    trusting = ssl.create_default_context(cafile=str(lan.data_dir / "tls" / "certificate.pem"))
    with httpx2.Client(
        base_url=f"https://{NETWORK}:{lan.port}", verify=trusting, trust_env=False, headers=headers
    ) as http:
        yield http


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_the_network_is_served_over_tls_only_with_the_certificate_whose_fingerprint_was_printed(lan: Lan) -> None:
    assert lan.told[0] == f"canvas-server listens on https://{NETWORK}:{lan.port}"
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((NETWORK, lan.port)))
    assert sha256(der).hexdigest().upper() == lan.told[1].rpartition(" ")[2].replace(":", "")
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"http://{NETWORK}:{lan.port}/healthz", trust_env=False)
    with client(lan) as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get("/healthz").headers.get("server") is None
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)), socket.create_connection((NETWORK, lan.port)) as plain:
        old.wrap_socket(plain).close()


def test_the_network_is_asked_for_credentials_and_for_a_name_of_ours(lan: Lan) -> None:
    with client(lan) as http:
        assert http.get("/api/v2/canvas").status_code == 401
        assert http.get("/metrics").status_code == 401
        assert http.get("/healthz", headers={"Host": "box.local"}).status_code == 200
        assert http.get("/healthz", headers={"Host": "evil.example"}).status_code == 421
    with client(lan, Authorization=f"Bearer {lan.token}") as http:
        assert http.get("/api/v2/me").json()["name"] == "local"
        assert http.get("/metrics").status_code == 200
        assert http.post("/api/v2/users", json={"name": "eve", "role": "writer"}).status_code == 201
        made = http.post("/api/v2/tokens", json={"user": "eve"}).json()["token"]
    with client(lan, Authorization=f"Bearer {made}") as http:
        for path in ("/metrics", "/api/v2/status", "/openapi.json", "/api/v2/users"):
            assert http.get(path).status_code == 403, path


def test_a_model_writes_there_although_the_network_speaks_tls(lan: Lan) -> None:
    with client(lan, Authorization=f"Bearer {lan.token}") as http:
        assert http.put("/api/v2/canvas/notes", json={"content": "# A\n"}).status_code == 201
        job = {
            "prompt": "Write.",
            "max_output_tokens": 8,
            "canvas": {"ref": "notes", "target": {"type": "heading", "heading": {"path": ["A"]}}},
        }
        started = http.post("/api/v1/dialogues/generate/jobs", json=job).json()
        told = http.get(started["stream_url"], timeout=20).text
        assert '"type":"complete"' in told
        assert len(http.get("/api/v2/canvas/notes").json()["content"]) > 10


def test_this_machine_has_a_door_of_its_own_and_its_link_works_there(lan: Lan) -> None:
    link = lan.told[2].rpartition(" ")[2]
    assert link.startswith(lan.here)
    code = link.partition("#t=")[2]
    signed_in = httpx2.post(f"{lan.here}/api/v2/sessions", json={"code": code}, trust_env=False)
    assert signed_in.status_code == 201
    again = httpx2.post(f"{lan.here}/api/v2/sessions", json={"code": code}, trust_env=False)
    assert (again.status_code, again.json()["code"]) == (401, "AUTH_REQUIRED")


def test_a_silent_crowd_is_bounded_and_both_doors_are_open_to_others(lan: Lan) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((NETWORK, lan.port), timeout=10)) for _ in range(200)]
        wait_until(lambda: sum(map(is_open, silent)) <= 64)
        with client(lan) as http:
            assert http.get("/healthz", timeout=3).status_code == 200
        assert httpx2.get(f"{lan.here}/healthz", timeout=3, trust_env=False).status_code == 200


def test_the_certificate_stays_over_a_restart_and_the_key_is_its_owner_s_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with lan_server(data_dir) as first:
        printed = first.told[1]
    with lan_server(data_dir) as second:
        assert second.told[1] == printed
    for path in [data_dir, *data_dir.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, (path, oct(mode))


def test_no_key_is_looked_for_in_a_folder_where_others_could_have_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for folder in (data_dir, elsewhere):
        folder.mkdir()
    (data_dir / "tls").symlink_to(elsewhere)
    (data_dir / "canvas.db").touch()
    data_dir.chmod(0o777)
    monkeypatch.setattr(os, "umask", lambda _mask: 0)
    server = ServerSettings(mode="lan", host="192.0.2.7")
    with pytest.raises(StorageUnavailableError, match="others may write"):
        serve(Settings(server=server, storage=StorageSettings(data_dir=str(data_dir))))
    assert list(elsewhere.iterdir()) == []


def test_a_certificate_for_other_names_is_made_anew(tmp_path: Path) -> None:
    first = certificate_in(tmp_path, ["a.example", "127.0.0.1"]).fingerprint()
    assert certificate_in(tmp_path, ["127.0.0.1"]).fingerprint() == first
    assert certificate_in(tmp_path, ["b.example"]).fingerprint() != first
    (tmp_path / "key.pem").write_text("garbage")
    renewed = certificate_in(tmp_path, ["b.example"])
    renewed.context()


def test_a_unix_socket_is_made_in_a_folder_of_its_owner_alone_and_takes_the_place_of_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "run" / "server.sock"
    sock = bind_unix(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(ConfigError, match="somebody listens"):
        bind_unix(path)
    sock.close()
    bind_unix(path).close()
    path.parent.chmod(0o755)
    with pytest.raises(ConfigError, match="open to others"):
        bind_unix(path)


def test_both_loopback_addresses_are_taken_and_a_squatter_on_one_is_noticed(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as squatter:
        port = squatter.getsockname()[1]
        command = [sys.executable, "-m", "canvas_server", "serve", "--port", str(port), "--data-dir", str(tmp_path)]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)
    assert refused.returncode == 2
    assert re.search(rf"cannot listen on ::1 port {port}: it is taken", refused.stderr)


def test_the_commands_about_users_and_tokens_reach_a_running_server(lan: Lan) -> None:
    def told(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "canvas_server", *arguments, "--data-dir", str(lan.data_dir)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, env=os.environ
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def status(token: str) -> int:
        answer = httpx2.get(f"{lan.here}/api/v2/me", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        return answer.status_code

    told("user", "create", "scribe", "--role", "agent")
    assert "there is a user scribe" in told("user", "create", "scribe", code=2)
    made = json.loads(told("token", "create", "--user", "scribe", "--canvas", "notes", "--expires", "2h", "--json"))
    wait_until(lambda: status(made["token"]) == 200)
    assert made["id"] in told("token", "list")
    assert made["token"] not in told("token", "list", "--json")
    told("token", "revoke", made["id"])
    wait_until(lambda: status(made["token"]) == 401)
    assert "no token" in told("token", "revoke", made["id"], code=2)
    link = told("open", "--print", "--user", "scribe").strip()
    code = link.partition("#t=")[2]
    answer = httpx2.post(f"{lan.here}/api/v2/sessions", json={"code": code}, trust_env=False)
    assert answer.status_code == 201, answer.text
    session = answer.json()
    assert (session["user"], status(session["token"])) == ("scribe", 200)
    told("user", "change", "scribe", "--lock")
    wait_until(lambda: status(session["token"]) == 401)
    told("user", "delete", "scribe")
    assert "scribe" not in told("user", "list")
    assert "last admin" in told("user", "delete", "local", code=2)


def is_open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does within a second or so; asked too often with what is wrong, it refuses all."""
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(1.0)
