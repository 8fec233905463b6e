"""The commands that look back: `canvas-server history` and `undo`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import msgspec

from canvas_server.cli.asking import ask, check_ref
from canvas_server.cli.endings import NotDoneError
from canvas_server.cli.past import read_past, seq_named
from canvas_server.cli.reaching import example, reaching
from canvas_server.cli.terminal import hint, note
from canvas_server.cli.told import Deed, joined, line_of
from canvas_server.cli.undoing import Selector, TakenBack, chosen, take_back
from canvas_server.core.version import seq_of

if TYPE_CHECKING:
    from canvas_server.cli.asking import Asked

_OPS_A_LINE: Final = 25
"""Operations that are read for each line that is wanted: a job makes one of every word or two."""
_LOOKED_THROUGH: Final = 10_000
"""Operations; a canvas keeps no more in memory."""


@click.command(short_help="Show who wrote what, newest first.", epilog=example("canvas-server history notes --limit 5"))
@click.argument("ref")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many lines, at most.")
@click.option("--before", metavar="VERSION", help="Only what came before this version: pages back.")
@click.option("--after", metavar="VERSION", help="Only what came after this version.")
@click.option("--each", is_flag=True, help="Each operation on a line; else what was streamed at once is on one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of acks, with `section` and `removed`.")
@reaching
def history(*, ref: str, limit: int, before: str | None, after: str | None, each: bool, as_json: bool) -> None:
    """Show the operations on canvas REF, newest first: version, moment, author, section, what it did, op_id."""
    check_ref(ref)
    from_, to = seq_named(after), seq_named(before)
    is_joined = not (each or as_json)
    count = limit * _OPS_A_LINE if is_joined else limit
    past = ask(lambda asked: read_past(asked.client, ref, count, from_, to))
    if as_json:
        click.echo(json.dumps([as_object(deed) for deed in reversed(past.deeds)], indent=2))
        return
    deeds = (joined(past.deeds) if is_joined else past.deeds)[-limit:]
    for deed in reversed(deeds):
        click.echo(line_of(deed))
    oldest = (seq_of(deeds[0].ack.server_version) or 0) - deeds[0].ops + 1 if deeds else 0
    if not deeds:
        note("nothing was written there")
    elif oldest > max(from_ or 0, past.begins) + 1:
        hint(f"Older ones: --before {oldest}")


def as_object(deed: Deed) -> dict[str, object]:
    """Return an operation as JSON: its ack, and what the ack does not say."""
    told: dict[str, object] = msgspec.to_builtins(deed.ack)
    return {**told, "section": list(deed.section), "removed": deed.removed}


@click.command(
    short_help="Take back what you, an agent or a job wrote.",
    epilog=example("canvas-server undo notes --by summarizer --dry-run"),
)
@click.argument("ref")
@click.option("--by", "actor", metavar="ACTOR", help="What ACTOR wrote, as `history` names it; all of it.")
@click.option("--job", metavar="JOB", help="What a job of generation wrote; all of it.")
@click.option("--op", "op_id", metavar="OP_ID", help="This operation.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="The last N of them; of your own 1 if not said.")
@click.option("--after", metavar="VERSION", help="Only what came after this version.")
@click.option("--dry-run", is_flag=True, help="Show what would be taken back, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@reaching
def undo(  # noqa: PLR0913 - one for each option
    *,
    ref: str,
    actor: str | None,
    job: str | None,
    op_id: str | None,
    last: int | None,
    after: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take back your last operation on canvas REF, or what the options select; what others wrote since stays."""
    check_ref(ref)
    selector, from_ = Selector(actor, job, op_id, last), seq_named(after)
    if sum(one is not None for one in (selector.actor, selector.job, selector.op_id)) > 1:
        raise click.UsageError("choose --by, --job or --op")

    async def work(asked: Asked) -> _Undone:
        past = await read_past(asked.client, ref, _LOOKED_THROUGH, from_)
        deeds = chosen(past.deeds, await selector.settled(asked.connection))
        if not deeds:
            raise NotDoneError("there is nothing to undo", hint=f"`canvas-server history {ref}` shows who wrote what.")
        return _Undone(deeds, None if dry_run else await take_back(asked, ref, past, deeds))

    deeds, outcome = ask(work)
    if as_json:
        undone = [deed.ack.op_id for deed in deeds]
        told = {"ref": ref, "dry_run": dry_run, "undone": undone, "version": outcome and outcome.version}
        click.echo(json.dumps({**told, "changed": outcome is not None and outcome.is_changed}))
        return
    for deed in reversed(joined(deeds)):
        click.echo(line_of(deed))
    note(_in_words(len(deeds), outcome))


class _Undone(NamedTuple):
    deeds: list[Deed]
    outcome: TakenBack | None


def _in_words(count: int, outcome: TakenBack | None) -> str:
    operations = "1 operation" if count == 1 else f"{count} operations"
    if outcome is None:
        return f"{operations} would be taken back"
    if not outcome.is_changed:
        return f"nothing was left of {operations}"
    return f"{operations} taken back; the canvas is at version {seq_of(outcome.version)}"
