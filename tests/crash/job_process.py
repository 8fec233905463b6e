"""Servers that run jobs until they are killed, stopped, or die at a step of a job.

Run as `python -m tests.crash.job_process`; it is told and tells what `serving_process` is and does, but for its lives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import mistralai.client.chat  # noqa: F401 - once for all lives, or each would take seconds to begin
import msgspec
import openai.resources.chat
import openai.resources.responses  # noqa: F401 - as above
import uvloop

from canvas_server import app
from canvas_server.config import Settings
from canvas_server.config.secret import Secret
from canvas_server.config.settings import (
    AutosaveSettings,
    CheckpointSettings,
    CostSettings,
    DemoSettings,
    GenerationSettings,
    LocalSettings,
    MistralSettings,
    OpenaiSettings,
    ServerSettings,
    StorageSettings,
)
from canvas_server.core.errors import CanvasError
from canvas_server.generation.encoding_files import FOLDER_VARIABLE, load_encoding
from canvas_server.generation.providers.connections import Patience, async_client
from canvas_server.generation.providers.registry import make_factory
from canvas_server.plan import server_limits
from canvas_server.server import run_server
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.system import SystemClock
from tests.crash.job_points import DeadlyJobs, DeadlyLedger, Fate, deadly_factory
from tests.crash.serving_process import Life

if TYPE_CHECKING:
    from collections.abc import Callable

    from canvas_server.generation.providers.generator import LLMFactory
    from canvas_server.generation.providers.registry import ProviderSettings

LIFE_S_MAX: Final = 20
"""No server outlives a test that was cut off by more than that."""
PRICES: Final = """currency = "EUR"
[[price]]
provider = "openai"
model = "gpt-5.2"
from = 2025-01-01
input = "1.75"
output = "14"
[[price]]
provider = "mistral"
model = "small-creative"
from = 2025-01-01
input = "0.1"
output = "0.3"
"""


class JobLife(Life, frozen=True, kw_only=True):
    """How a server lives; all that is not told here is as by default.

    Attributes:
        double_url: of the double that stands for all providers.
        background: whether OpenAI's answers outlive their connection.
        step: at which it dies; never if empty.
        words: once so many words of an answer were to be stored in this life.
        quota: of each user, in the currency.
        clock_shift_s: how far its wall clock is from that of this machine.
        join_ms: how long text for a canvas is joined.
    """

    double_url: str
    background: bool = True
    step: str = ""
    words: int = 0
    quota: float = 1.0
    clock_shift_s: int = 0
    join_ms: int = 5
    demo_delay_ms: int = 2

    def settings(self) -> Settings:
        """Return the settings of the server."""
        url = self.double_url
        return Settings(
            server=ServerSettings(port=0),
            storage=StorageSettings(data_dir=self.data_dir, durability=self.durability),
            checkpoint=CheckpointSettings(interval_s=self.interval_s, ops=1_000_000),
            generation=GenerationSettings(cache=False, join_ms=self.join_ms, running_per_actor_max=200),
            openai=OpenaiSettings(api_key=Secret("k"), base_url=f"{url}/openai/v1", background=self.background),
            mistral=MistralSettings(api_key=Secret("k"), base_url=f"{url}/mistral"),
            local=LocalSettings(base_url=f"{url}/local/v1"),
            demo=DemoSettings(delay_ms=self.demo_delay_ms),
            cost=CostSettings(monthly_quota=self.quota, pricing_file=str(Path(self.data_dir) / "pricing.toml")),
            autosave=AutosaveSettings(enabled=False),
        )


class ShiftedClock(SystemClock):
    """A wall clock that is wrong, or right somewhere else."""

    shift_ms: ClassVar[int] = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.shift_ms


def main() -> None:
    decode = msgspec.json.Decoder(JobLife).decode
    with tempfile.TemporaryDirectory(prefix="job-process-") as tokens_dir:
        _warm_up(Path(tokens_dir))
        for line in sys.stdin:
            process = os.fork()
            if process == 0:
                signal.alarm(LIFE_S_MAX)
                print(os.getpid(), flush=True)
                # Not sys.exit: the folder is the parent's to remove.
                os._exit(_live(decode(line)))
            _, status = os.waitpid(process, 0)
            print("\nended", os.waitstatus_to_exitcode(status), flush=True)


def _warm_up(tokens_dir: Path) -> None:
    """Do once what each server would do again."""
    load_encoding("o200k_base", tokens_dir)
    os.environ[FOLDER_VARIABLE] = str(tokens_dir)
    async_client(Patience())


def _live(life: JobLife) -> int:
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    data_dir = Path(life.data_dir)
    data_dir.mkdir(mode=0o700, exist_ok=True)
    (data_dir / "pricing.toml").write_text(PRICES)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(life))
    except CanvasError as error:
        print(error, file=sys.stderr)
        return 2


async def _serve(life: JobLife) -> int:
    """Serve as `app.serve` does, on ports of which one may kill the process."""
    settings, fate = life.settings(), Fate(life.step, life.words)
    app.make_factory = _deadly(make_factory, fate)
    ShiftedClock.shift_ms = life.clock_shift_s * 1000
    app.SystemClock = ShiftedClock  # type: ignore[misc] - the clock of this process alone
    sock = app.bind("127.0.0.1", 0)
    async with (
        app.opened_stores(settings) as stores,
        app.opened_house(settings, app.reachable_url(sock), _deadly_stores(stores, fate)) as house,
    ):
        durable = await run_server(house.app, sock, server_limits(settings), house.drain)
    return 0 if durable else 1


def _deadly_stores(stores: app.Stores, fate: Fate) -> app.Stores:
    assert isinstance(stores.jobs, SqliteJobStore)
    database = stores.jobs._database
    return stores._replace(jobs=DeadlyJobs(database, fate), ledger=DeadlyLedger(database, fate))


def _deadly(
    make: Callable[[ProviderSettings, Callable[[str], int]], LLMFactory], fate: Fate
) -> Callable[[ProviderSettings, Callable[[str], int]], LLMFactory]:
    return lambda settings, count: deadly_factory(make(settings, count), fate)


if __name__ == "__main__":
    main()
