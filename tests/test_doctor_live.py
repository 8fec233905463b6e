"""`canvas-server doctor --live`: a server that runs well, and every way in which one does not."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Final

import httpx2
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from canvas_server import __version__
from canvas_server.address_file import ADDRESS_NAME, Running, announced, read_address
from canvas_server.cli import main
from canvas_server.config import load
from canvas_server.doctor import Finding, answers, cycle, examine_live
from canvas_server.doctor.answers import certificate_until
from tests.processes import ROOT, Process, running

DAY_S: Final = 86_400
UNHURRIED_S: Final = 4.0
TOKEN: Final = "correct-horse-battery-staple"


def examined(data: Path, url: str | None = None, environ: Mapping[str, str] | None = None) -> dict[str, Finding]:
    """Examine, and return the finding of each check."""
    flags: dict[str, object] = {"storage.data_dir": str(data), "server.port": 0}
    environ = environ or {}
    found = tuple(examine_live(lambda: load(environ=environ, flags=flags, directory=data.parent), environ, url))
    assert len({finding.check for finding in found}) == len(found)
    assert all(finding.mend for finding in found if finding.level != "ok"), found
    return {finding.check: finding for finding in found}


def wrong(found: dict[str, Finding]) -> set[str]:
    return {finding.check for finding in found.values() if finding.level == "fail"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("live")
    with running(folder, CANVAS_LOG_ACCESS="true") as process:
        yield process


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs well on a busy machine is no fault."""
    monkeypatch.setattr(cycle, "EVENT_S_ENOUGH", UNHURRIED_S)
    monkeypatch.setattr(answers, "_TRIP_HERE_S_ENOUGH", UNHURRIED_S)


@pytest.mark.usefixtures("unhurried")
def test_a_server_that_runs_well_is_told_to(server: Process) -> None:
    found = examined(server.data)
    assert not wrong(found)
    assert found["process"].detail == f"process {server.pid} lives and holds {server.data}"
    assert found["version"].detail == f"{__version__}, as installed"
    assert found["readyz"].level == found["round trip"].level == found["clock"].level == "ok"
    assert found["event stream"].detail.startswith("each ack was heard within ")
    assert found["cycle"].detail.startswith("made, written 3 times, on disk in ")
    assert found["files"].level == found["inodes"].level == found["open files of the server"].level == "ok"
    assert {"python", "disk", "database", "migrations"} <= found.keys(), "and what is examined without a server"
    assert not {"lock", "address"} & found.keys()
    assert "tidying up" not in found
    listed = httpx2.get(f"{server.url}/api/v2/canvas", headers=server.credentials, trust_env=False).json()["canvases"]
    assert not [canvas for canvas in listed if canvas["ref"].startswith("doctor-")]


@pytest.mark.usefixtures("unhurried")
def test_the_command_tells_it_as_json_and_by_its_exit_code(server: Process, tmp_path: Path) -> None:
    options = ["doctor", "--live", "--json", "--data-dir"]
    well = CliRunner().invoke(main, [*options, str(server.data)])
    assert well.exit_code == 0, well.stdout
    assert {"check": "cycle", "level": "ok"}.items() <= next(
        one for one in json.loads(well.stdout) if one["check"] == "cycle"
    ).items()
    command = [sys.executable, "-m", "canvas_server", *options, str(tmp_path)]
    ill = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ill.returncode == 1
    assert json.loads(ill.stdout)[-1]["mend"] == "start it, or say where it is with --url"


def test_files_that_others_may_read_are_told(server: Process) -> None:
    path = server.data / "left behind"
    path.touch()
    path.chmod(0o644)
    behind_a_closed_folder = examined(server.data)["files"]
    server.data.chmod(0o755)
    try:
        found = examined(server.data)["files"]
    finally:
        server.data.chmod(0o700)
        path.unlink()
    assert behind_a_closed_folder.level == "ok"
    assert (found.level, str(path) in found.detail) == ("warn", True)
    assert found.mend == f"run `chmod -R go= {server.data}`"


def test_a_server_that_was_killed_is_found_dead(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        address = server.data / ADDRESS_NAME
        assert (address.stat().st_mode & 0o777, read_address(server.data)) == (
            0o600,
            Running(url=server.url, pid=server.pid, version=__version__),
        )
        os.kill(server.pid, signal.SIGKILL)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        # Nobody has heard of its end yet, so it still has its number; the lock is gone already.
        assert wrong(examined(server.data)) == {"process", "server"}
    found = examined(server.data)
    assert wrong(found) == {"process", "server"}
    assert "is gone" in found["process"].detail
    assert "does not answer" in found["server"].detail


def test_a_server_that_was_stopped_leaves_no_address(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert (server.data / ADDRESS_NAME).exists()
    assert not (server.data / ADDRESS_NAME).exists()
    assert wrong(examined(server.data)) == {"server"}


@pytest.mark.slow
def test_a_locked_database_is_told_as_what_it_is(tmp_path: Path) -> None:
    with running(tmp_path) as server, closing(sqlite3.connect(server.data / "canvas.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        found = examined(server.data)
        other.rollback()
        assert wrong(found) == {"readyz", "cycle"}
        assert "store" in found["readyz"].detail
        assert "locks the database" in found["readyz"].mend
        assert found["process"].level == found["healthz"].level == "ok"
        assert not wrong(examined(server.data))


def test_another_process_that_has_the_number_is_not_taken_for_the_server(tmp_path: Path) -> None:
    with announced(tmp_path, Running(url="http://127.0.0.1:9", pid=os.getpid())):
        found = examined(tmp_path)
    assert "no server holds" in found["process"].detail
    assert wrong(found) == {"process", "server"}


class Double(BaseHTTPRequestHandler):
    """Something at an address; each test says what."""

    protocol_version = "HTTP/1.1"
    ended: ClassVar[threading.Event]
    """Set when the test is over."""

    def log_message(self, *_: object) -> None:
        pass

    def tell(self, status: int, body: bytes, fields: Mapping[str, str]) -> None:
        self.send_response_only(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def listening(handler: type[Double], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a double until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.ended = threading.Event()
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' if context else ''}://localhost:{server.server_port}"
    finally:
        handler.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def proxy(port: int, delay_s: float) -> type[Double]:
    """Return a proxy that passes each piece of an answer on so much later, all else as it is."""

    class Proxy(Double):
        def pass_on(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as upstream:
                upstream.request(self.command, self.path, self.rfile.read(size), dict(self.headers))
                with closing(upstream.getresponse()) as answer, suppress(OSError):
                    self.pass_back(answer)

        def pass_back(self, answer: HTTPResponse) -> None:
            if not self.path.endswith("ops:listen"):
                fields = {name: value for name, value in answer.getheaders() if name.lower() != "content-length"}
                self.tell(answer.status, answer.read(), fields)
                return
            self.close_connection = True
            self.send_response_only(answer.status)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            while line := answer.readline():
                if delay_s and line.startswith(b"data:") and b'"ack"' in line:
                    self.ended.wait(delay_s)
                self.wfile.write(line)

        do_GET = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815 - the names are the library's

    return Proxy


@pytest.mark.usefixtures("unhurried")
def test_a_proxy_that_passes_events_on_is_no_fault(server: Process, tmp_path: Path) -> None:
    with listening(proxy(server.port, 0)) as url:
        found = examined(server.data, url)
    assert not wrong(found)


@pytest.mark.slow
@pytest.mark.parametrize(("delay_s", "heard"), [(1.2, "each ack was heard within"), (30.0, "0 of 3 acks were heard")])
def test_a_proxy_that_holds_events_back_is_told_from_a_server_that_is_ill(
    server: Process, delay_s: float, heard: str
) -> None:
    with listening(proxy(server.port, delay_s)) as url:
        found = examined(server.data, url)
    assert wrong(found) == {"event stream"}
    assert found["event stream"].detail.startswith(heard)
    assert "proxy_buffering off" in found["event stream"].mend
    assert found["cycle"].level == "ok"
    assert "tidying up" not in found


def old(version: str = "0.0.1", skew_s: float = 0.0, reasons: list[str] | None = None) -> type[Double]:
    """Return a server of another version, with another clock, that may not be written to."""

    class Old(Double):
        seen: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            self.seen.append(self.headers.get("Authorization", ""))
            told: dict[str, object] = {
                "/healthz": {"status": "ok"},
                "/readyz": {
                    "ready": not reasons,
                    "reasons": reasons or [],
                    "oldest_unsaved_s": 99.0 if reasons else 0.0,
                },
                "/openapi.json": {"info": {"version": version}},
            }
            status = 404 if self.path not in told else 503 if reasons and self.path == "/readyz" else 200
            fields = {"Date": formatdate(time.time() + skew_s, usegmt=True)}
            self.tell(status, json.dumps(told.get(self.path)).encode(), fields)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.tell(403, b'{"code": "FORBIDDEN", "detail": "not you"}', {})

    return Old


def test_another_version_another_clock_and_a_token_that_may_not_write_are_told(tmp_path: Path) -> None:
    with listening(old(skew_s=-3600)) as url:
        found = examined(tmp_path, url)
    assert wrong(found) == {"version", "clock"}
    assert found["version"].detail == f"0.0.1 runs, {__version__} is installed here"
    assert found["clock"].detail.startswith(("the server's is 3599", "the server's is 3600"))
    assert found["cycle"].level == found["metrics"].level == "ok"
    assert found["cycle"].detail == "left out: this token may not make canvases (403 FORBIDDEN: not you)"
    assert found["metrics"].detail == "not offered at this address"


def test_a_server_that_is_not_ready_is_told_with_its_reasons(tmp_path: Path) -> None:
    with listening(old(__version__, reasons=["3 canvases could not be saved in time", "the store is full"])) as url:
        found = examined(tmp_path, url)
    assert wrong(found) == {"readyz", "unsaved"}
    assert found["readyz"].detail == "3 canvases could not be saved in time; the store is full"
    assert "99.0 s" in found["unsaved"].detail


def test_the_token_is_that_of_the_environment_or_else_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    double = old(__version__)
    with listening(double) as url:
        assert examined(tmp_path, url)["token"].detail == f"from {tmp_path / 'token'}"
        assert set(double.seen) == {f"Bearer {TOKEN}"}  # type: ignore[attr-defined]
        double.seen.clear()  # type: ignore[attr-defined]
        found = examined(tmp_path, url, {"CANVAS_TOKEN": "another-token-of-an-admin"})
        assert found["token"].detail == "from CANVAS_TOKEN"
        assert "environment" not in found
        assert set(double.seen) == {"Bearer another-token-of-an-admin"}  # type: ignore[attr-defined]


def test_the_token_of_the_folder_is_not_sent_in_clear_to_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    double = old(__version__)
    monkeypatch.setattr("canvas_server.doctor.visit.is_loopback", lambda _host: False)
    with listening(double) as url:
        found = examined(tmp_path, url)
    assert found["token"].level == "warn"
    assert set(double.seen) == {""}  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["localhost:1", "ftp://localhost", "http://", "http://localhost:99999", "http://[::1"])
def test_what_is_no_address_is_told(tmp_path: Path, url: str) -> None:
    assert wrong(examined(tmp_path, url)) == {"server"}


def test_something_else_at_the_address_is_told(tmp_path: Path) -> None:
    class Other(Double):
        def do_GET(self) -> None:
            self.tell(200, b"<html>", {})

    with listening(Other) as url:
        found = examined(tmp_path, url)
    assert wrong(found) == {"healthz"}
    assert "cycle" not in found


def certified(folder: Path, days: int) -> ssl.SSLContext:
    """Return what serves TLS with a certificate of its own, which is in `folder / "ca.pem"`, too."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(("days", "level"), [(90, "ok"), (5, "warn"), (1, "fail")])
def test_a_certificate_is_looked_at_before_it_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, level: str
) -> None:
    with listening(old(__version__), certified(tmp_path, days)) as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        found = examined(tmp_path, url)
    assert (found["certificate"].level, found["certificate"].detail) == (level, f"good for {days} days")
    assert found["healthz"].level == "ok"


@pytest.mark.parametrize("days", [90, -1])
def test_a_certificate_that_cannot_be_trusted_is_sent_nothing(tmp_path: Path, days: int) -> None:
    double = old(__version__)
    with listening(double, certified(tmp_path, days)) as url:
        found = examined(tmp_path, url, {"CANVAS_TOKEN": TOKEN})
    assert "certificate cannot be trusted" in found["server"].detail
    assert "SSL_CERT_FILE" in found["server"].mend
    assert double.seen == []  # type: ignore[attr-defined]


def test_the_bounds_of_a_certificate() -> None:
    assert [certificate_until(days * DAY_S).level for days in (-1, 1.9, 2.1, 13.9, 14.1)] == [
        "fail",
        "fail",
        "warn",
        "warn",
        "ok",
    ]


def test_an_address_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_address(tmp_path) is None
    for content in (b"", b"{", b'{"url": 1, "pid": 2}', b"\xff"):
        (tmp_path / ADDRESS_NAME).write_bytes(content)
        assert read_address(tmp_path) is None


def test_an_address_that_cannot_be_written_keeps_no_server_from_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with announced(tmp_path / "absent", Running(url="http://localhost", pid=1)):
        pass
    assert [record.message for record in caplog.records] == ["address not written"]
