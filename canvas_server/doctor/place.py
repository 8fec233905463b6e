"""What would keep a server from running here, and how to mend it.

Rule: it only looks. Every check ends in findings, none raises, and one that fails does not hide the others. The
database is opened read-only with the standard library, so that a broken installation can still be examined.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import importlib.util
import ipaddress
import os
import platform
import re
import resource
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from canvas_server.config import Loaded, Settings
from canvas_server.core import data_folder
from canvas_server.core.data_folder import OTHERS_WRITE, Facts, distrust
from canvas_server.core.errors import ConfigError
from canvas_server.doctor.finding import Finding

DATABASE_NAME: Final = data_folder.DATABASE_NAME
LOCK_NAME: Final = ".lock"
TOKEN_VARIABLE: Final = "CANVAS_TOKEN"  # noqa: S105 - of a variable
"""Of a token for `doctor --live`; the server does not read it."""

PYTHON_MIN: Final = (3, 11)
# 3.35 is the first with RETURNING.
SQLITE_MIN: Final = (3, 35, 0)
# A checkpoint writes a few megabytes at most; a full disk stops them all, so the warning comes early.
FREE_BYTES_MIN: Final = 64 * 1024**2
FREE_BYTES_ENOUGH: Final = 1024**3
# Besides its connections a server has the database, its log and WAL, and sockets to listen on.
OTHER_FILES: Final = 64
# uvicorn runs without these, several times slower.
OPTIONAL: Final = ("uvloop", "httptools")


def examine(loading: Callable[[], Loaded], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding or more for each thing a server needs.

    Args:
        loading: finds the settings; a `ConfigError` becomes a finding, and what depends on settings is left out.
        environ: the environment, searched for variables that nothing reads.
    """
    yield _python()
    yield _sqlite()
    yield from _libraries()
    try:
        loaded = loading()
    except ConfigError as error:
        yield Finding("settings", "fail", str(error), error.hint)
        return
    yield from _settings(loaded, environ)
    yield from _speedups(loaded.settings.server.http)
    yield from _storage(loaded.settings)
    yield from _network(loaded.settings)


def _python() -> Finding:
    found, needed = platform.python_version(), ".".join(map(str, PYTHON_MIN))
    if sys.version_info[:2] < PYTHON_MIN:
        return Finding("python", "fail", f"{found} is older than {needed}", f"install Python {needed} or newer")
    return Finding("python", "ok", found)


def _sqlite() -> Finding:
    needed = ".".join(map(str, SQLITE_MIN))
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        found = sqlite3.sqlite_version
        return Finding("sqlite", "fail", f"{found} is older than {needed}", "use a Python built with a newer SQLite")
    return Finding("sqlite", "ok", sqlite3.sqlite_version)


def _libraries() -> Iterator[Finding]:
    try:
        requirements = importlib.metadata.requires("canvas-server") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("libraries", "warn", "canvas-server runs without being installed", "run `make install`")
        return
    versions = {name: _version(name) for name in _required(requirements)}
    if absent := sorted(name for name, version in versions.items() if version is None and name not in OPTIONAL):
        yield Finding("libraries", "fail", f"not installed: {', '.join(absent)}", "run `make install`")
    yield Finding("libraries", "ok", ", ".join(f"{name} {version}" for name, version in versions.items() if version))


def _required(requirements: list[str]) -> Iterator[str]:
    """Yield the names in a package's requirements, those of its extras left out."""
    for requirement in requirements:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name and "extra ==" not in requirement:
            yield name[0]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _speedups(parser: str) -> Iterator[Finding]:
    for name in OPTIONAL:
        if importlib.util.find_spec(name) is not None:
            yield Finding(name, "ok", "installed")
        elif name == parser:
            yield Finding(name, "fail", "server.http needs it", f'run `pip install {name}`, or set server.http = "h11"')
        else:
            yield Finding(name, "warn", "not installed: the server is slower", f"run `pip install {name}`")


def _settings(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[Finding]:
    yield Finding("settings", "ok", f"read from {loaded.file}" if loaded.file else "no file: defaults and environment")
    read = {*loaded.variables, TOKEN_VARIABLE}
    unread = sorted(name for name in environ if name.startswith("CANVAS_") and name not in read)
    if unread:
        yield Finding("environment", "warn", f"nothing reads {', '.join(unread)}", "correct or unset these variables")
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)  # the server raises the soft bound to the hard one
    wanted = loaded.settings.limits.connections_max + OTHER_FILES
    if resource.RLIM_INFINITY != files_max < wanted:
        detail = f"{files_max} files may be open, {wanted} are needed for limits.connections_max"
        yield Finding("open files", "warn", detail, f"run `ulimit -n {wanted}` before the server")


def _network(settings: Settings) -> Iterator[Finding]:
    host, port = settings.server.host, settings.server.port
    where = f"{host} port {port}"
    try:
        _bind(host, port)
    except (OSError, UnicodeError) as error:
        yield _unbindable(where, error, Path(settings.storage.data_dir) / LOCK_NAME)
    else:
        yield Finding("address", "ok", f"{where} is free" if port else f"a free port of {host}")
    if not settings.server.auth:
        detail = f"whoever reaches {host} may do everything: nobody is asked for credentials"
        yield Finding("exposure", "warn", detail, "leave out --no-auth, or server.auth = false")


def _bind(host: str, port: int) -> None:
    """Take the address for a moment, as a server would.

    Raises:
        OSError: it cannot be had.
        UnicodeError: the host cannot be a name in the DNS.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)


def _unbindable(where: str, error: OSError | UnicodeError, lock: Path) -> Finding:
    match error:
        case OSError(errno=errno.EADDRINUSE) if _is_held(lock):
            return Finding("address", "warn", f"{where} is in use, and a server runs here", "stop that server first")
        case OSError(errno=errno.EADDRINUSE):
            return Finding(
                "address", "fail", f"{where} is in use", "choose another by --port, or stop what listens there"
            )
        case OSError(errno=errno.EACCES):
            return Finding("address", "fail", f"{where} may not be used", "choose a port from 1024 up")
        case _:
            return Finding("address", "fail", f"{where}: {error}", "set server.host to an address of this machine")


def _is_held(lock: Path) -> bool:
    try:
        return holder(lock) is not None
    except OSError:
        return False  # The storage checks have told that it cannot be opened.


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _storage(settings: Settings) -> Iterator[Finding]:
    if settings.storage.ephemeral:
        yield Finding("data folder", "ok", "not used: storage.ephemeral is set")
        return
    folder = Path(settings.storage.data_dir).absolute()
    try:
        yield from _data(folder)
    except OSError as error:
        yield Finding("data folder", "fail", f"{error.filename}: {error.strerror}", "run as the owner of the folder")


def _data(folder: Path) -> Iterator[Finding]:
    """Look at the data folder and all that is in it.

    Raises:
        OSError: something may not be looked at; what was found before stands.
    """
    if not folder.exists():
        yield _absent(folder)
    elif not folder.is_dir():
        yield Finding("data folder", "fail", f"{folder} is not a folder", "move it away, or set storage.data_dir")
    else:
        yield from _folder(folder)
        yield _space(folder)
        yield _lock(folder / LOCK_NAME)
        yield from _database(folder / DATABASE_NAME)


def _absent(folder: Path) -> Finding:
    parent = next(parent for parent in folder.parents if parent.exists())
    if os.access(parent, os.W_OK | os.X_OK):
        return Finding("data folder", "ok", f"{folder} will be made at first start")
    return Finding("data folder", "fail", f"{folder} cannot be made", f"make it, or allow writing in {parent}")


def _folder(folder: Path) -> Iterator[Finding]:
    found = _facts(folder.stat())
    distrusted = distrust(str(folder), found, dict(_entries(folder)), os.geteuid())
    mode = stat.S_IMODE(found.mode)
    if distrusted is not None:
        hint = distrusted.hint.rstrip(".")
        yield Finding("data folder", "fail", distrusted.detail, hint[0].lower() + hint[1:])
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", "fail", f"{folder} cannot be written", f"run `chmod 700 {folder}`")
    elif mode & OTHERS_WRITE:
        detail = f"others may write in {folder} ({mode:o}), until a server starts and closes it"
        yield Finding("data folder", "warn", detail, f"run `chmod 700 {folder}`")
    elif mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("data folder", "ok", f"{folder} is ours; others may see which files are in it")
    else:
        yield Finding("data folder", "ok", f"{folder} is ours alone")


def _entries(folder: Path) -> Iterator[tuple[str, Facts]]:
    """Yield what is directly in the folder, if we may look; a running server removes files meanwhile."""
    if os.access(folder, os.R_OK | os.X_OK):
        for path in folder.iterdir():
            with suppress(FileNotFoundError):
                yield path.name, _facts(path.lstat())


def _facts(status: os.stat_result) -> Facts:
    return Facts(status.st_uid, status.st_mode)


def _space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    detail = f"{free // 1024**2} MiB free"
    if free < FREE_BYTES_MIN:
        return Finding("disk", "fail", detail, "free some space: checkpoints will fail")
    return (
        Finding("disk", "warn", detail, "free some space soon")
        if free < FREE_BYTES_ENOUGH
        else Finding("disk", "ok", detail)
    )


def _lock(path: Path) -> Finding:
    if pid := holder(path):
        return Finding("lock", "warn", f"a server runs here, pid {pid}", "stop it before you start another")
    return Finding("lock", "ok", "no server runs here")


def holder(path: Path) -> str | None:
    """Return the pid of the server that holds the lock, `unknown` if it left none, or None if nobody does.

    Raises:
        OSError: the lock cannot be opened.
    """
    if not path.exists():
        return None
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read(32).decode(errors="replace").strip() or "unknown"
    return None


def _database(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("database", "ok", f"{path.name} will be made at first start")
        return
    yield _permissions(path)
    try:
        with closing(_open(path)) as database:
            yield _integrity(database)
            yield _migration(database)
    except sqlite3.Error as error:
        yield Finding("database", "fail", f"{path} cannot be read: {error}", "restore it from a backup; keep this file")


def _permissions(path: Path) -> Finding:
    """Look at the file itself: SQLite opens one that it may not write to without a word."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding("database file", "fail", f"{path} may not be written to", f"run `chmod 600 {path}`")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        detail = f"others may read or write {path} ({mode:o})"
        return Finding("database file", "warn", detail, f"run `chmod 600 {path}*`")
    return Finding("database file", "ok", f"only its owner may read {path}")


def _open(path: Path) -> sqlite3.Connection:
    """Open for reading only.

    A database without a WAL beside it has no writer; opened as immutable, SQLite leaves no files beside it either.
    """
    immutable = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?mode=ro{immutable}", uri=True, timeout=5.0)


def _integrity(database: sqlite3.Connection) -> Finding:
    problems = [str(problem) for (problem,) in database.execute("PRAGMA quick_check(3)")]
    if problems == ["ok"]:
        return Finding("database", "ok", "quick_check finds nothing")
    return Finding("database", "fail", "; ".join(problems), "restore it from a backup; keep this file")


def _migration(database: sqlite3.Connection) -> Finding:
    exists = database.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).fetchone()
    versions = (
        [str(version) for (version,) in database.execute("SELECT version_num FROM alembic_version")] if exists else []
    )
    if len(versions) != 1:
        detail = f"{len(versions)} migration versions instead of one: not a database of this server"
        return Finding("migrations", "fail", detail, "move the file away, or set storage.data_dir")
    return Finding("migrations", "ok", f"at {versions[0]}; the server brings it up to date when it starts")
