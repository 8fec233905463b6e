"""Users and tokens in memory over their store: what is in force, when a change is noticed, and what is expired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from canvas_server.core.errors import InvalidFieldError, StorageUnavailableError
from canvas_server.core.identity import RIGHTS, RIGHTS_OF, Identities, Role, User
from canvas_server.state import identity as module
from canvas_server.state.identity import Identity
from canvas_server.state.minting import PREFIX, Terms, digest_of, mint, rights_for
from canvas_server.storage.identity import SqliteIdentityStore
from canvas_server.storage.transactions import Transactions, open_memory
from tests.web.gates import known


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_unix_ms = 1_000_000

    def now_ms(self) -> int:
        return self.now_unix_ms

    def monotonic_s(self) -> float:
        return self.now_unix_ms / 1000


class Slow(SqliteIdentityStore):
    """A store whose reads can be held back, or fail."""

    held: asyncio.Event | None = None
    fails = False

    def __init__(self, transactions: Transactions) -> None:
        super().__init__(transactions)
        self.holds = asyncio.Event()

    async def load(self) -> Identities:
        read = await super().load()
        if (held := self.held) is not None:
            self.held = None
            self.holds.set()
            await held.wait()
        return read

    async def count(self) -> int:
        if self.fails:
            raise StorageUnavailableError("no", hint="none")
        return await super().count()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def store() -> AsyncIterator[Slow]:
    async with open_memory() as memory:
        yield Slow(memory)


@pytest.fixture
async def identity(store: Slow, clock: Hands) -> AsyncIterator[Identity]:
    async with Identity(store, clock, [known("boss", "boss-boss-boss-boss", "admin")]) as identity:
        yield identity


async def changed(identity: Identity) -> None:
    """Wait until a change is told."""
    heard = asyncio.Event()
    identity.changed.append(heard.set)
    async with asyncio.timeout(5):
        await heard.wait()
    identity.changed.remove(heard.set)


async def test_what_another_program_changes_is_noticed(identity: Identity, store: Slow) -> None:
    minted = mint("ann", RIGHTS_OF["reader"], 1)
    await store.put_user(User(name="ann", role="reader"))
    await store.put_token(minted.token)
    await changed(identity)
    while identity.find(minted.token.digest) is None:
        await changed(identity)
    await store.delete_user("ann")
    await changed(identity)
    assert identity.find(minted.token.digest) is None
    assert identity.user("ann") is None


async def test_a_read_that_was_begun_before_a_token_was_revoked_does_not_bring_it_back(
    identity: Identity, store: Slow
) -> None:
    await identity.put_user(User(name="ann", role="reader"))
    minted = mint("ann", RIGHTS_OF["reader"], 1)
    await identity.put_token(minted.token)
    held = store.held = asyncio.Event()
    late = asyncio.create_task(identity.reload())
    await store.holds.wait()
    await identity.delete_tokens([minted.token.id])
    held.set()
    await late
    assert identity.find(minted.token.digest) is None


async def test_the_end_of_a_token_is_told_when_its_time_is_over(identity: Identity, clock: Hands) -> None:
    await identity.put_user(User(name="ann", role="reader"))
    minted = mint("ann", RIGHTS_OF["reader"], clock.now_ms(), Terms(lasts_s=60))
    await identity.put_token(minted.token)
    clock.now_unix_ms += 60_000
    await changed(identity)
    found = identity.find(minted.token.digest)
    assert found is not None
    assert found.token.is_expired(clock.now_ms())


async def test_tokens_that_are_long_expired_are_forgotten_at_the_start(store: Slow, clock: Hands) -> None:
    old, new = (mint("ann", RIGHTS_OF["reader"], 1, Terms(lasts_s=lasts_s)) for lasts_s in (1, 31 * 86_400))
    for minted in (old, new):
        await store.put_token(minted.token)
    clock.now_unix_ms = 31 * 86_400_000
    async with Identity(store, clock) as identity:
        assert [token.id for token in identity.tokens] == [new.token.id]


async def test_a_store_that_fails_leaves_in_force_what_was_read_and_is_asked_again(
    identity: Identity, store: Slow
) -> None:
    store.fails = True
    await asyncio.sleep(0.05)
    assert identity.user("boss") is not None
    store.fails = False
    await store.put_user(User(name="ann", role="reader"))
    await changed(identity)
    assert identity.user("ann") is not None


async def test_one_who_cannot_hear_keeps_nobody_else_from_hearing(
    identity: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def fail() -> None:
        raise RuntimeError

    identity.changed[:] = [fail, lambda: heard.append(1)]
    await identity.put_user(User(name="ann", role="reader"))
    assert heard == [1]
    assert "a change of users was not heard" in caplog.text
    await changed_again(identity)


async def changed_again(identity: Identity) -> None:
    """The watch goes on, too."""
    assert identity._watch is not None
    assert not identity._watch.done()


async def test_users_of_the_settings_win_over_stored_ones_of_the_same_name(identity: Identity, store: Slow) -> None:
    await store.put_user(User(name="boss", role="reader", active=False))
    await identity.reload()
    boss = identity.user("boss")
    assert boss is not None
    assert (boss.role, boss.active, identity.is_settled("boss")) == ("admin", True, True)
    assert identity.find(digest_of("boss-boss-boss-boss")) is not None


def test_tokens_cannot_be_guessed_and_what_is_kept_is_their_digest() -> None:
    minted = [mint("ann", RIGHTS_OF["reader"], 1) for _ in range(200)]
    assert len({one.secret for one in minted}) == len({one.token.id for one in minted}) == 200
    for one in minted:
        assert one.secret.startswith(PREFIX)
        assert len(one.secret) == len(PREFIX) + 43
        assert one.token.digest == digest_of(one.secret)
        assert one.secret not in repr(one.token)


@pytest.mark.parametrize("role", RIGHTS_OF)
def test_a_token_is_made_with_no_right_that_the_role_has_not(role: Role) -> None:
    assert rights_for(role, None) == RIGHTS_OF[role] - {"unmetered"}
    for right in RIGHTS:
        if right in RIGHTS_OF[role]:
            assert rights_for(role, (right,)) == {right}
        else:
            with pytest.raises(InvalidFieldError):
                rights_for(role, ("read", right))
