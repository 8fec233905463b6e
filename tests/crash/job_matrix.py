"""The crash matrix of jobs: who is asked, where the server dies, and what comes of it.

`python -m tests.crash.job_matrix` measures it and prints it as a Markdown table.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Final, Literal, NamedTuple

import httpx2

from tests.crash.job_books import Books, read_books
from tests.crash.job_process import JobLife
from tests.crash.job_servers import JobClient, JobReader, starting_job_servers, stream_of
from tests.crash.servers import Ending, Server, Servers
from tests.crash.serving_process import Durability
from tests.double.ledger import Asked, Line
from tests.double.running import Double
from tests.serving import Json

Behaviour = Literal["background", "plain", "mistral", "local", "demo"]
Stage = Literal["held", "dispatched", "called", "attached", "told", "produced", "cancelled"]
"""What the first server to die leaves behind: no call; one that was to be made, or was, and nothing stored of it; its
name, where it has one; some of its text; all of it; a cancel."""

WORDS: Final = 40
MANY_WORDS: Final = 300
PACE_MS: Final = 3
OUTPUT_TOKENS_MAX: Final = 20_000
PROVIDERS: Final[Mapping[Behaviour, str]] = {
    "background": "openai",
    "plain": "openai",
    "mistral": "mistral",
    "local": "local",
    "demo": "demo",
}
LABELS: Final[Mapping[Behaviour, str]] = {
    "background": "OpenAI, background",
    "plain": "OpenAI, not in the background",
    "mistral": "Mistral",
    "local": "local",
    "demo": "demo",
}
DEMO: Final = "demo-long"
MODES: Final[Sequence[tuple[Durability, float]]] = (("journal", 10.0), ("checkpoint", 0.05), ("checkpoint", 10.0))
"""Of canvases: nothing is forgotten, some is, all is."""
PROMPT: Final = "Une rencontre sous la pluie"

REF: Final = "story"
START: Final = "# Notes\n\nMine.\n\n# Story\n\n"
STORY: Final[Json] = {"type": "heading", "heading": {"path": ["Story"]}}
EDIT: Final[Json] = {
    "op_id": "edit",
    "action": "insert",
    "scope": "section",
    "target": {"type": "heading", "heading": {"path": ["Notes"]}},
    "where": "inside_end",
    "content": "And more.\n\n",
}
"""Of a person, while the job writes into the other section."""


class Death(NamedTuple):
    """A step at which a server dies, once so many words were stored in this life of it."""

    step: str
    words: int = 0


class Point(NamedTuple):
    """Where servers die, one life after the other.

    Attributes:
        name: as a row of the table is called.
        stage: what the first death leaves behind.
        deaths: one for each life.
        cancelled: the job is cancelled while it streams.
        only: by whom it can be met.
    """

    name: str
    stage: Stage
    deaths: tuple[Death, ...]
    cancelled: bool = False
    only: tuple[Behaviour, ...] = ("background", "plain", "mistral", "local")


ALL: Final[tuple[Behaviour, ...]] = tuple(PROVIDERS)
REATTACHED: Final[tuple[Behaviour, ...]] = ("background",)
CONTINUED: Final[tuple[Behaviour, ...]] = ("mistral",)
NAMED: Final[tuple[Behaviour, ...]] = ("background", "plain")
IN_TEXT: Final = Death("after append", 10)

GIVEN_UP: Final[tuple[Behaviour, ...]] = ("plain", "local")

POINTS: Final = (
    Point("before the worst case is held", "held", (Death("before reserve"),)),
    Point("held, no job stored", "held", (Death("after reserve"),)),
    Point("job stored, not answered to", "held", (Death("after create"),)),
    Point("job stored, not dispatched", "held", (Death("before save dispatched"),)),
    Point("dispatched, not called", "dispatched", (Death("after save dispatched"),), only=ALL),
    Point("called, nothing of it stored", "called", (Death("call heard"),), only=ALL),
    Point("attached, no text", "attached", (Death("after save attached"),), only=NAMED),
    Point("before the first chunk is stored", "attached", (Death("before append"),), only=ALL),
    Point("before a later chunk is stored", "told", (Death("before append", 10),)),
    Point("chunk stored, not shown", "told", (IN_TEXT,), only=ALL),
    Point("answer whole, not stored as produced", "told", (Death("before save produced"),)),
    Point("produced, not settled", "produced", (Death("after save produced"),), only=ALL),
    Point("settled, not stored as settled", "produced", (Death("after settle"),)),
    Point("settled, end not stored", "produced", (Death("before save ended"),)),
    Point("end stored, not shown", "produced", (Death("after save ended"),)),
    Point("cancel: asked for, not stored", "told", (Death("before save cancel"),), cancelled=True),
    Point("cancel: stored, provider not stopped", "cancelled", (Death("after save cancel"),), cancelled=True, only=ALL),
    Point("cancel: provider stopped", "cancelled", (Death("after stop"),), cancelled=True, only=REATTACHED),
    Point("cancel: not settled", "cancelled", (Death("before settle"),), cancelled=True),
    Point("cancel: settled, end not stored", "cancelled", (Death("after settle"),), cancelled=True),
    Point("cancel: end stored, not told", "cancelled", (Death("after save ended"),), cancelled=True),
    Point("cancel: twice", "cancelled", (Death("after save cancel"), Death("before settle")), cancelled=True),
    Point("recovery: before re-attaching", "told", (IN_TEXT, Death("before reattach")), only=REATTACHED),
    Point("recovery: re-attached", "told", (IN_TEXT, Death("reattached")), only=REATTACHED),
    Point("recovery: re-attached, more text stored", "told", (IN_TEXT, Death("after append", 5)), only=REATTACHED),
    Point(
        "recovery: three lives", "told", (IN_TEXT, Death("before append", 5), Death("after append")), only=REATTACHED
    ),
    Point("recovery: first call settled", "told", (IN_TEXT, Death("after settle")), only=CONTINUED),
    Point("recovery: second call held", "told", (IN_TEXT, Death("after reserve")), only=CONTINUED),
    Point("recovery: second call dispatched", "told", (IN_TEXT, Death("after save dispatched")), only=CONTINUED),
    Point("recovery: second call heard", "told", (IN_TEXT, Death("call heard")), only=CONTINUED),
    Point("recovery: more text of the second call", "told", (IN_TEXT, Death("after append", 5)), only=CONTINUED),
    Point("recovery: given up, not settled", "told", (IN_TEXT, Death("before settle")), only=GIVEN_UP),
    Point("recovery: given up, end not stored", "told", (IN_TEXT, Death("before save ended")), only=GIVEN_UP),
    Point("recovery: settled again", "produced", (Death("after save produced"), Death("after settle"))),
    Point("recovery: ended again", "produced", (Death("before save ended"), Death("after save ended"))),
)


class Cell(NamedTuple):
    """One kind of provider at one point.

    Attributes:
        point: where servers die.
        behaviour: of whoever is asked.
        durability: of the canvas that the job writes into; None where it writes into none.
        interval_s: of checkpoints.
    """

    point: Point
    behaviour: Behaviour
    durability: Durability | None = None
    interval_s: float = 10.0

    @property
    def words(self) -> int:
        """How long the answer is: long enough for whoever is to die in its middle."""
        in_text = [death for death in self.point.deaths if "append" in death.step and death != IN_TEXT]
        return MANY_WORDS if self.point.cancelled or any(death.words for death in in_text) else WORDS

    @property
    def name(self) -> str:
        mode = self.durability and f"{self.durability} {self.interval_s:g} s"
        return "/".join(filter(None, (self.behaviour, mode, self.point.name)))


class Found(NamedTuple):
    """What came of a job over its lives.

    Attributes:
        job: as the last server tells it.
        taken: the status of asking for it again under its key.
        heard: what one reader heard over all lives; empty where nobody learned the job's name in the first.
        late: what a reader hears who comes at the end.
        lines: of the double's ledger.
        books: when all is quiet.
        calls: what the double was asked.
        canvas: the text of the canvas; empty where there is none.
        edited: whether a person's edit of the canvas was acked in the first life.
    """

    job: Json
    taken: int
    heard: Sequence[tuple[str, Json]]
    late: Sequence[tuple[str, Json]]
    lines: Sequence[Line]
    books: Books
    calls: Sequence[Asked]
    canvas: str
    edited: bool

    @property
    def output_tokens(self) -> int:
        """What the provider bills, all calls together."""
        return sum(line.output_tokens for line in self.lines)


CELLS: Final = tuple(Cell(point, behaviour) for point in POINTS for behaviour in point.only)
CANVAS_CELLS: Final = tuple(
    Cell(point, behaviour, durability, interval_s)
    for durability, interval_s in MODES
    for point in POINTS
    for behaviour in point.only
    if behaviour == (CONTINUED if point.only == CONTINUED else REATTACHED)[0]
    if point.stage in ("told", "produced", "cancelled")
)
"""Those in which a canvas may hold some of the text when the server dies."""


def live_through(servers: Servers, double: Double, folder: Path, cell: Cell) -> Found:
    """Have a job run, its servers die, and the last one bring it to its end."""
    double.reset()
    double.script(words=cell.words, pace_ms=PACE_MS, default=True)
    reader, edited = None, False
    for number, death in enumerate(cell.point.deaths):
        with _living(servers, _life(folder, double, cell, death)) as server:
            if number == 0:
                assert isinstance(server, Server)
                reader, edited = _first_life(server, cell)
            elif isinstance(server, Server) and reader is not None:
                reader.read(server.port)
            ending = server.ending() if isinstance(server, Server) else server
        assert f"died {death.step}" in ending.told, (cell.name, death, ending, servers.log.read_text()[-3000:])
        read_books(folder).check()
    with servers.running(_life(folder, double, cell, Death(""))) as server, JobClient(server.port) as client:
        answer = client.start(_request(cell))
        assert answer.status_code in (200, 201), answer.text
        job_id = answer.json()["job_id"]
        if reader is not None:
            reader.read(server.port)
            assert reader.ended
        late = JobReader(stream_of(job_id))
        late.read(server.port)
        assert late.ended
        return Found(
            job=client.job(job_id),
            taken=answer.status_code,
            heard=_events(reader) if reader is not None else (),
            late=_events(late),
            lines=_settled_lines(double),
            books=read_books(folder),
            calls=double.calls,
            canvas=client.canvas(REF) if cell.durability else "",
            edited=edited,
        )


@contextmanager
def _living(servers: Servers, life: JobLife) -> Iterator[Server | Ending]:
    """Start a server that is to die by itself, perhaps before it serves; it has ended when the block has."""
    server = servers.try_to_start(life)
    try:
        yield server
    except BaseException:
        if isinstance(server, Server):
            server.kill()
            server.ending()
        raise


def _first_life(server: Server, cell: Cell) -> tuple[JobReader | None, bool]:
    """Ask for the job, read it, edit and cancel where the cell says so.

    Returns:
        the job's reader, where its name was told; and whether the edit was acked.
    """
    edited = False
    with JobClient(server.port) as client:
        if cell.durability:
            client.canvas(REF, START)
        try:
            job_id = client.start(_request(cell)).json()["job_id"]
        except httpx2.TransportError:
            return None, edited
        reader = JobReader(stream_of(job_id))
        if cell.point.cancelled:
            reader.read(server.port, after_events=4)
        reader.read_beside(server.port)
        with suppress(httpx2.TransportError):
            if cell.durability:
                client.write(REF, EDIT)
                edited = True
            if cell.point.cancelled:
                client.cancel(job_id)
        reader.join()
        return reader, edited


def _life(folder: Path, double: Double, cell: Cell, death: Death) -> JobLife:
    return JobLife(
        data_dir=str(folder),
        double_url=double.url,
        background=cell.behaviour == "background",
        durability=cell.durability or "checkpoint",
        interval_s=cell.interval_s,
        step=death.step,
        words=death.words,
    )


def _request(cell: Cell) -> Json:
    request: Json = {
        "prompt": PROMPT,
        "provider": PROVIDERS[cell.behaviour],
        "max_output_tokens": OUTPUT_TOKENS_MAX,
        "idempotency_key": "once",
    }
    if cell.behaviour == "demo" and cell.point.cancelled:
        request["model"] = DEMO
    if cell.durability:
        request["canvas"] = {"ref": REF, "target": STORY, "where": "inside_end"}
    return request


def _events(reader: JobReader) -> Sequence[tuple[str, Json]]:
    return [(message.last_id, json.loads(message.data)) for message in reader.messages]


def _settled_lines(double: Double) -> list[Line]:
    """Return the bill once nobody reads: what runs on by itself has ended by then or was stopped."""
    for line in double.ledger:
        double.closed(line.id)
        if line.background and not line.cancelled:
            double.finished(line.id)
    return double.ledger


def table(found: Mapping[Cell, Found]) -> Iterator[str]:
    """Yield the lines of the measured matrix."""
    behaviours = list(LABELS)
    yield "| the server dies | " + " | ".join(LABELS[behaviour] for behaviour in behaviours) + " |"
    yield "|---" * (len(behaviours) + 1) + "|"
    for point, cells in groupby(found, key=lambda cell: cell.point):
        told = {cell.behaviour: described(found[cell]) for cell in cells}
        yield f"| {point.name} | " + " | ".join(told.get(behaviour, "") for behaviour in behaviours) + " |"


def described(found: Found) -> str:
    """Return a cell of the table."""
    state = found.job["state"]
    if found.job["provider"] == "demo":
        return str(state)
    return f"{state} · {len(found.lines)} · {found.output_tokens}"


def measured(folder: Path) -> Mapping[Cell, Found]:
    """Measure every cell once."""
    with Double.spawn() as double, starting_job_servers(folder / "log") as servers:
        return {
            cell: live_through(servers, double, folder / f"cell-{number}", cell) for number, cell in enumerate(CELLS)
        }


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="job-matrix-") as folder:
        print("\n".join(table(measured(Path(folder)))), file=sys.stdout)


if __name__ == "__main__":
    main()
