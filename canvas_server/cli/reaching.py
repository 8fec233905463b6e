"""Where the server is that a command asks, and by what right it asks.

Rule: the token of the data folder goes to the server of that folder, or to another one on this machine; whoever names
a server elsewhere names its token too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple, ParamSpec, TypeVar
from urllib.parse import urlsplit

import click

from canvas_server.address_file import read_address
from canvas_server.cli.options import loaded
from canvas_server.core.data_folder import TOKEN_NAME
from canvas_server.core.errors import ConfigError, StorageUnavailableError

_P = ParamSpec("_P")
_R = TypeVar("_R")

URL_VARIABLE: Final = "CANVAS_URL"
TOKEN_VARIABLE: Final = "CANVAS_TOKEN"  # noqa: S105 - the name of a variable
START_ONE: Final = "Start one with `make run` or `canvas-server serve`, or say where it is with --url."
_TOKEN_BYTES_MAX: Final = 4096


class Server(NamedTuple):
    """A server, and what to show it."""

    url: str
    token: str | None


class _Given(NamedTuple):
    """What the command line and the environment say; empty where they say nothing."""

    url: str
    token_file: str
    data_dir: str
    config: str


def reaching(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command the options that say where the server is; `find_server` reads them."""
    for name, metavar, text in (
        ("--config", "FILE", "Settings file, which says where the data folder is."),
        ("--data-dir", "DIR", "Data folder of the server."),
        ("--token-file", "FILE", f"File that holds a token; else {TOKEN_VARIABLE}, else that of the data folder."),
        ("--url", "URL", f"Address of the server; else {URL_VARIABLE}, else the server of the data folder."),
    ):
        command = click.option(name, metavar=metavar, help=text, expose_value=False, callback=_keep)(command)
    return command


def example(line: str) -> str:
    """Return an example for the end of a help text, which is not to be broken into lines."""
    return f"\b\nExample:\n  {line}"


def find_server() -> Server:
    """Return the server that the command that runs is to ask.

    Raises:
        ConfigError: an address or a token cannot be used.
        StorageUnavailableError: no server runs here.
    """
    meta = click.get_current_context().meta
    given = _Given(*(str(meta.get(_key(name)) or "") for name in _Given._fields))
    url = given.url or os.environ.get(URL_VARIABLE, "").strip()
    if url:
        return Server(_checked(url), _token(given, url))
    folder = _folder(given)
    running = read_address(folder)
    if running is None:
        raise StorageUnavailableError(f"no server runs on {folder}", hint=START_ONE)
    return Server(running.url, _named_token(given) or _kept_token(folder))


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    ctx.meta[_key(str(param.name))] = value


def _key(name: str) -> str:
    return f"{__name__}.{name}"


def _folder(given: _Given) -> Path:
    file = Path(given.config) if given.config else None
    return Path(loaded(file, {"storage.data_dir": given.data_dir or None}).settings.storage.data_dir)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ConfigError(f"{url!r} is not the address of a server", hint="Write http://name:port.")
    return url.rstrip("/")


def _token(given: _Given, url: str) -> str | None:
    named = _named_token(given)
    if named is not None or not _is_here(url):
        return named
    return _kept_token(_folder(given))


def _named_token(given: _Given) -> str | None:
    if given.token_file:
        path = Path(given.token_file)
        try:
            token = _read(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read", hint="Name a file that holds a token.") from error
        if not token:
            raise ConfigError(f"{path} is empty", hint="Name a file that holds a token.")
        return token
    return os.environ.get(TOKEN_VARIABLE, "").strip() or None


def _kept_token(folder: Path) -> str | None:
    """Return the token of a data folder; a server that asks nobody for credentials has none."""
    try:
        return _read(folder / TOKEN_NAME) or None
    except (OSError, UnicodeDecodeError):
        return None


def _read(path: Path) -> str:
    with path.open() as file:
        return file.read(_TOKEN_BYTES_MAX).strip()


def _is_here(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
