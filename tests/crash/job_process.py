"""Servers that run jobs until they are killed, stopped, or die at a step of a job.

Run as `python -m tests.crash.job_process`; it is told and tells what `serving_process` is and does, but for its lives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import uvicorn
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
from canvas_server.generation.providers.generator import LLMFactory, Options
from canvas_server.generation.providers.registry import ProviderSettings, make_factory
from canvas_server.listening import Listening, bind, url_of
from canvas_server.plan import default_models, provider_settings, server_limits
from canvas_server.server import run_server
from canvas_server.storage.database import open_database
from canvas_server.storage.folder import database_path
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.system import SystemClock
from tests.crash.job_points import DeadlyJobs, DeadlyLedger, Fate, deadly_factory
from tests.crash.serving_process import Life
from tests.double.running import address, bound, server_config

LIFE_S_MAX: Final = 60
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
        words: once so many words of an answer were stored in this life.
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
            server=ServerSettings(port=0, auth=False),
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
    with tempfile.TemporaryDirectory(prefix="job-process-") as folder:
        template = Path(folder)
        asyncio.run(_warm_up(template))
        for line in sys.stdin:
            process = os.fork()
            if process == 0:
                signal.alarm(LIFE_S_MAX)
                print(os.getpid(), flush=True)
                # Not sys.exit: the folder is the parent's to remove.
                os._exit(_live(decode(line), template))
            _, status = os.waitpid(process, 0)
            print("\nended", os.waitstatus_to_exitcode(status), flush=True)


async def _warm_up(template: Path) -> None:
    """Do once what each server would do again: make a database, load the tokens, and have each SDK read an answer."""
    load_encoding("o200k_base", template)
    os.environ[FOLDER_VARIABLE] = str(template)
    async with open_database(template):
        pass
    with bound() as sock:
        double = uvicorn.Server(server_config())
        serving = asyncio.ensure_future(double.serve([sock]))
        settings = JobLife(data_dir="", double_url=address(sock)).settings()
        factory = make_factory(provider_settings(settings), len)
        for provider, model in default_models(settings).items():
            async with aclosing(factory.create(provider, model)) as generator:
                await generator.generate("Un mot", Options(max_output_tokens=10))
        double.should_exit = True
        await serving


def _live(life: JobLife, template: Path) -> int:
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    data_dir = Path(life.data_dir)
    data_dir.mkdir(mode=0o700, exist_ok=True)
    (data_dir / "pricing.toml").write_text(PRICES)
    if not database_path(data_dir).exists():
        shutil.copy(database_path(template), database_path(data_dir))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(life))
    except CanvasError as error:
        print(error, file=sys.stderr)
        return 2


async def _serve(life: JobLife) -> int:
    """Serve as `app.serve` does, on ports of which one may kill the process."""
    settings, fate = life.settings(), Fate(life.step, life.words)
    ShiftedClock.shift_ms = life.clock_shift_s * 1000
    # These names of the house are this process's own: it serves nothing else.
    vars(app).update(make_factory=_deadly(make_factory, fate), SystemClock=ShiftedClock)
    sock = bind("127.0.0.1", 0)
    async with (
        app.opened_stores(settings) as stores,
        app.opened_house(settings, url_of(sock), _deadly_stores(stores, fate)) as house,
    ):
        durable = await run_server(
            house.app,
            [Listening(sock)],
            server_limits(settings),
            house.drain,
            f"canvas-server listens on {url_of(sock)}\n",
        )
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
