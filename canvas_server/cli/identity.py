"""The commands about users, tokens and the way in: `canvas-server user`, `token` and `open`.

They change the database itself, with or without a server beside it; a server that runs hears of it within a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, get_args

import click
import msgspec

from canvas_server import browsing
from canvas_server.cli.options import loaded, sourced
from canvas_server.cli.terminal import table
from canvas_server.config import Settings
from canvas_server.core.errors import ExistsError, InvalidFieldError, NotFoundError, StorageUnavailableError
from canvas_server.core.identity import RIGHTS, Right, Role, Token, User, is_last_admin, is_user_name
from canvas_server.core.ids import is_canvas_ref
from canvas_server.core.ports import Clock
from canvas_server.state.identity import Identity
from canvas_server.state.minting import Terms, mint, rights_for

if TYPE_CHECKING:
    from canvas_server.web.identity_bodies import LinkBody

Result = TypeVar("Result")

_ROLES: Final = click.Choice(get_args(Role))
_RIGHTS: Final = click.Choice(list(RIGHTS))
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.group(short_help="Make, list and lock out users.")
def user() -> None:
    """Make, list, change and remove users."""


@user.command("create")
@sourced
@click.argument("name")
@click.option("--role", type=_ROLES, default="writer", show_default=True)
def create_user(file: Path | None, data_dir: str | None, name: str, role: Role) -> None:
    """Make the user NAME; make a token for it with `token create --user NAME`."""
    _check_name(name)

    async def work(identity: Identity, clock: Clock) -> None:
        if identity.user(name) is not None:
            raise ExistsError(f"there is a user {name}", hint="Choose another name, or `user change`.")
        await identity.put_user(User(name=name, role=role, created_unix_ms=clock.now_ms()))

    _change(file, data_dir, work)
    click.echo(f"made {name}, with the role {role}; give out a token: canvas-server token create --user {name}")


@user.command("list")
@sourced
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_users(*, file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """List all users."""
    users = _change(file, data_dir, _users)
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(one) for one in users], indent=2))
        return
    rows = [(one.name, one.role, one.kind, "" if one.active else "locked out") for one in users]
    click.echo(table(("NAME", "ROLE", "KIND", ""), rows))


@user.command("change")
@sourced
@click.argument("name")
@click.option("--role", type=_ROLES)
@click.option("--lock/--unlock", default=None, help="Lock the user out at once, or let the user in again.")
def change_user(*, file: Path | None, data_dir: str | None, name: str, role: Role | None, lock: bool | None) -> None:
    """Change the role of NAME, or lock NAME out; open streams end within a second."""

    async def work(identity: Identity, _clock: Clock) -> None:
        found = _stored_user(identity, name)
        active = found.active if lock is None else not lock
        if (role or found.role) != "admin" or not active:
            _check_admin_is_left(identity, found)
        await identity.put_user(msgspec.structs.replace(found, role=role or found.role, active=active))

    _change(file, data_dir, work)


@user.command("delete")
@sourced
@click.argument("name")
def delete_user(file: Path | None, data_dir: str | None, name: str) -> None:
    """Remove NAME with all tokens; canvases of NAME stay, and are an admin's from then on."""

    async def work(identity: Identity, _clock: Clock) -> None:
        _check_admin_is_left(identity, _stored_user(identity, name))
        await identity.delete_user(name)

    _change(file, data_dir, work)


@click.group(short_help="Make, list and revoke tokens.")
def token() -> None:
    """Make, list and revoke tokens."""


@token.command("create")
@sourced
@click.option("--user", "name", default="local", show_default=True, help="Whose token it is.")
@click.option("--label", default="", help="What it is for.")
@click.option("--right", "rights", type=_RIGHTS, multiple=True, help="What it allows; else all that the role does.")
@click.option("--canvas", "canvases", multiple=True, help="Ref of a canvas it is for; else all.")
@click.option("--expires", metavar="SPAN", help="How long it is good, as 90m, 12h or 30d; else for good.")
@click.option("--ops-per-s", type=click.IntRange(1), help="Operations a second, at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def create_token(  # noqa: PLR0913 - an option each
    *,
    file: Path | None,
    data_dir: str | None,
    name: str,
    label: str,
    rights: tuple[Right, ...],
    canvases: tuple[str, ...],
    expires: str | None,
    ops_per_s: int | None,
    as_json: bool,
) -> None:
    """Make a token and print it: it is shown this once."""
    for ref in canvases:
        if not is_canvas_ref(ref):
            raise InvalidFieldError(f"no canvas can be named {ref!r}", hint="Name it as it stands in its address.")
    terms = Terms(
        label=label,
        canvases=frozenset(canvases) or None,
        lasts_s=None if expires is None else _seconds(expires),
        ops_per_s=ops_per_s,
    )

    async def work(identity: Identity, clock: Clock) -> tuple[str, Token]:
        found = identity.user(name)
        if found is None:
            raise NotFoundError(f"there is no user {name}", hint=f"Make one: canvas-server user create {name}")
        minted = mint(name, rights_for(found.role, rights or None), clock.now_ms(), terms)
        await identity.put_token(minted.token)
        return minted

    secret, made = _change(file, data_dir, work)
    click.echo(json.dumps({"token": secret, "id": made.id, "user": name}) if as_json else secret)


@token.command("list")
@sourced
@click.option("--user", "name", help="Of one user only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_tokens(*, file: Path | None, data_dir: str | None, name: str | None, as_json: bool) -> None:
    """List tokens, without what they are."""
    tokens = [one for one in _change(file, data_dir, _tokens) if name is None or one.user == name]
    if as_json:
        told = [{**msgspec.to_builtins(one), "digest": None} for one in tokens]
        click.echo(
            json.dumps([{key: value for key, value in one.items() if key != "digest"} for one in told], indent=2)
        )
        return
    rows = [
        (
            one.id,
            one.user,
            one.purpose,
            one.label,
            ",".join(sorted(one.rights)),
            ",".join(sorted(one.canvases)) if one.canvases else "all",
            _moment(one.expires_unix_ms) or "never",
            _moment(one.used_unix_ms) or "never",
        )
        for one in tokens
    ]
    click.echo(table(("ID", "USER", "FOR", "LABEL", "RIGHTS", "CANVASES", "EXPIRES", "USED"), rows))


@token.command("revoke")
@sourced
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def revoke_tokens(file: Path | None, data_dir: str | None, ids: tuple[str, ...]) -> None:
    """Revoke tokens by their IDs; what was opened with them ends within a second."""

    async def work(identity: Identity, _clock: Clock) -> None:
        known = {one.id for one in identity.tokens}
        if missing := [one for one in ids if one not in known]:
            raise NotFoundError(f"there is no token {missing[0]}", hint="See `canvas-server token list`.")
        await identity.delete_tokens([one.id for one in identity.tokens if one.id in ids])

    _change(file, data_dir, work)


@click.command("open", short_help="Open the page of a running server, signed in.")
@sourced
@click.option("--user", "name", help="Sign in as this user; else as the person at this machine.")
@click.option("--print", "only_print", is_flag=True, help="Only print the link: it is good once, for ten minutes.")
def open_page(*, file: Path | None, data_dir: str | None, name: str | None, only_print: bool) -> None:
    """Open the page of the server that runs on the data folder; the link signs in once, within ten minutes."""
    settings = loaded(file, {"storage.data_dir": data_dir}).settings
    link = _link(settings, name)
    click.echo(link.url)
    folder = Path(settings.storage.data_dir)
    if not only_print and not browsing.open_page(link.url, folder, browsing.STARTED_S):
        click.echo("hint: no window can be opened here; open the link in a browser", err=True)


def _link(settings: Settings, name: str | None) -> LinkBody:
    import httpx2  # noqa: PLC0415 - only this command asks a server

    from canvas_server.address_file import read_address  # noqa: PLC0415 - as above
    from canvas_server.bootstrap import TOKEN_FILE  # noqa: PLC0415 - as above
    from canvas_server.web.identity_bodies import LinkBody  # noqa: PLC0415 - as above

    data_dir = Path(settings.storage.data_dir)
    address = read_address(data_dir)
    if address is None:
        raise StorageUnavailableError(f"no server runs on {data_dir}", hint="Start it: canvas-server serve --open")
    if not settings.server.auth:
        return LinkBody(address.url, "local", 0)
    try:
        secret = settings.server.token.reveal() or (data_dir / TOKEN_FILE).read_text().strip()
        answer = httpx2.post(
            f"{address.url}/api/v2/links",
            json={} if name is None else {"user": name},
            headers={"Authorization": f"Bearer {secret}"},
            trust_env=False,
            timeout=10,
        )
    except (OSError, httpx2.TransportError) as error:
        raise StorageUnavailableError(
            f"the server of {data_dir} does not answer", hint="See `canvas-server doctor --live`."
        ) from error
    if answer.status_code != 201:
        problem = answer.json()
        raise StorageUnavailableError(f"the server refused: {problem['detail']}", hint=problem["hint"])
    return msgspec.json.decode(answer.content, type=LinkBody)


def _change(file: Path | None, data_dir: str | None, work: Callable[[Identity, Clock], Awaitable[Result]]) -> Result:
    from canvas_server import accounts  # noqa: PLC0415 - half of the server

    return accounts.change_identity(loaded(file, {"storage.data_dir": data_dir}).settings, work)


async def _users(identity: Identity, _clock: Clock) -> list[User]:
    return list(identity.users)


async def _tokens(identity: Identity, _clock: Clock) -> list[Token]:
    return list(identity.tokens)


def _stored_user(identity: Identity, name: str) -> User:
    found = identity.user(name)
    if found is None:
        raise NotFoundError(f"there is no user {name}", hint="See `canvas-server user list`.")
    if identity.is_settled(name):
        raise InvalidFieldError(f"the settings name {name}", hint="Change the settings, then restart the server.")
    return found


def _check_admin_is_left(identity: Identity, user: User) -> None:
    if is_last_admin(user, identity.users):
        raise InvalidFieldError(f"{user.name} is the last admin", hint="Make somebody else an admin first.")


def _check_name(name: str) -> None:
    if not is_user_name(name):
        raise InvalidFieldError(
            f"no user can be named {name!r}",
            hint="Use up to 64 letters, digits, '.', '_' and '-', a letter or digit first.",
        )


def _seconds(span: str) -> int:
    match = _SPAN.fullmatch(span)
    if match is None:
        raise InvalidFieldError(f"{span!r} is no span of time", hint="Write 90m, 12h or 30d.")
    return int(match[1]) * _UNIT_S[match[2]]


def _moment(unix_ms: int | None) -> str:
    return "" if unix_ms is None else datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
