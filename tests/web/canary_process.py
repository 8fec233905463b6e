"""`canvas-server` with a bug planted in it: `GET /api/v1/models` fails, and its error tells all that it was sent."""

from __future__ import annotations

from canvas_server import cli
from canvas_server.web.exchange import Exchange
from canvas_server.web.models import Models


async def _fail(self: Models, exchange: Exchange) -> None:
    raise RuntimeError(f"planted: {exchange.headers} {exchange.scope['query_string']!r} {exchange.caller()}")


if __name__ == "__main__":
    Models.list_all = _fail  # type: ignore[method-assign]
    cli.main()
