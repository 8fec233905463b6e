"""What a running server answers: whether it is alive and ready, which version it is, how fast, with what clock."""

from __future__ import annotations

import ssl
import statistics
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from canvas_server import __version__
from canvas_server.address_file import Running
from canvas_server.doctor.finding import Finding, Level
from canvas_server.doctor.visit import Visit

_TRIPS: Final = 10
_TRIP_S_ENOUGH: Final = 1.0
_TRIP_HERE_S_ENOUGH: Final = 0.1
"""On this machine; more says that the loop of the server is held up."""
_SKEW_S_ENOUGH: Final = 5.0
"""The header tells whole seconds, and the server makes it once a second."""
_SKEW_S_MAX: Final = 60.0
_DAY_S: Final = 86_400
_CERTIFICATE_DAYS_ENOUGH: Final = 14
_CERTIFICATE_DAYS_MIN: Final = 2
_OK: Final = 200


def alive(visit: Visit) -> Finding:
    """Ask whether it answers at all.

    Raises:
        UnreachableError: it does not.
    """
    answer = visit.ask("GET", "/healthz")
    if answer.status != _OK or answer.field("status") != "ok":
        mend = answer.hint or "see what listens at this address: another program, or a proxy whose server is down"
        return Finding("healthz", "fail", answer.refusal, mend)
    return Finding("healthz", "ok", f"answers in {answer.took_s * 1000:.1f} ms")


def ready(visit: Visit, unsaved_s_max: float) -> Iterator[Finding]:
    """Ask whether it can do its work, and how long the oldest operation has waited for the disk."""
    answer = visit.ask("GET", "/readyz")
    reasons = answer.field("reasons")
    if answer.status == _OK:
        yield Finding("readyz", "ok", f"ready, told in {answer.took_s * 1000:.1f} ms")
    else:
        detail = "; ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else answer.refusal
        yield Finding("readyz", "fail", detail, _mend_of(detail))
    waited_s = answer.field("oldest_unsaved_s")
    if isinstance(waited_s, int | float):
        detail = f"the oldest operation that is not on disk has waited {waited_s:.1f} s"
        if waited_s > unsaved_s_max:
            yield Finding("unsaved", "fail", detail, "see `checkpoint failed` in the log; free the disk")
        else:
            yield Finding("unsaved", "ok", detail if waited_s else "everything is on disk")


def _mend_of(reasons: str) -> str:
    if "stopping" in reasons:
        return "wait until it has stopped, and start it again"
    if "store" in reasons or "saved" in reasons:
        return "end what locks the database (`fuser canvas.db`), free the disk, and see the log"
    return "see the log of the server"


def version(visit: Visit, running: Running | None) -> Finding:
    """Compare the version that runs with the one that is installed here."""
    found = _version_told(visit) or (running.version if running else "")
    if not found:
        return Finding("version", "ok", "not told: server.docs is off")
    if found != __version__:
        detail = f"{found} runs, {__version__} is installed here"
        return Finding("version", "fail", detail, "restart the server, so that it runs what is installed")
    return Finding("version", "ok", f"{found}, as installed")


def _version_told(visit: Visit) -> str:
    answer = visit.ask("GET", "/openapi.json")
    info = answer.field("info") if answer.status == _OK else None
    return str(info.get("version", "")) if isinstance(info, dict) else ""


def trips(visit: Visit) -> Iterator[Finding]:
    """Measure ten requests in a row: how long each takes, and how far the clocks are apart."""
    took_s, skews_s = [], []
    for _ in range(_TRIPS):
        answer = visit.ask("GET", "/healthz")
        took_s.append(answer.took_s)
        if date := answer.headers.get("date"):
            # As it was when the server answered; the header leaves out the part of the second that had passed.
            skews_s.append(_unix_s(date) + 0.5 - (time.time() - answer.took_s / 2))
    median_s = statistics.median(took_s)
    enough_s = _TRIP_HERE_S_ENOUGH if visit.is_loopback else _TRIP_S_ENOUGH
    detail = f"median of {_TRIPS}: {median_s * 1000:.1f} ms"
    if median_s > enough_s:
        mend = "see what keeps the processor busy" if visit.is_loopback else "see what is between here and the server"
        yield Finding("round trip", "warn", detail, mend)
    else:
        yield Finding("round trip", "ok", detail)
    if skews_s:
        yield _skew(statistics.median(skews_s))


def _unix_s(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return 0.0


def _skew(skew_s: float) -> Finding:
    detail = f"the server's is {abs(skew_s):.1f} s {'ahead' if skew_s > 0 else 'behind'}, as far as whole seconds tell"
    if abs(skew_s) > _SKEW_S_ENOUGH:
        level: Level = "fail" if abs(skew_s) > _SKEW_S_MAX else "warn"
        return Finding("clock", level, detail, "have both machines set their clocks by NTP")
    return Finding("clock", "ok", "the server's agrees with this one's")


def metrics(visit: Visit) -> Finding:
    """Ask for metrics; a server that has none is not ill."""
    answer = visit.ask("GET", "/metrics")
    match answer.status:
        case 200:
            return Finding("metrics", "ok", f"{len(answer.body.splitlines())} lines")
        case 404:
            return Finding("metrics", "ok", "not offered at this address")
        case 401 | 403:
            return Finding("metrics", "ok", f"not for this token ({answer.status})")
        case _:
            return Finding("metrics", "warn", answer.refusal, answer.hint or "see the log of the server")


def certificate(visit: Visit) -> Iterator[Finding]:
    """Look at how long the server's certificate is good for; nothing over plain HTTP.

    Raises:
        UnreachableError: it cannot be trusted.
    """
    ends = visit.certificate().get("notAfter")
    if isinstance(ends, str):
        yield certificate_until(ssl.cert_time_to_seconds(ends) - time.time())


def certificate_until(left_s: float) -> Finding:
    """Judge a certificate that is good for so long."""
    detail, mend = f"good for {left_s / _DAY_S:.0f} days", "renew it, and see why that was not done by itself"
    if left_s < _CERTIFICATE_DAYS_MIN * _DAY_S:
        return Finding("certificate", "fail", detail, mend)
    if left_s < _CERTIFICATE_DAYS_ENOUGH * _DAY_S:
        return Finding("certificate", "warn", detail, mend)
    return Finding("certificate", "ok", detail)
