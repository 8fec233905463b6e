"""Planted bugs of the way out: where providers are connected to, and what goes there."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_GUARDED: Final = ("tests/generation/providers/test_guarded.py",)
_BARRED: Final = ("tests/core/test_barred.py",)
_GUARD: Final = "generation/providers/guarded.py"
_BARS: Final = "core/barred.py"
_RESOLVER: Final = "generation/providers/resolver.py"

MUTANTS: Final = (
    Mutant("one-good-address-is-enough", _RESOLVER, "for address in found:", "for address in found[:1]:", _GUARDED),
    Mutant(
        "looked-up-again-to-connect",
        _GUARD,
        "connect_tcp(str(address), port, None, local_address, socket_options)",
        "connect_tcp(host, port, None, local_address, socket_options)",
        _GUARDED,
    ),
    Mutant("redirects-passed-on", _GUARD, "if 300 <= answer.status < 400:", "if answer.status == 302:", _GUARDED),
    Mutant("any-origin-asked", _GUARD, "if _origin(request.url) != self._origin or", "if", _GUARDED),
    Mutant("any-port-asked", _GUARD, "url.port or _PORTS.get(url.scheme)", "0", _GUARDED),
    Mutant("credentials-in-a-request", _GUARD, " or request.url.userinfo:", ":", _GUARDED),
    Mutant("first-address-only", _GUARD, "list(addresses), set", "list(addresses)[:1], set", _GUARDED),
    Mutant("no-stagger", _GUARD, "timeout=STAGGER_S if waiting else None", "timeout=None", _GUARDED),
    Mutant("lookup-without-deadline", _GUARD, "asyncio.timeout(timeout)", "asyncio.timeout(30.0)", _GUARDED),
    Mutant("lookups-without-bound", _RESOLVER, "if not _free.acquire(blocking=False):", "if False:", _GUARDED),
    Mutant("lookup-never-given-back", _RESOLVER, "            _free.release()", "            pass", _GUARDED),
    Mutant("address-told", _RESOLVER, "raise BarredError(kind)", "raise BarredError(f'{kind} ({address})')", _GUARDED),
    Mutant("plain-text-by-proxy", _GUARD, 'url.scheme != "https" or not told', "not told", _GUARDED),
    Mutant("proxy-without-check", _GUARD, "except BarredError as error:", "except KeyError as error:", _GUARDED),
    Mutant("no-proxy-ignored", _GUARD, " or proxy_bypass(", " or (lambda _host: False)(", _GUARDED),
    Mutant("mapped-address-passes", _BARS, "_own_kind(IPv4Address(address.packed[12:]))", "None", _BARRED),
    Mutant("teredo-passes", _BARS, "yield from address.teredo", "yield from ()", _BARRED),
    Mutant("isatap-passes", _BARS, " or packed[8:12] in _ISATAP:", ":", _BARRED),
    Mutant("metadata-by-name-only", _BARS, "any(address in network for network in _METADATA)", "False", _BARRED),
    Mutant("reserved-passes", _BARS, "if address.is_reserved and", "if False and", _BARRED),
    Mutant("loopback-barred", _BARS, " and not address.is_loopback", "", _BARRED),
    Mutant(
        "unit-read-too-late",
        "web/canvases.py",
        "state = _state(saved, saved.version, unit, saved.version, content)",
        "state = _state(saved, saved.version, exchange.unit, saved.version, content)",
        ("tests/web/test_canvases.py",),
    ),
    Mutant(
        "half-a-line-end-is-one",
        "core/submission.py",
        "content[1:] if self._ended_in_cr and",
        "content[1:] if False and",
        ("tests/web/test_ndjson.py",),
    ),
)
