"""The editor is bundled out of packages of a registry: a small one here, whose esbuild is a script of three lines."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from scripts import editor_bundle
from scripts.editor_bundle import NotBuiltError, RefusedError, build, build_or_say_why, places, registry_of

ROOT: Final = Path(__file__).parents[1]
PACKING_S_MAX: Final = 180
MACHINE: Final = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
BUNDLER: Final = f"@esbuild/{sys.platform}-{MACHINE}"
SCRIPT: Final = """#!/bin/sh
for option; do
  case $option in
    --outfile=*) out=${option#--outfile=} ;;
    --outdir=*) mkdir -p "${option#--outdir=}" && exec cp page/main.js "${option#--outdir=}/main.js" ;;
  esac
done
cat entry.js node_modules/@a/b/index.js node_modules/c/index.js > "$out"
"""


def tarball(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@dataclass
class Registry:
    """What it holds by path, and what it was asked for; `root` is a checkout that is bundled out of it."""

    url: str
    root: Path
    held: dict[str, bytes]
    asked: list[str] = field(default_factory=list)

    @property
    def target(self) -> Path:
        return places(self.root)[1]

    def environment(self, **more: str) -> dict[str, str]:
        return {"npm_config_registry": self.url, **more}

    def build(self) -> bool:
        return build(*places(self.root), self.url)


def handler_of(held: dict[str, bytes], asked: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = held.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            return

    return Handler


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    held = {
        "/@a/b/-/b-1.0.0.tgz": tarball({"package/index.js": "b\n", "package/LICENSE": "Licence of b\n"}),
        "/c/-/c-2.0.0.tgz": tarball({"package/index.js": "c\n", "package/package.json": '{"license": "MIT"}'}),
        f"/{BUNDLER}/-/{BUNDLER.partition('/')[2]}-3.0.0.tgz": tarball({"package/bin/esbuild": SCRIPT}),
    }
    write_checkout(tmp_path, list(held.values()))
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(held, asked)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Registry(f"http://127.0.0.1:{server.server_port}", tmp_path, held, asked)
        server.shutdown()
        thread.join()


def write_checkout(root: Path, tarballs: list[bytes]) -> None:
    sources, _ = places(root)
    sources.mkdir(parents=True)
    left_out = "@codemirror/lang-html"
    packages: dict[str, object] = {
        "": {"dependencies": {"@a/b": "^1.0.0"}},
        "node_modules/@a/b": {
            "version": "1.0.0",
            "integrity": integrity(tarballs[0]),
            "dependencies": {"c": "*", left_out: "*"},
        },
        "node_modules/c": {"version": "2.0.0", "integrity": integrity(tarballs[1]), "dependencies": {"@a/b": "*"}},
        f"node_modules/{left_out}": {"version": "6.0.0", "integrity": integrity(b"")},
        f"node_modules/{BUNDLER}": {"version": "3.0.0", "integrity": integrity(tarballs[2]), "optional": True},
    }
    (sources / "package-lock.json").write_text(json.dumps({"packages": packages}))
    for name in ("entry.js", "html.js", "stylesheets.js"):
        (sources / name).write_text(f"{name}\n")


def replace_package(registry: Registry, place: str, path: str, content: bytes) -> None:
    lock = places(registry.root)[0] / "package-lock.json"
    told = json.loads(lock.read_text())
    told["packages"][place]["integrity"] = integrity(content)
    lock.write_text(json.dumps(told))
    registry.held[path] = content


def test_the_bundle_its_licences_and_a_stamp_are_written_and_what_is_left_out_is_not_fetched(
    registry: Registry,
) -> None:
    assert registry.build()
    assert (registry.target / "codemirror.js").read_text() == "entry.js\nb\nc\n"
    told = (registry.target / "codemirror.licences.txt").read_text()
    assert told == "@a/b 1.0.0\n\nLicence of b\n\nc 2.0.0\n\nLicence: MIT\n"
    assert sorted(registry.asked) == sorted(registry.held)
    assert sorted(path.suffix for path in registry.target.iterdir()) == [".js", ".stamp", ".txt"]


def test_the_scripts_of_the_page_become_few_and_it_is_told_of_which_they_are_made(registry: Registry) -> None:
    web = registry.target.parents[1]
    for name in ("page/main.js", "client/index.js"):
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).write_text(f"{name}\n")
    assert registry.build()
    (registry.target / "part-OLD.js").write_text("of a build before\n")
    told = json.loads((registry.target / "scripts.json").read_text())
    hashes = {name: hashlib.sha256(f"{name}\n".encode()).hexdigest() for name in ("client/index.js", "page/main.js")}
    assert told == {"parts": ["main.js"], "made_of": hashes}
    assert not registry.build()
    (web / "page" / "main.js").write_text("another\n")
    assert registry.build()
    assert (registry.target / "main.js").read_text() == "another\n"
    assert sorted(path.name for path in registry.target.glob("*.js")) == ["codemirror.js", "main.js"]


def test_a_bundle_that_fits_the_lock_is_left_alone_and_nothing_is_asked_for(registry: Registry) -> None:
    registry.build()
    registry.asked.clear()
    assert not build(*places(registry.root), "http://127.0.0.1:1")
    assert registry.asked == []


def test_another_lock_makes_another_bundle(registry: Registry) -> None:
    registry.build()
    replace_package(
        registry, "node_modules/c", "/c/-/c-2.0.0.tgz", tarball({"package/index.js": "new\n", "package/LICENCE": "L\n"})
    )
    assert registry.build()
    assert (registry.target / "codemirror.js").read_text() == "entry.js\nb\nnew\n"


def test_a_package_that_is_not_the_one_of_the_lock_is_refused_and_stops_the_install(registry: Registry) -> None:
    registry.held["/c/-/c-2.0.0.tgz"] = tarball({"package/index.js": "something else\n"})
    with pytest.raises(RefusedError, match=r"c 2\.0\.0 is not what the lock names"):
        build_or_say_why(registry.root, registry.environment())
    assert not registry.target.exists()


def test_a_hash_that_is_not_sha_512_is_refused(registry: Registry) -> None:
    lock = places(registry.root)[0] / "package-lock.json"
    weak = base64.b64encode(hashlib.sha1(registry.held["/c/-/c-2.0.0.tgz"]).digest()).decode()
    told = json.loads(lock.read_text())
    told["packages"]["node_modules/c"]["integrity"] = f"sha1-{weak}"
    lock.write_text(json.dumps(told))
    with pytest.raises(RefusedError, match="sha1"):
        registry.build()


@pytest.mark.parametrize(
    "name", ["package/../../../out.js", "/package/out.js", "out.js", "package\\..\\out.js", "package/c:out.js"]
)
def test_a_package_that_would_write_elsewhere_is_refused_whole(registry: Registry, name: str) -> None:
    hostile = tarball({"package/index.js": "c\n", name: "out\n"})
    replace_package(registry, "node_modules/c", "/c/-/c-2.0.0.tgz", hostile)
    with pytest.raises(RefusedError, match="is not unpacked"):
        registry.build()
    assert list(registry.root.rglob("out.js")) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_package_with_more_than_files_in_it_is_refused(registry: Registry, kind: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/index.js")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    replace_package(registry, "node_modules/c", "/c/-/c-2.0.0.tgz", packed.getvalue())
    with pytest.raises(RefusedError, match="is not unpacked"):
        registry.build()


def test_an_install_without_the_registry_goes_on_and_says_so_and_ci_fails(registry: Registry) -> None:
    away = {"npm_config_registry": "http://127.0.0.1:1"}
    told = build_or_say_why(registry.root, away)
    assert "falls back to a plain text box" in told[0]
    assert "http://127.0.0.1:1" in told[1]
    with pytest.raises(NotBuiltError):
        build_or_say_why(registry.root, {**away, "CANVAS_REQUIRE_SERVICES": "1"})


def test_an_older_bundle_stays_where_a_new_one_cannot_be_made(registry: Registry) -> None:
    registry.build()
    (places(registry.root)[0] / "entry.js").write_text("newer\n")
    assert build_or_say_why(registry.root, {"npm_config_registry": "http://127.0.0.1:1"})
    assert (registry.target / "codemirror.js").read_text() == "entry.js\nb\nc\n"


def test_a_package_that_the_registry_does_not_hold_is_asked_for_once(registry: Registry) -> None:
    del registry.held["/c/-/c-2.0.0.tgz"]
    with pytest.raises(NotBuiltError, match="404"):
        registry.build()
    assert registry.asked.count("/c/-/c-2.0.0.tgz") == 1


def test_a_machine_that_esbuild_is_not_made_for_gets_no_editor(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(NotBuiltError, match="pdp11"):
        registry.build()
    assert registry.asked == []


def test_the_registry_is_the_one_that_npm_would_use(tmp_path: Path) -> None:
    npmrc = tmp_path / ".npmrc"
    assert registry_of({}, npmrc) == editor_bundle.PUBLIC_REGISTRY
    npmrc.write_text("fund=false\nregistry = https://npm.example/ours/\n")
    assert registry_of({}, npmrc) == "https://npm.example/ours"
    assert registry_of({"NPM_CONFIG_REGISTRY": "https://other.example"}, npmrc) == "https://other.example"
    assert registry_of({"npm_config_registry": "http://localhost:4873/"}, npmrc) == "http://localhost:4873"


def test_our_own_lock_names_no_address_and_every_package_by_sha_512() -> None:
    lock = json.loads((ROOT / "scripts" / "editor" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 20
    assert [
        name for name, entry in packages.items() if "resolved" in entry or not entry["integrity"].startswith("sha512-")
    ] == []


@pytest.mark.slow
def test_a_source_distribution_holds_the_bundle_and_is_installed_offline(tmp_path: Path) -> None:
    if not (places(ROOT)[1] / "codemirror.js").is_file():
        pytest.skip("the editor is not built here")
    offline = {**os.environ, "npm_config_registry": "http://127.0.0.1:1", "CANVAS_REQUIRE_SERVICES": "1"}
    run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)], offline)
    (source,) = tmp_path.glob("*.tar.gz")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(tmp_path)]
    run([sys.executable, "-m", "pip", "wheel", str(source), *options], offline)
    assert len(list(tmp_path.glob("*.whl"))) == 1


def run(command: list[str], environment: dict[str, str]) -> None:
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PACKING_S_MAX, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
