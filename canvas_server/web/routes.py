"""The table of contents: every path the server answers, in the order of PROTOCOL section 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from canvas_server.core.errors import CanvasError
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.auth import Identification
from canvas_server.web.canvases import Canvases
from canvas_server.web.exchange import Exchange, Handler, Request, Resource
from canvas_server.web.health import Health
from canvas_server.web.listen import StreamSettings, listen
from canvas_server.web.openapi import openapi_document
from canvas_server.web.ops import preview_ops, stream_ops, submit_at_once
from canvas_server.web.page import Page

_PREFIX: Final = "/api/v2/canvas/"
_SUBMIT: Final = "/ops:stream"


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the web floor is told when it is built."""

    stream: StreamSettings = StreamSettings()
    list_limit_max: int = 200
    history_limit_max: int = 1_000
    presence_ttl_ms_max: int = 60_000
    presence_bytes_max: int = 2_048
    unsaved_age_s_max: float = 15.0
    docs: bool = True
    access_log: bool = False


class Web:
    """ASGI application for all of it; what is submitted most goes past the router.

    Args:
        manager: the authority.
        identification: knows the tokens.
        settings: of this floor.
    """

    def __init__(self, manager: CanvasStateManager, identification: Identification, settings: WebSettings) -> None:
        self._identification = identification
        self._settings = settings
        self._manager = manager

        async def submit(exchange: Exchange) -> None:
            await stream_ops(exchange, manager)

        async def preview(exchange: Exchange) -> None:
            await preview_ops(exchange, manager)

        async def hear(exchange: Exchange) -> None:
            await listen(exchange, manager, settings.stream)

        canvases = Canvases(
            manager,
            list_limit_max=settings.list_limit_max,
            history_limit_max=settings.history_limit_max,
            presence_ttl_ms_max=settings.presence_ttl_ms_max,
            presence_bytes_max=settings.presence_bytes_max,
        )
        health, page = Health(manager, settings.unsaved_age_s_max), Page()
        self._submit = self._resource({"POST": submit})
        self._routes = [
            self._route("/api/v2/canvas/{ref}/ops:stream", {"POST": submit}),
            self._route("/api/v2/canvas/{ref}/ops:listen", {"GET": hear}, head=False),
            self._route("/api/v2/canvas/{ref}/ops:preview", {"POST": preview}),
            self._route("/api/v2/canvas/{ref}/ops/{op_id}", {"GET": canvases.outcome}),
            self._route("/api/v2/canvas/{ref}/ops", {"GET": canvases.history}),
            self._route("/api/v2/canvas/{ref}/outline", {"GET": canvases.outline}),
            self._route("/api/v2/canvas/{ref}/presence", {"POST": canvases.presence}),
            self._route("/api/v2/canvas/{ref}:close", {"POST": canvases.close}),
            self._route(
                "/api/v2/canvas/{ref}",
                {
                    "GET": canvases.read,
                    "PUT": canvases.create,
                    "PATCH": canvases.change_title,
                    "DELETE": canvases.delete,
                },
            ),
            self._route("/api/v2/canvas", {"GET": canvases.list_all, "POST": canvases.create_anywhere}),
            self._route("/api/v2/ops:listen", {"GET": hear}, head=False),
            self._route("/healthz", {"GET": health.alive}),
            self._route("/readyz", {"GET": health.ready}),
            self._route("/", {"GET": page.index}),
            self._route("/page/{name}", {"GET": page.file}),
            self._route("/favicon.ico", {"GET": page.favicon}),
            *self._docs(page),
        ]
        self._router = Router(self._routes, redirect_slashes=False, default=self._resource({}, unknown=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        path: str = scope["path"]
        if path.endswith(_SUBMIT) and path.startswith(_PREFIX):
            ref = path[len(_PREFIX) : -len(_SUBMIT)]
            if "/" not in ref:
                await self._submit.serve(scope, receive, send, ref)
                return
        await self._router(scope, receive, send)

    def at_once(self, scope: Scope, body: bytes) -> bytes | None:
        """Return the answer, with status 202, to a whole POST that needs no waiting; None for any other."""
        path: str = scope["path"]
        if self._settings.access_log or not (path.endswith(_SUBMIT) and path.startswith(_PREFIX)):
            return None
        try:
            request = Request(scope, self._identification, path[len(_PREFIX) : -len(_SUBMIT)])
            return submit_at_once(request, body, self._manager)
        except CanvasError:
            return None  # refused where there is room to say why

    def _docs(self, page: Page) -> list[Route]:
        if not self._settings.docs:
            return []
        document = msgspec.json.encode(openapi_document())

        async def description(exchange: Exchange) -> None:
            await exchange.answer(200, document)

        return [self._route("/openapi.json", {"GET": description}), self._route("/docs", {"GET": page.docs})]

    def _route(self, path: str, handlers: Mapping[str, Handler], *, head: bool = True) -> Route:
        return Route(path, self._resource(handlers, head=head))

    def _resource(self, handlers: Mapping[str, Handler], *, head: bool = True, unknown: bool = False) -> Resource:
        return Resource(self._identification, handlers, head=head, logs=self._settings.access_log, unknown=unknown)
