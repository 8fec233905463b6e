"""Selective undo: the chosen operations are as if they had never been, and all others stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from canvas_server.client.undo import undo
from canvas_server.core.event import Ack
from tests.client.model_server import ModelServer

START = "abcdef"
EDITS = st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 2), st.integers(0, 2)), max_size=12)


def history(edits: list[tuple[bool, int, int, int]]) -> tuple[str, list[Ack]]:
    """Return the text and the acks of edits, the agent's under names that say so; each inserts letters of its own."""
    server = ModelServer(START)
    for number, (by_agent, at, count, removed) in enumerate(edits):
        start = min(at, len(server.text))
        end = min(start + removed, len(server.text))
        op: dict[str, object] = {
            "op_id": f"{'agent' if by_agent else 'ada'}-{number}",
            "client_version": server.version,
            "action": "replace",
            "target": {"type": "position", "position": {"mode": "range", "from": start, "to": end}},
            "content": "".join(chr((0x5000 if by_agent else 0x6000) + 2 * number + one) for one in range(count)),
        }
        server.submit([op], "x")
    return server.text, server.acks


def is_agents(ack: Ack) -> bool:
    return ack.op_id.startswith("agent")


@given(EDITS)
def test_all_that_the_chosen_inserted_is_gone_and_all_else_stays(
    edits: list[tuple[bool, int, int, int]],
) -> None:
    text, acks = history(edits)
    after = undo(START, acks, is_agents).apply(text)
    assert not [one for one in after if 0x5000 <= ord(one) < 0x6000]
    assert {one for one in text if ord(one) >= 0x6000} <= set(after)


@given(EDITS)
def test_undoing_all_gives_the_text_before_and_undoing_nothing_the_text_after(
    edits: list[tuple[bool, int, int, int]],
) -> None:
    text, acks = history(edits)
    assert undo(START, acks, lambda _ack: True).apply(text) == START
    assert undo(START, acks, lambda _ack: False).apply(text) == text


@given(EDITS)
def test_what_only_the_chosen_deleted_comes_back(edits: list[tuple[bool, int, int, int]]) -> None:
    text, acks = history(edits)
    after = undo(START, acks, is_agents).apply(text)
    seen, deleted_by_others = START, set[str]()
    for ack in acks:
        (splice,) = ack.changes
        if not is_agents(ack):
            deleted_by_others |= set(seen[splice.start : splice.end])
        seen = seen[: splice.start] + splice.insert + seen[splice.end :]
    assert {one for one in START if one not in deleted_by_others} <= set(after)


def test_a_revert_of_what_is_undone_is_undone_with_it() -> None:
    server = ModelServer(START)
    delete = {"action": "delete", "target": {"type": "text", "text": {"match": "cd"}}, "scope": "range"}
    server.submit([{**delete, "op_id": "agent-1", "client_version": server.version}], "x")
    target = {"type": "op", "op": {"op_id": "agent-1"}}
    server.submit([{"op_id": "ada", "action": "revert", "target": target, "client_version": server.version}], "x")
    assert server.text == START
    assert undo(START, server.acks, is_agents).apply(server.text) == START
