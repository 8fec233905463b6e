"""Users and tokens kept in SQL, in a file or in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from functools import partial
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.identity import Identities, Purpose, Right, Role, Token, TokenId, User
from canvas_server.storage.failures import DamageError
from canvas_server.storage.transactions import Transactions

_SELECT_USERS: Final = "SELECT name, role, active, created_unix_ms FROM user ORDER BY created_unix_ms, name"
_COLUMNS: Final = """
    id, digest, user, purpose, label, rights, canvases, ops_per_s, parent, created_unix_ms, expires_unix_ms,
    used_unix_ms
"""
_SELECT_TOKENS: Final = f"SELECT {_COLUMNS} FROM token ORDER BY created_unix_ms, id"  # noqa: S608 - a constant
_PUT_USER: Final = """
    INSERT INTO user (name, role, active, created_unix_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET role = excluded.role, active = excluded.active
"""
_PUT_TOKEN: Final = f"""
    INSERT OR REPLACE INTO token ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - a constant
_DELETE_TOKENS: Final = """
    WITH RECURSIVE gone (id) AS (SELECT ? UNION SELECT token.id FROM token JOIN gone ON token.parent = gone.id)
    DELETE FROM token WHERE id IN gone
"""
_NOTE_USED: Final = "UPDATE token SET used_unix_ms = ?2 WHERE id = ?1 AND ifnull(used_unix_ms, 0) < ?2"

_encode: Final = msgspec.json.Encoder().encode


class _UserValues(NamedTuple):
    """A row of `user`, in the order of its columns."""

    name: str
    role: Role
    active: int
    created_unix_ms: int


class _TokenValues(NamedTuple):
    """A row of `token`, in the order of its columns."""

    id: str
    digest: str
    user: str
    purpose: Purpose
    label: str
    rights: str
    canvases: str | None
    ops_per_s: int | None
    parent: str | None
    created_unix_ms: int
    expires_unix_ms: int | None
    used_unix_ms: int | None


_decode_rights: Final = msgspec.json.Decoder(frozenset[Right]).decode
_decode_canvases: Final = msgspec.json.Decoder(frozenset[str]).decode


class SqliteIdentityStore:
    """The `IdentityStore`; every method is one transaction.

    Args:
        transactions: open, and left open.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def load(self) -> Identities:
        """Read all of it."""
        return await self._transactions.read(_load)

    async def count(self) -> int:
        """Read `Identities.count` only."""
        return await self._transactions.read(_count)

    async def put_user(self, user: User) -> None:
        """Store a user, in place of one of that name."""
        values = _UserValues(user.name, user.role, user.active, user.created_unix_ms)
        await self._change(_PUT_USER, [values])

    async def delete_user(self, name: str) -> None:
        """Remove a user with all tokens."""
        await self._transactions.write(partial(_delete_user, name=name))

    async def put_token(self, token: Token) -> None:
        """Store a token, in place of one with that id."""
        await self._change(_PUT_TOKEN, [_values_of(token)])

    async def delete_tokens(self, ids: Collection[TokenId]) -> None:
        """Remove tokens, those whose parents they are, and so on."""
        await self._change(_DELETE_TOKENS, [(one,) for one in ids])

    async def note_used(self, used_unix_ms: Mapping[TokenId, int]) -> None:
        """Store when tokens were last seen."""
        rows = list(used_unix_ms.items())

        def note(connection: sqlite3.Connection) -> None:
            connection.executemany(_NOTE_USED, rows)

        await self._transactions.write(note)

    async def _change(self, statement: str, rows: Collection[tuple[object, ...]]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, rows)
            _grow(connection)

        await self._transactions.write(change)


def _load(connection: sqlite3.Connection) -> Identities:
    try:
        users = tuple(_user_of(_UserValues._make(row)) for row in connection.execute(_SELECT_USERS))
        tokens = tuple(_token_of(_TokenValues._make(row)) for row in connection.execute(_SELECT_TOKENS))
    except msgspec.MsgspecError as error:
        raise DamageError("a user or a token cannot be read") from error
    return Identities(users, tokens, _count(connection))


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count FROM identity_count").fetchone()[0])


def _delete_user(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("DELETE FROM token WHERE user = ?", (name,))
    connection.execute("DELETE FROM user WHERE name = ?", (name,))
    _grow(connection)


def _grow(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE identity_count SET count = count + 1")


def _user_of(row: _UserValues) -> User:
    values = {**row._asdict(), "active": bool(row.active)}
    return msgspec.convert(values, User)


def _token_of(row: _TokenValues) -> Token:
    return Token(
        id=TokenId(row.id),
        digest=row.digest,
        user=row.user,
        purpose=row.purpose,
        label=row.label,
        rights=_decode_rights(row.rights),
        canvases=None if row.canvases is None else _decode_canvases(row.canvases),
        ops_per_s=row.ops_per_s,
        parent=None if row.parent is None else TokenId(row.parent),
        created_unix_ms=row.created_unix_ms,
        expires_unix_ms=row.expires_unix_ms,
        used_unix_ms=row.used_unix_ms,
    )


def _values_of(token: Token) -> _TokenValues:
    return _TokenValues(
        token.id,
        token.digest,
        token.user,
        token.purpose,
        token.label,
        _encode(sorted(token.rights)).decode(),
        None if token.canvases is None else _encode(sorted(token.canvases)).decode(),
        token.ops_per_s,
        token.parent,
        token.created_unix_ms,
        token.expires_unix_ms,
        token.used_unix_ms,
    )
