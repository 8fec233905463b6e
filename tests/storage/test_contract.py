"""What every `CanvasStore` keeps; a new implementation joins by one line in `KINDS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvas_server.core.errors import CanvasError, ExistsError, NotFoundError, StorageCorruptError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey, CanvasStore, CheckpointRequest, SavedText
from canvas_server.core.version import Version, genesis
from canvas_server.storage.canvases import open_store
from canvas_server.storage.memory import MemoryCanvasStore
from tests.storage.author import CREATED, REF, Author, create, inserted


@asynccontextmanager
async def open_memory(_data_dir: Path, *, history_ops_max: int = 0) -> AsyncIterator[CanvasStore]:
    yield MemoryCanvasStore(history_ops_max)


Opening = Callable[..., AbstractAsyncContextManager[CanvasStore]]
KINDS: dict[str, Opening] = {"sqlite": open_store, "memory": open_memory}
# One store serves all examples: each writes into canvases of its own.
one_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=KINDS)
def opening(request: pytest.FixtureRequest) -> Opening:
    return KINDS[request.param]


@pytest.fixture
async def store(opening: Opening, tmp_path: Path) -> AsyncIterator[CanvasStore]:
    async with opening(tmp_path / "data") as opened:
        yield opened


async def test_a_canvas_is_loaded_as_it_was_created(store: CanvasStore) -> None:
    created = await store.create(REF, "Notes", Author().text(), CREATED)
    loaded = await store.load(REF, 100)
    assert loaded.canvas == created == await store.get(REF)
    assert (loaded.canvas.title, loaded.canvas.size_bytes, loaded.canvas.created_unix_ms) == ("Notes", 0, CREATED)
    assert loaded.text == Author().text()
    assert not loaded.recent
    assert not loaded.older_op_ids


async def test_the_size_of_a_new_canvas_is_that_of_its_text_in_utf8(store: CanvasStore) -> None:
    text = SavedText(genesis("0" * 16), "h\u00e9 \U0001f600", ())
    assert (await store.create(REF, "", text, CREATED)).size_bytes == 8


async def test_a_ref_that_is_taken_is_refused_and_its_canvas_stays(store: CanvasStore) -> None:
    await create(store)
    with pytest.raises(ExistsError, match="notes"):
        await store.create(REF, "Other", SavedText(genesis("f" * 16), "other", ()), CREATED)
    assert (await store.load(REF, 0)).text == Author().text()


async def test_a_canvas_that_is_not_there_is_not_found(store: CanvasStore) -> None:
    with pytest.raises(NotFoundError):
        await store.load(REF, 10)
    with pytest.raises(NotFoundError):
        await store.get(REF)


async def test_a_checkpoint_makes_its_operations_and_its_version_durable(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    request = author.checkpoint(key, 3)
    await store.save(request)
    loaded = await store.load(REF, 100)
    assert loaded.canvas.version == author.version
    assert (loaded.canvas.size_bytes, loaded.canvas.updated_unix_ms) == (request.size_bytes, request.now_unix_ms)
    assert list(loaded.recent) == list(request.ops)
    assert loaded.text.content == ""


async def test_a_checkpoint_with_text_makes_the_text_the_place_to_start_from(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    await store.save(author.checkpoint(key, 3, full=True))
    loaded = await store.load(REF, 0)
    assert loaded.text == author.text()
    assert not loaded.recent


async def test_loading_gives_at_least_what_leads_from_the_text_to_the_version(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    await store.save(author.checkpoint(key, 3, full=True))
    await store.save(author.checkpoint(key, 4))
    loaded = await store.load(REF, 2)
    assert loaded.text.content + inserted(list(loaded.recent)) == author.content
    assert [op.seq for op in loaded.recent] == [4, 5, 6, 7]
    assert set(loaded.older_op_ids) == {"op-1", "op-2", "op-3"}


async def test_loading_gives_as_many_operations_before_the_text_as_were_asked_for(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    await store.save(author.checkpoint(key, 7, full=True))
    loaded = await store.load(REF, 2)
    assert [op.seq for op in loaded.recent] == [6, 7]
    assert set(loaded.older_op_ids) == {"op-1", "op-2", "op-3", "op-4", "op-5"}


async def test_the_same_checkpoint_twice_changes_nothing(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    request = author.checkpoint(key, 3)
    await store.save(request)
    before = await store.load(REF, 100)
    await store.save(msgspec.structs.replace(request, now_unix_ms=CREATED * 2))
    assert await store.load(REF, 100) == before


async def test_an_older_checkpoint_never_overwrites_a_newer_one(store: CanvasStore) -> None:
    key = await create(store)
    await store.save(Author().checkpoint(key, 5, full=True))
    before = await store.load(REF, 100)
    await store.save(Author().checkpoint(key, 3, full=True))
    assert await store.load(REF, 100) == before


@pytest.mark.parametrize("newer_first", [False, True])
async def test_of_two_overlapping_checkpoints_the_newer_wins_in_either_order(
    store: CanvasStore, newer_first: bool
) -> None:
    key = await create(store)
    older, newer = Author().checkpoint(key, 3), Author().checkpoint(key, 5, full=True)
    requests = [newer, older] if newer_first else [older, newer]
    await asyncio.gather(*(store.save(request) for request in requests))
    loaded = await store.load(REF, 100)
    assert loaded.canvas.version == newer.version
    assert list(loaded.recent) == list(newer.ops)


async def test_a_checkpoint_from_a_base_that_was_passed_appends_only_what_is_new(store: CanvasStore) -> None:
    key = await create(store)
    await store.save(Author().checkpoint(key, 3))
    whole = Author().checkpoint(key, 8)
    await store.save(whole)
    loaded = await store.load(REF, 100)
    assert loaded.canvas.version == whole.version
    assert list(loaded.recent) == list(whole.ops)


def _from_ahead(key: CanvasKey) -> CheckpointRequest:
    author = Author()
    author.write(5)
    return author.checkpoint(key, 1)


def _named_again(key: CanvasKey) -> CheckpointRequest:
    author = Author()
    author.write(3)
    request = author.checkpoint(key, 2)
    return msgspec.structs.replace(request, ops=[msgspec.structs.replace(request.ops[0], op_id="op-1"), request.ops[1]])


REFUSED = {
    "it starts after what is durable": _from_ahead,
    "it has another operation where history stands": lambda key: Author("other").checkpoint(key, 5),
    "it has the same seq but another version": lambda key: Author("other").checkpoint(key, 3),
    "it has an operation of a name that is taken": _named_again,
}


@pytest.mark.parametrize("why", REFUSED)
async def test_a_checkpoint_that_does_not_follow_what_is_durable_is_refused_whole(store: CanvasStore, why: str) -> None:
    key = await create(store)
    await store.save(Author().checkpoint(key, 3))
    before = await store.load(REF, 100)
    with pytest.raises(StorageCorruptError, match="canvas"):
        await store.save(REFUSED[why](key))
    assert await store.load(REF, 100) == before


async def test_a_checkpoint_that_contradicts_itself_is_wrong_use(store: CanvasStore) -> None:
    key = await create(store)
    request = Author().checkpoint(key, 3, full=True)
    for wrong in (
        msgspec.structs.replace(request, base_seq=1),
        msgspec.structs.replace(request, ops=request.ops[:2]),
        msgspec.structs.replace(request, text=Author().text()),
        msgspec.structs.replace(request, version=Version(3, Author("other").checkpoint(key, 3).version.etag)),
    ):
        with pytest.raises(ValueError, match=r"operation|text"):
            await store.save(wrong)
    assert (await store.load(REF, 100)).canvas.version.seq == 0


async def test_a_deleted_canvas_is_gone_with_its_history(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    await store.save(author.checkpoint(key, 3))
    await store.delete(key)
    await store.delete(key)
    assert not await store.read_ops(key, 0, 10)
    assert not await store.find_ops(key, ["op-1"])
    for attempt in (
        store.load(REF, 10),
        store.save(author.checkpoint(key, 1)),
        store.set_title(key, "Late", CREATED),
        store.read_text(key, 0),
    ):
        with pytest.raises(NotFoundError):
            await attempt


async def test_a_canvas_created_again_has_a_higher_key_and_no_history(store: CanvasStore) -> None:
    first = await create(store)
    await store.save(Author().checkpoint(first, 3))
    await store.delete(first)
    second = await create(store)
    assert second > first
    loaded = await store.load(REF, 10)
    assert (loaded.canvas.version, list(loaded.recent), list(loaded.older_op_ids)) == (Author().version, [], [])


async def test_a_title_is_changed_and_nothing_else(store: CanvasStore) -> None:
    key = await create(store)
    before = await store.get(REF)
    await store.set_title(key, "Other", CREATED + 5)
    assert await store.get(REF) == msgspec.structs.replace(before, title="Other", updated_unix_ms=CREATED + 5)


async def test_canvases_are_listed_newest_first_page_by_page(store: CanvasStore) -> None:
    keys = [await create(store, CanvasRef(f"c{number}")) for number in range(5)]
    await store.delete(keys[2])
    first = await store.list(2, None)
    assert [canvas.ref for canvas in first.canvases] == ["c4", "c3"]
    second = await store.list(2, first.next_key)
    assert [canvas.ref for canvas in second.canvases] == ["c1", "c0"]
    assert second.next_key is None
    assert (await store.list(2, keys[0])).canvases == ()


async def test_history_is_read_in_order_from_any_place(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    request = author.checkpoint(key, 6)
    await store.save(request)
    assert list(await store.read_ops(key, 0, 100)) == list(request.ops)
    assert list(await store.read_ops(key, 2, 3)) == list(request.ops[2:5])
    assert not await store.read_ops(key, 6, 3)


async def test_operations_are_found_by_name_in_the_order_of_history(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    request = author.checkpoint(key, 6)
    await store.save(request)
    found = await store.find_ops(key, ["op-5", "nobody", "op-2", "op-5"])
    assert list(found) == [request.ops[1], request.ops[4]]
    assert not await store.find_ops(key, [])


async def test_the_past_is_a_full_text_and_the_operations_from_there(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    await store.save(author.checkpoint(key, 3, full=True))
    await store.save(author.checkpoint(key, 3))
    for seq in range(7):
        text, ops = await store.read_text(key, seq)
        then = Author()
        then.write(seq)
        assert text.content + inserted(list(ops)) == then.content


@pytest.mark.parametrize("seq", [-1, 4])
async def test_a_version_outside_the_history_is_not_found(store: CanvasStore, seq: int) -> None:
    author, key = Author(), await create(store)
    await store.save(author.checkpoint(key, 3))
    with pytest.raises(NotFoundError, match=str(seq)):
        await store.read_text(key, seq)


async def test_history_older_than_asked_for_is_let_go_up_to_a_full_text(opening: Opening, tmp_path: Path) -> None:
    async with opening(tmp_path, history_ops_max=10) as store:
        author, key = Author(), await create(store)
        for _ in range(5):
            await store.save(author.checkpoint(key, 6, full=True))
        await store.save(author.checkpoint(key, 1))
        assert [op.seq for op in await store.read_ops(key, 0, 100)] == list(range(13, 32))
        with pytest.raises(NotFoundError):
            await store.read_text(key, 11)
        for seq in range(12, 32):
            text, ops = await store.read_text(key, seq)
            assert text.version.seq + len(ops) == seq
        assert (await store.load(REF, 100)).text.version.seq == 30
        assert not await store.find_ops(key, ["op-1"])


async def test_a_name_that_the_history_let_go_may_come_again(opening: Opening, tmp_path: Path) -> None:
    async with opening(tmp_path, history_ops_max=1) as store:
        author, key = Author(), await create(store)
        await store.save(author.checkpoint(key, 3, full=True))
        await store.save(author.checkpoint(key, 1))
        request = author.checkpoint(key, 1)
        again = msgspec.structs.replace(request.ops[0], op_id="op-1")
        await store.save(msgspec.structs.replace(request, ops=[again]))
        assert list(await store.find_ops(key, ["op-1"])) == [again]


async def test_without_a_bound_the_whole_history_stays(store: CanvasStore) -> None:
    author, key = Author(), await create(store)
    for _ in range(5):
        await store.save(author.checkpoint(key, 6, full=True))
    assert len(await store.read_ops(key, 0, 100)) == 30
    text, ops = await store.read_text(key, 29)
    assert (text.version.seq, len(ops)) == (0, 29)


async def test_a_store_that_works_says_so(store: CanvasStore) -> None:
    await store.check()


_refs = map("canvas-{}".format, count())


@given(content=st.text(), title=st.text(), event=st.binary(), removed=st.lists(st.text()))
@one_store
async def test_any_text_comes_back_byte_for_byte(
    store: CanvasStore, content: str, title: str, event: bytes, removed: list[str]
) -> None:
    ref, author = CanvasRef(next(_refs)), Author()
    key = (await store.create(ref, title, SavedText(author.version, content, (content,)), CREATED)).key
    request = author.checkpoint(key, 1)
    op = msgspec.structs.replace(request.ops[0], event=event, digest=content, removed=tuple(removed))
    await store.save(msgspec.structs.replace(request, ops=[op]))
    loaded = await store.load(ref, 1)
    assert (loaded.canvas.title, loaded.text.content, loaded.text.sections_changed) == (title, content, (content,))
    assert list(loaded.recent) == [op] == list(await store.read_ops(key, 0, 1))
    assert (await store.list(1, None)).canvases == (loaded.canvas,)


@given(st.text().filter(lambda content: "\0" not in content))
@one_store
async def test_nul_in_the_middle_of_a_text_cuts_nothing_off(store: CanvasStore, content: str) -> None:
    ref, whole = CanvasRef(next(_refs)), f"{content}\0{content}"
    await store.create(ref, whole, SavedText(Author().version, whole, ()), CREATED)
    assert (await store.load(ref, 0)).text.content == whole
    assert (await store.get(ref)).title == whole


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.integers(1, 9), st.booleans()),
        st.tuples(st.just("resave"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.sampled_from(["load", "read_text", "read_ops"]), st.integers(-1, 40), st.integers(1, 9)),
        st.tuples(st.just("delete"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@given(steps=_steps, history_ops_max=st.sampled_from([0, 1, 5, 12]))
@one_store
async def test_every_store_answers_like_the_one_in_memory(
    opening: Opening, tmp_path: Path, steps: list[tuple[str, int, int]], history_ops_max: int
) -> None:
    data_dir = tmp_path / str(history_ops_max)
    async with opening(data_dir, history_ops_max=history_ops_max) as store:
        ref = CanvasRef(next(_refs))
        model = MemoryCanvasStore(history_ops_max)
        assert await _answers(store, ref, steps) == await _answers(model, ref, steps)


async def _answers(store: CanvasStore, ref: CanvasRef, steps: list[tuple[str, int, int]]) -> list[object]:
    """Take steps and return what came of each, keys left out."""
    author, key = Author(), await create(store, ref)
    answers: list[object] = []
    for name, first, second in steps:
        try:
            answers.append(await _answer(store, ref, key, author, (name, first, second)))
        except CanvasError as error:
            answers.append(type(error))
    return answers


async def _answer(
    store: CanvasStore, ref: CanvasRef, key: CanvasKey, author: Author, step: tuple[str, int, int]
) -> object:
    match step:
        case ("save", count, full):
            await store.save(author.checkpoint(key, count, full=bool(full)))
        case ("resave", base_seq, count):
            other = Author()
            other.write(base_seq)
            await store.save(other.checkpoint(key, count))
        case ("load", ops_max, _):
            loaded = await store.load(ref, max(0, ops_max))
            return loaded.canvas.version, loaded.text, list(loaded.recent), set(loaded.older_op_ids)
        case ("read_text", seq, _):
            text, ops = await store.read_text(key, seq)
            return text, list(ops)
        case ("read_ops", after_seq, limit):
            return list(await store.read_ops(key, after_seq, limit))
        case _:
            await store.delete(key)
    return None
