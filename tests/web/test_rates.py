"""How often and how many: the laws of buckets, and the bounds that a server holds everybody to."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings
from canvas_server.web.rates import Buckets
from tests.serving import IN_MEMORY, Served, append, serving
from tests.upload import Upload
from tests.web.people import Person, forgive, person


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


@given(
    per_s=st.floats(0.01, 5_000),
    burst=st.floats(1, 20_000),
    takes=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), max_size=60),
)
def test_no_more_is_taken_in_any_time_than_the_burst_and_what_fills_in(
    per_s: float, burst: float, takes: list[tuple[float, int]]
) -> None:
    clock = Hands()
    buckets = Buckets(clock, per_s, burst)
    taken: list[tuple[float, float]] = []
    for pause_s, count in takes:
        clock.now_s += pause_s
        told_s = buckets.wait_s("me", count)
        wait_s = buckets.take("me", count)
        assert wait_s == told_s
        assert (wait_s > 0) >= buckets.is_empty("never seen")
        if not wait_s:
            taken.append((clock.now_s, min(count, burst)))
        else:
            # Whoever waits as long as told gets it.
            assert wait_s <= min(count, burst) / per_s + burst / per_s
            clock.now_s += wait_s + 1e-6
            assert buckets.take("me", count) == 0
            taken.append((clock.now_s, min(count, burst)))
    for first, (start_s, _) in enumerate(taken):
        for last in range(first, len(taken)):
            sum_taken = sum(count for _, count in taken[first : last + 1])
            assert sum_taken <= burst + (taken[last][0] - start_s) * per_s + 1e-3 * (1 + per_s)


def test_what_is_refused_is_not_taken_and_others_are_not_held_up() -> None:
    clock = Hands()
    buckets = Buckets(clock, 10, 10)
    assert buckets.take("me", 10) == 0
    waits = [buckets.take("me", 5) for _ in range(100)]
    assert waits == [pytest.approx(0.5)] * 100
    assert buckets.take("you", 10) == 0
    clock.now_s += 0.5
    assert buckets.take("me", 5) == 0


def test_what_is_more_than_the_burst_is_had_when_the_bucket_is_full() -> None:
    buckets = Buckets(Hands(), 10, 10)
    assert buckets.take("me", 1_000) == 0
    assert buckets.take("me", 1) == pytest.approx(0.1)


def test_the_buckets_of_very_many_take_a_bounded_place_and_the_busy_ones_stay() -> None:
    clock = Hands()
    buckets = Buckets(clock, 1, 10)
    for _ in range(10):
        buckets.take("busy")
    for number in range(30_000):
        clock.now_s += 0.0001
        buckets.take(number)
    assert len(buckets._full_s) <= 10_001


OPS_PER_S: Final = 2
"""So few that in the seconds a test may take next to nothing fills in."""
UPLOADED_PER_S: Final = 20
PRESENCES_PER_S: Final = 5
PRESENCES_OF_USER_PER_S: Final = 50
RATE: Final = LimitSettings(
    ops_per_s=OPS_PER_S,
    ops_burst=40,
    presences_per_s=PRESENCES_PER_S,
    presences_of_user_per_s=PRESENCES_OF_USER_PER_S,
    listeners_per_user_max=64,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(replace(IN_MEMORY, limits=RATE), credentials=True) as running:
        yield running


@pytest.fixture(scope="module")
def filling() -> Iterator[Served]:
    """A server whose buckets fill so fast that one can wait for it."""
    with serving(replace(IN_MEMORY, limits=replace(RATE, ops_per_s=UPLOADED_PER_S)), credentials=True) as running:
        yield running


@pytest.fixture(autouse=True)
def forgiven(server: Served) -> None:
    forgive(server)


@pytest.fixture
def ann(server: Served) -> Person:
    return person(server)


def test_operations_beyond_the_rate_are_refused_and_nothing_of_them_is_applied(ann: Person) -> None:
    ref = ann.canvas()
    assert ann.post(ref, *(append("a") for _ in range(40))).status_code == 202
    refused = ann.post(ref, *(append("b") for _ in range(6)))
    assert refused.status_code == 429
    assert refused.json()["code"] == "RATE_LIMITED"
    assert refused.json()["retryable"] is True
    assert 1 <= int(refused.headers["retry-after"]) <= 6 // OPS_PER_S
    assert ann.text(ref) == "a" * 40
    time.sleep(int(refused.headers["retry-after"]))
    assert ann.post(ref, *(append("b") for _ in range(6))).status_code == 202
    assert ann.text(ref) == "a" * 40 + "b" * 6


def test_the_rate_of_one_user_holds_up_no_other_and_counts_over_all_tokens(server: Served, ann: Person) -> None:
    ref = ann.canvas(access={"link": "write"})
    again, other = person(server, name=ann.name), person(server)
    assert ann.post(ref, *(append("a") for _ in range(40))).status_code == 202
    assert again.post(ref, *(append("a") for _ in range(10))).status_code == 429
    assert other.post(ref, *(append("b") for _ in range(40))).status_code == 202


def test_a_slow_token_is_held_to_its_own_rate_and_takes_nothing_from_its_user(server: Served, ann: Person) -> None:
    ref = ann.canvas()
    slow = person(server, name=ann.name, ops_per_s=1)
    # Its burst lasts as long as that of its user; so it is half of it, as the rate is.
    assert slow.post(ref, *(append("s") for _ in range(20))).status_code == 202
    assert slow.post(ref, *(append("s") for _ in range(15))).status_code == 429
    assert ann.post(ref, *(append("a") for _ in range(20))).status_code == 202


def test_an_upload_is_slowed_down_where_a_request_would_be_refused(filling: Served) -> None:
    ann = person(filling)
    ref = ann.canvas()
    version = ann.ask("GET", f"/api/v2/canvas/{ref}").json()["version"]
    started_s = time.monotonic()
    with Upload(filling.port, f"/api/v2/canvas/{ref}/ops:stream", headers=ann.headers) as upload:
        first = {**append("a"), "client_version": version}
        lines = [json.dumps(line) for line in (first, *(append("a") for _ in range(59)))]
        upload.send(("\n".join(lines) + "\n").encode())
        answer = upload.end()
    assert answer.status == 202
    assert answer.body["ops_count"] == 60
    assert time.monotonic() - started_s > 0.8
    assert ann.text(ref) == "a" * 60


def test_uploads_of_one_line_without_an_end_go_no_faster_than_others(filling: Served) -> None:
    ann = person(filling)
    ref = ann.canvas()
    version = ann.ask("GET", f"/api/v2/canvas/{ref}").json()["version"]
    started_s = time.monotonic()
    headers = {"Content-Type": "application/x-ndjson", **ann.headers}
    for _ in range(60):
        line = json.dumps({**append("a"), "client_version": version})
        answer = filling.http.post(f"/api/v2/canvas/{ref}/ops:stream", content=line.encode(), headers=headers)
        assert answer.status_code == 202
    assert time.monotonic() - started_s > 0.8


def test_presences_beyond_the_rate_are_dropped_in_silence(ann: Person) -> None:
    ref = ann.canvas()
    with ann.hear(ref) as hears:
        hears.expect("snapshot")
        started_s = time.monotonic()
        statuses = [
            ann.ask("POST", f"/api/v2/canvas/{ref}/presence", {"name": f"{number}"}).status_code for number in range(25)
        ]
        assert ann.write(ref, "!").status_code == 202
        told = hears.until("ack")
        took_s = time.monotonic() - started_s
    assert statuses == [204] * 25
    count = sum(event.type == "presence" for event in told)
    assert PRESENCES_PER_S <= count <= PRESENCES_PER_S * (1 + took_s) + 1


def test_presences_of_ever_other_clients_of_one_user_are_bounded_too(ann: Person) -> None:
    ref = ann.canvas()
    with ann.hear(ref) as hears:
        hears.expect("snapshot")
        started_s = time.monotonic()
        for number in range(200):
            sent = ann.ask("POST", f"/api/v2/canvas/{ref}/presence", {}, {"X-Client-Id": f"client-{number}"})
            assert sent.status_code == 204
        assert ann.write(ref, "!").status_code == 202
        told = hears.until("ack")
        took_s = time.monotonic() - started_s
    count = sum(event.type == "presence" for event in told)
    assert PRESENCES_OF_USER_PER_S <= count <= PRESENCES_OF_USER_PER_S * (1 + took_s) + 1


def test_previews_count_as_the_operations_that_they_try(ann: Person) -> None:
    ref = ann.canvas()
    ops = [append("a") for _ in range(40)]
    ops[0]["client_version"] = ann.ask("GET", f"/api/v2/canvas/{ref}").json()["version"]
    preview = f"/api/v2/canvas/{ref}/ops:preview"
    assert ann.ask("POST", preview, {"ops": ops}).status_code == 200
    assert ann.ask("POST", preview, {"ops": ops}).status_code == 429
    assert ann.post(ref, *(append("b") for _ in range(20))).status_code == 429


def test_agents_get_half_while_people_write_and_all_of_it_when_they_do_not(server: Served, ann: Person) -> None:
    ref, quiet = ann.canvas(access={"link": "write"}), ann.canvas(access={"link": "write"})
    agents = [person(server, "agent") for _ in range(2)]
    assert ann.write(ref, "person").status_code == 202
    assert agents[0].post(ref, *(append("a") for _ in range(15))).status_code == 202
    assert agents[1].post(ref, *(append("a") for _ in range(15))).status_code == 429
    assert agents[1].post(ref, *(append("a") for _ in range(5))).status_code == 202
    # What the canvas refused was not taken from the agent.
    assert agents[1].post(quiet, *(append("a") for _ in range(35))).status_code == 202
    assert ann.post(ref, *(append("p") for _ in range(30))).status_code == 202


@pytest.mark.parametrize("path", ["/api/v2/me", "/api/v2/canvas/x/ops:stream"])
def test_after_ten_wrong_tokens_from_an_address_more_are_refused_and_a_good_one_works(
    server: Served, ann: Person, path: str
) -> None:
    ref = ann.canvas()
    server.run(server.manager.open(ref))  # type: ignore[arg-type]
    method = "GET" if path.endswith("me") else "POST"
    path = path.replace("/x/", f"/{ref}/")
    body = {"ops": [{**append("!"), "client_version": 'W/"0-0"'}]}
    answers = [
        server.http.request(method, path, json=body, headers={"Authorization": f"Bearer wrong-{number}"})
        for number in range(12)
    ]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert ann.ask("GET", "/api/v2/me").status_code == 200
    assert ann.write(ref, "!").status_code == 202
    assert server.http.post("/api/v2/sessions", json={"code": "x"}).status_code == 429


def test_a_token_whose_time_is_over_is_no_guess_and_does_not_count(server: Served, ann: Person) -> None:
    expired = person(server, name=ann.name, lasts_s=-5)
    answers = [expired.ask("GET", "/api/v2/me") for _ in range(20)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "AUTH_EXPIRED")}
    assert server.http.get("/api/v2/me", headers={"Authorization": "Bearer wrong"}).status_code == 401


def _connected(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def _is_open(sock: socket.socket) -> bool:
    sock.settimeout(0.3)
    try:
        sock.recv(4096)
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    return False


def test_of_many_strangers_the_oldest_give_way_and_who_has_a_token_stays_and_gets_in() -> None:
    limits = replace(IN_MEMORY.limits, strangers_max=16)
    with serving(replace(IN_MEMORY, limits=limits), credentials=True) as server, ExitStack() as stack:
        ann = person(server)
        ref = ann.canvas("text")
        listens = stack.enter_context(ann.hear(ref))
        listens.expect("snapshot")
        for _ in range(3):
            strangers = [stack.enter_context(_connected(server)) for _ in range(40)]
            with ann.hear(ref) as another:
                assert another.next().type == "start"
        assert len(server.house.app.strangers or ()) <= 16
        assert ann.write(ref, "!").status_code == 202
        assert listens.expect("ack")["op_id"]
        assert not _is_open(strangers[0])
        assert _is_open(strangers[-1])
