"""Planted bugs of identity: who asks, what that allows, and what must end when it does no more."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_AUTH: Final = ("tests/web/test_auth.py",)
_HERE: Final = ("tests/web/test_only_here.py",)
_OPEN: Final = ("tests/web/test_no_auth.py",)
_FOLDER: Final = ("tests/storage/test_database.py",)
_RIGHTS: Final = ("tests/web/test_rights.py",)

MUTANTS: Final = (
    Mutant(
        "role-not-asked", "web/auth.py", "rights = RIGHTS_OF[user.role] & token.rights", "rights = token.rights", _AUTH
    ),
    Mutant(
        "expired-token-good",
        "web/auth.py",
        "if known.token.is_expired(now_unix_ms):",
        "if known.token.is_expired(0):",
        _AUTH,
    ),
    Mutant("cookie-writes", "web/auth.py", "if method in _SAFE:", "if True:", _AUTH),
    Mutant(
        "cookie-may-all",
        "web/auth.py",
        "return caller._replace(rights=caller.rights & _READING)",
        "return caller",
        _AUTH,
    ),
    Mutant(
        "locked-out-comes-in",
        "state/identity.py",
        "if user is not None and user.active:",
        "if user is not None:",
        _AUTH,
    ),
    Mutant(
        "ticket-good-twice",
        "web/secrets.py",
        "self._held.pop(_digest(secret), None)",
        "self._held.get(_digest(secret))",
        _AUTH,
    ),
    Mutant(
        "bound-token-reaches-all",
        "web/auth.py",
        "if self.canvases is not None and ref not in self.canvases:",
        "if False:",
        _AUTH,
    ),
    Mutant(
        "unread-canvas-told",
        "web/auth.py",
        "            raise no_canvas(ref)",
        "            raise ForbiddenError('no', hint='no')",
        _AUTH,
    ),
    Mutant("route-asks-nothing", "web/exchange.py", "await exchange.admit(guarded.need)", "pass", _RIGHTS, "slow"),
    Mutant(
        "desk-asks-nothing",
        "web/ops.py",
        'caller.check_canvas(request.ref, room.canvas.access, "write")',
        "pass",
        _AUTH,
    ),
    Mutant(
        "first-link-from-anywhere",
        "web/sessions.py",
        "if code.here_only and not is_here:",
        "if False:",
        _HERE,
    ),
    Mutant(
        "proxy-is-here",
        "web/peers.py",
        "return not self.speaks_for_others(peer) and (",
        "return (",
        _HERE,
    ),
    Mutant(
        "token-made-where-nobody-is-asked",
        "web/tokens.py",
        "exchange.gate.identification.check_required()",
        "pass",
        _OPEN,
    ),
    Mutant(
        "planted-database-adopted",
        "core/data_folder.py",
        "if folder.mode & OTHERS_WRITE and DATABASE_NAME in entries:",
        "if False:",
        _FOLDER,
    ),
    Mutant(
        "closed-before-it-is-looked-at",
        "storage/folder.py",
        "        # Only from here on can nobody add anything.\n        _check_trust(data_dir, folder)",
        "",
        _FOLDER,
    ),
    Mutant("planted-link-followed", "core/data_folder.py", "not stat.S_ISREG(facts.mode)", "False", _FOLDER),
    Mutant(
        "code-in-a-command-line", "browsing.py", "args=(page.as_uri(),)", "args=(url,)", ("tests/test_browsing.py",)
    ),
)
