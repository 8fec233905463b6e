"""Answers read to their ends, by the server's readers and by an SDK, with what it took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from time import perf_counter
from typing import Final, NamedTuple

from tests.bench.generation.readers import StampReader, generate, read
from tests.bench.generation.sdk import Wanted, heard, sdks
from tests.bench.generation.servers import authorized, generating
from tests.bench.report import Value
from tests.bench.runs import crowded, loaded
from tests.bench.servers import Server, Used
from tests.double.running import Double

BARE: Final = ", its SDK alone"
"""Ends the name of what is read without our server."""

_numbers: Final = count(1)


class Read(NamedTuple):
    """How answers were read."""

    took_s: float
    delays_ms: Sequence[float]
    """From when the double said a word until it was here, sorted."""
    events: int
    """That the words came in."""
    used: Used
    """By what stands between the double and the reader."""

    @property
    def p50_ms(self) -> float:
        """The delay of the median word."""
        return self.delays_ms[len(self.delays_ms) // 2]

    @property
    def delays(self) -> Sequence[Value]:
        """What a row says of them."""
        p99_ms = self.delays_ms[int(len(self.delays_ms) * 0.99)]
        return [Value("p50", self.p50_ms, "ms"), Value("p99", p99_ms, "ms")]

    @property
    def cpu_us(self) -> float:
        """Processor time of a word, what starts and ends its answer included."""
        return self.used.cpu_s / len(self.delays_ms) * 1e6

    @property
    def oddities(self) -> str:
        """What should not be: others used the core, too."""
        return crowded(self.used.waited_s / self.took_s, 0.0)


class Places(NamedTuple):
    """Who says words, and who brings them."""

    double: Double
    sdk: Server
    server: Server


@contextmanager
def places() -> Iterator[Places]:
    """Run a double, a program with the SDKs, and a server."""
    with Double.spawn() as double, sdks() as sdk, generating(double) as server:
        yield Places(double, sdk, server)


def warm(where: Places, provider: str) -> None:
    """Have both sides load what they need for a provider."""
    where.double.script(words=2, stamp=True, default=True)
    for measure in measures(where, provider, 1).values():
        measure()


def measures(where: Places, provider: str, streams: int) -> Mapping[str, Callable[[], Read]]:
    """Return what is measured of a provider, by its name.

    Args:
        where: the double has been told what to say.
        provider: that is asked.
        streams: at once.
    """
    return {
        f"{provider}{BARE}": partial(_by_sdk, where, provider, streams),
        provider: partial(_by_server, where.server, provider, streams),
    }


def together(reads: Sequence[Read]) -> Read:
    """Return several reads as one."""
    return Read(
        sum(each.took_s for each in reads),
        sorted(delay_ms for each in reads for delay_ms in each.delays_ms),
        sum(each.events for each in reads),
        Used(sum(each.used.cpu_s for each in reads), sum(each.used.waited_s for each in reads)),
    )


def _by_sdk(where: Places, provider: str, streams: int) -> Read:
    urls = {"openai": where.double.openai_url, "mistral": where.double.mistral_url, "local": where.double.local_url}
    before = where.sdk.used()
    told = loaded(heard(where.sdk, Wanted(provider, urls[provider], streams)))
    delays_ms = sorted(delay_ms for stream in told.delays_ms for delay_ms in stream)
    return Read(told.took_s, delays_ms, len(delays_ms), where.sdk.used() - before)


def _by_server(server: Server, provider: str, streams: int) -> Read:
    before, began_s = server.used(), perf_counter()
    readers = loaded(_read_all(server.port, provider, streams))
    took_s = perf_counter() - began_s
    delays_ms = sorted(delay_ms for reader in readers for delay_ms in reader.delays_ms)
    return Read(took_s, delays_ms, sum(reader.chunks for reader in readers), server.used() - before)


async def _read_all(port: int, provider: str, streams: int) -> Sequence[StampReader]:
    # A prompt of its own for each: who asks for what runs already hears that.
    targets = [generate(provider, f"prompt-{next(_numbers)}") for _ in range(streams)]
    readers = [StampReader(target, authorized(number)) for number, target in enumerate(targets)]
    await asyncio.gather(*(read(port, reader) for reader in readers))
    return readers
