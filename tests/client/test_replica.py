"""Replicas agree in the end, and with the server, whatever the network and a crash do to what was typed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.client.changeset import Change, ChangeSet
from canvas_server.client.unsaved import Op
from tests.client.model_server import ModelClient, ModelServer, replay

START = "".join(map(chr, range(0x4E00, 0x4E00 + 8)))
"""Every character there is stands for itself, so that one which is lost or doubled is seen."""
Step = tuple[str, int, int, int]
QUIET = ["edit", "edit", "edit", "send", "send", "send", "hear", "hear", "hear", "lose", "double", "cut", "raw"]
CRASHING = [*QUIET, "checkpoint", "crash", "crash and replay"]


def steps(kinds: Sequence[str]) -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.tuples(st.sampled_from(kinds), st.integers(0, 2), st.integers(0, 30), st.integers(0, 4)), max_size=40
    )


class World:
    """A server, three clients, and what was typed and deleted by anybody."""

    def __init__(self) -> None:
        self.server = ModelServer(START)
        self.clients = [ModelClient(name, self.server) for name in ("ada", "bob", "eve")]
        self.typed = set(START)
        self.deleted: set[str] = set()
        self.raw: dict[str, str] = {}
        """What an operation was to insert that may meet a conflict: then it is its author's to send it again."""
        self._next = 0x5000

    def fresh(self, count: int) -> str:
        """Return characters that were never typed."""
        text = "".join(map(chr, range(self._next, self._next + count)))
        self._next += count
        self.typed |= set(text)
        return text

    def do(self, step: Step) -> None:
        kind, who, at, count = step
        client = self.clients[who]
        match kind:
            case "edit":
                self.edit(client, at, count)
            case "send":
                client.post()
            case "lose":
                client.post(arrives=False)
            case "double":
                client.post()
                client.post()
            case "hear":
                client.hear(at)
            case "cut":
                client.cut()
            case "raw":
                content, op_id = self.fresh(1), client.new_id()
                self.raw[op_id] = content
                op: Op = {"op_id": op_id, "action": "insert", "scope": "range", "content": content}
                client.replica.enqueue([{**op, "target": {"type": "position", "position": {"mode": "end"}}}])
            case "checkpoint":
                self.server.checkpoint()
            case "crash":
                self.server.crash()
            case _:
                self.server.crash()
                replay(self.clients, self.server)

    def edit(self, client: ModelClient, at: int, count: int) -> None:
        text = client.replica.text
        start = min(at, len(text))
        end = min(start + count // 2, len(text))
        self.deleted |= set(text[start:end])
        changes = ChangeSet.of([Change(start, end, self.fresh(count))])
        client.replica.edit(changes)
        client.view = changes.apply(client.view)

    def come_to_rest(self) -> None:
        for _ in range(400):
            for client in self.clients:
                client.hear(10_000)
                client.post()
            if all(client.replica.is_settled and not client.inbox for client in self.clients):
                return
        raise AssertionError("it does not come to rest")

    def check(self) -> None:
        for client in self.clients:
            assert client.replica.text == client.replica.confirmed == client.view == self.server.text
            assert client.replica.version == self.server.version
        assert max(Counter(self.server.text).values(), default=1) == 1

    def wanted(self) -> set[str]:
        """What must be there."""
        heard = set[str]().union(*(client.acked for client in self.clients))
        refused = {content for op_id, content in self.raw.items() if op_id not in heard}
        return self.typed - self.deleted - refused


@settings(max_examples=400)
@given(steps(QUIET))
def test_all_agree_and_nothing_is_lost_or_doubled_whatever_the_network_does(script: list[Step]) -> None:
    world = World()
    for step in script:
        world.do(step)
    world.come_to_rest()
    world.check()
    assert set(world.server.text) == world.wanted()


@settings(max_examples=400)
@given(steps(CRASHING))
def test_a_server_that_forgets_what_it_acked_loses_nothing_that_a_client_typed(script: list[Step]) -> None:
    """A deletion of what another wrote may be forgotten with it: the other writes it again."""
    world = World()
    for step in script:
        world.do(step)
    world.come_to_rest()
    world.check()
    assert set(world.server.text) >= world.wanted()


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [QUIET, CRASHING], ids=["network", "crashes"])
def test_long_days_end_well(kinds: list[str]) -> None:
    """Thousands of steps, as chance has it; what fails here names its seed."""
    for seed in range(300):
        random, world = Random(seed), World()
        for _ in range(80):
            world.do((random.choice(kinds), random.randrange(3), random.randrange(30), random.randrange(5)))
        world.come_to_rest()
        world.check()
        wanted = world.wanted()
        assert set(world.server.text) >= wanted, seed
        assert kinds is CRASHING or set(world.server.text) == wanted, seed
