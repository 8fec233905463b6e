"""Writes tests/vectors/changesets.json, by which the change sets of all clients are checked.

Run it when a case is to be added: `python -m tests.client.changeset_vectors`. Both clients agreed on all of them when
they were made, and the laws of test_changeset.py hold; a client that disagrees with an old case is wrong.

A case has a `text`; `a` and `b`, each told for it; and `c`, told for the text after `a`: changes that are made one
after the other. The rest is expected, as spots: `a_spots`, `b_spots`; `before` and `after`, which are `a` over `b`
with its text first and last; `composed`, which is `a` and then `c`; `inverse`, of `a`; and the text `result` of `a`.
Where it matters a `unit` says what offsets count.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from canvas_server.client.changeset import Change, ChangeSet

VECTORS: Final = Path(__file__).parent.parent / "vectors" / "changesets.json"
Row: TypeAlias = tuple[int, int, str]
Case: TypeAlias = dict[str, object]

BY_HAND: Final[list[tuple[str, str, list[Row], list[Row], list[Row]]]] = [
    ("nothing", "abc", [], [], []),
    ("two inserts at one point", "abc", [(1, 1, "X")], [(1, 1, "Y")], [(2, 2, "Z")]),
    ("two inserts into nothing", "", [(0, 0, "X")], [(0, 0, "Y")], [(0, 1, "")]),
    ("an insert inside what is deleted", "abcdef", [(3, 3, "X")], [(1, 5, "")], [(3, 4, "")]),
    ("a deletion around an insert", "abcdef", [(1, 5, "")], [(3, 3, "X")], [(1, 1, "Z")]),
    ("an insert where a deletion begins", "abcdef", [(1, 1, "X")], [(1, 5, "")], [(2, 6, "")]),
    ("an insert where a deletion ends", "abcdef", [(5, 5, "X")], [(1, 5, "")], [(1, 5, "")]),
    ("an insert inside what is replaced", "abcdef", [(3, 3, "X")], [(1, 5, "Y")], [(0, 7, "Z")]),
    ("replacements of one stretch", "abcdef", [(1, 5, "X")], [(1, 5, "Y")], [(1, 2, "")]),
    ("replacements that overlap", "abcdef", [(1, 4, "X")], [(2, 6, "Y")], [(0, 1, "Z")]),
    ("replacements that touch", "abcdef", [(0, 3, "X")], [(3, 6, "Y")], [(1, 4, "Z")]),
    ("the same deletion", "abcdef", [(2, 4, "")], [(2, 4, "")], [(2, 2, "cd")]),
    ("all deleted", "abc", [(0, 3, "")], [(1, 2, "Y")], [(0, 0, "new")]),
    ("many spots", "abcdefghij", [(0, 1, ""), (2, 2, "X"), (5, 7, "YY"), (9, 9, "!")], [(1, 9, "-")], [(3, 6, "")]),
    ("typed letter by letter", "ab", [(1, 1, "x"), (2, 2, "y"), (3, 3, "z")], [(1, 1, "B")], [(1, 4, "xyz")]),
    ("typed and taken back", "ab", [(1, 1, "xyz"), (1, 4, "")], [(0, 2, "")], []),
    ("lines", "one\ntwo\n", [(4, 7, "2")], [(3, 4, ""), (0, 0, "#\n")], [(5, 6, "\n\n")]),
]
EMOJI: Final[list[tuple[str, str, list[Row], list[Row], list[Row]]]] = [
    ("an insert between pairs", "🙂🙂", [(1, 1, "é")], [(1, 1, "😀")], [(1, 3, "")]),
    ("a pair is deleted", "a🙂b😀c", [(1, 2, "")], [(3, 4, "𝒳")], [(0, 3, "🙂")]),
    ("pairs that share a half", "😀😁", [(0, 1, "😂")], [(1, 2, "😃")], [(1, 2, "😄😅")]),
    ("a family", "👩‍👩‍👧!", [(1, 4, "")], [(5, 6, "?")], [(0, 1, "👧")]),
    ("an insert inside what is replaced, with pairs", "🙂a🙂b🙂", [(2, 2, "𝒳")], [(1, 4, "🎉")], [(2, 5, "")]),
]


def changes(random: Random, length: int) -> list[Row]:
    rows: list[Row] = []
    for _ in range(random.choice([0, 1, 1, 2, 3, 4])):
        start = random.randint(0, length)
        end = random.choice([start, min(length, start + random.randint(0, 5))])
        insert = "".join(random.choices("XYZé中\n", k=random.choice([0, 1, 1, 2, 3])))
        rows.append((start, end, insert))
        length += len(insert) - (end - start)
    return rows


def case(name: str, text: str, a: list[Row], b: list[Row], c: list[Row]) -> Case:
    one, other, then = (ChangeSet.of([Change(*row) for row in rows]) for rows in (a, b, c))
    return {
        "name": name,
        "text": text,
        "a": a,
        "b": b,
        "c": c,
        "a_spots": list(one),
        "b_spots": list(other),
        "before": list(one.rebase(other, before=True)),
        "after": list(one.rebase(other, before=False)),
        "composed": list(one.compose(then)),
        "inverse": list(one.invert(text)),
        "result": one.apply(text),
    }


def in_utf16(name: str, text: str, a: list[Row], b: list[Row], c: list[Row]) -> Case:
    """Return a case with other offsets: each row of spots is told for one text, and each change for the last one."""
    told = case(name, text, a, b, c)
    after_b = ChangeSet.of([Change(*row) for row in b]).apply(text)
    result = str(told["result"])
    for field, told_for in {"a": text, "b": text, "c": result}.items():
        told[field] = _moved(told[field], told_for, one_by_one=True)
    spots = {"a_spots": text, "b_spots": text, "before": after_b, "after": after_b, "composed": text, "inverse": result}
    for field, told_for in spots.items():
        told[field] = _moved(told[field], told_for, one_by_one=False)
    return told


def _moved(rows: object, text: str, *, one_by_one: bool) -> list[Row]:
    assert isinstance(rows, list)
    moved: list[Row] = []
    for start, end, insert in rows:
        moved.append((_units(text[:start]), _units(text[:end]), insert))
        if one_by_one:
            text = text[:start] + insert + text[end:]
    return moved


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def cases() -> list[Case]:
    random = Random(20)
    made = [case(*given) for given in BY_HAND]
    for number in range(80):
        text = "".join(random.choices("abcdé中\n", k=random.randint(0, 14)))
        a, b = changes(random, len(text)), changes(random, len(text))
        length = len(ChangeSet.of([Change(*row) for row in a]).apply(text))
        made.append(case(f"by chance, {number}", text, a, b, changes(random, length)))
    for given in EMOJI:
        made += [{**case(*given), "unit": "codepoint"}, {**in_utf16(*given), "unit": "utf16"}]
    return made


def main() -> None:
    rows = ",\n".join(json.dumps(one, ensure_ascii=False) for one in cases())
    VECTORS.write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
