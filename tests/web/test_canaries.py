"""A secret appears nowhere but in the one place it belongs to.

A real server, at debug level with logs in JSON, has a canary in every slot that holds a secret. All that it serves is
driven, refusals, failures, a planted bug, a kill and a restart included; then everything it ever said or wrote is
searched.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.double.running import Double
from tests.listener import PATIENCE_S, Listener
from tests.proof.findings import Findings
from tests.serving import append, at
from tests.web.policy import PRESET

pytestmark = [pytest.mark.slow, pytest.mark.promise("R37")]

ROOT: Final = Path(__file__).parents[2]
JOBS: Final = "/api/v1/dialogues/generate/jobs"
_LISTENS: Final = re.compile(r"canvas-server listens on (http://127\.0\.0\.1:[0-9]+)\n")
_LINK: Final = re.compile(r"/#t=([A-Za-z0-9_-]+)")

DATABASE: Final = "database"
"""The data folder's database and its log."""
COPIES: Final = "copies"
"""The data folder's copies of canvases and dialogues."""

ALLOWED: Final[dict[str, set[str]]] = {
    "openai key": {"provider"},
    "mistral key": {"provider"},
    "local key": {"provider"},
    "CANVAS_TOKEN": set(),
    "actor token": set(),
    "wrong token": set(),
    "expired token": {"owner's answers"},
    "made token": {"owner's answers"},
    "token file": {"token file"},
    "code on stdout": {"stdout"},
    "code for the browser": {"file open.html"},
    "code of a link": {"owner's answers"},
    "session token": {"owner's answers"},
    "cookie": {"owner's answers"},
    "ticket": {"owner's answers"},
    "prompt": {"provider", DATABASE},
    "model answer": {"owner's answers", DATABASE, COPIES},
    "canvas text": {"owner's answers", DATABASE, COPIES},
    "preset text": {"owner's answers", "presets", "provider", DATABASE},
    "dialogue": {"owner's answers", COPIES},
    "presence": {"owner's answers"},
}
"""Where each may be found: in all other places there must be none. The environment is its user's own."""


class Canaries(dict[str, str]):
    """The secrets by slot, those that the server makes as it makes them."""

    def new(self, slot: str, form: str = "{}") -> str:
        self[slot] = form.format(f"canary{len(self):02}" + "".join(f"{byte:02x}" for byte in os.urandom(12)))
        return self[slot]


class Said:
    """Everything that came out, by place."""

    def __init__(self) -> None:
        self.places: dict[str, bytearray] = {}

    def note(self, place: str, what: bytes | str) -> None:
        self.places.setdefault(place, bytearray()).extend(what.encode() if isinstance(what, str) else what)
        self.places[place].extend(b"\n")


class Visitor:
    """Asks the server, and takes note of what it says: problems apart from what its owner may be told."""

    def __init__(self, url: str, said: Said, place: str, secret: str | None, stack: ExitStack) -> None:
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        self.http = stack.enter_context(
            httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE_S, trust_env=False)
        )
        self._said, self._place = said, place

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer = self.http.request(method, path, **options)
        told = f"{answer.headers}\n{answer.text}"
        self._said.note("problems" if answer.status_code >= 400 else self._place, told)
        return answer


@contextmanager
def started(data_dir: Path, environ: dict[str, str], said: Said) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the server as its own process; what it prints is noted to its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.canary_process", "serve", "--open", "--port=0", f"--data-dir={data_dir}"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    head = b""
    while b"a token for programs" not in head:
        line = process.stdout.readline()
        assert line, process.stderr.read().decode()
        head += line
    said.note("stdout", head)
    pumps = [
        threading.Thread(target=lambda pipe=pipe, place=place: said.note(place, pipe.read()))
        for place, pipe in (("stdout", process.stdout), ("log", process.stderr))
    ]
    for pump in pumps:
        pump.start()
    try:
        said.note("command line", Path(f"/proc/{process.pid}/cmdline").read_bytes())
        said.note("command line", until_written(Path(environ["BROWSER_TOLD"])))
        yield process, head.decode()
    finally:
        process.kill()
        process.wait()
        for pump in pumps:
            pump.join()
        process.stdout.close()
        process.stderr.close()


def until_written(file: Path) -> bytes:
    """Return the command line that the browser was started with, once it was."""
    end_s = time.monotonic() + PATIENCE_S
    while not file.exists():
        assert time.monotonic() < end_s, "no browser was started"
        time.sleep(0.02)
    told = file.read_bytes()
    file.unlink()
    return told


def environ_of(canaries: Canaries, double: Double, config: Path) -> dict[str, str]:
    config.write_text(
        '[actors.ann]\ntoken = "${ANN_TOKEN}"\n[actors.bob]\ntoken = "${BOB_TOKEN}"\nrole = "writer"\n'
        f'[openai]\nbase_url = "{double.openai_url}"\napi_key = "${{OPENAI_API_KEY}}"\n'
        f'[mistral]\nbase_url = "{double.mistral_url}"\napi_key = "${{MISTRAL_API_KEY}}"\n'
        f'[local]\nbase_url = "{double.local_url}"\napi_key = "${{LOCAL_KEY}}"\nmodel = "toy"\n'
        "[generation]\nretries_max = 0\nfirst_byte_s = 2.0\ngap_s = 2.0\n"
        "[checkpoint]\ninterval_s = 0.2\n[autosave]\ninterval_s = 0.2\n"
    )
    browser, told = config.with_name("browser"), config.with_name("browser-told")
    browser.write_text(f'#!/bin/sh\necho "$0" "$@" > "{told}.new" && mv "{told}.new" "{told}"\n')
    browser.chmod(0o700)
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "DISPLAY": ":99",
        "BROWSER": f"{browser} %s",
        "BROWSER_TOLD": str(told),
        "CANVAS_CONFIG": str(config),
        "CANVAS_LOG_LEVEL": "debug",
        "CANVAS_LOG_FORMAT": "json",
        "CANVAS_LOG_ACCESS": "true",
        "OPENAI_API_KEY": canaries.new("openai key", "sk-{}"),
        "MISTRAL_API_KEY": canaries.new("mistral key"),
        "LOCAL_KEY": canaries.new("local key"),
        "CANVAS_TOKEN": canaries.new("CANVAS_TOKEN"),
        "ANN_TOKEN": canaries.new("actor token"),
        "BOB_TOKEN": "bob-who-must-hear-nothing",
    }


def sign_in(ann: Visitor, nobody: Visitor, canaries: Canaries, stack: ExitStack) -> None:
    """Put a canary in every slot that the server fills."""
    made = ann.ask("POST", "/api/v2/tokens", json={"label": "robot"}).json()
    canaries["made token"] = made["token"]
    canaries["expired token"] = ann.ask("POST", "/api/v2/tokens", json={"expires_in_s": 1}).json()["token"]
    own = Visitor(str(ann.http.base_url), ann._said, ann._place, None, stack)
    maker = {"Authorization": f"Bearer {made['token']}"}
    link = own.ask("POST", "/api/v2/links", json={}, headers=maker)
    canaries["code of a link"] = link.json()["url"].partition("#t=")[2]
    code = {"code": canaries["code of a link"]}
    canaries["session token"] = own.ask("POST", "/api/v2/sessions", json=code).json()["token"]
    nobody.ask("POST", "/api/v2/sessions", json=code)
    headers = {"Authorization": f"Bearer {canaries['session token']}"}
    cookie = own.ask("POST", "/api/v2/sessions/cookie", headers=headers).headers["set-cookie"]
    canaries["cookie"] = cookie.partition(";")[0].partition("=")[2]
    own.ask("GET", "/api/v2/me", headers={"Cookie": cookie.partition(";")[0]})
    own.ask("GET", "/api/v1/models", headers={"Cookie": cookie.partition(";")[0]})  # the planted bug


def drive(ann: Visitor, bob: Visitor, nobody: Visitor, canaries: Canaries, double: Double) -> None:
    """Ask for everything, rightly and wrongly."""
    text, answer = canaries["canvas text"], canaries["model answer"]
    path = "/api/v2/canvas/ann-s"
    version = ann.ask("PUT", path, json={"content": f"# Title\n\n{text}\n"}).json()["version"]
    canaries["ticket"] = ann.ask("POST", "/api/v2/tickets", json={"refs": ["ann-s"]}).json()["ticket"]
    ops = [
        {**append(text), "client_version": version},
        {**append(text), "target": {"type": "text", "match": "regex", "pattern": f"({text}"}},
        {**append(text), "target": {"type": "heading", "id": f"no-{text}"}},
        {**append(text), "target": at("offset", offset=10**6)},
    ]
    for who in (ann, bob, nobody):
        who.ask("POST", f"{path}/ops:stream", json={"ops": ops[:1]})
        for op in ops:
            who.ask("POST", f"{path}/ops:stream", json={"ops": [op]})
        who.ask("POST", f"{path}/ops:preview", json={"ops": ops[:1]})
        who.ask("POST", f"{path}/ops:stream", content=f'{{"ops": [{{"content": "{text}'.encode())
        who.ask("POST", f"{path}/presence", json={"name": canaries["presence"]})
        for query in ("", "/ops", "/outline", "/access", "?section=title", "?section=none", "?at=0", "/ops/none"):
            who.ask("GET", path + query)
        who.ask("PUT", f"{path}/access", json={"shared_with": {"nobody-known": "read"}})
        who.ask("PUT", "/api/v1/dialogues/notes", json={"nodes": [canaries["dialogue"]]})
        who.ask("GET", "/api/v1/dialogues/notes")
        for other in (
            "/openapi.json",
            "/metrics",
            "/api/v2/status",
            "/readyz",
            "/api/v2/canvas",
            "/api/v2/tokens",
            "/docs",
        ):
            who.ask("GET", other)
        who.ask("GET", "/api/v2/tokens?all=true")
        who.ask("GET", "/api/v2/users")
        who.ask("GET", f"/api/v1/models?ticket={canaries['ticket']}")
        who.ask("POST", "/api/v1/presets", json={**PRESET, "name": 7, "icon": canaries["preset text"]})
    wrong = {"Authorization": f"Bearer {canaries['wrong token']}"}
    nobody.ask("GET", "/api/v2/me", headers=wrong)
    nobody.ask("GET", "/api/v1/models", headers={"Authorization": f"Basic {canaries['wrong token']}"})
    configuration = {**PRESET["configuration"], "instructions": canaries["preset text"]}  # type: ignore[dict-item]
    preset = ann.ask("POST", "/api/v1/presets", json={**PRESET, "configuration": configuration}).json().get("id")
    for provider in ("openai", "mistral", "local"):
        for fault in (None, "401", "500", "redirect", "malformed", "error_event", "cut", "hang_during"):
            double.script(text=answer, fault=fault, after_words=0)
            place = {"ref": "ann-s", "action": "insert", "target": at("end")}
            prompt = f"{canaries['prompt']} {provider} {fault}"
            body = {"prompt": prompt, "provider": provider, "canvas": place}
            started = ann.ask("POST", JOBS, json=body if fault else {**body, "preset_id": preset})
            job = started.json().get("job_id")
            for who in (bob, nobody, ann):
                if fault is None or who is not ann:
                    who.ask("GET", f"{JOBS}/{job}/stream")
                who.ask("GET", f"{JOBS}/{job}")
    for who in (ann, bob, nobody):
        who.ask("GET", JOBS)
        who.ask("GET", "/api/v1/costs/entries")
        who.ask("POST", JOBS, json={"prompt": canaries["prompt"], "provider": f"no-{canaries['prompt'][:20]}"})
        who.ask("POST", JOBS, json={"prompt": canaries["prompt"], "nonsense": 1})


def places_on_disk(data_dir: Path, said: Said) -> None:
    for file in data_dir.rglob("*"):
        if not file.is_file():
            continue
        top = file.relative_to(data_dir).parts[0]
        name = {"interactions": COPIES, "presets": "presets", "token": "token file"}.get(top)
        said.note(name or (DATABASE if ".db" in file.name else f"file {top}"), file.read_bytes())


def live(data_dir: Path, environ: dict[str, str], said: Said, canaries: Canaries, double: Double) -> None:
    """Let a server be asked for everything, and kill it."""
    bobs = "bob-who-must-hear-nothing"
    with started(data_dir, environ, said) as (process, head), ExitStack() as stack:
        listens, code = _LISTENS.search(head), _LINK.search(head)
        assert listens is not None, head
        assert code is not None, head
        canaries["code on stdout"] = code[1]
        browsers = _LINK.search((data_dir / "open.html").read_text())
        assert browsers is not None
        canaries["code for the browser"] = browsers[1]
        canaries["token file"] = (data_dir / "token").read_text().strip()
        url = listens[1]
        ann = Visitor(url, said, "owner's answers", canaries["actor token"], stack)
        bob = Visitor(url, said, "answers to others", bobs, stack)
        nobody = Visitor(url, said, "answers to others", None, stack)
        root = Visitor(url, said, "answers to others", canaries["CANVAS_TOKEN"], stack)
        assert bob.ask("PUT", "/api/v2/canvas/bob-s").status_code == 201
        headers = {"Authorization": f"Bearer {bobs}"}
        port = int(url.rpartition(":")[2])
        hears = stack.enter_context(Listener(port, "/api/v2/canvas/bob-s/ops:listen", headers))
        sign_in(ann, nobody, canaries, stack)
        root.ask("GET", "/api/v2/tokens?all=true")
        for who in (root, ann):
            who.ask("GET", "/api/v1/models")  # the planted bug
        drive(ann, bob, nobody, canaries, double)
        headers = {"Authorization": f"Bearer {canaries['actor token']}"}
        with Listener(port, "/api/v2/canvas/ann-s/ops:listen", headers) as own:
            said.note("owner's answers", repr([event.data for event in own.until("presence")]))
        time.sleep(1.0)  # copies and checkpoints are written
        process.send_signal(signal.SIGKILL)
        process.wait()
        said.note("streams of others", hears._raw.read())


def hits_in(said: Said, canaries: Canaries) -> dict[tuple[str, str], bytes]:
    """Return what was found where it must not be, with what stands around it."""
    return {
        (slot, place): _around(what, canary)
        for slot, canary in canaries.items()
        for place, what in said.places.items()
        if canary.encode() in what and place not in ALLOWED[slot]
    }


def test_no_secret_appears_anywhere_but_in_the_one_place_it_belongs_to(tmp_path: Path, findings: Findings) -> None:
    canaries, said = Canaries(), Said()
    data_dir = tmp_path / "data"
    with Double.start() as double:
        environ = environ_of(canaries, double, tmp_path / "config.toml")
        for slot in ("wrong token", "prompt", "model answer", "canvas text", "preset text", "dialogue", "presence"):
            canaries.new(slot)
        live(data_dir, environ, said, canaries, double)
        places_on_disk(data_dir, said)
        with started(data_dir, environ, said) as (process, _):
            process.send_signal(signal.SIGTERM)
            process.wait()
        assert not (data_dir / "open.html").exists()
        places_on_disk(data_dir, said)
        said.note("provider", repr(double.calls))
    assert canaries.keys() == ALLOWED.keys()
    findings.tell("R37", "canaries", len(canaries), "0 hits outside of where each belongs")
    findings.tell("R37", "bytes searched", sum(map(len, said.places.values())))
    assert hits_in(said, canaries) == {}
    # Nothing is proved by a search that finds nothing at all.
    found = {slot for slot, canary in canaries.items() if any(canary.encode() in what for what in said.places.values())}
    assert {slot for slot, allowed in ALLOWED.items() if allowed} <= found
    assert b"planted" in said.places["log"]
    assert b"Traceback" in said.places["log"]


def _around(what: bytearray, canary: str) -> bytes:
    start = what.index(canary.encode())
    return bytes(what[max(0, start - 200) : start + 100])
