"""Finding the settings: defaults, then the file, then the environment, then the command line; the later wins.

All or nothing: either every value is known, of its type, in its bounds and fits the others, or a `ConfigError` says
which one is not, what was expected, and where it came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from canvas_server.config.addresses import check_address
from canvas_server.config.modes import check_mode
from canvas_server.config.schema import ACTORS, Key, actor_keys, keys, nearest, sections
from canvas_server.config.secret import MASK, Secret
from canvas_server.config.settings import ActorSettings, Settings
from canvas_server.config.sources import (
    CONVENTIONAL,
    FileValues,
    Given,
    read_conventional,
    read_environ,
    read_file,
    read_flags,
    variable_of,
)
from canvas_server.core.errors import ConfigError

FILE_VARIABLE: Final = "CANVAS_CONFIG"
DEFAULT_FILE: Final = "config.toml"
DEFAULT_ORIGIN: Final = "default"

# RFC 6750 section 2.1: what a bearer token may be made of. 16 characters of it are at least 96 bits when random.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")

# What a header can carry; no key at all is the empty text.
_API_KEY: Final = re.compile(r"[!-~]{0,4096}")

# The first must not be larger than the second, or the server could never do what it says.
_ORDERED: Final = (
    ("limits.content_bytes_max", "limits.body_bytes_max"),
    ("limits.content_bytes_max", "limits.canvas_bytes_max"),
    ("limits.first_byte_s", "limits.headers_s"),
    ("stream.retry_ms_min", "stream.retry_ms_max"),
    ("generation.connect_s", "generation.total_s"),
    ("generation.first_byte_s", "generation.total_s"),
    ("generation.gap_s", "generation.total_s"),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force and where each came from.

    Attributes:
        settings: checked.
        origins: by setting's name, for every setting; `default` where no source gave one.
        file: the file that was read, if one was.
        variables: the environment variables that were read or would have been.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None
    variables: frozenset[str]


def load(
    file: Path | None = None,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    directory: Path = Path(),
) -> Loaded:
    """Find and check the settings.

    Args:
        file: the file to read; else the one `CANVAS_CONFIG` names, else `config.toml` in `directory` if it is there.
        environ: the environment, for `CANVAS_<SECTION>_<KEY>` and for `${VARIABLE}` in the file.
        flags: options of the command line, by setting's name.
        directory: where the server was started.

    Raises:
        ConfigError: a source cannot be read, or a setting cannot be what it says.
    """
    path = _find(file, environ, directory)
    document = read_file(path, environ) if path else FileValues()
    given = {**document.values, **read_environ(environ, document.references), **read_flags(flags or {})}
    given |= read_conventional(environ, given)
    settings = _build(given, document.actors)
    origins = _origins(given, document.actors)
    _check_order(flatten(settings), origins)
    shown = {name: one.shown for name, one in given.items()}
    _check_addresses(flatten(settings), shown, origins)
    check_mode(settings.server, origins)
    _check_admin_token(settings.server.token, origins["server.token"])
    _check_zone(settings.cost.time_zone, shown.get("cost.time_zone", ""), origins["cost.time_zone"])
    _check_tokens_differ(settings.actors)
    variables = document.references | {FILE_VARIABLE, *map(variable_of, keys()), *CONVENTIONAL.values()}
    return Loaded(settings, origins, path, variables)


def flatten(settings: Settings) -> Mapping[str, object]:
    """Return every value by its dotted name, in the order of declaration, secrets masked; one not set is empty."""
    return MappingProxyType(dict(_leaves("", msgspec.to_builtins(settings, enc_hook=_mask))))


def _find(file: Path | None, environ: Mapping[str, str], directory: Path) -> Path | None:
    if file is not None:
        return file
    if named := environ.get(FILE_VARIABLE):
        return directory / named
    default = directory / DEFAULT_FILE
    return default if default.exists() else None


def _build(given: Mapping[str, Given], actors: Mapping[str, Mapping[str, Given]]) -> Settings:
    values = {name: _value(key, given[name]) if name in given else key.default for name, key in keys().items()}

    def table(section: str) -> dict[str, object]:
        return {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{section}.")}

    tables: dict[str, object] = {section: table(section) for section in sections()}
    tables[ACTORS] = {name: _actor(name, actor) for name, actor in actors.items()}
    return msgspec.convert(tables, Settings)


def _value(key: Key, given: Given) -> object:
    if key.is_secret:
        return _api_key(key, given)
    value = given.value
    if key.is_list and isinstance(value, str) and given.is_text:
        value = [item.strip() for item in value.split(",") if item.strip()]
    try:
        return msgspec.convert(value, key.type, strict=not given.is_text)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{key.name} is {given.shown}, not {key.expected} ({given.origin})", hint=f"{key.name}: {key.description}"
        ) from error


def _api_key(key: Key, given: Given) -> Secret:
    if not (isinstance(given.value, str) and _API_KEY.fullmatch(given.value)):
        raise ConfigError(
            f"{key.name} ({given.shown} in {given.origin}) is not up to 4096 visible ASCII characters",
            hint="look for white space around the key",
        )
    return Secret(given.value)


def _actor(name: str, given: Mapping[str, Given]) -> ActorSettings:
    if "token" not in given:
        raise ConfigError(f"{ACTORS}.{name} has no token", hint='write token = "${VARIABLE}" and set that variable')
    values: dict[str, object] = {"token": _token(f"{ACTORS}.{name}.token", given["token"])}
    for key in actor_keys(name):
        if key.field in given and key.field not in values:
            values[key.field] = _value(key, given[key.field])
    return msgspec.convert(values, ActorSettings)


def _token(name: str, given: Given) -> Secret:
    if not _TOKEN.fullmatch(str(given.value)):
        raise ConfigError(
            f"{name} ({given.shown} in {given.origin}) is not 16 to 512 characters out of A-Z a-z 0-9 . _ ~ + / - =",
            hint="""make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'""",
        )
    return Secret(str(given.value))


def _origins(given: Mapping[str, Given], actors: Mapping[str, Mapping[str, Given]]) -> Mapping[str, str]:
    origins = {name: given[name].origin if name in given else DEFAULT_ORIGIN for name in keys()}
    for actor, table in actors.items():
        for key in actor_keys(actor):
            origins[key.name] = table[key.field].origin if key.field in table else DEFAULT_ORIGIN
    return MappingProxyType(origins)


def _check_order(values: Mapping[str, object], origins: Mapping[str, str]) -> None:
    for low, high in _ORDERED:
        low_value, high_value = values[low], values[high]
        assert isinstance(low_value, int | float), low
        assert isinstance(high_value, int | float), high
        if low_value > high_value:
            raise ConfigError(
                f"{low} is {low_value} ({origins[low]}), more than {high}, which is {high_value} ({origins[high]})",
                hint=f"lower {low} or raise {high}",
            )


def _check_addresses(values: Mapping[str, object], shown: Mapping[str, str], origins: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name.endswith(".base_url"):
            check_address(name, str(value), shown.get(name, repr(value)), origins[name])


def _check_zone(name: str, shown: str, origin: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = nearest(name, tuple(available_timezones()))
        raise ConfigError(
            f"cost.time_zone is {shown or repr(name)}, not a time zone ({origin})",
            hint=f"did you mean {near}?" if near else "write an IANA name, such as Europe/Paris or UTC",
        ) from error


def _check_admin_token(token: Secret, origin: str) -> None:
    if token.reveal() and not _TOKEN.fullmatch(token.reveal()):
        raise ConfigError(
            f"server.token ({MASK} in {origin}) is not 16 to 512 characters out of A-Z a-z 0-9 . _ ~ + / - =",
            hint="""make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'""",
        )


def _check_tokens_differ(actors: Mapping[str, ActorSettings]) -> None:
    names: dict[Secret, str] = {}
    for name, actor in actors.items():
        if actor.token in names:
            raise ConfigError(
                f"{ACTORS}.{name} has the same token as {ACTORS}.{names[actor.token]}", hint="give each actor its own"
            )
        names[actor.token] = name


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else key, item)
    else:
        yield prefix, value


def _mask(value: object) -> str:
    assert isinstance(value, Secret)
    return MASK if value.reveal() else ""
