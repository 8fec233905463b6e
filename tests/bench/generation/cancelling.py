"""Cancelling: how long until a job has stopped, with providers that let go and with such as do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Final

from tests.bench.generation.readers import JOBS, NOTHING, Reader, ask, generate
from tests.bench.generation.servers import PROVIDERS, authorized, generating
from tests.bench.listeners import PATIENCE_S
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan, in_turns, loaded
from tests.bench.servers import Server
from tests.double.running import Double

JOBS_AT_ONCE: Final = 100
P99_MS_GOAL: Final = 250
WORST_S_GOAL: Final = 10
"""Whatever the provider does: the default of `generation.cancel_s`."""

_ONE_BY_ONE: Final = "one after the other"
_PACE_MS: Final = 500
_STUCK_PACE_MS: Final = 50
_WORDS_MAX: Final = 4000
_FAULTS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "never answers": ("hang_before_headers", PROVIDERS),
    "is silent in the middle": ("hang_during", PROVIDERS),
    "sends comments without end": ("drip", PROVIDERS),
    "goes on when nobody reads": ("ignore_disconnect", PROVIDERS),
    "does not answer a cancel": ("hang_cancel", ("openai",)),
}
"""What a provider does, and who of them can."""

_numbers: Final = count(1)


def cancelling(plan: Plan) -> Group:
    """Measure cancels of jobs whose provider lets go."""
    with Double.spawn() as double, generating(double) as server:
        double.script(words=_WORDS_MAX, pace_ms=_PACE_MS, default=True)
        for provider in PROVIDERS:
            _cancels_ms(server, provider, jobs=1)
        wanted: dict[str, Callable[[], Sequence[float]]] = {
            f"{provider}, {_ONE_BY_ONE}": partial(_cancels_ms, server, provider) for provider in PROVIDERS
        }
        wanted["openai, all at once"] = partial(_cancels_ms, server, "openai", at_once=True)
        took = {name: sorted(runs[0]) for name, runs in in_turns(plan._replace(rounds=1), wanted).items()}
    rows = [_row(name, took_ms) for name, took_ms in took.items()]
    note = (
        f"{JOBS_AT_ONCE} jobs of one provider stream a word every {_PACE_MS} ms each. From the request to the answer "
        "that the job has stopped: its stream closed, the provider told, the bill settled, the end stored."
    )
    return Group("Generation: cancel", note, rows)


def stuck(plan: Plan) -> Group:
    """Measure cancels of jobs whose provider does not let go; all of them at once."""
    names = [name for name in _FAULTS if plan.what.search(name)]
    with Double.spawn() as double, generating(double) as server:
        took_s = loaded(_stuck_s(server.port, double, names))
    rows = [
        Row(
            f"a provider that {name}",
            [Value("jobs", len(each_s)), Value("worst", max(each_s), "s")],
            [Beside(max(each_s), "s", WORST_S_GOAL, at_most=True)],
        )
        for name, each_s in took_s.items()
    ]
    return Group("Generation: cancel, whatever the provider does", "All jobs of the table are cancelled at once.", rows)


def _row(name: str, took_ms: Sequence[float]) -> Row:
    p50_ms, p99_ms = took_ms[len(took_ms) // 2], took_ms[int(len(took_ms) * 0.99)]
    goal = [Beside(p99_ms, "ms at p99", P99_MS_GOAL, at_most=True)] if name.endswith(_ONE_BY_ONE) else []
    return Row(name, [Value("p50", p50_ms, "ms"), Value("p99", p99_ms, "ms")], goal)


def _cancels_ms(server: Server, provider: str, *, jobs: int = JOBS_AT_ONCE, at_once: bool = False) -> Sequence[float]:
    return loaded(_cancels(server.port, provider, jobs, at_once=at_once))


async def _cancels(port: int, provider: str, jobs: int, *, at_once: bool) -> Sequence[float]:
    readers = await _streaming(port, provider, jobs)
    cancels = [_cancel_ms(port, reader.job_id, authorized(number)) for number, reader in enumerate(readers)]
    took_ms = list(await asyncio.gather(*cancels)) if at_once else [await cancel for cancel in cancels]
    await asyncio.gather(*(reader.ended for reader in readers))
    return took_ms


async def _cancel_ms(port: int, job_id: str, headers: Mapping[str, str] = NOTHING) -> float:
    answer = await ask(port, "POST", f"{JOBS}/{job_id}/cancel", headers=headers)
    assert answer.body.get("stopped"), answer
    return answer.took_ms


async def _streaming(port: int, provider: str, jobs: int) -> Sequence[Reader]:
    """Start jobs; return readers of them once each has heard a word."""
    readers = [await _connected(port, provider, authorized(number)) for number in range(jobs)]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(reader.begun for reader in readers))
    return readers


async def _connected(port: int, provider: str, headers: Mapping[str, str]) -> Reader:
    reader = Reader(generate(provider, f"prompt-{next(_numbers)}"), headers)
    await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", port)
    return reader


async def _stuck_s(port: int, double: Double, names: Sequence[str]) -> Mapping[str, Sequence[float]]:
    """Return how long each cancel took, by what the provider does."""
    jobs = [(name, fault, provider) for name in names for fault, asked in [_FAULTS[name]] for provider in asked]
    cancels = [
        _cancel_ms(port, await _stuck_job(port, double, provider, fault, call))
        for call, (_name, fault, provider) in enumerate(jobs, 1)
    ]
    took_ms = await asyncio.gather(*cancels)
    return {
        name: [each_ms / 1000 for each_ms, job in zip(took_ms, jobs, strict=True) if job[0] == name] for name in names
    }


async def _stuck_job(port: int, double: Double, provider: str, fault: str, call: int) -> str:
    """Start a job, and return its id once its provider does what it was told."""
    await asyncio.to_thread(double.script, words=_WORDS_MAX, pace_ms=_STUCK_PACE_MS, fault=fault, after_words=1)
    started = await ask(port, "POST", JOBS, {"prompt": "Write.", "provider": provider})
    assert started.status == 201, started
    # The next plan is for the next call, so this one has to be there.
    if fault == "hang_before_headers":
        await asyncio.to_thread(double.called, call)
    else:
        await asyncio.to_thread(double.produced, 1, call)
    job_id: str = started.body["job_id"]
    return job_id
