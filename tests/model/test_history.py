"""The history checker finds what is wrong, and only that: held against a referee that tries every order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.version import Version
from tests.model.history import Acked, Applied, Conflicted, Life, Record, Refused, Saw, check
from tests.model.search import is_explained
from tests.proof.findings import Findings
from tests.proof.lane import amount

V = [Version(seq, f"v{seq}") for seq in range(6)]
OTHER = [Version(seq, f"w{seq}") for seq in range(6)]
FIRST = [Life(-inf, {"c": V[0]})]


def write(
    op_id: str, outcome: Acked | Conflicted | Refused | None, call: float, ret: float, base: Version | None = None
) -> Record:
    return Record(op_id, "ada", "write", base, call, ret, outcome, "c")


def read(version: Version, call: float, ret: float) -> Record:
    return Record("", "bob", "read", None, call, ret, Saw(version), "c")


def kinds(records: Sequence[Record], lives: Sequence[Life] = FIRST) -> list[str]:
    return sorted({violation.kind for violation in check(records, lives)})


A = write("a", Acked(V[1]), 1, 2, V[0])
B = write("b", Acked(V[2]), 3, 4, V[1])


def test_a_history_in_which_all_is_well_has_no_violation() -> None:
    conflict = write("c", Conflicted(V[1]), 2.5, 3.5, V[0])
    assert check([A, B, read(V[1], 1.5, 3.5), read(V[2], 5, 6), conflict, write("d", Refused("X"), 0, 9)], FIRST) == []


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        ([A, B._replace(outcome=Acked(V[1]), base=None)], "fork"),
        ([A, B._replace(outcome=Acked(OTHER[1]), base=None)], "fork"),
        ([A, read(OTHER[1], 5, 6)], "fork"),
        ([B], "hole"),
        ([A, read(V[2], 5, 6)], "hole"),
        ([A, B._replace(base=V[0])], "lost update"),
        ([A, B._replace(call=0, ret=0.5)], "reordered"),
        ([A, B, read(V[1], 5, 6)], "stale"),
        ([A, B, write("c", Conflicted(V[1]), 5, 6, V[0])], "stale"),
        ([A, B, read(V[2], 1, 2)], "from the future"),
        ([A, write("c", Conflicted(V[1]), 3, 4, V[1])], "spurious"),
    ],
)
def test_each_violation_has_its_name(records: list[Record], kind: str) -> None:
    assert kinds(records) == [kind]


def test_a_write_whose_answer_was_lost_is_what_the_log_says_it_is() -> None:
    lost = A._replace(ret=inf, outcome=None)
    assert kinds([lost, B]) == ["hole"]
    assert kinds([lost, B], [Life(-inf, {"c": V[0]}, [Applied("c", "a", V[1])])]) == []
    assert kinds([lost]) == []


def test_a_write_that_was_sent_again_is_one_write() -> None:
    again = A._replace(call=5, ret=6)
    assert kinds([A, B, again]) == []
    assert kinds([A._replace(ret=inf, outcome=None), B, again]) == []
    assert kinds([B, again]) == ["reordered"]


def test_a_crash_takes_back_what_is_above_the_head_of_the_next_life() -> None:
    lives = [*FIRST, Life(10, {"c": V[1]})]
    other = write("c", Acked(OTHER[2]), 11, 12, V[1])
    assert kinds([A, B, other, read(OTHER[2], 13, 14)], lives) == []
    assert kinds([A, B, B._replace(call=11, ret=12)], lives) == []
    assert kinds([A, B, read(V[2], 11, 12)], lives) == ["hole"]
    assert kinds([A, B, read(V[0], 11, 12)], lives) == ["stale"]
    assert kinds([A, B, read(V[2], 9, 11)], [*FIRST, Life(10, {"c": V[2]})]) == []


def test_a_version_has_one_author_over_all_lives() -> None:
    lives = [*FIRST, Life(10, {"c": V[1]})]
    assert kinds([A, B, write("c", Acked(V[2]), 11, 12, V[1])], lives) == ["fork"]


def test_a_server_comes_back_with_a_version_that_was() -> None:
    assert kinds([A, B], [*FIRST, Life(10, {"c": OTHER[2]})]) == ["fork"]


def random_history(random: Random) -> list[Record]:
    """Return what a register may answer to requests that overlap, and now and then a lie or two."""
    version = V[0]
    records: list[Record] = []
    for now in range(random.randint(1, 7)):
        call, ret = now - random.randint(0, 3), now + random.randint(0, 3)
        match random.choice(["write", "write", "append", "conflict", "read"]):
            case "write" | "append" as how if version.seq < 5:
                base = version if how == "write" else None
                version = V[version.seq + 1]
                records.append(write(f"op-{now}", Acked(version), call, ret, base))
            case "conflict":
                base = random.choice([seen for seen in V if seen != version])
                records.append(write(f"op-{now}", Conflicted(version), call, ret, base))
            case _:
                records.append(read(version, call, ret))
    for _ in range(random.choice([0, 0, 1, 2])):
        index = random.randrange(len(records))
        records[index] = lie(random, records[index])
    return records


def lie(random: Random, record: Record) -> Record:
    """Return a record of which one thing is not as it was."""
    version, much = random.choice([*V, *OTHER[1:3]]), random.randint(-8, 8)
    match random.randrange(5):
        case 0:
            return record._replace(outcome=told(record, version))
        case 1:
            return record._replace(call=min(record.ret, record.call + abs(much)))
        case 2:
            return record._replace(ret=max(record.call, record.ret - abs(much)))
        case 3:
            return record._replace(call=record.call + much, ret=record.ret + much)
        case _:
            return record._replace(base=version if record.kind == "write" else None)


def told(record: Record, version: Version) -> Acked | Conflicted | Saw:
    """Return the outcome of a record, but for its version."""
    if isinstance(record.outcome, Saw):
        return Saw(version)
    return Acked(version) if isinstance(record.outcome, Acked) else Conflicted(version)


@pytest.mark.promise("R10")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1200))
def test_the_checker_agrees_with_a_search_through_all_orders(findings: Findings) -> None:
    verdicts: Counter[bool] = Counter()

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=amount(ci=300, hand=3_000), deadline=None)
    def agree(seed: int) -> None:
        random = Random(seed)
        for _ in range(30):
            records = random_history(random)
            explained = is_explained(V[0], records)
            assert (check(records, FIRST) == []) == explained, records
            verdicts[explained] += 1

    agree()
    findings.tell("R10", "small histories on which checker and search agree", sum(verdicts.values()), "all")
    findings.tell("R10", "of these illegal", verdicts[False])
    assert min(verdicts.values()) * 10 > sum(verdicts.values()), f"too few of one kind: {verdicts}"


def test_one_stale_read_among_thousands_of_records_is_found() -> None:
    random = Random(1)
    records = []
    for seq in range(1, 5_001):
        version, before = Version(seq, f"v{seq}"), Version(seq - 1, f"v{seq - 1}")
        records.append(write(f"op-{seq}", Acked(version), seq - random.random(), seq + random.random() * 9, before))
        records.append(read(version, seq, seq + 1))
    assert check(records, FIRST) == []
    random.shuffle(records)
    assert kinds([*records, read(Version(2_000, "v2000"), 2_002.5, 2_003)]) == ["stale"]
