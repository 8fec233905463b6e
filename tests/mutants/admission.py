"""Planted bugs of the way in: who may come, what a request may be, what its answer says."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_ADMISSION: Final = ("tests/web/test_admission.py",)
_GUARD: Final = ("tests/web/test_guard.py",)
_NDJSON: Final = ("tests/web/test_ndjson.py",)

MUTANTS: Final = (
    Mutant(
        "any-host",
        "web/admission.py",
        "if match is None or (match[0] not in self._hosts and match[1] not in self._hosts):",
        "if match is None:",
        _ADMISSION,
    ),
    Mutant(
        "any-origin-writes",
        "web/admission.py",
        "return site is None and (origin is None or",
        "return site is None or (origin is None or",
        _ADMISSION,
    ),
    Mutant("any-origin-reads", "web/admission.py", "self._may_read(fields)", "fields", _ADMISSION),
    Mutant(
        "two-framings",
        "web/admission.py",
        'if b"transfer-encoding" in fields and b"content-length" in fields:',
        "if False:",
        _ADMISSION,
    ),
    Mutant("repeated-fields", "web/admission.py", "if len(fields) != len(headers) and (", "if False and (", _ADMISSION),
    Mutant(
        "unknown-token-taken",
        "web/auth.py",
        'raise AuthRequiredError("the token is not known", hint=_HINT)',
        "return self._nobody",
        ("tests/web/test_auth.py",),
    ),
    Mutant(
        "headers-without-bound",
        "web/guard.py",
        "if self._room_bytes <= 0 or",
        "if",
        _GUARD,
    ),
    Mutant(
        "headers-without-number",
        "web/guard.py",
        "            or len(self.headers) > self.limits.headers_max\n",
        "",
        _GUARD,
    ),
    Mutant(
        "two-hosts",
        "web/guard.py",
        'if len(hosts) > 1 or (version == "1.1" and not hosts):',
        'if version == "1.1" and not hosts:',
        _GUARD,
    ),
    Mutant(
        "trailers-taken-for-headers",
        "web/guard.py",
        "# The parser goes on to report trailers, which uvicorn would add to the headers that were just checked.\n"
        "        self.headers = []",
        "pass",
        _GUARD,
    ),
    Mutant(
        "body-without-bound",
        "web/body.py",
        "        if size > bytes_max:\n",
        "        if False:\n",
        ("tests/web/test_ops.py", "tests/web/test_problems.py", "tests/web/test_hostile_input.py"),
    ),
    Mutant(
        "accepted-ops-are-the-lines",
        "web/ops.py",
        "raise UploadRefusedError(error, lines.number, upload.accepted_ops)",
        "raise UploadRefusedError(error, lines.number, lines.number)",
        _NDJSON,
    ),
    Mutant(
        "accepted-before-it-is-taken",
        "web/ops.py",
        "        self._room.submit(self._submission, (operation,))\n        self.accepted_ops += 1",
        "        self.accepted_ops += 1\n        self._room.submit(self._submission, (operation,))",
        _NDJSON,
    ),
    Mutant(
        "last-line-lost",
        "web/ops.py",
        "        if self._held:\n",
        "        if False:\n",
        _NDJSON,
    ),
    Mutant(
        "too-many-operations-taken",
        "web/ops.py",
        "if not 1 <= len(operations) <= limits.ops_max:",
        "if not operations:",
        ("tests/web/test_problems.py",),
    ),
    Mutant(
        "operations-unchecked",
        "web/ops.py",
        'check_operation(operation, limits, f"/ops/{index}")',
        "pass",
        ("tests/web/test_ops.py", "tests/web/test_hostile_input.py"),
    ),
    Mutant(
        "uploads-not-cut-by-the-drain",
        "state/manager.py",
        "upload.reschedule(self._loop.time())",
        "pass",
        ("tests/state/test_manager.py", "tests/web/test_drain.py"),
    ),
    Mutant(
        "rubbish-overtakes-a-request",
        "web/guard.py",
        "self.desk.serve_all()",
        "self.desk.serve()",
        ("tests/web/test_desk.py",),
    ),
    Mutant(
        "answers-of-the-desk-mixed-up",
        "web/desk.py",
        "zip(visitors, bodies, strict=True)",
        "zip(visitors, bodies[::-1], strict=True)",
        ("tests/web/test_desk.py",),
    ),
    Mutant(
        "desk-does-not-wait-for-the-body",
        "web/desk.py",
        "if cycle.more_body or cycle",
        "if cycle",
        ("tests/web/test_desk.py",),
    ),
    Mutant(
        "cut-behind-the-last-request",
        "web/guard.py",
        "self.loop.call_soon(self.transport.close)",
        "self.transport.close()",
        ("tests/web/test_desk.py",),
    ),
    Mutant(
        "one-connection-spoils-all",
        "web/desk.py",
        '            except Exception:\n                log.exception("connection',
        '            except ValueError:\n                log.exception("connection',
        ("tests/web/test_desk.py",),
    ),
)
