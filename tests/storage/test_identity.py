"""Users and tokens in SQL, in a file and in memory, and the list of canvases by what a user may see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from canvas_server.core.access import Access
from canvas_server.core.errors import StorageCorruptError
from canvas_server.core.identity import RIGHTS_OF, Token, TokenId, User
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey, CanvasStore, SavedText
from canvas_server.core.version import genesis
from canvas_server.state.minting import Terms, mint
from canvas_server.storage.canvases import SqliteCanvasStore, open_store
from canvas_server.storage.database import open_database
from canvas_server.storage.identity import SqliteIdentityStore
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.storage.transactions import open_memory

ANN = User(name="ann", role="admin", created_unix_ms=1)
BOB = User(name="bob", role="reader", created_unix_ms=2)


@pytest.fixture(params=["file", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteIdentityStore]:
    async with AsyncExitStack() as stack:
        if request.param == "file":
            yield SqliteIdentityStore(await stack.enter_async_context(open_database(tmp_path)))
        else:
            yield SqliteIdentityStore(await stack.enter_async_context(open_memory()))


def token(user: str, terms: Terms | None = None, now_unix_ms: int = 5) -> Token:
    return mint(user, RIGHTS_OF["reader"], now_unix_ms, terms or Terms()).token


async def test_users_and_tokens_come_back_as_they_were_put_the_oldest_first(store: SqliteIdentityStore) -> None:
    terms = Terms(
        purpose="session", label="a «label»", canvases=frozenset({"x", "y"}), lasts_s=2.5, parent=TokenId("f" * 16)
    )
    tokens = [token("ann", terms), token("bob", now_unix_ms=6), token("ann", Terms(ops_per_s=3), now_unix_ms=7)]
    for user in (BOB, ANN):
        await store.put_user(user)
    for one in reversed(tokens):
        await store.put_token(one)
    read = await store.load()
    assert read.users == (ANN, BOB)
    assert list(read.tokens) == tokens


async def test_the_count_grows_with_each_change_and_not_with_a_look(store: SqliteIdentityStore) -> None:
    one = token("ann")
    counts = [await store.count()]
    for change in (
        store.put_user(ANN),
        store.put_user(replace(ANN, active=False)),
        store.put_token(one),
        store.delete_tokens([one.id]),
        store.delete_user("ann"),
    ):
        await change
        counts.append(await store.count())
    assert counts == sorted(set(counts))
    await store.note_used({one.id: 99})
    assert await store.count() == (await store.load()).count == counts[-1]


async def test_a_user_who_is_put_again_is_changed_and_keeps_the_day_it_was_made(store: SqliteIdentityStore) -> None:
    await store.put_user(ANN)
    await store.put_user(User(name="ann", role="agent", active=False, created_unix_ms=77))
    assert (await store.load()).users == (User(name="ann", role="agent", active=False, created_unix_ms=1),)


async def test_a_user_who_is_deleted_takes_all_tokens_along_and_none_of_others(store: SqliteIdentityStore) -> None:
    for one in (token("ann"), token("ann"), token("bob")):
        await store.put_token(one)
    await store.put_user(ANN)
    await store.delete_user("ann")
    await store.delete_user("nobody")
    read = await store.load()
    assert (read.users, [one.user for one in read.tokens]) == ((), ["bob"])


async def test_a_token_that_is_deleted_takes_all_that_was_made_with_it_along(store: SqliteIdentityStore) -> None:
    session = token("ann")
    cookie = token("ann", Terms(parent=session.id))
    of_cookie = token("ann", Terms(parent=cookie.id))
    other = token("ann", Terms(parent=TokenId("e" * 16)))
    ring = token("ann")
    ring = replace(ring, parent=ring.id)
    for one in (session, cookie, of_cookie, other, ring):
        await store.put_token(one)
    await store.delete_tokens([session.id, ring.id])
    assert (await store.load()).tokens == (other,)
    await store.delete_tokens([session.id])
    await store.delete_tokens([])


async def test_when_a_token_was_seen_goes_forward_only(store: SqliteIdentityStore) -> None:
    one = token("ann")
    await store.put_token(one)
    for seen in (50, 40):
        await store.note_used({one.id: seen, TokenId("d" * 16): seen})
    assert (await store.load()).tokens == (replace(one, used_unix_ms=50),)


@pytest.mark.parametrize(
    "damage",
    [
        """UPDATE token SET rights = '["read", "root"]'""",
        "UPDATE token SET rights = 'x'",
        "UPDATE token SET canvases = '{}'",
        "UPDATE user SET role = 'god'",
    ],
)
async def test_what_is_damaged_is_an_error_and_never_a_right(tmp_path: Path, damage: str) -> None:
    async with open_database(tmp_path) as database:
        store = SqliteIdentityStore(database)
        await store.put_user(ANN)
        await store.put_token(token("ann"))
        await database.write(lambda connection: connection.execute(damage).close())
        with pytest.raises(StorageCorruptError):
            await store.load()


async def test_a_token_is_nowhere_in_the_files_in_clear(tmp_path: Path) -> None:
    minted = mint("ann", RIGHTS_OF["admin"], 1)
    async with open_database(tmp_path) as database:
        await SqliteIdentityStore(database).put_token(minted.token)
        files = await asyncio.to_thread(_bytes_in, tmp_path)
    assert minted.token.digest.encode() in files
    assert minted.secret.encode() not in files
    assert minted.secret.removeprefix("cvs_").encode() not in files


def _bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


NAMES = ("ann", "bob", "a.b", "0", "Ann", "annx", "$", "owner", "link", "shared")
ACCESSES = st.builds(
    Access,
    owner=st.none() | st.sampled_from(NAMES),
    link=st.sampled_from(["none", "read", "write"]),
    shared=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["read", "write"]), max_size=4),
)


async def _listed(store: CanvasStore, user: str | None, limit: int, mine: frozenset[CanvasRef]) -> list[CanvasRef]:
    found: list[CanvasRef] = []
    before: CanvasKey | None = None
    while True:
        page = await store.list(limit, before, user)
        assert len(page.canvases) <= limit
        found += [saved.ref for saved in page.canvases if saved.ref in mine]
        if page.next_key is None:
            return found
        before = page.next_key


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(accesses=st.lists(ACCESSES, max_size=8), limit=st.integers(1, 3))
async def test_every_store_lists_for_a_user_just_what_stands_in_the_list_of_that_user(
    tmp_path: Path, accesses: Sequence[Access], limit: int
) -> None:
    folder = tmp_path / uuid4().hex
    async with open_store(folder) as in_sql:
        assert isinstance(in_sql, SqliteCanvasStore)
        stores: tuple[CanvasStore, CanvasStore] = (in_sql, MemoryCanvasStore())
        refs = [CanvasRef(f"c-{number}") for number in range(len(accesses))]
        for store in stores:
            for ref, access in zip(refs, accesses, strict=True):
                saved = await store.create(ref, ref, SavedText(genesis("0" * 16), "", ()), 1, access)
                assert saved.access == (await store.get(ref)).access == access
        for user in NAMES:
            wanted = [ref for ref, access in zip(refs, accesses, strict=True) if access.lists_for(user)][::-1]
            for store in stores:
                assert await _listed(store, user, limit, frozenset(refs)) == wanted
