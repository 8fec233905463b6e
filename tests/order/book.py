"""What all clients of a server were told, over all its lives, as one: who made which version, and in which life."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from canvas_server.core.version import Version
from tests.model.history import Applied, Life, Record, Saw
from tests.order.follower import Heard, Json, version_of


class Book:
    """Joins what readers heard, and fails where they contradict each other.

    Args:
        lives: of the server, in order, without what was applied in them.
    """

    def __init__(self, lives: Sequence[Life]) -> None:
        self._lives = lives
        self._texts: dict[tuple[str, str], int] = {}
        self._makers: dict[tuple[str, str], str] = {}
        self._applied: list[set[Applied]] = [set() for _ in lives]
        self._told = {(ref, head.etag) for life in lives for ref, head in life.heads.items()}

    @property
    def versions(self) -> int:
        """How many versions readers had; each has one text."""
        return len(self._texts)

    def add(self, heard: Mapping[str, Mapping[tuple[int, str], Heard]]) -> None:
        """Take in what one reader heard, by ref, and by life and ETag."""
        for ref, versions in heard.items():
            for (life, etag), known in versions.items():
                self._told.add((ref, etag))
                assert self._texts.setdefault((ref, etag), known.crc32) == known.crc32, f"{etag} names two texts"
                if known.op_id is not None:
                    self._add_maker(ref, known.op_id, etag, life)

    def add_history(self, ref: str, acks: Iterable[Json]) -> None:
        """Take in what the server that lived last says of the past."""
        for ack in acks:
            self._add_maker(ref, ack["op_id"], ack["server_version"], len(self._lives) - 1)

    def can_place(self, record: Record) -> bool:
        """Tell whether anybody was told of the version that a read found; a crash may take back others."""
        return not isinstance(record.outcome, Saw) or (record.canvas, record.outcome.version.etag) in self._told

    def lives(self) -> list[Life]:
        """Return the lives, each with what was applied in it."""
        return [life._replace(log=tuple(log)) for life, log in zip(self._lives, self._applied, strict=True)]

    def _add_maker(self, ref: str, op_id: str, etag: str, told_in: int) -> None:
        assert self._makers.setdefault((ref, etag), op_id) == op_id, f"{etag} has two authors"
        self._told.add((ref, etag))
        version = version_of(etag)
        self._applied[self._made_in(ref, version, told_in)].add(Applied(ref, op_id, version))

    def _made_in(self, ref: str, version: Version, life: int) -> int:
        """Return the life in which a version was made that was told in `life`; it may be told again much later."""
        while life and self._lives[life].heads[ref].seq >= version.seq:
            life -= 1
        return life
