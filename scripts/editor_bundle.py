"""Bundle the editor of the page out of npm packages, without Node: at each build and install of canvas-server.

    python -m scripts.editor_bundle

Beside it the page's own scripts become a few files, so that a browser asks for a handful and not for a hundred. The
server uses these only as long as they are made of the very scripts that it has.

Rule: only what `scripts/editor/package-lock.json` names by its SHA-512 is unpacked or run, esbuild included. A bundle
that fits the lock is left alone, so a source distribution that holds one is installed offline. Where the registry is
out of reach, or there is no esbuild for this machine, the build goes on without the editor, and the page falls back to
a plain text box; with CANVAS_REQUIRE_SERVICES=1 it fails.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, TypedDict

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PUBLIC_REGISTRY: Final = "https://registry.npmjs.org"
ANSWER_S_MAX: Final = 8
ATTEMPTS: Final = 2
TARBALL_BYTES_MAX: Final = 32_000_000
BUNDLE_S_MAX: Final = 60
SOURCES: Final = ("package-lock.json", "entry.js", "html.js", "stylesheets.js")
BUNDLE: Final = "codemirror.js"
LICENCES: Final = "codemirror.licences.txt"
STAMP: Final = "codemirror.stamp"
SCRIPTS: Final = ("page", "client")
"""Folders beside each other, of which the page's own scripts are made."""

MADE_OF: Final = "scripts.json"
"""Tells the parts that the page's own scripts were made into, and the hash of each that went into them."""
STAND_INS: Final = {"@codemirror/lang-html": "./html.js"}
"""Packages that are neither fetched nor bundled, and what stands in for each."""

_MACHINES: Final = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


class NotBuiltError(Exception):
    """There is no editor, for a reason that is nobody's fault: an install may go on without it."""


class RefusedError(Exception):
    """What came is not what the lock names. Nothing of it was unpacked, and no install goes on."""


class _Entry(TypedDict, total=False):
    version: str
    integrity: str
    dependencies: dict[str, str]


class Package(NamedTuple):
    """One package of the lock; `place` is where npm would unpack it, below `node_modules`."""

    place: str
    version: str
    integrity: str

    @property
    def name(self) -> str:
        """Return the name, with its scope."""
        return self.place.rpartition("node_modules/")[2]

    def url(self, registry: str) -> str:
        """Return where a registry keeps it."""
        return f"{registry}/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


def build(sources: Path, target: Path, registry: str) -> bool:
    """Bundle what is in `sources` into `target`, unless that is done already; return whether it was done now.

    Raises:
        NotBuiltError: it cannot be made here and now; `target` is as it was.
        RefusedError: a package is not the one that the lock names.
    """
    stamp, web = stamp_of(sources), target.parents[1]
    if is_built(target, stamp) and told_in(target) == hashes_of(web):
        return False
    packages, bundler = read_lock(sources / "package-lock.json")
    with tempfile.TemporaryDirectory(prefix="canvas-editor-") as folder:
        work = Path(folder)
        for name in SOURCES:
            (work / name).write_bytes((sources / name).read_bytes())
        _fetch_all([*packages, bundler], registry, work)
        program = _binary(work / bundler.place)
        _run(program, work, _entry_options())
        _place(target, {BUNDLE: (work / BUNDLE).read_bytes(), LICENCES: licences(packages, work).encode()})
        scripts = _scripts(program, web, work / "scripts")
        for old in target.glob("*.js"):
            if old.name not in {BUNDLE, *scripts}:
                old.unlink()
        _place(target, scripts)
        _place(target, {STAMP: f"{stamp}\n".encode()})
    return True


def stamp_of(sources: Path) -> str:
    """Return the hash of all that a bundle depends on."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(f"{name}\n".encode() + hashlib.sha256((sources / name).read_bytes()).digest())
    return digest.hexdigest()


def is_built(target: Path, stamp: str) -> bool:
    """Tell whether the bundle in `target` is the one with this stamp."""
    try:
        return (target / BUNDLE).is_file() and (target / STAMP).read_text(encoding="ascii").strip() == stamp
    except FileNotFoundError:
        return False


def hashes_of(web: Path) -> dict[str, str]:
    """Return the hash of each script that the page may be made of, by its path."""
    paths = sorted(path for folder in SCRIPTS for path in (web / folder).glob("*.js"))
    return {path.relative_to(web).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def told_in(target: Path) -> dict[str, str]:
    """Return the hashes of what the scripts in `target` were made of; nothing where there are none."""
    try:
        made_of: dict[str, str] = json.loads((target / MADE_OF).read_bytes())["made_of"]
    except (FileNotFoundError, ValueError, KeyError):
        return {}
    return made_of


def registry_of(environment: Mapping[str, str], npmrc: Path) -> str:
    """Return the address of the registry that npm would use, without a slash at its end."""
    told = environment.get("npm_config_registry") or environment.get("NPM_CONFIG_REGISTRY")
    return (told or _told_in(npmrc) or PUBLIC_REGISTRY).rstrip("/")


def _told_in(npmrc: Path) -> str:
    try:
        lines = npmrc.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    values = [
        value.strip().strip("\"'")
        for name, _, value in (line.partition("=") for line in lines)
        if name.strip() == "registry"
    ]
    return values[-1] if values else ""


def read_lock(path: Path) -> tuple[list[Package], Package]:
    """Return the packages to bundle, and the bundler of this machine.

    Raises:
        NotBuiltError: the lock has no bundler for this machine.
    """
    entries: dict[str, _Entry] = json.loads(path.read_bytes())["packages"]
    machine = _MACHINES.get(platform.machine().lower())
    bundler = f"node_modules/@esbuild/{sys.platform}-{machine}"
    if bundler not in entries:
        raise NotBuiltError(f"esbuild is not made for {sys.platform} on {platform.machine()}")
    places = sorted(_needed(entries, "", set()))
    return [_package(entries, place) for place in places], _package(entries, bundler)


def _package(entries: Mapping[str, _Entry], place: str) -> Package:
    entry = entries[place]
    return Package(place, entry["version"], entry["integrity"])


def _needed(entries: Mapping[str, _Entry], place: str, found: set[str]) -> set[str]:
    """Add to `found` the places of all that the package at `place` needs, itself not included."""
    for name in entries[place].get("dependencies", {}):
        needed = _resolved(entries, place, name)
        if name not in STAND_INS and needed not in found:
            found.add(needed)
            _needed(entries, needed, found)
    return found


def _resolved(entries: Mapping[str, _Entry], place: str, name: str) -> str:
    """Find a package the way Node does: beside whoever needs it, else further up."""
    while True:
        candidate = f"{place}/node_modules/{name}".lstrip("/")
        if candidate in entries:
            return candidate
        if not place:
            raise RefusedError(f"the lock does not hold {name}")
        place = place.rpartition("/node_modules/")[0]


def _fetch_all(packages: list[Package], registry: str, work: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        tarballs = pool.map(lambda package: checked(package, fetch(package.url(registry))), packages)
        for package, tarball in zip(packages, tarballs, strict=True):
            unpack(tarball, work / package.place)


def fetch(url: str) -> bytes:
    """Return what is at `url`, through the proxies that the environment names.

    Raises:
        NotBuiltError: nothing is, or nobody answers.
    """
    if not url.startswith(("https://", "http://")):
        raise NotBuiltError(f"the registry is not on the web: {url}")
    for left in reversed(range(ATTEMPTS)):
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_S_MAX) as answer:  # noqa: S310 - the scheme is known
                content: bytes = answer.read(TARBALL_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            if left == 0 or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                raise NotBuiltError(f"{url}: {error}") from error
        else:
            if len(content) <= TARBALL_BYTES_MAX:
                return content
            raise NotBuiltError(f"{url}: larger than {TARBALL_BYTES_MAX} bytes")
    raise AssertionError("the last attempt returns or raises")


def checked(package: Package, tarball: bytes) -> bytes:
    """Return `tarball` if it is the one that the lock names.

    Raises:
        RefusedError: it is not, or the lock does not say it by SHA-512.
    """
    algorithm, _, expected = package.integrity.partition("-")
    try:
        wanted = base64.b64decode(expected, validate=True)
    except binascii.Error:
        wanted = b""
    if algorithm != "sha512" or hashlib.sha512(tarball).digest() != wanted:
        raise RefusedError(f"{package.name} {package.version} is not what the lock names: {package.integrity}")
    return tarball


def unpack(tarball: bytes, folder: Path) -> None:
    """Write the files of an npm package into `folder`.

    Raises:
        RefusedError: it would write elsewhere, or holds more than files. Nothing was written then.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
            files = [(_inside(member), archive.extractfile(member)) for member in archive if not member.isdir()]
            contents = [(path, file.read()) for path, file in files if file is not None]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RefusedError(f"not a package: {error}") from error
    for path, content in contents:
        place = folder.joinpath(*path.parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _inside(member: tarfile.TarInfo) -> PurePosixPath:
    """Return the path of a file below the one folder that a package has."""
    path = PurePosixPath(member.name)
    is_odd = (
        path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or any(sign in member.name for sign in "\\:")
    )
    if is_odd or not member.isreg():
        raise RefusedError(f"a package with {member.name!r} in it is not unpacked")
    return path.relative_to(path.parts[0])


def _binary(folder: Path) -> Path:
    found = [path for path in (folder / "bin" / "esbuild", folder / "esbuild.exe") if path.is_file()]
    if not found:
        raise NotBuiltError("the package of esbuild holds no program")
    found[0].chmod(0o755)
    return found[0]


def _entry_options() -> list[str]:
    aliases = [f"--alias:{name}={stand_in}" for name, stand_in in STAND_INS.items()]
    banner = f"--banner:js=/* CodeMirror 6 and what it needs. Licences: {LICENCES} */"
    return ["entry.js", *aliases, banner, f"--outfile={BUNDLE}"]


def _scripts(program: Path, web: Path, made: Path) -> dict[str, bytes]:
    """Make the page's own scripts into as few files as can be; nothing where there are none to make them of."""
    made_of = hashes_of(web)
    if not made_of:
        return {}
    names = ["--splitting", "--chunk-names=part-[hash]", f"--outdir={made}", f"--external:./{BUNDLE}"]
    _run(program, web, ["page/main.js", *names])
    parts = {path.name: path.read_bytes() for path in sorted(made.glob("*.js"))}
    return {**parts, MADE_OF: json.dumps({"parts": sorted(parts), "made_of": made_of}, indent=1).encode()}


def _run(program: Path, folder: Path, what: list[str]) -> None:
    options = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--charset=utf8", "--legal-comments=none"]
    command = [str(program), *what, *options, "--log-level=warning"]
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUNDLE_S_MAX, check=False)  # noqa: S603 - by its hash
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuiltError(f"esbuild does not run here: {error}") from error
    if ran.returncode != 0:
        raise NotBuiltError(f"esbuild: {ran.stderr.strip()}")


def licences(packages: list[Package], work: Path) -> str:
    """Return the licences of all packages that are in the bundle."""
    return "\n".join(f"{package.name} {package.version}\n\n{_licence(work / package.place)}\n" for package in packages)


def _licence(folder: Path) -> str:
    texts = [path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("LICEN[CS]E*"))]
    return "\n\n".join(texts) or f"Licence: {json.loads((folder / 'package.json').read_bytes()).get('license')}"


def _place(target: Path, files: Mapping[str, bytes]) -> None:
    """Write files, each whole or not at all."""
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        coming = target / f"{name}.{os.getpid()}.tmp"
        coming.write_bytes(content)
        coming.replace(target / name)


def places(root: Path) -> tuple[Path, Path]:
    """Return where the sources are, and where the bundle goes."""
    return root / "scripts" / "editor", root / "canvas_server" / "web" / "page" / "_built"


def build_or_say_why(root: Path, environment: Mapping[str, str]) -> list[str]:
    """Build the editor of the checkout at `root`; return what to tell whoever installs: nothing if all is well.

    Raises:
        NotBuiltError: it could not be built, and CANVAS_REQUIRE_SERVICES=1 asks for it.
        RefusedError: a package is not the one that the lock names.
    """
    sources, target = places(root)
    try:
        build(sources, target, registry_of(environment, Path.home() / ".npmrc"))
    except NotBuiltError as error:
        if environment.get("CANVAS_REQUIRE_SERVICES") == "1":
            raise
        return [
            "the editor of the page could not be built: the page falls back to a plain text box",
            f"the reason: {error}",
            "hint: install again where the npm registry can be reached; npm_config_registry names another one",
        ]
    return []


class EditorHook(BuildHookInterface[BuilderConfig]):
    """What hatchling calls before it builds a source distribution, a wheel, or an editable install."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Build the editor, or say why there is none."""
        for line in build_or_say_why(Path(self.root), os.environ):
            self.app.display_warning(f"WARNING: {line}")


def main() -> int:
    """Build the editor of this checkout; return 1 where that fails."""
    root = Path(__file__).parent.parent
    try:
        build_or_say_why(root, {**os.environ, "CANVAS_REQUIRE_SERVICES": "1"})
    except (NotBuiltError, RefusedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(places(root)[1] / BUNDLE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
