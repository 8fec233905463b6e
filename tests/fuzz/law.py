"""What every parser keeps to: it accepts, or refuses by an error of ours that says what to do."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from canvas_server.core.errors import CanvasError
from canvas_server.core.limits import Limits

T = TypeVar("T")

LIMITS: Final = Limits()
accepted: Final[deque[bool]] = deque(maxlen=1)
"""Holds something once anything was accepted; tests empty it."""


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep quiet those who warn of every document or answer that is broken, which here is nearly every one."""
    loggers = [
        logging.getLogger(f"canvas_server.generation.{name}") for name in ("gdd", "pricing", "providers.statuses")
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


class Target(NamedTuple):
    """A parser under test.

    Attributes:
        run: takes any bytes; returns if the parser's law holds, raises if not.
        seeds: what it accepts, or nearly.
        words: tokens that matter to it.
    """

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def refused_or(read: Callable[[], T]) -> T | None:
    """Return what is read; None for what is refused as it must be."""
    try:
        value = read()
    except CanvasError as error:
        refusal = error
    else:
        accepted.append(True)
        return value
    assert refusal.code.isupper(), refusal.code
    assert str(refusal).encode()
    assert isinstance(refusal.hint.encode(), bytes)
    return None


def text_of(data: bytes) -> str:
    """Return text that a canvas may hold."""
    return data.decode("utf-8", "replace").replace("\0", "")


def parts_of(data: bytes, count: int) -> list[bytes]:
    """Cut bytes at 0xFF, which is in no text; the last parts may be empty."""
    parts = data.split(b"\xff", count - 1)
    return parts + [b""] * (count - len(parts))
