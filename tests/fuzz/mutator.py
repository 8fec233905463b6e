"""Makes inputs of seeds and words: fast, the same ones each time, and without knowing what they reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

BYTES_MAX: Final = 4_096
_EDGES: Final = (b"\0", b"\x7f", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"\xff", b"\r", b"\n", b" ", b"\t")


def mutants(seeds: Sequence[bytes], words: Sequence[bytes], random: Random) -> Iterator[bytes]:
    """Yield the seeds, then what comes of changing them in some places, without end."""
    yield from seeds
    while True:
        made = bytearray(random.choice(seeds))
        for _ in range(random.choice((1, 1, 2, 3, 5, 8))):
            _change(made, seeds, words, random)
        yield bytes(made[:BYTES_MAX])


def _change(made: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], random: Random) -> None:
    start = random.randrange(len(made) + 1)
    end = min(len(made), start + random.choice((0, 1, 1, 2, 4, 8, 64)))
    match random.randrange(7):
        case 0 if start < len(made):
            made[start] = random.randrange(256)
        case 1:
            del made[start:end]
        case 2 if words:
            made[start:end] = random.choice(words)
        case 3 if words:
            made[start:start] = random.choice(words)
        case 4:
            made[start:start] = made[start:end] * random.choice((1, 2, 50))
        case 5:
            other = random.choice(seeds)
            made[start:] = other[random.randrange(len(other) + 1) :]
        case _:
            made[start:end] = random.choice(_EDGES)
