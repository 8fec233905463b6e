"""Where the server is: a file tells clients in other processes, from one life of the server to the next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple


class Address(NamedTuple):
    """A server's port on this machine, and which life of its folder it is, from 0."""

    life: int
    port: int
    """0 while nobody serves."""


def announce(file: Path, address: Address) -> float:
    """Let clients know, and return when: none of them can have been there before."""
    new = file.with_suffix(".new")
    new.write_text(f"{address.life} {address.port}")
    now_s = time.monotonic()
    new.replace(file)
    return now_s


def read_address(file: Path) -> Address:
    """Return what was announced last; that server may be dead already."""
    life, port = file.read_text().split()
    return Address(int(life), int(port))
