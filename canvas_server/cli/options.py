"""What commands have in common: where they find the settings and the data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from canvas_server.config import Loaded, load

_P = ParamSpec("_P")
_R = TypeVar("_R")


def sourced(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command the options that say where settings and data are."""
    file = click.Path(path_type=Path, dir_okay=False)
    command = click.option("--data-dir", metavar="DIR", help="Folder of the database.")(command)
    return click.option("--config", "file", type=file, metavar="FILE", help="Settings file.")(command)


def loaded(file: Path | None, flags: Mapping[str, object]) -> Loaded:
    """Find the settings; flags that were not given are None.

    Raises:
        ConfigError: they cannot be used.
    """
    return load(file, environ=os.environ, flags={name: value for name, value in flags.items() if value is not None})
