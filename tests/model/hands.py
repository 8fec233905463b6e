"""What the rules of the machine do their work with: requests that may be refused, and things to send."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random

from hypothesis.stateful import RuleBasedStateMachine

from canvas_server.core.errors import CanvasError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.operation import Operation, Unit
from tests.model.author import Author
from tests.model.canvases import CanvasLineage
from tests.model.reader import Reader
from tests.model.server import Server
from tests.model.world import World


class Hands(RuleBasedStateMachine):
    """A machine without rules.

    Attributes:
        world: that it works on.
        names: how many op ids were given away.
    """

    world: World
    names = 0

    @property
    def server(self) -> Server:
        """The life that is lived now."""
        return self.world.server

    @property
    def living(self) -> dict[CanvasRef, CanvasLineage]:
        """The canvases that there are."""
        return self.world.canvases.living

    def try_to(self, request: Coroutine[None, None, object]) -> None:
        """Send a request; that it is refused is no failure."""

        async def ask() -> None:
            try:
                await request
            except CanvasError:
                self.world.counts["refused"] += 1

        self.world.run(ask())

    def append(self, ref: CanvasRef) -> None:
        """Send what cannot be refused."""
        lineage = self.living.get(ref)
        if lineage is not None:
            author = Author(Random(0), "codepoint")
            self.post(ref, [author.append(self.name(), lineage.head.version.etag)], "codepoint")

    def post(self, ref: CanvasRef, operations: list[Operation], unit: Unit) -> None:
        if operations:
            self.try_to(self.server.post(ref, operations, unit))

    def do(self, what: Callable[[], None]) -> None:
        async def done() -> None:
            what()

        self.world.run(done())

    def leave(self, reader: Reader) -> None:
        self.do(reader.leave)
        reader.ended.append(None)

    def readers(self) -> list[Reader]:
        return [reader for reader in self.server.readers if not reader.ended]

    def name(self) -> str:
        self.names += 1
        return f"op-{self.names}"

    def operations(self, ref: CanvasRef, author: Author, count: int, stale: int) -> list[Operation]:
        """Return what an author sends in one request who has seen the canvas as it was so many operations ago."""
        lineage = self.living.get(ref)
        if lineage is None:
            return []
        seen = lineage.moments[max(0, len(lineage.moments) - 1 - stale)]
        op_ids = [moment.op_id for moment in lineage.moments[1 : seen.version.seq + 1]]
        first = author.operation(self.name(), seen.version.etag, seen.text, op_ids)
        return [first, *(author.append(self.name(), None) for _ in range(count - 1))]

    def cursor(self, random: Random, lineage: CanvasLineage, how: str) -> str | None:
        """Return where a reader says it has been."""
        match how:
            case "live":
                return lineage.head.version.cursor
            case "old":
                return random.choice(lineage.moments).version.cursor
            case "lost":
                return f"{random.randrange(len(lineage.moments) + 5)}-0123456789abcdef"
            case "junk":
                return "nonsense"
            case _:
                return None
