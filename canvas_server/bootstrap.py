"""The first way in: the user `local`, the token file in the data folder, and what the server says when it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from canvas_server.config import Settings
from canvas_server.core.data_folder import TOKEN_NAME
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.identity import LOCAL_USER, RIGHTS, RIGHTS_OF, Token, TokenId, User
from canvas_server.core.ports import Clock
from canvas_server.private_file import write_private
from canvas_server.state.identity import Identity, Known
from canvas_server.state.minting import Terms, digest_of, mint

TOKEN_FILE: Final = TOKEN_NAME


def settled(settings: Settings) -> Iterator[Known]:
    """Yield the users and tokens that the settings name."""
    admin = settings.server.token.reveal()
    if admin:
        user = User(name=LOCAL_USER, role="admin")
        yield Known(user, _settled_token(user, admin, "0" * 16))
    for number, (name, actor) in enumerate(settings.actors.items(), 1):
        user = User(name=name, role=actor.role, shown_as=actor.kind)
        yield Known(user, _settled_token(user, actor.token.reveal(), f"{number:016x}"))


async def ensure_local_user(identity: Identity, clock: Clock) -> User:
    """Return the person at this machine, who is an admin; made at the first start."""
    user = identity.user(LOCAL_USER)
    if user is None:
        user = User(name=LOCAL_USER, role="admin", created_unix_ms=clock.now_ms())
        await identity.put_user(user)
    return user


async def ensure_token_file(identity: Identity, clock: Clock, data_dir: Path, user: User) -> Path:
    """Return the file that holds a token for programs of this user of the machine; made new if it is good for nothing.

    Raises:
        StorageUnavailableError: it cannot be written.
    """
    path = data_dir / TOKEN_FILE
    try:
        known = identity.find(digest_of(path.read_text().strip()))
    except (OSError, UnicodeDecodeError):
        known = None
    if known is None:
        old = [token.id for token in identity.tokens if token.purpose == "file"]
        minted = mint(
            user.name, RIGHTS_OF[user.role] - {"unmetered"}, clock.now_ms(), Terms(purpose="file", label=TOKEN_FILE)
        )
        await identity.delete_tokens(old)
        await identity.put_token(minted.token)
        _write(path, minted.secret)
    return path


def _write(path: Path, secret: str) -> None:
    try:
        write_private(path, f"{secret}\n".encode())
    except OSError as error:
        raise StorageUnavailableError(
            f"{path} cannot be written: {error.strerror}", hint="Make the data folder writable."
        ) from error


def _settled_token(user: User, secret: str, name: str) -> Token:
    return Token(
        id=TokenId(name),
        digest=digest_of(secret),
        user=user.name,
        purpose="settings",
        rights=frozenset(RIGHTS),
        created_unix_ms=0,
    )
