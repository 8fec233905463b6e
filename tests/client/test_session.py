"""A session on a real server: edits, operations, streams that break, and what is left when it is closed."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from msgspec.structs import replace

from canvas_server.client import (
    Ack,
    CanvasClient,
    Change,
    ClientError,
    Conflict,
    EndedError,
    ExistsError,
    Failure,
    NotFoundError,
    OperationError,
    UnauthorizedError,
    UnreachableError,
    View,
)
from canvas_server.client.courier import ANSWER_S
from canvas_server.config.settings import LimitSettings
from canvas_server.core.event import Closed, Heartbeat, Presence
from tests.client.fault_proxy import FaultProxy
from tests.serving import IN_MEMORY, Served, append, serving

TEXT = "# Notes\n\n## Ideas\n\nOne.\n"


@asynccontextmanager
async def proxied(served: Served) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(served.port).running() as proxy:
        yield proxy


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not condition():  # noqa: ASYNC110 - of what is looked at, not all tells that it changed
            await asyncio.sleep(0.005)


async def agree(*texts: object) -> None:
    """Wait until sessions show one text."""
    await eventually(lambda: len({str(getattr(text, "text", text)) for text in texts}) == 1)


async def test_an_edit_shows_at_once_and_arrives_at_everybody(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as ada, CanvasClient(served.url) as bob:
        one, other = await ada.open(made.ref), await bob.open(made.ref)
        one.edit([Change(0, 0, "é🙂"), Change(2, 2, "!")])
        assert one.text == "é🙂!" + TEXT
        assert one.pending_count == 1
        other.append("B")
        await one.settled()
        await other.settled()
        await agree(one, other, made.text)
        assert one.text == f"é🙂!{TEXT}B"


async def test_views_told_of_changes_lead_to_the_text(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        views: list[View] = []
        seen = canvas.text
        stop = canvas.on_change(views.append)
        canvas.replace("One.", "Two.")
        made.submit(append("Three."))
        await agree(canvas, TEXT.replace("One", "Two") + "Three.")
        for view in views:
            seen = view.changes.apply(seen)
        assert seen == canvas.text
        assert [view.origin for view in views] == ["local", "remote"]
        stop()
        canvas.append("x")
        assert len(views) == 2


async def test_edits_can_be_told_by_what_they_lead_to(served: Served) -> None:
    async with CanvasClient(served.url) as client:
        canvas = await client.open("made-here", create=True, title="Made", text="a\r\nb")
        assert (canvas.title, canvas.text) == ("Made", "a\nb")
        canvas.set_text("a\r\nc\r")
        assert canvas.text == "a\nc\n"
        canvas.delete(0, 2)
        canvas.insert(0, "d")
        with pytest.raises(ValueError, match="nowhere"):
            canvas.replace("x", "y")
        with pytest.raises(ValueError, match="NUL"):
            canvas.append("\0")
        with pytest.raises(ValueError, match="surrogates"):
            canvas.append("\ud800")
        with pytest.raises(ValueError, match="text of"):
            canvas.insert(99, "x")
        await canvas.settled()
        assert (await client.read("made-here")).text == canvas.text == "dc\n"


async def test_an_operation_gets_its_outcome_and_a_conflict_is_no_exception(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        old = canvas.version
        target = {"type": "heading", "heading": {"path": ["Ideas"]}}
        canvas.append("typed before")
        ack = await canvas.send({"action": "insert", "target": target, "content": "Two."})
        assert isinstance(ack, Ack)
        assert canvas.text == f"{TEXT}typed before\n\nTwo."
        lost = await canvas.send({"action": "delete", "target": target, "client_version": old})
        assert isinstance(lost, Conflict)
        assert lost.reason == "etag_mismatch"
        nowhere = {"type": "heading", "heading": {"path": ["Nowhere"]}}
        first, second = await canvas.send_batch(
            [
                {"action": "delete", "target": nowhere, "scope": "range"},
                {"action": "delete", "target": target, "op_id": "mine"},
            ]
        )
        assert isinstance(first, Failure)
        assert isinstance(second, Conflict)
        assert await canvas.wait(ack.op_id) == ack
        assert await canvas.wait("mine") == second
        assert canvas.problem is None


async def test_one_may_wait_for_an_operation_of_another(served: Served) -> None:
    made = served.canvas(TEXT)
    (before,) = made.submit(append("x"))
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        found = await canvas.wait(before["op_id"])
        assert isinstance(found, Ack)
        waiting = asyncio.ensure_future(canvas.wait("later"))
        made.submit(append("y", op_id="later"))
        assert (await waiting).op_id == "later"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await canvas.wait("never")


async def test_a_request_that_is_refused_raises_and_leaves_the_edits(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        canvas.append("kept")
        with pytest.raises(ClientError) as refused:
            await canvas.send({"action": "insert", "target": "wrong"})
        assert refused.value.code == "INVALID_FIELD"
        assert refused.value.hint
        await canvas.settled()
        assert made.text == TEXT + "kept"


async def test_an_edit_that_the_server_does_not_take_stays_and_is_tried_again() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(canvas_bytes_max=200))) as served:
        made = served.canvas("a" * 150)
        async with CanvasClient(served.url, settle_s=0) as client:
            canvas = await client.open(made.ref)
            canvas.append("b" * 100)
            await eventually(lambda: canvas.problem is not None)
            assert canvas.problem is not None
            assert canvas.problem.code == "CANVAS_TOO_LARGE"
            assert canvas.text == "a" * 150 + "b" * 100
            canvas.delete(0, 100)
            await canvas.settled()
            await eventually(lambda: canvas.problem is None)
            assert made.text == canvas.text == "a" * 50 + "b" * 100


async def test_much_text_goes_in_several_requests(served: Served) -> None:
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        canvas.append("é" * 200_000)
        canvas.edit([Change(3 * n, 3 * n + 1, "x") for n in range(1_000)])
        await canvas.settled()
        assert made.text == canvas.text


async def test_a_thousand_edits_made_while_it_is_away_arrive(served: Served) -> None:
    made = served.canvas("")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        canvas = await client.open(made.ref)
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        for number in range(1_000):
            canvas.append(f"{number} ")
        made.submit(append("from others"))
        proxy.upstream_port = port
        await canvas.settled()
        assert made.text == canvas.text == "from others" + "".join(f"{number} " for number in range(1_000))


@pytest.mark.slow
async def test_connections_that_are_cut_anywhere_lose_and_double_nothing(served: Served) -> None:
    random, made = Random(6), served.canvas("")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as ada, CanvasClient(proxy.url) as bob:
        sessions = [await ada.open(made.ref), await bob.open(made.ref)]
        proxy.budget = lambda: random.choice([None, random.randrange(1_500)])
        proxy.cut()
        typed = [f"<{number}>" for number in range(150)]
        for number, piece in enumerate(typed):
            session = sessions[number % 2]
            session.insert(random.randrange(len(session.text) + 1) if number < 30 else len(session.text), piece)
            await asyncio.sleep(random.choice([0, 0, 0.003]))
        for session in sessions:
            await session.settled()
        await agree(*sessions, made.text)
        assert sorted(made.text) == sorted("".join(typed))
        assert proxy.cuts > 5


async def test_one_stream_tells_of_all_canvases_that_are_open(served: Served) -> None:
    made = [served.canvas(str(number)) for number in range(70)]
    async with CanvasClient(served.url) as client:
        before = served.house.manager.counts.streams
        sessions = [await client.open(canvas.ref) for canvas in made]
        for canvas in made:
            canvas.submit(append("!"))
        for session, canvas in zip(sessions, made, strict=True):
            await agree(session, canvas.text)
        # One that was left may not have been noticed yet.
        await eventually(lambda: served.house.manager.counts.streams == before + 2)
        await sessions[0].aclose()
        with pytest.raises(EndedError):
            sessions[0].append("x")
        again = await client.open(made[0].ref)
        again.append("again")
        await again.settled()


async def test_a_canvas_that_is_deleted_ends_its_session_alone(served: Served) -> None:
    made, other = served.canvas("a"), served.canvas("b")
    async with CanvasClient(served.url) as client:
        canvas, stays = await client.open(made.ref), await client.open(other.ref)
        events = canvas.events()
        waiting = asyncio.ensure_future(canvas.wait("never"))
        await client.delete(made.ref)
        with pytest.raises(EndedError):
            await waiting
        assert canvas.state == "ended"
        assert [type(event).__name__ async for event in events] == ["Deleted"]
        with pytest.raises(EndedError):
            canvas.append("x")
        stays.append("c")
        await stays.settled()
        assert other.text == "bc"


async def test_events_tell_each_ack_once_and_in_order(served: Served) -> None:
    made = served.canvas("")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.events() as events:
            for number in range(20):
                made.submit(append(f"{number} ", op_id=f"op-x{number}"))
                if number % 5 == 0:
                    proxy.cut()
            heard = [event.op_id async for event in _acks(events, 20)]
        assert heard == [f"op-x{number}" for number in range(20)]


async def _acks(events: AsyncIterator[object], count: int) -> AsyncIterator[Ack]:
    while count:
        event = await anext(events)
        if isinstance(event, Ack):
            count -= 1
            yield event


async def test_what_an_agent_wrote_is_taken_back_and_nothing_else(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url, client_id="agent") as client:
        canvas = await client.open(made.ref)
        since = canvas.version
        async with canvas.write_stream("Ideas") as writer:
            await writer.write("From the agent.")
        made.submit(append("From a person."))
        canvas.replace("the agent", "nobody")
        await canvas.settled()
        made.submit(
            {
                "op_id": "inside",
                "action": "insert",
                "target": {"type": "text", "text": {"match": "nobody"}},
                "where": "after",
                "content": "(really)",
                "scope": "range",
            }
        )
        await agree(canvas, made.text)
        await canvas.undo(lambda ack: ack.client_id == "agent", since=since)
        await canvas.settled()
        assert made.text == canvas.text == f"{TEXT[:-1]}(really)\nFrom a person."


async def test_canvases_are_listed_read_and_renamed(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        assert made.ref in {info.ref for info in await client.list()}
        assert len(await client.list(limit=1)) == 1
        assert [heading.title for heading in await client.outline(made.ref)] == ["Notes", "Ideas"]
        assert (await client.section(made.ref, "ideas")).text.startswith("## Ideas")
        made.submit(append("x"))
        assert (await client.read(made.ref, at=0)).text == TEXT
        assert [ack.changes[0].insert for ack in await client.history(made.ref)] == ["x"]
        canvas = await client.open(made.ref)
        await client.rename(made.ref, "Other")
        await eventually(lambda: canvas.title == "Other")
        with pytest.raises(ExistsError):
            await client.create(made.ref)
        with pytest.raises(NotFoundError) as missing:
            await client.open("nowhere")
        assert missing.value.code == "NOT_FOUND"
        with pytest.raises(ClientError, match="is open"):
            await client.open(made.ref)


@pytest.mark.slow
async def test_a_server_that_is_not_there_and_credentials_that_are_not_known_are_told() -> None:
    async with FaultProxy(0).running() as nobody, CanvasClient(nobody.url) as client:
        with pytest.raises(UnreachableError) as unreachable:
            await client.list()
        assert unreachable.value.retryable
    with serving(credentials=True) as served:
        async with CanvasClient(served.url, token="wrong") as client:
            with pytest.raises(UnauthorizedError) as unknown:
                await client.list()
            assert (unknown.value.status, unknown.value.code) == (401, "AUTH_REQUIRED")


async def test_closing_leaves_no_task_and_no_thread(served: Served) -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    client = CanvasClient(served.url)
    async with client:
        canvas = await client.open(served.canvas(TEXT).ref)
        writer = canvas.write_stream()
        await writer.__aenter__()
        await writer.write("never ended")
        canvas.append("sent before it is closed")
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() == threads
    with pytest.raises(ClientError, match="closed"):
        await client.open(canvas.ref)


async def test_leaving_the_block_waits_for_what_was_typed(served: Served) -> None:
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        (await client.open(made.ref)).append("typed last")
    assert made.text == "typed last"


async def test_a_wait_that_is_cancelled_breaks_nothing(served: Served) -> None:
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        task = asyncio.ensure_future(canvas.send(append("a", op_id="cancelled")))
        await asyncio.sleep(0)
        task.cancel()
        assert isinstance(await canvas.wait("cancelled"), Ack)
        canvas.append("b")
        await canvas.settled()
        assert made.text == "ab"


async def test_an_opening_that_cannot_be_written_raises_and_says_what_was_not(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        with pytest.raises(OperationError) as refused:
            async with canvas.write_stream("Nowhere") as writer:
                await writer.write("words")
        assert refused.value.code == "TARGET_NOT_FOUND"
        assert writer.unwritten == "words"
        assert made.text == TEXT


@pytest.mark.slow
async def test_one_that_was_away_for_too_long_reads_what_it_missed(served: Served) -> None:
    made = served.canvas("")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        canvas = await client.open(made.ref)
        events = canvas.events()
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        canvas.append("typed meanwhile")
        for _ in range(12):
            ops = [append("x" * 1_000, scope="range", client_version=made.version) for _ in range(100)]
            assert made.post(*ops).status_code == 202
        made.submit(append("y"))
        proxy.upstream_port = port
        await canvas.settled()
        await agree(canvas, made.text)
        heard = [event async for event in _acks(events, 1_202)]
        assert [ack.server_version for ack in heard] == [ack.server_version for ack in await client.history(made.ref)]


async def test_a_canvas_that_was_made_again_is_shown_with_what_is_typed(served: Served) -> None:
    made = served.canvas("old text")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client, CanvasClient(served.url) as other:
        canvas = await client.open(made.ref)
        canvas.append(", acked")
        await canvas.settled()
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        canvas.append(", typed")
        await other.delete(made.ref)
        await other.create(made.ref, title="Again", text="new text")
        proxy.upstream_port = port
        await canvas.settled()
        assert canvas.text == made.text == "new text, typed"
        assert canvas.title == "Again"


async def test_a_text_that_drifted_is_read_again_and_what_is_typed_stays(served: Served) -> None:
    made = served.canvas("right")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        replica = canvas._canvas.replica
        replica.confirmed = replica.text = "wrong"
        canvas.append("!")
        beat = Heartbeat(canvas=made.ref, server_version=canvas.version, length=5, crc32=zlib.crc32(b"right"))
        canvas._listening.hear(beat)
        await canvas.settled()
        await agree(canvas, made.text, "right!")
        await canvas.live()


async def test_credentials_are_asked_for_again_when_they_are_not_known_any_more() -> None:
    with serving(credentials=True) as served:
        given = iter(["wrong", "wrong too"])
        async with CanvasClient(served.url, token=lambda: next(given)) as client:
            with pytest.raises(UnauthorizedError):
                await client.list()
        assert list(given) == []


async def test_a_canvas_that_was_closed_is_opened_again(served: Served) -> None:
    made = served.canvas("a")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        canvas.append("b")
        await canvas.settled()
        async with canvas.events() as events:
            assert made.http.post(f"{made.path}:close").status_code == 200
            async for event in events:
                if isinstance(event, Closed):
                    break
        canvas.append("c")
        await canvas.settled()
        assert made.text == canvas.text == "abc"


async def test_a_canvas_that_was_deleted_while_it_was_away_ends_its_session_alone(served: Served) -> None:
    made, stays = served.canvas("a"), served.canvas("b")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        gone, canvas = await client.open(made.ref), await client.open(stays.ref)
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        made.http.delete(made.path)
        canvas.append("c")
        proxy.upstream_port = port
        await canvas.settled()
        assert stays.text == "bc"
        with pytest.raises(ClientError):
            await gone.live()
        assert gone.problem is not None
        assert gone.problem.code == "NOT_FOUND"


async def test_where_one_is_is_told_to_others(served: Served) -> None:
    made = served.canvas("abc")
    async with CanvasClient(served.url) as ada, CanvasClient(served.url) as bob:
        events = (await ada.open(made.ref)).events()
        canvas = await bob.open(made.ref)
        await canvas.presence(cursor=1, selection=(1, 2), name="Bob")
        async for event in events:
            if isinstance(event, Presence) and event.client_id == bob.client_id:
                assert (event.cursor, event.name) == (1, "Bob")
                break


async def test_opening_one_canvas_twice_at_once_opens_it_once(served: Served) -> None:
    made = served.canvas("a")
    async with CanvasClient(served.url) as client:
        results = await asyncio.gather(client.open(made.ref), client.open(made.ref), return_exceptions=True)
        assert [isinstance(result, ClientError) for result in results].count(True) == 1


async def test_an_opening_that_is_cancelled_leaves_nothing_open(served: Served) -> None:
    made = served.canvas("a")
    tasks = asyncio.all_tasks()
    async with CanvasClient(served.url) as client:
        for turns in range(0, 60, 3):
            opening = asyncio.ensure_future(client.open(made.ref))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait({opening})
            if not opening.cancelled():
                await opening.result().aclose()
        canvas = await client.open(made.ref)
        canvas.append("b")
        await canvas.settled()
        assert made.text == "ab"
    assert asyncio.all_tasks() == tasks


async def test_names_that_are_long_share_streams_that_any_proxy_lets_through(served: Served) -> None:
    async with CanvasClient(served.url) as client:
        for number in range(40):
            canvas = await client.open(f"{'x' * 124}{number:04}", create=True)
        canvas.append("a")
        await canvas.settled()
        assert len(client._streams) == 3
