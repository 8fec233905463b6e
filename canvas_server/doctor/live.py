"""The examination of a server that runs: its process, what it answers, and the life of one canvas.

Rule: every check ends in findings, none raises, and it writes nothing but one canvas of its own, which it deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from canvas_server.address_file import ADDRESS_NAME, Running, read_address
from canvas_server.config import Loaded, Settings
from canvas_server.core.errors import ConfigError
from canvas_server.doctor import answers
from canvas_server.doctor.cycle import cycle
from canvas_server.doctor.finding import Finding
from canvas_server.doctor.place import TOKEN_VARIABLE, examine
from canvas_server.doctor.process import files, process
from canvas_server.doctor.visit import UnreachableError, Visit

TOKEN_NAME: Final = "token"  # noqa: S105 - of a file
"""The file in the data folder with the token of an admin."""
_OF_A_STOPPED_SERVER: Final = frozenset({"lock", "address"})
"""Checks whose question is whether a server could be started."""
_LATE: Final = 1.5
"""What is unsaved for this many times `checkpoint.interval_s` is late, as for `/readyz`."""
_TOKEN_BYTES_MAX: Final = 4096


def examine_live(loading: Callable[[], Loaded], environ: Mapping[str, str], url: str | None) -> Iterator[Finding]:
    """Yield what `examine` finds, and what a running server shows.

    Args:
        loading: finds the settings, which say where the data folder is.
        environ: the environment; a token in `CANVAS_TOKEN` is used in place of the one in the data folder.
        url: of the server; the address that it left in the data folder if None.
    """
    yield from (finding for finding in examine(loading, environ) if finding.check not in _OF_A_STOPPED_SERVER)
    try:
        settings = loading().settings
    except ConfigError:
        return  # It has been told.
    folder = Path(settings.storage.data_dir).absolute()
    running = None if settings.storage.ephemeral else read_address(folder)
    if running is not None:
        yield from process(folder, running)
    if folder.is_dir() and not settings.storage.ephemeral:
        yield from _files(folder)
    if url is None and running is None:
        detail = f"no {ADDRESS_NAME} in {folder}: no server runs there, or it keeps everything in memory"
        yield Finding("server", "fail", detail, "start it, or say where it is with --url")
        return
    yield from _visit(url or (running.url if running else ""), folder, running, environ, settings)


def _files(folder: Path) -> Iterator[Finding]:
    try:
        yield from files(folder)
    except OSError as error:
        yield Finding("files", "fail", f"{error.filename}: {error.strerror}", "run as the owner of the data folder")


def _visit(
    url: str, folder: Path, running: Running | None, environ: Mapping[str, str], settings: Settings
) -> Iterator[Finding]:
    try:
        plain = Visit(url, "")
    except ConfigError as error:
        yield Finding("server", "fail", str(error), error.hint)
        return
    token, told = _token(plain, folder, environ)
    visit = Visit(url, token)
    try:
        yield from answers.certificate(visit)
        yield (health := answers.alive(visit))
        if health.level == "fail":
            return
        yield from told
        yield from answers.ready(visit, settings.checkpoint.interval_s * _LATE)
        yield answers.version(visit, running)
        yield from answers.trips(visit)
        yield answers.metrics(visit)
        yield from cycle(visit)
    except UnreachableError as error:
        yield Finding("server", "fail", f"{url} does not answer: {error}", _mend_of(str(error)))
    finally:
        visit.close()


def _mend_of(reason: str) -> str:
    if "certificate" in reason:
        return "renew the certificate; name the file of a CA of your own in SSL_CERT_FILE"
    return "start the server, or say where it is with --url; see its log if it runs"


def _token(visit: Visit, folder: Path, environ: Mapping[str, str]) -> tuple[str, list[Finding]]:
    """Return the token to use, or nothing, and what there is to say about it."""
    if token := environ.get(TOKEN_VARIABLE, "").strip():
        return token, [Finding("token", "ok", f"from {TOKEN_VARIABLE}")]
    path = folder / TOKEN_NAME
    try:
        with path.open() as file:
            token = file.read(_TOKEN_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError):
        return "", [Finding("token", "ok", "none: asked as whoever comes without one")]
    if not visit.is_secure and not visit.is_loopback:
        detail = f"that in {path} is not sent to {visit.host} in clear"
        return "", [Finding("token", "warn", detail, f"use https, or set {TOKEN_VARIABLE}")]
    return token, [Finding("token", "ok", f"from {path}")]
