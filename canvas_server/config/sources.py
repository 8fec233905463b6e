"""Where settings come from: the file, the environment, the command line.

Each source becomes a mapping from a setting's name to what was `Given` for it, unchecked but with its origin, so that
an error can say who is wrong. Names are checked here, values are not.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from canvas_server.config.schema import ACTORS, Key, actor_keys, keys, nearest, sections
from canvas_server.config.secret import MASK
from canvas_server.core.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "CANVAS_"

CONVENTIONAL: Final[Mapping[str, str]] = {
    "openai.api_key": "OPENAI_API_KEY",
    "mistral.api_key": "MISTRAL_API_KEY",
    "server.token": "CANVAS_TOKEN",
}
"""Settings that a variable gives which other programs read, too."""

_ACTOR_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE: Final = r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}"
_REFERENCE: Final = re.compile(_VARIABLE)
_DOLLAR: Final = re.compile(r"\$\$|" + _VARIABLE + r"|\$\{")


@dataclass(frozen=True, slots=True)
class Given:
    """What a source says a setting is.

    Attributes:
        value: with its variables filled in.
        origin: the source, as a person would name it.
        shown: the value as it may be shown: variables stay references, for they may hold a secret.
        is_text: the source knows only text, so "8642" is as good as 8642.
    """

    value: object
    origin: str
    shown: str
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class FileValues:
    """What a file says.

    Attributes:
        values: by `section.key`.
        actors: by actor, then by key.
        references: the environment variables it names.
    """

    values: Mapping[str, Given] = field(default_factory=dict)
    actors: Mapping[str, Mapping[str, Given]] = field(default_factory=dict)
    references: frozenset[str] = frozenset()


def read_file(path: Path, environ: Mapping[str, str]) -> FileValues:
    """Read a TOML file, filling in `${VARIABLE}` in its texts.

    Raises:
        ConfigError: it cannot be read or parsed, names an unknown setting or an unset variable, or holds a secret.
    """
    document = _parse(path)
    reader = _Reader(str(path), environ)
    tables = {name: reader.table(name, table) for name, table in document.items()}
    actors = {name: reader.actor(name, table) for name, table in tables.pop(ACTORS, {}).items()}
    values = {name: given for section, table in tables.items() for name, given in reader.section(section, table)}
    return FileValues(values, actors, frozenset(_references(document)))


def read_environ(environ: Mapping[str, str], exempt: frozenset[str]) -> Mapping[str, Given]:
    """Read `CANVAS_<SECTION>_<KEY>` variables.

    Args:
        environ: the whole environment; other variables are left alone.
        exempt: variables that the file names, which may be called anything.

    Raises:
        ConfigError: a variable names a section we know and a key we do not.
    """
    known = {variable_of(name): name for name in keys()}
    for variable in sorted(environ.keys() - known.keys() - exempt):
        _refuse_misspelt(variable, tuple(known))
    return {
        name: _from_variable(variable, environ[variable], keys()[name])
        for variable, name in known.items()
        if variable in environ
    }


def read_conventional(environ: Mapping[str, str], given: Mapping[str, Given]) -> Mapping[str, Given]:
    """Read the variables of `CONVENTIONAL` for settings that nothing else gives.

    A key is for the address it was made for: where `given` holds another `base_url`, it has to hold the key, too.
    """
    return {
        name: _from_variable(variable, environ[variable], keys()[name])
        for name, variable in CONVENTIONAL.items()
        if variable in environ and name not in given and _has_default(name.replace("api_key", "base_url"), given)
    }


def read_flags(flags: Mapping[str, object]) -> Mapping[str, Given]:
    """Take over the command line's options, given by the name of their setting."""
    return {name: Given(value, flag_of(name), repr(value)) for name, value in flags.items()}


def variable_of(name: str) -> str:
    """Return the environment variable of a setting: `CANVAS_SERVER_PORT` for `server.port`."""
    return ENVIRONMENT_PREFIX + name.replace(".", "_").upper()


def flag_of(name: str) -> str:
    """Return the command line's option for a setting: `--data-dir` for `storage.data_dir`."""
    return "--" + name.partition(".")[2].replace("_", "-")


def _has_default(name: str, given: Mapping[str, Given]) -> bool:
    return name not in given or given[name].value == keys()[name].default


def _from_variable(variable: str, text: str, key: Key) -> Given:
    shown = MASK if key.is_secret else repr(text)
    return Given(text, f"environment variable {variable}", shown, is_text=True)


def _parse(path: Path) -> dict[str, object]:
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", hint="name a readable file by --config"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML in UTF-8: {error}", hint="see https://toml.io") from error


def _refuse_misspelt(variable: str, known: tuple[str, ...]) -> None:
    if variable.startswith(tuple(ENVIRONMENT_PREFIX + name.upper() + "_" for name in sections())):
        raise ConfigError(f"environment variable {variable} names no setting", hint=_suggest(variable, known))
    if variable.startswith(f"{ENVIRONMENT_PREFIX}{ACTORS.upper()}_"):
        raise ConfigError(
            f"environment variable {variable} names no setting",
            hint='name actors in the file: [actors.<name>] with token = "${' + variable + '}"',
        )


def _suggest(name: str, known: tuple[str, ...]) -> str:
    near = nearest(name, known)
    return f"did you mean {near}?" if near else "`canvas-server config` lists all settings"


def _references(value: object) -> Iterator[str]:
    match value:
        case str():
            yield from _REFERENCE.findall(value)
        case list():
            for item in value:
                yield from _references(item)
        case dict():
            yield from _references(list(value.values()))
        case _:
            pass


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the tables of one file into what they give."""

    origin: str
    environ: Mapping[str, str]

    def table(self, name: str, value: object) -> dict[str, object]:
        known = (*sections(), ACTORS)
        if name.partition(".")[0] not in known:
            raise ConfigError(f"unknown section [{name}] in {self.origin}", hint=_suggest(name, known))
        if not isinstance(value, dict):
            raise ConfigError(f"{name} is {value!r}, not a table, in {self.origin}", hint=f"write [{name}]")
        return value

    def section(self, section: str, table: dict[str, object]) -> Iterator[tuple[str, Given]]:
        for key, value in table.items():
            name = f"{section}.{key}"
            if name not in keys():
                raise ConfigError(f"unknown setting {name} in {self.origin}", hint=_suggest(name, tuple(keys())))
            yield name, self._given(keys()[name], value)

    def actor(self, actor: str, value: object) -> dict[str, Given]:
        if not _ACTOR_NAME.fullmatch(actor):
            raise ConfigError(
                f"{actor!r} cannot name an actor, in {self.origin}",
                hint="use up to 64 letters, digits, '.', '_' and '-', a letter or digit first",
            )
        return {
            key: self._actor_key(actor, key, given) for key, given in self.table(f"{ACTORS}.{actor}", value).items()
        }

    def _actor_key(self, actor: str, key: str, value: object) -> Given:
        name = f"{ACTORS}.{actor}.{key}"
        known = {known.name: known for known in actor_keys(actor)}
        if name not in known:
            raise ConfigError(f"unknown setting {name} in {self.origin}", hint=_suggest(name, tuple(known)))
        return self._given(known[name], value)

    def _given(self, key: Key, value: object) -> Given:
        if key.is_secret:
            return self._secret(key, value)
        refers = any(True for _ in _references(value))
        return Given(self._expand(key.name, value), self.origin, repr(value), is_text=refers)

    def _secret(self, key: Key, value: object) -> Given:
        """Read a secret; one that need not be given is empty where its variable is not set."""
        reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference is None:
            raise ConfigError(
                f"{key.name} is written out in {self.origin}: secrets come from the environment only",
                hint=f'write {key.field} = "${{VARIABLE}}" and set that variable; the old one is no secret any more',
            )
        must_be_set = key.default is None
        text = self._replacement(key.name, reference) if must_be_set else self.environ.get(reference[1], "")
        return Given(text, self.origin, repr(value), is_text=True)

    def _expand(self, name: str, value: object) -> object:
        match value:
            case str():
                return _DOLLAR.sub(lambda match: self._replacement(name, match), value)
            case list():
                return [self._expand(name, item) for item in value]
            case _:
                return value

    def _replacement(self, name: str, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        variable = match[1]
        if variable is None:
            raise ConfigError(
                f"{name} in {self.origin} has a broken ${{...}}", hint="write ${VARIABLE}, or $${ for a plain ${"
            )
        if variable not in self.environ:
            raise ConfigError(
                f"{name} in {self.origin} needs the environment variable {variable}, which is not set",
                hint=f"set {variable}, or write $$ for a plain $",
            )
        return self.environ[variable]
