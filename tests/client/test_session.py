"""A session on a real server: edits, operations, and what is told of them."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from msgspec.structs import replace

from canvas_server.client import (
    Ack,
    CanvasClient,
    Change,
    ClientError,
    Conflict,
    ExistsError,
    Failure,
    NotFoundError,
    View,
)
from canvas_server.config.settings import LimitSettings
from canvas_server.core.event import Presence
from tests.client.waiting import agree, eventually, first_acks, proxied
from tests.serving import IN_MEMORY, Served, append, serving

TEXT = "# Notes\n\n## Ideas\n\nOne.\n"


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


async def test_events_tell_each_ack_once_and_in_order(served: Served) -> None:
    made = served.canvas("")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.events() as events:
            for number in range(20):
                made.submit(append(f"{number} ", op_id=f"op-x{number}"))
                if number % 5 == 0:
                    proxy.cut()
            heard = [event.op_id async for event in first_acks(events, 20)]
        assert heard == [f"op-x{number}" for number in range(20)]


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
