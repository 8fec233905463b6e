"""What the server does not take: nothing of it is lost, and nothing is there twice."""

from __future__ import annotations

import asyncio
import zlib

import httpx2
import pytest
from msgspec.structs import replace

from canvas_server.client import Ack, CanvasClient, Change, ClientError, Conflict, courier
from canvas_server.client.session import CanvasSession
from canvas_server.config.settings import LimitSettings
from canvas_server.core.event import Closed, Event, Failure, Heartbeat, Start
from canvas_server.core.limits import Limits
from tests.client.meddling import Meddling, Pass, lost, refused
from tests.client.waiting import PATIENCE_S, agree, eventually
from tests.serving import IN_MEMORY, Canvas, Served, append, serving

SMALL = replace(IN_MEMORY, limits=LimitSettings(canvas_bytes_max=200))


async def check(made: Canvas, session: CanvasSession, text: str) -> None:
    """All is there once, here and at the server."""
    session.retry()
    await session.settled()
    await agree(session, made.text, text)


async def test_a_full_canvas_takes_what_makes_room_before_what_needs_it() -> None:
    """Edits were sent in the order of the text: an insertion at the beginning was refused again and again, though the
    deletion at the end, made to give it room, stood behind it in the same request.
    """
    with serving(SMALL) as served:
        made = served.canvas("a" * 100 + "c" * 90)
        async with CanvasClient(served.url) as client:
            canvas = await client.open(made.ref)
            canvas.insert(0, "b" * 100)
            await eventually(lambda: canvas.problem is not None)
            canvas.delete(200, 290)
            async with asyncio.timeout(PATIENCE_S):
                await canvas.settled()
            assert made.text == canvas.text == "b" * 100 + "a" * 100
            assert canvas.problem is None


async def test_much_that_is_replaced_in_a_full_canvas_makes_room_first() -> None:
    """So many changes that they go in several requests."""
    with serving(replace(IN_MEMORY, limits=LimitSettings(canvas_bytes_max=2_000, ops_max=3))) as served:
        text = "a" * 1_000 + ".x" * 500
        made = served.canvas(text)
        async with CanvasClient(served.url) as client:
            canvas = await client.open(made.ref)
            canvas.edit([Change(0, 0, "b" * 40), *(Change(1_041 + n, 1_042 + n, "") for n in range(40))])
            async with asyncio.timeout(PATIENCE_S):
                await canvas.settled()
            assert made.text == canvas.text


async def test_a_given_operation_overtakes_edits_that_are_not_taken() -> None:
    """It waited behind them for ever, though it would have made the room that they needed."""
    with serving(SMALL) as served:
        made = served.canvas("a" * 150)
        async with CanvasClient(served.url) as client:
            canvas = await client.open(made.ref)
            canvas.append("b" * 100)
            await eventually(lambda: canvas.problem is not None)
            position = {"mode": "range", "from": 0, "to": 100}
            async with asyncio.timeout(PATIENCE_S):
                ack = await canvas.send(
                    {"action": "delete", "scope": "range", "target": {"type": "position", "position": position}}
                )
                assert isinstance(ack, Ack)
                canvas.retry()
                await canvas.settled()
            assert made.text == canvas.text == "a" * 50 + "b" * 100


async def test_edits_around_an_operation_that_overtook_them_are_one_again() -> None:
    with serving(SMALL) as served:
        made = served.canvas("a" * 150)
        async with CanvasClient(served.url) as client:
            canvas = await client.open(made.ref)
            canvas.append("b" * 100)
            sending = asyncio.ensure_future(canvas.send({**append("c"), "scope": "range", "client_version": 'W/"0-0"'}))
            await asyncio.sleep(0)
            canvas.delete(0, 100)
            assert isinstance(await sending, Conflict)
            async with asyncio.timeout(PATIENCE_S):
                await check(made, canvas, "a" * 50 + "b" * 100)


async def test_what_follows_a_refused_operation_of_a_request_is_not_sent_alone(served: Served) -> None:
    """The stream was lost between the two answers, and the history tells of no conflicts: the second operation of the
    request was sent again by itself, and applied, as if the first had been.
    """
    made = served.canvas("abc")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        hear = canvas._listening.hear

        def hear_no_conflict(event: object) -> None:
            if isinstance(event, Failure):
                hear(event)
                canvas._listening.cut_off(None)

        canvas._listening.hear = hear_no_conflict  # type: ignore[method-assign]
        nowhere = {"type": "heading", "heading": {"path": ["Nowhere"]}}
        ops = [{"action": "delete", "target": nowhere, "scope": "range"}, append("d", scope="range")]
        sending = asyncio.ensure_future(canvas.send_batch(ops))
        await eventually(lambda: not canvas.is_connected)
        await asyncio.to_thread(lambda: made.text)
        canvas._listening.hear = hear  # type: ignore[method-assign]
        hear(a_start(canvas))
        async with asyncio.timeout(PATIENCE_S):
            first, second = await sending
        assert isinstance(first, Failure)
        assert isinstance(second, Conflict)
        assert second.reason == "not_executed"
        await canvas.live()
        assert made.text == "abc"


def a_start(canvas: CanvasSession) -> Start:
    """Return what begins a stream that could not go on where the last one broke off."""
    return Start(
        canvas=canvas.ref,
        server_version=canvas.version,
        checkpoint_version=canvas.version,
        client_id="",
        unit="codepoint",
        limits=Limits(),
        heartbeat_ms=15_000,
        resumed=False,
    )


async def test_an_edit_does_not_cut_short_how_long_the_server_asks_to_wait(served: Served) -> None:
    made, transport = served.canvas("a"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            return refused(429, "RATE_LIMITED", 3) if number == 1 else await pass_on()

        transport.meddle = meddle
        canvas.append("b")
        await eventually(lambda: canvas.problem is not None)
        started = asyncio.get_running_loop().time()
        for _ in range(20):
            canvas.append("c")
            await asyncio.sleep(0.01)
        assert len(transport.posts) == 1
        await check(made, canvas, "ab" + "c" * 20)
        assert asyncio.get_running_loop().time() - started > 2.0


async def test_what_has_no_outcome_is_asked_about_though_others_are_never_silent(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time was measured from what was heard last, so on a lively canvas it never came."""
    monkeypatch.setattr(courier, "ANSWER_S", 0.3)
    made = served.canvas("a")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        hear, dropped = canvas._listening.hear, list[object]()

        def hear_but_one(event: Event) -> None:
            if isinstance(event, Conflict) and not dropped:
                dropped.append(event)
            else:
                hear(event)

        canvas._listening.hear = hear_but_one  # type: ignore[method-assign]
        old = {**append("b", op_id="unheard"), "client_version": canvas.version}
        made.submit(append("c"))
        sending = asyncio.ensure_future(canvas.send(old))
        for _ in range(100):
            made.submit(append("."))
            await asyncio.sleep(0.02)
            if sending.done():
                break
        assert isinstance(sending.result(), Conflict)
        assert dropped


async def test_a_canvas_that_is_closed_while_something_is_on_its_way_takes_it(served: Served) -> None:
    made, transport = served.canvas("a"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)
        events = canvas.events()

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            if number == 1:
                assert made.http.post(f"{made.path}:close").status_code == 200
            return await pass_on()

        transport.meddle = meddle
        canvas.append("b")
        async for event in events:
            if isinstance(event, Closed):
                break
        canvas.append("c")
        async with asyncio.timeout(PATIENCE_S):
            await canvas.settled()
        assert made.text == canvas.text == "abc"


async def test_a_text_that_is_read_anew_may_hold_what_is_on_its_way(served: Served) -> None:
    """It drifted, and what was under way had been applied already when the text was read: what was deleted of it
    meanwhile came back.
    """
    made, transport = served.canvas("right"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)
        replica, hear = canvas._canvas.replica, canvas._listening.hear
        replica.confirmed = replica.text = "wrong"

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            return await lost(pass_on) if number == 1 else await pass_on()

        transport.meddle = meddle
        canvas._listening.hear = lambda event: None  # type: ignore[method-assign]
        canvas.append("bcd")
        await eventually(lambda: made.text == "rightbcd")
        canvas._listening.hear = hear  # type: ignore[method-assign]
        canvas.delete(6, 7)
        hear(Heartbeat(canvas=made.ref, server_version=canvas.version, length=5, crc32=zlib.crc32(b"right")))
        await check(made, canvas, "rightbd")


async def test_an_ack_that_lies_outside_the_text_has_it_read_anew(served: Served) -> None:
    """The stream ended with the error, and nothing was heard any more, of no canvas."""
    made = served.canvas("a long text")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        replica = canvas._canvas.replica
        replica.confirmed = replica.text = "a"
        made.submit(append("!"))
        await agree(canvas, "a long text!")
        canvas.append("?")
        await check(made, canvas, "a long text!?")


async def test_a_mistake_of_who_looks_at_the_text_ends_nothing(served: Served) -> None:
    """The stream of all canvases ended with it, without a word, and nothing was heard any more."""
    made = served.canvas("a")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        canvas.on_change(lambda _view: 1 / 0)  # type: ignore[arg-type]
        made.submit(append("b"))
        await agree(canvas, "ab")
        canvas.append("c")
        await check(made, canvas, "abc")


async def test_a_token_that_cannot_be_had_for_a_while_ends_nothing(served: Served) -> None:
    """Whatever the function raised that is to give it ended the stream, and the session with it."""
    made, is_down = served.canvas("a"), True

    def token() -> None:
        if is_down:
            raise ZeroDivisionError

    async with CanvasClient(served.url, token=token) as client:
        with pytest.raises(ClientError, match="no token"):
            await client.list(limit=1)
        is_down = False
        canvas = await client.open(made.ref)
        client._connection._known, is_down = None, True
        canvas._stream.renew()
        canvas.append("b")
        await eventually(lambda: canvas.problem is not None)
        is_down = False
        await check(made, canvas, "ab")


async def test_text_of_any_size_and_plane_arrives_in_requests_that_are_taken(served: Served) -> None:
    made, transport = served.canvas("🙂é🙂"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)
        transport.meddle = lambda _number, pass_on: pass_on()
        paste = "🙂" * 65_535 + "e\u0301🇫🇷\U0010ffff" * 20_000
        canvas.insert(1, paste)
        canvas.edit([Change(n, n + 1, "👩‍👩‍👧") for n in (0, 65_535, 65_536, len(canvas.text) - 2)])
        await canvas.settled()
        assert made.text == canvas.text
        assert len(transport.posts) >= 3
        assert max(map(len, transport.posts)) < 1024 * 1024
