"""Names that nobody else has."""

from __future__ import annotations

import secrets


def new_name(prefix: str = "") -> str:
    """Return a name for an operation or a client: 22 characters of chance behind the prefix."""
    # The first may be a `-`, which some tools would take for an option.
    return f"{prefix or 'c'}{secrets.token_urlsafe(16)}"
