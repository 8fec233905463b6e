"""The event loop never stalls: whatever one client asks, all others are served within moments."""

from __future__ import annotations

from collections.abc import Sequence
from time import sleep
from typing import Final

import pytest

from tests.listener import Listener
from tests.load.hostile import RESTYLED, RESTYLED_BYTES, TEXTS, asks
from tests.load.probed_process import INTERVAL_S, Lag
from tests.load.running import Running, running
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND

LAG_MS_MAX: Final = 250.0
SLOWER: Final = 1 if BY_HAND else 4
"""How much slower than by hand a machine of CI may be; that it has other work is taken into account besides."""
LISTENERS: Final = 50


def lags_of(server: Running) -> list[Lag]:
    """Return the lags since this was last asked, the newest included."""
    sleep(3 * INTERVAL_S)
    return server.lags


def worst(lags: Sequence[Lag]) -> Lag:
    return max(lags, key=lambda lag: lag.own_ms)


def told(lag: Lag) -> str:
    return f"{lag.own_ms:.0f} ms of its own, {lag.late_ms:.0f} ms in all"


@pytest.mark.promise("R20", "R34")
@pytest.mark.slow
def test_no_text_and_no_request_within_the_limits_stalls_the_loop(findings: Findings) -> None:
    by_request: dict[str, list[Lag]] = {}
    with running() as server:
        for number, (name, text) in enumerate(TEXTS.items()):
            ref = f"hostile-{number}"
            version = server.create(ref, text)
            for ask in asks(ref, version, text):
                answer = ask.send(server.http)
                assert answer.status_code in (200, 202, 404), (name, ask.name, answer.text)
                by_request[f"{name}: {ask.name}"] = lags_of(server)
            server.http.delete(f"/api/v2/canvas/{ref}")
    lags = [lag for those in by_request.values() for lag in those]
    slowest = max(by_request, key=lambda name: worst(by_request[name]))
    findings.tell("R20", "hostile requests, to texts of 2 MiB", f"{len(by_request)}, to {len(TEXTS)}")
    findings.tell("R20", f"worst lag ({slowest})", told(worst(lags)), "under 250 ms")
    assert len(lags) > 1000
    assert worst(lags).own_ms < SLOWER * LAG_MS_MAX, slowest


@pytest.mark.promise("R20")
@pytest.mark.slow
def test_fifty_snapshots_of_the_greatest_size_at_once_do_not_stall_the_loop(findings: Findings) -> None:
    with running() as server:
        server.create("large", "x" * 250_000)
        server.http.get("/api/v2/canvas/large")
        lags_of(server)
        listeners = [Listener(server.port, "/api/v2/canvas/large/ops:listen") for _ in range(LISTENERS)]
        for listener in listeners:
            assert len(listener.expect("snapshot")["content"]) == 250_000
            listener.close()
        lag = worst(lags_of(server))
    findings.tell("R20", f"worst lag, {LISTENERS} snapshots of 250 KB at once", told(lag), "under 250 ms")
    assert lag.own_ms < SLOWER * LAG_MS_MAX


@pytest.mark.promise("R20")
@pytest.mark.slow
def test_an_outline_of_a_hundred_thousand_headings_and_a_section_of_the_past_do_not_stall_the_loop(
    findings: Findings,
) -> None:
    # Both were worked out on the loop: six seconds each for the largest canvas.
    with running() as server:
        server.create("headed", "# a\n" * 100_000)
        server.http.get("/api/v2/canvas/headed")
        lags_of(server)
        for path in ("outline", "?at=0&section=a-7"):
            answer = server.http.get(f"/api/v2/canvas/headed/{path}".replace("/?", "?"))
            assert answer.status_code == 200, answer.text
        lag = worst(lags_of(server))
    findings.tell("R20", "worst lag, outline of 100,000 headings and a past section", told(lag), "under 250 ms")
    assert lag.own_ms < SLOWER * LAG_MS_MAX


@pytest.mark.promise("R20")
@pytest.mark.slow
def test_what_an_edit_that_restyles_a_large_canvas_costs_everybody_is_known(findings: Findings) -> None:
    """Such an edit has the whole text parsed again, on the loop; nothing else takes nearly as long."""
    with running() as server:
        for number, (name, (text, insert)) in enumerate(RESTYLED.items()):
            ref = f"restyled-{number}"
            version = server.create(ref, text)
            server.http.get(f"/api/v2/canvas/{ref}")
            lags_of(server)
            operation = {"op_id": "restyles", "client_version": version, "action": "insert", "content": insert}
            target = {"type": "position", "position": {"mode": "start"}}
            answer = server.http.post(
                f"/api/v2/canvas/{ref}/ops:stream", json={"ops": [{**operation, "target": target}]}
            )
            assert answer.status_code == 202, answer.text
            lag = worst(lags_of(server))
            findings.tell("R20", f"worst lag, {RESTYLED_BYTES >> 10} KiB of {name} restyled by one edit", told(lag))
            assert lag.own_ms < 30_000
