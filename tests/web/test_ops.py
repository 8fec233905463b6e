"""Operations sent as JSON: what becomes of them, and that each is told exactly once (PROTOCOL sections 3, 4, 6, 7)."""

from __future__ import annotations

import threading
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server.config.secret import Secret
from canvas_server.config.settings import ActorSettings, CheckpointSettings, LimitSettings
from canvas_server.core.canvas import Outcome
from canvas_server.core.operation import Continuation, Operation
from canvas_server.core.submission import Submission
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, at, insert, op_id, serving

TEXT: Final = "# One\n\nfirst 😀\n\n## Two\n\nsecond second\n"
TWO: Final = {"type": "heading", "heading": {"path": ["Two"]}}


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas(TEXT)


def on(target: Json, action: str = "insert", **fields: object) -> Json:
    content = {} if action in ("delete", "revert") else {"content": "new"}
    return {"op_id": op_id(), "action": action, "target": target, **content, **fields}


def text(match: str, **fields: object) -> Json:
    return {"type": "text", "text": {"match": match, **fields}}


def regex(pattern: str, **fields: object) -> Json:
    return {"type": "regex", "regex": {"pattern": pattern, **fields}}


def test_an_accepted_request_is_answered_technically_and_says_nothing_of_outcomes(canvas: Canvas) -> None:
    answer = canvas.post(append("x", client_version=canvas.version), on(text("nowhere")))
    assert answer.status_code == 202
    body = answer.json()
    assert body.keys() == {"accepted", "ops_count", "duration_ms"}
    assert (body["accepted"], body["ops_count"]) == (True, 2)
    assert body["duration_ms"] >= 0


def test_an_ack_tells_what_was_done_by_whom(canvas: Canvas) -> None:
    before = canvas.version
    operation = append("x", meta={"model": "m"}, timestamp=12)
    [ack] = canvas.submit(operation, headers={"X-Client-Id": "tab-1"})
    length = len(TEXT.encode("utf-16-le")) // 2
    told = {
        "type": "ack",
        "canvas": canvas.ref,
        "op_id": operation["op_id"],
        "status": "applied",
        "server_version": canvas.version,
        "base_version": before,
        "changes": [{"from": length, "to": length, "insert": "x"}],
        "action": "insert",
        "actor": "local",
        "client_id": "tab-1",
        "kind": "human",
        "rebased": False,
        "meta": {"model": "m"},
        "client_timestamp": 12,
    }
    assert {name: value for name, value in ack.items() if name != "timestamp"} == told


def test_every_operation_of_a_request_gets_exactly_one_terminal_event_in_order(canvas: Canvas) -> None:
    operations = [append("a"), append("b"), on(text("nowhere")), append("c"), append("d")]
    with canvas.listen() as listener:
        listener.expect("snapshot")
        canvas.submit(*operations)
        canvas.submit(append("last", op_id="the-last"))
        heard = listener.until("ack", op_id="the-last")[:-1]
    assert [event["op_id"] for event in heard] == [operation["op_id"] for operation in operations]
    assert [event.type for event in heard] == ["ack", "ack", "error", "conflict", "conflict"]
    assert [event["reason"] for event in heard[3:]] == ["not_executed", "not_executed"]
    assert canvas.text == TEXT + "ablast"


def test_what_was_not_executed_may_be_sent_again(canvas: Canvas) -> None:
    failing, waiting = on(text("nowhere")), append("x")
    assert [event["type"] for event in canvas.submit(failing, waiting)] == ["error", "conflict"]
    assert [event["type"] for event in canvas.submit(waiting)] == ["ack"]
    assert [event["type"] for event in canvas.submit({**failing, "target": text("first")})] == ["ack"]


def test_an_operation_sent_again_is_acked_again_with_its_first_version_and_changes_nothing(canvas: Canvas) -> None:
    operation = append("x", client_version=canvas.version)
    canvas.post(operation)
    canvas.submit(append("y"))
    before = canvas.state
    with canvas.listen() as listener:
        listener.expect("snapshot")
        canvas.post(operation)
        again = listener.next()
    assert again.id is None
    assert again.data == {**canvas.outcome(operation["op_id"]), "duplicate": True}
    assert canvas.state == before


@pytest.mark.parametrize(
    "change",
    [
        {"content": "other"},
        {"target": {"type": "position", "position": {"mode": "start"}}},
        {"where": "before"},
        {"options": {"dedent": True}},
        {"action": "upsert_section", "target": TWO},
    ],
)
def test_an_op_id_used_for_another_operation_is_an_error(canvas: Canvas, change: Json) -> None:
    operation = append("x")
    canvas.submit(operation)
    [answer] = refusals(canvas, {**operation, **change})
    assert answer["code"] == "OP_ID_REUSED"
    assert canvas.outcome(operation["op_id"])["type"] == "ack"
    assert canvas.text == TEXT + "x"


def refusals(canvas: Canvas, *operations: Json) -> list[Json]:
    """Send operations and return what is told of them; nothing of it may change the text."""
    before = canvas.state
    with canvas.listen() as listener:
        listener.expect("snapshot")
        first, *others = operations
        assert canvas.post({"client_version": before["version"], **first}, *others).status_code == 202
        heard = [event.data for event in listener.take(len(operations))]
    assert canvas.state == before
    for event in heard:
        assert event["hint"].endswith("."), event
        assert event["canvas"] == canvas.ref
    return heard


@pytest.mark.parametrize(
    ("operation", "code", "candidates"),
    [
        (on(text("secnod")), "TARGET_NOT_FOUND", ["second second"]),
        (on({"type": "heading", "heading": {"path": ["Tow"]}}), "TARGET_NOT_FOUND", ["Two", "One"]),
        (on({"type": "heading", "heading": {"heading_id": "tow"}}), "TARGET_NOT_FOUND", ["Two", "One"]),
        (on(text("second", nth=3)), "TARGET_NOT_FOUND", ["second second"] * 2),
        (on({"type": "anchor", "anchor": {"name": "after_toc"}}), "TARGET_NOT_FOUND", []),
        (on(text("second")), "TARGET_AMBIGUOUS", ["second second"] * 2),
        (on(regex("sec")), "TARGET_AMBIGUOUS", ["second second"] * 2),
        (insert(10_000, "x"), "OFFSET_OUT_OF_RANGE", []),
        (on(at("range", **{"from": 5, "to": 4})), "OFFSET_OUT_OF_RANGE", []),
        (insert(14, "x"), "OFFSET_IN_SURROGATE", []),
        (on(regex("(")), "REGEX_INVALID", []),
        (on(regex("a(?=b)")), "REGEX_UNSUPPORTED", []),
        (on(regex(r"(a)\1")), "REGEX_UNSUPPORTED", []),
        (on(at("end"), "replace", where="replace_match"), "INVALID_OPERATION", []),
        (on(at("end"), "upsert_section"), "INVALID_OPERATION", []),
        (on(at("end"), "revert"), "INVALID_OPERATION", []),
        (on({"type": "op", "op": {"op_id": "never"}}), "UNKNOWN_OP", []),
        (on({"type": "op", "op": {"op_id": "never"}}, "revert"), "UNKNOWN_OP", []),
    ],
)
def test_an_operation_that_cannot_be_carried_out_is_an_error_that_helps(
    canvas: Canvas, operation: Json, code: str, candidates: list[str]
) -> None:
    [error] = refusals(canvas, operation)
    assert (error["type"], error["code"]) == ("error", code)
    assert error["message"]
    assert [candidate["text"] for candidate in error["candidates"]] == candidates
    lines = TEXT.split("\n")
    for candidate in error["candidates"]:
        assert candidate["text"] in lines[candidate["line"] - 1]


def test_text_that_is_gone_is_no_target(canvas: Canvas) -> None:
    operation = append("gone")
    canvas.submit(operation)
    canvas.submit(on({"type": "op", "op": {"op_id": operation["op_id"]}}, "delete"))
    [error] = refusals(canvas, on({"type": "op", "op": {"op_id": operation["op_id"]}}))
    assert error["code"] == "TARGET_NOT_FOUND"


def test_an_operation_that_would_make_the_canvas_too_large_is_an_error() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(canvas_bytes_max=10))) as served:
        canvas = served.canvas("12345678")
        [error] = refusals(canvas, append("éé"))
        assert error["code"] == "CANVAS_TOO_LARGE"
        assert canvas.submit(append("é"))[0]["type"] == "ack"


def test_an_op_on_another_version_than_the_current_conflicts_in_the_strict_scope(canvas: Canvas) -> None:
    stale = canvas.version
    canvas.submit(append("x"), append("y"))
    [conflict] = refusals(canvas, append("z", client_version=stale))
    assert (conflict["reason"], conflict["missed"]) == ("etag_mismatch", 2)
    assert (conflict["client_version"], conflict["expected_version"]) == (stale, canvas.version)


@pytest.mark.parametrize("version", ['W/"0-0123456789abcdef"', 'W/"9-0123456789abcdef"', "nonsense", ""])
@pytest.mark.parametrize("scope", ["canvas", "section", "range"])
def test_a_version_that_never_was_conflicts_in_every_scope(canvas: Canvas, version: str, scope: str) -> None:
    [conflict] = refusals(canvas, append("z", client_version=version, scope=scope))
    assert conflict["reason"] == "unknown_version"


def test_a_version_older_than_the_retained_window_conflicts() -> None:
    settings = replace(IN_MEMORY, limits=LimitSettings(retained_ops_max=2), checkpoint=CheckpointSettings(ops=1))
    with serving(settings) as served:
        canvas = served.canvas("")
        old = canvas.version
        for _ in range(5):
            canvas.submit(append("x"))
        canvas.http.post(f"{canvas.path}:close")
        heard = [refusals(canvas, append("z", client_version=old, scope=scope))[0] for scope in ("section", "range")]
        assert [conflict["reason"] for conflict in heard] == ["version_too_old"] * 2
        assert [conflict["missed"] for conflict in heard] == [5, 5]


def test_operations_that_are_not_durable_yet_are_never_forgotten() -> None:
    """A window smaller than what waited for the disk once lost the tail: the checkpoint could not find it."""
    with serving(replace(IN_MEMORY, limits=LimitSettings(retained_ops_max=2))) as served:
        canvas = served.canvas("")
        acks = [canvas.submit(append(f"{number},"))[0] for number in range(30)]
        assert canvas.http.post(f"{canvas.path}:close").json()["version"] == acks[-1]["server_version"]
        assert canvas.text == "".join(f"{number}," for number in range(30))


def test_a_stale_op_goes_on_in_an_untouched_section_and_conflicts_in_a_touched_one(canvas: Canvas) -> None:
    stale = canvas.version
    canvas.submit(insert(7, "new ", op_id="touches-one"))
    [ack] = canvas.submit(on(TWO, scope="section", client_version=stale))
    assert (ack["type"], ack["rebased"]) == ("ack", True)
    [conflict] = refusals(canvas, on(text("first"), scope="section", client_version=stale))
    assert (conflict["reason"], conflict["missed"]) == ("section_changed", 2)


def test_a_stale_op_goes_on_beside_a_change_and_conflicts_within_it(canvas: Canvas) -> None:
    stale = canvas.version
    canvas.submit(on(at("range", **{"from": 7, "to": 12}), "replace", content="1st"))
    [ack] = canvas.submit(insert(16, "!", scope="range", client_version=stale))
    assert ack["changes"] == [{"from": 14, "to": 14, "insert": "!"}]
    inside = on(at("range", **{"from": 8, "to": 9}), "delete", scope="range", client_version=stale)
    [conflict] = refusals(canvas, inside)
    assert conflict["reason"] == "range_changed"


def test_two_inserts_at_one_point_do_not_conflict_and_the_earlier_one_stays_first(canvas: Canvas) -> None:
    stale = canvas.version
    for content in ("a", "b", "c"):
        assert canvas.submit(insert(7, content, scope="range", client_version=stale))[0]["type"] == "ack"
    assert canvas.text.startswith("# One\n\nabcfirst")


def test_a_reverted_op_is_undone_and_one_that_was_written_into_conflicts(canvas: Canvas) -> None:
    first, second = append("one"), append("two")
    canvas.submit(first, second)
    canvas.submit(on(text("onetwo"), content="x", where="after"), on(text("wox"), "replace", content="WOx"))
    [ack] = canvas.submit(on({"type": "op", "op": {"op_id": first["op_id"]}}, "revert"))
    assert (ack["type"], ack["reverts"]) == ("ack", first["op_id"])
    assert canvas.text == TEXT + "tWOx"
    [conflict] = refusals(canvas, on({"type": "op", "op": {"op_id": second["op_id"]}}, "revert"))
    assert conflict["reason"] == "overlap"


def test_offsets_are_read_and_told_in_the_unit_of_each_client(canvas: Canvas) -> None:
    with canvas.listen("unit=codepoint") as narrow, canvas.listen("unit=utf16") as wide:
        narrow.expect("snapshot")
        wide.expect("snapshot")
        canvas.submit(insert(14, "X"), query="unit=codepoint")
        canvas.submit(insert(16, "Y"), query="unit=utf16")
        told = [[event["changes"][0]["from"] for event in listener.take(2)] for listener in (narrow, wide)]
    assert told == [[14, 15], [15, 16]]
    assert canvas.text.startswith("# One\n\nfirst 😀XY\n")


def test_only_the_first_operation_of_a_request_must_name_a_version(canvas: Canvas) -> None:
    answer = canvas.post(append("x"), append("y", client_version=canvas.version))
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/ops/0/client_version")
    assert canvas.text == TEXT


def test_the_actor_comes_from_the_credentials() -> None:
    actor = ActorSettings(token=Secret("0123456789abcdef-secret"), kind="agent")
    with serving(replace(IN_MEMORY, actors={"writer": actor})) as served:
        canvas = served.canvas("")
        [ack] = canvas.submit(append("x"), headers={"Authorization": "Bearer 0123456789abcdef-secret"})
        assert (ack["actor"], ack["kind"]) == ("writer", "agent")
        wrong = canvas.post(append("y", client_version=canvas.version), headers={"Authorization": "Bearer wrong"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "AUTH_REQUIRED")
        assert wrong.headers["www-authenticate"] == "Bearer"
        assert canvas.text == "x"


def test_a_token_is_refused_where_nobody_was_given_one(canvas: Canvas) -> None:
    answer = canvas.post(append("x", client_version=canvas.version), headers={"Authorization": "Bearer anything"})
    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED")
    assert canvas.text == TEXT


def test_a_preview_tells_what_would_happen_and_nothing_does(canvas: Canvas) -> None:
    operations = [append("x😀", client_version=canvas.version), append("y"), on(text("nowhere")), append("z")]
    before = canvas.state
    with canvas.listen() as listener:
        listener.expect("snapshot")
        answer = canvas.http.post(f"{canvas.path}/ops:preview", json={"ops": operations})
        preview = answer.json()
        assert canvas.state == before
        assert canvas.http.get(f"{canvas.path}/ops/{operations[0]['op_id']}").status_code == 404
        canvas.post(*operations)
        told = [event.data for event in listener.take(4)]
    assert answer.status_code == 200
    assert [timeless(event) for event in preview["events"]] == [timeless(event) for event in told]
    assert preview["server_version"] == canvas.version


def test_a_preview_holds_up_nobody(canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hundred operations would do to a large text took more than a second, in which nobody was answered."""
    threads: list[str] = []
    step = Submission.step

    def watched(submission: Submission, operation: Operation | Continuation, now_ms: int) -> Outcome:
        threads.append(threading.current_thread().name)
        return step(submission, operation, now_ms)

    monkeypatch.setattr(Submission, "step", watched)
    operations = [append("x", client_version=canvas.version)]
    assert canvas.http.post(f"{canvas.path}/ops:preview", json={"ops": operations}).status_code == 200
    canvas.submit(append("x"))
    assert len(set(threads)) == len(threads) == 2


def timeless(event: Json) -> Json:
    return {name: value for name, value in event.items() if name != "timestamp"}
