"""`canvas-server tail`: what happens to a canvas, line by line, as it happens."""

from __future__ import annotations

import asyncio
import errno
import select
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import click
import msgspec

from canvas_server.cli.asking import ask, check_ref
from canvas_server.cli.endings import EXIT_INTERRUPTED
from canvas_server.cli.past import read_past
from canvas_server.cli.reaching import example, reaching
from canvas_server.cli.terminal import moment, note, one_line
from canvas_server.cli.told import Deed, Follower, line_of
from canvas_server.core.event import Ack, CheckpointFailed, Closed, Deleted, Presence, TitleChanged

if TYPE_CHECKING:
    from canvas_server.cli.asking import Asked
    from canvas_server.client.events import EventStream
    from canvas_server.client.session import CanvasSession
    from canvas_server.core.event import Event

_LOOK_S: Final = 0.5
"""How often it is looked whether the server is there, and whether anybody reads."""


@click.command(short_help="Watch what happens to a canvas, live.", epilog=example("canvas-server tail notes -n 5"))
@click.argument("ref")
@click.option("-n", "past", type=click.IntRange(0, 10_000), default=0, metavar="N", help="First the last N operations.")
@click.option("--json", "as_json", is_flag=True, help="Every event as the server tells it, a JSON object a line.")
@reaching
def tail(*, ref: str, past: int, as_json: bool) -> None:
    """Show who writes what in canvas REF, and who comes and goes, until Ctrl-C or until the canvas is gone."""
    check_ref(ref)
    try:
        ask(lambda asked: _watched(asked, ref, past, as_json=as_json))
    except KeyboardInterrupt:
        # That is how it ends: nothing to complain about.
        click.get_current_context().exit(EXIT_INTERRUPTED)


async def _watched(asked: Asked, ref: str, count: int, *, as_json: bool) -> None:
    canvas = await asked.client.open(ref)
    events = canvas.events()
    follower = Follower(canvas.confirmed_text, canvas.version)
    shown: set[str] = set()
    if count:
        past = await read_past(asked.client, ref, count)
        follower, shown = past.follower, {deed.ack.server_version for deed in past.deeds}
        for deed in past.deeds:
            click.echo(msgspec.json.encode(deed.ack) if as_json else line_of(deed, is_named=False))
    lines = _Lines(canvas, follower)
    async with aclosing(_living(canvas, events)) as living:
        async for event in living:
            if isinstance(event, Ack) and event.server_version in shown:
                continue
            if as_json:
                click.echo(msgspec.json.encode(event))
            else:
                lines.show(event)


async def _living(canvas: CanvasSession, events: EventStream) -> AsyncGenerator[Event]:
    """Yield what is told; say meanwhile when the server is gone or back, and stop when nobody reads."""
    is_live = True
    arriving = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait({arriving}, timeout=_LOOK_S)
            if done:
                event = arriving.result()
                if event is None:
                    return
                yield event
                arriving = asyncio.ensure_future(anext(events, None))
            elif _is_unread():
                raise BrokenPipeError(errno.EPIPE, "nobody reads")
            if canvas.state in ("live", "offline") and is_live != (canvas.state == "live"):
                is_live = not is_live
                note("the server is back" if is_live else "the server does not answer; waiting for it")
    finally:
        arriving.cancel()


def _is_unread() -> bool:
    """Tell whether stdout is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(flags & (select.POLLERR | select.POLLHUP) for _, flags in poll.poll(0))


class _Lines:
    """Shows events to a person."""

    def __init__(self, canvas: CanvasSession, follower: Follower) -> None:
        self._canvas = canvas
        self._follower = follower
        self._present: dict[str | None, str | None] = {}

    def show(self, event: Event) -> None:
        """Show an event; what only programs want to know is left out."""
        match event:
            case Ack():
                if not isinstance(event.duplicate, bool):
                    click.echo(line_of(self._deed(event), is_named=False))
            case Presence():
                self._present_is(event)
            case TitleChanged(title=title, actor=actor):
                _say(f"{actor} gave it the title {title}")
            case Deleted(actor=actor):
                _say(f"{actor} deleted it")
            case Closed():
                _say("it was closed")
            case CheckpointFailed():
                _say("the server cannot save it, and keeps trying")
            case _:
                pass

    def _deed(self, ack: Ack) -> Deed:
        try:
            return self._follower.follow(ack)
        except ValueError:
            # Something was missed; it is followed again from what is known now.
            self._follower = Follower(self._canvas.confirmed_text, self._canvas.version)
            return Deed(ack, (), "".join(splice.insert for splice in ack.changes), "")

    def _present_is(self, event: Presence) -> None:
        name = event.name or event.actor
        if not event.ttl_ms:
            if event.client_id in self._present:
                del self._present[event.client_id]
                _say(f"{name} left")
        elif event.client_id not in self._present or self._present[event.client_id] != event.section:
            self._present[event.client_id] = event.section
            _say(f"{name} is {f'in #{event.section}' if event.section else 'here'}")


def _say(text: str) -> None:
    click.echo(click.style(f"{'':6}  {moment(time.time_ns() // 1_000_000)}  {one_line(text)}", dim=True))
