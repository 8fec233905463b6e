"""`GET /api/v2/canvas/{ref}/preview`: what it tells, and what it refuses so that nobody waits for anybody."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings
from canvas_server.core.errors import OverloadedError, TooLargeError
from canvas_server.core.ports import CanvasKey
from canvas_server.core.version import Version
from canvas_server.web.preview.press import Manuscript, Press, PressLimits
from canvas_server.web.preview.process import RenderProcess
from canvas_server.web.preview.worker import WorkerLimits
from tests.serving import IN_MEMORY, Served, append, serving

PATIENCE_S: Final = 30.0
SLOW = "[" * 500_000
"""Takes a quarter of a minute of processor time."""
GROWING = "[a]: https://a.example/" + "b" * 10_000 + "\n\n" + "[a] " * 20_000
"""Becomes two hundred megabytes."""
KEY = CanvasKey(1)


async def manuscript(text: str, seq: int = 0) -> Manuscript:
    return Manuscript(Version(seq, f'W/"{seq}-{"0" * 16}"'), text)


def children() -> set[int]:
    """Return the processes that this one started and that are not gone."""
    told = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    threads = (path / "children" for path in Path("/proc/self/task").iterdir())
    return {int(pid) for path in threads for pid in path.read_text().split()} | set(map(int, told))


async def until(came: Callable[[], bool]) -> None:
    """Wait for what nobody tells: that a process has come, or is gone."""
    while not came():  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_the_preview_is_the_canvas_as_html_with_its_version(served: Served) -> None:
    canvas = served.canvas("# One\n\n<b>two</b>\n")
    answer = served.http.get(f"{canvas.path}/preview")
    assert answer.status_code == 200
    assert answer.json() == {
        "ref": canvas.ref,
        "version": canvas.version,
        "html": "<h1>One</h1>\n<p>&lt;b&gt;two&lt;/b&gt;</p>\n",
    }
    assert answer.headers["ETag"] == canvas.version


def test_a_preview_that_the_client_has_is_not_told_again(served: Served) -> None:
    canvas = served.canvas("one")
    before = canvas.version
    asked = {"If-None-Match": before}
    assert served.http.get(f"{canvas.path}/preview", headers=asked).status_code == 304
    canvas.submit(append(" two"))
    answer = served.http.get(f"{canvas.path}/preview", headers=asked)
    assert answer.json()["html"] == "<p>one two</p>\n"


def test_the_past_can_be_previewed(served: Served) -> None:
    canvas = served.canvas("one")
    first = canvas.version
    canvas.submit(append(" two"))
    newest = served.http.get(f"{canvas.path}/preview").json()
    for at in ("0", first):
        told = served.http.get(f"{canvas.path}/preview", params={"at": at}).json()
        assert (told["version"], told["html"]) == (first, "<p>one</p>\n")
    assert served.http.get(f"{canvas.path}/preview").json() == newest
    assert served.http.get(f"{canvas.path}/preview?at=9").status_code == 404
    assert served.http.get(f"{canvas.path}/preview?at=x").status_code == 422


def test_a_canvas_of_another_name_has_another_preview(served: Served) -> None:
    one, two = served.canvas("one"), served.canvas("two")
    for _ in range(2):
        assert served.http.get(f"{one.path}/preview").json()["html"] == "<p>one</p>\n"
        assert served.http.get(f"{two.path}/preview").json()["html"] == "<p>two</p>\n"


def test_a_text_that_is_too_large_is_refused_and_says_how_large_it_may_be() -> None:
    settings = replace(IN_MEMORY, limits=LimitSettings(preview_bytes_max=1_000))
    with serving(settings) as served:
        assert served.http.get(f"{served.canvas('é' * 500).path}/preview").status_code == 200
        answer = served.http.get(f"{served.canvas('é' * 501).path}/preview")
        assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
        assert "1000 bytes" in answer.json()["detail"]


@pytest.mark.slow
def test_a_text_that_takes_too_long_or_becomes_too_much_is_refused_once_for_all() -> None:
    settings = replace(IN_MEMORY, limits=LimitSettings(preview_cpu_s=1.0))
    with serving(settings) as served:
        slow = served.canvas(SLOW)
        for _ in range(20):
            answer = served.http.get(f"{slow.path}/preview")
            assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
        slow.submit(
            {
                **append(""),
                "action": "delete",
                "target": {"type": "position", "position": {"mode": "range", "from": 5, "to": 499_000}},
                "content": None,
            }
        )


@pytest.mark.slow
async def test_what_becomes_too_much_html_or_takes_too_much_memory_is_refused_and_the_next_text_is_rendered() -> None:
    for limits in (WorkerLimits(20.0, 100_000), WorkerLimits(20.0, 2**31, memory_bytes_max=256 * 1024 * 1024)):
        process = await RenderProcess.start(limits)
        with pytest.raises(TooLargeError):
            await process.render(GROWING.encode())
        await process.stop()
    async with Press(PressLimits(text_bytes_max=600_000)) as press:
        assert isinstance((await press.sheet(KEY, lambda: manuscript(GROWING), is_newest=True)).outcome, TooLargeError)
        assert (await press.sheet(KEY, lambda: manuscript("x", 1), is_newest=True)).html_json == b'"<p>x</p>\\n"'


async def test_a_canvas_is_rendered_once_for_all_who_ask_and_no_two_versions_of_it_at_once() -> None:
    async with Press(PressLimits()) as press:
        texts = iter(range(100))
        taken: list[int] = []

        async def take() -> Manuscript:
            taken.append(next(texts))
            return await manuscript("x", 0)

        sheets = await asyncio.gather(*(press.sheet(KEY, take, is_newest=True) for _ in range(10)))
        assert all(sheet is sheets[0] for sheet in sheets)
        assert taken == list(range(10))
        assert len(children()) >= 1


async def test_too_many_that_wait_are_told_to_come_back() -> None:
    async with Press(PressLimits(waiting_max=3)) as press:
        asked = [
            asyncio.ensure_future(press.sheet(CanvasKey(key), lambda: manuscript("x"), is_newest=True))
            for key in range(5)
        ]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in done[3:]] == [OverloadedError, OverloadedError]
        assert all(not isinstance(one, BaseException) for one in done[:3])


async def test_a_reader_who_leaves_takes_nothing_from_the_others() -> None:
    async with Press(PressLimits()) as press:
        first = asyncio.ensure_future(press.sheet(KEY, lambda: manuscript("x"), is_newest=True))
        second = asyncio.ensure_future(press.sheet(KEY, lambda: manuscript("x"), is_newest=True))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).html_json == b'"<p>x</p>\\n"'


async def test_what_is_kept_is_bounded_and_the_least_asked_for_goes_first() -> None:
    async with Press(PressLimits(kept_bytes_max=3_000)) as press:
        sheets = {}
        for number in (1, 2, 1, 3):
            text = str(number) * 1_000
            sheets[number] = await press.sheet(CanvasKey(number), partial(manuscript, text), is_newest=True)
        kept = await press.sheet(CanvasKey(1), lambda: manuscript("1" * 1_000), is_newest=True)
        assert kept is sheets[1]
        again = await press.sheet(CanvasKey(2), lambda: manuscript("2" * 1_000), is_newest=True)
        assert again is not sheets[2]


async def test_a_look_at_the_past_does_not_cost_the_newest_its_place() -> None:
    async with Press(PressLimits()) as press:
        newest = await press.sheet(KEY, lambda: manuscript("new", 1), is_newest=True)
        await press.sheet(KEY, lambda: manuscript("old", 0), is_newest=False)
        assert await press.sheet(KEY, lambda: manuscript("new", 1), is_newest=True) is newest


async def test_a_process_that_is_killed_from_outside_is_no_fault_of_the_text() -> None:
    before = children()
    process = await RenderProcess.start(WorkerLimits(60.0, 1_000_000))
    rendering = asyncio.ensure_future(process.render(SLOW.encode()))
    await asyncio.sleep(0)
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(OverloadedError):
        await rendering
    await process.stop()
    assert children() - before == set()


async def test_a_process_that_died_while_nobody_needed_it_is_replaced_by_another() -> None:
    before = children()
    async with Press(PressLimits()) as press:
        await press.sheet(KEY, lambda: manuscript("x"), is_newest=True)
        (pid,) = children() - before
        await press.sheet(KEY, lambda: manuscript("y", 1), is_newest=True)
        assert children() - before == {pid}
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: not press._idle[0][0].is_alive)
        assert (await press.sheet(KEY, lambda: manuscript("z", 2), is_newest=True)).html_json == b'"<p>z</p>\\n"'
    assert children() - before == set()


async def test_processes_are_few_and_go_when_there_is_nothing_to_do() -> None:
    before = children()
    async with Press(PressLimits(processes_max=2, idle_s=0.05)) as press:
        keys = map(CanvasKey, range(8))
        await asyncio.gather(*(press.sheet(key, lambda: manuscript("x"), is_newest=True) for key in keys))
        assert len(children() - before) <= 2
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: not children() - before)


@pytest.mark.slow
async def test_what_is_being_rendered_is_cut_off_when_the_server_stops() -> None:
    before = children()
    async with asyncio.timeout(PATIENCE_S), Press(PressLimits(cpu_s=60.0)) as press:
        asked = asyncio.ensure_future(press.sheet(KEY, lambda: manuscript(SLOW), is_newest=True))
        await until(lambda: bool(children() - before))
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert children() - before == set()


async def test_a_process_that_renders_knows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANVAS_OPENAI__API_KEY", "a secret")
    before = children()
    process = await RenderProcess.start(WorkerLimits(5.0, 1_000_000))
    (pid,) = children() - before
    await process.render(b"x")
    environment = environment_of(pid)
    await process.stop()
    assert b"PYTHONPATH" in environment
    assert b"secret" not in environment


def test_a_reader_of_a_bomb_holds_up_no_reader_of_another_canvas() -> None:
    settings = replace(IN_MEMORY, limits=LimitSettings(preview_cpu_s=3.0))
    with serving(settings) as served, ThreadPoolExecutor(1) as pool:
        bomb, calm = served.canvas(SLOW), served.canvas("calm")
        refused = pool.submit(served.http.get, f"{bomb.path}/preview")
        assert served.http.get(f"{calm.path}/preview").status_code == 200
        assert not refused.done()
        assert refused.result().status_code == 413
