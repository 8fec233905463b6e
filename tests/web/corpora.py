"""Strings that have broken other programs, from corpora beside this repository; tests skip aloud without them."""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from functools import cache
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

CORPORA: Final = Path(os.environ.get("CANVAS_CORPORA") or Path(__file__).parents[3] / "shared" / "corpora")
"""Where they are; the variable names another place."""
_TOKEN: Final = re.compile(r'^[^#"]*"((?:[^"\\]|\\.)*)"', re.MULTILINE)


class JsonCase(NamedTuple):
    """A file of the JSON test suite.

    Attributes:
        expect: what a parser must do with it: accept, reject, either, or transform.
    """

    name: str
    expect: str
    body: bytes


def corpus(name: str) -> bytes:
    """Return a file of the corpora."""
    path = CORPORA / name
    if not path.exists():
        pytest.skip(f"the corpus {name} is not beside this repository")
    return path.read_bytes()


@cache
def json_cases() -> list[JsonCase]:
    """Return the JSON test suite."""
    lines = map(json.loads, corpus("json_test_suite.jsonl").splitlines())
    return [JsonCase(line["name"], line["expect"], b64decode(line["b64"])) for line in lines]


@cache
def naughty_bytes() -> list[bytes]:
    """Return all strings that are not JSON files, as bytes, which need not be UTF-8; in a random order."""
    strings = [text.encode() for text in json.loads(corpus("blns.json"))]
    for name in sorted(path.name for path in (CORPORA / "fuzzdb").glob("*.txt")):
        strings += corpus(f"fuzzdb/{name}").splitlines()
    for name in sorted(path.name for path in (CORPORA / "dict").glob("*.dict")):
        tokens = _TOKEN.findall(corpus(f"dict/{name}").decode("latin-1"))
        strings += [re.sub(rb"\\x([0-9A-Fa-f]{2})", _byte, token.encode("latin-1")) for token in tokens]
    strings += corpus("utf8tests.bin").splitlines()
    distinct = sorted(set(strings) - {b""})
    Random(30).shuffle(distinct)
    return distinct


@cache
def naughty_texts() -> list[str]:
    """Return what of these strings is text that a canvas can hold."""
    texts = []
    for string in naughty_bytes():
        text = string.decode(errors="replace").replace("\0", "").replace("\r", "")
        if text:
            texts.append(text)
    return texts


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 16)])
