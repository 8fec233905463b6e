"""The id of a request: the client's own `X-Request-Id` if it is a plain one, else the next of this process.

Rule: the id stands in the answer, in every line of the log that the request causes, and in its trace. An id that a
client chose tells nothing about the client, and nothing is looked up by it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Final, cast

from starlette.types import Scope

from canvas_server.core.current import is_request_id

HEADER: Final = b"x-request-id"
_KEY: Final = "request_id"


class RequestIds:
    """Names the requests of one server. Its ids begin with what only this process has, so they tell lives apart."""

    def __init__(self) -> None:
        self._prefix = f"{secrets.token_hex(4)}-"
        self._numbers = count(1)

    def of(self, scope: Mapping[str, object]) -> str:
        """Return the id of a request, and give it the next one if it has none yet."""
        state: dict[str, str] = scope["state"]  # type: ignore[assignment]  # uvicorn makes it, and we alone fill it
        request_id = state.get(_KEY)
        if request_id is None:
            request_id = state[_KEY] = f"{self._prefix}{next(self._numbers)}"
        return request_id


def keep_chosen(scope: Mapping[str, object], headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Have a request called as its client wishes: by one `X-Request-Id` that can be one, else not."""
    chosen = [value for name, value in headers if name == HEADER]
    if len(chosen) == 1 and is_request_id(text := chosen[0].decode("latin-1")):
        cast("dict[str, str]", scope["state"])[_KEY] = text


def given(scope: Scope) -> str | None:
    """Return the id of a request that was given one; None for one that did not come through the guard."""
    state: dict[str, str] = scope.setdefault("state", {})
    return state.get(_KEY)
