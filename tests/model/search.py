"""The referee: whether a small history has an explanation, found by trying all (Wing and Gong, 1993).

It knows nothing of how the checker works: it steps a register through every order that real time allows. What it does
not know either is crashes, and answers that nobody heard.
"""

from __future__ import annotations

from collections.abc import Sequence

from canvas_server.core.version import Version
from tests.model.history import Acked, Conflicted, Record, Saw


def is_explained(head: Version, records: Sequence[Record]) -> bool:
    """Tell whether some order of the records, each at a moment between its call and its return, gives the answers.

    Args:
        head: the version of the canvas before all of them.
        records: at most a dozen, each with an outcome.
    """
    dead_ends: set[tuple[frozenset[int], Version]] = set()

    def leads_on(left: frozenset[int], version: Version) -> bool:
        if not left:
            return True
        if (left, version) in dead_ends:
            return False
        first_return = min(records[index].ret for index in left)
        for index in left:
            if records[index].call <= first_return:
                after = _step(version, records[index])
                if after is not None and leads_on(left - {index}, after):
                    return True
        dead_ends.add((left, version))
        return False

    return leads_on(frozenset(range(len(records))), head)


def _step(version: Version, record: Record) -> Version | None:
    """Return the version after a request, if its answer is the right one at this version."""
    match record.outcome:
        case Acked(made):
            fits = made.seq == version.seq + 1 and record.base in (None, version)
            return made if fits else None
        case Conflicted(current):
            return version if current == version and record.base != version else None
        case Saw(seen):
            return version if seen == version else None
        case _:
            return version
