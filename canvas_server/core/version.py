"""The version of a canvas: the ETag `W/"<seq>-<chain>"` (PROTOCOL section 1).

`chain` hashes the version before, the operation's name and its resolved changes, so one version never names two
texts, even after a crash forgot operations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec

from canvas_server.core.splice import Splice

_ETAG: Final = re.compile(r'(?:W/)?"([0-9]{1,18})-([0-9a-f]{16})"')
_CURSOR: Final = re.compile(r"([0-9]{1,18})-([0-9a-f]{16})")


class Version(msgspec.Struct, frozen=True, gc=False):
    """A place in one history of a canvas; `seq` counts applied operations from 0."""

    seq: int
    etag: str

    @property
    def cursor(self) -> str:
        """The version as the id of a server-sent event: `<seq>-<chain>`."""
        return self.etag[3:-1]

    def __str__(self) -> str:
        return self.etag


def genesis(chain: str) -> Version:
    """Return the first version of a canvas; `chain` is 16 random hex digits."""
    assert len(chain) == 16
    return Version(0, f'W/"0-{chain}"')


def next_version(previous: Version, op_id: str, changes: Sequence[Splice]) -> Version:
    """Return the version that `op_id` makes of `previous` by `changes` (in code points, as resolved)."""
    told = f"{previous.etag}\n{op_id}\n"
    for splice in changes:
        told += f"{splice.start},{splice.end},{len(splice.insert)}\n{splice.insert}"
    seq = previous.seq + 1
    return Version(seq, f'W/"{seq}-{sha256(told.encode()).hexdigest()[:16]}"')


def parse_etag(text: str) -> Version | None:
    """Read an ETag, weak or strong; None when it is not a version."""
    match = _ETAG.fullmatch(text.strip())
    return Version(int(match[1]), f'W/"{int(match[1])}-{match[2]}"') if match else None


def parse_cursor(text: str) -> Version | None:
    """Read `<seq>-<chain>`, the id of a server-sent event; None when it is not one."""
    match = _CURSOR.fullmatch(text)
    return Version(int(match[1]), f'W/"{int(match[1])}-{match[2]}"') if match else None


def seq_of(etag: str) -> int | None:
    """Return the count of operations that a well-formed ETag names, else None."""
    match = _ETAG.fullmatch(etag)
    return int(match[1]) if match else None
