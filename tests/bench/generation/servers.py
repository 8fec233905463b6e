"""Servers that generate, on the servers' core, and the double that they ask, which has the load's core."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from canvas_server.config.sources import variable_of
from tests.bench.servers import Server, started
from tests.double.running import Double

PROVIDERS: Final = ("openai", "mistral", "local")

ACTORS: Final = 50
"""Who have a token: requests of one user wait for each other."""

_KEY: Final = "sk-bench"
_MANY: Final = 1000

Option = str | int | float


@contextmanager
def generating(double: Double, **options: Option) -> Iterator[Server]:
    """Run a whole server with a new database that asks the double; see `generating_in`."""
    with TemporaryDirectory() as data_dir, generating_in(data_dir, double, **options) as server:
        yield server


@contextmanager
def generating_in(data_dir: str | Path, double: Double, **options: Option) -> Iterator[Server]:
    """Run a whole server.

    Args:
        data_dir: of its database.
        double: whom it asks, whatever the provider.
        options: settings, with two underscores for the dot of their name.
    """
    settings: dict[str, Option] = {
        "openai__api_key": _KEY,
        "openai__base_url": double.openai_url,
        "mistral__api_key": _KEY,
        "mistral__base_url": double.mistral_url,
        "local__base_url": double.local_url,
        "generation__cache": "false",
        "generation__running_max": _MANY,
        "generation__running_per_actor_max": _MANY,
        "generation__queued_per_actor_max": _MANY,
        "cost__monthly_quota": 1_000_000,
        **options,
    }
    variables = {variable_of(name.replace("__", ".", 1)): str(value) for name, value in settings.items()}
    tokens = {f"BENCH_TOKEN_{number}": _token(number) for number in range(ACTORS)}
    file = Path(data_dir) / "bench.toml"
    file.write_text("".join(f'[actors.{name.lower()}]\ntoken = "${{{name}}}"\n' for name in tokens))
    places: list[str | Path] = ["--port", "0", "--config", file, "--data-dir", data_dir]
    with started(
        [sys.executable, "-m", "canvas_server", "serve", "--no-auth", *places], {**variables, **tokens}
    ) as server:
        yield server


def authorized(number: int) -> Mapping[str, str]:
    """Return the headers of an actor; there are `ACTORS`, so that the numbers go round."""
    return {"Authorization": f"Bearer {_token(number % ACTORS)}"}


def _token(number: int) -> str:
    return f"bench-token-of-actor-{number}"
