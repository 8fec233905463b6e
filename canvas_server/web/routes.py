"""The table of contents: every path the server answers, in the order of PROTOCOL section 2, then what stands beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from canvas_server.core.errors import CanvasError
from canvas_server.generation.engine_embedded import EmbeddedEngine
from canvas_server.generation.enqueue import Enqueue
from canvas_server.generation.presets import Presets
from canvas_server.generation.providers.registry import KnownModel
from canvas_server.generation.workshop import Workshop
from canvas_server.state.copies import Copies
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.admission import SPENDING_PATH
from canvas_server.web.auth import Identification
from canvas_server.web.canvases import Canvases
from canvas_server.web.costs import Costs
from canvas_server.web.dialogues import Dialogues
from canvas_server.web.exchange import Exchange, Handler, Request, Resource
from canvas_server.web.health import Health
from canvas_server.web.job_bodies import JOBS_PATH, DefaultModel
from canvas_server.web.job_stream import JobStreams
from canvas_server.web.jobs import Jobs
from canvas_server.web.lag import LoopProbe
from canvas_server.web.listen import StreamSettings, listen
from canvas_server.web.metrics import SUBMIT_ROUTE, Metrics
from canvas_server.web.models import Models
from canvas_server.web.openapi import openapi_document
from canvas_server.web.ops import preview_ops, stream_ops, submit_at_once
from canvas_server.web.page import Page
from canvas_server.web.presets import PresetPages
from canvas_server.web.status import Sources, StatusPage
from canvas_server.web.survey import Survey

_PREFIX: Final = "/api/v2/canvas/"
_SUBMIT: Final = "/ops:stream"


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the web floor is told when it is built."""

    stream: StreamSettings = StreamSettings()
    list_limit_max: int = 200
    history_limit_max: int = 1_000
    presence_ttl_ms_max: int = 60_000
    presence_bytes_max: int = 2_048
    heartbeat_s: float = 15.0
    job_bytes_max: int = 7 * 1024 * 1024
    preset_bytes_max: int = 64 * 1024
    dialogue_bytes_max: int = 8 * 1024 * 1024
    default_model: DefaultModel = DefaultModel("demo", "demo")
    unsaved_age_s_max: float = 15.0
    ephemeral: bool = False
    docs: bool = True
    access_log: bool = False


class Generation(NamedTuple):
    """What answers for jobs, money, presets and dialogues."""

    enqueue: Enqueue
    engine: EmbeddedEngine
    shop: Workshop
    presets: Presets
    copies: Copies
    models: Sequence[KnownModel]


class Web:
    """ASGI application for all of it; what is submitted most goes past the router.

    Args:
        manager: the authority.
        identification: knows the tokens.
        generation: what stands beside the canvases.
        settings: of this floor.
        probe: knows how late the event loop is.
    """

    def __init__(
        self,
        manager: CanvasStateManager,
        identification: Identification,
        generation: Generation,
        settings: WebSettings,
        probe: LoopProbe,
    ) -> None:
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
        self._submit = self._resource(SUBMIT_ROUTE, {"POST": submit})
        self._routes = [
            self._route(SUBMIT_ROUTE, {"POST": submit}),
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
            *self._generation(generation),
            self._route("/healthz", {"GET": health.alive}),
            self._route("/readyz", {"GET": health.ready}),
            *self._operating(generation, health, probe),
            *self._pages(page),
        ]
        self._router = Router(self._routes, redirect_slashes=False, default=self._resource("unknown", {}, unknown=True))

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
            answer = submit_at_once(request, body, self._manager)
        except CanvasError:
            return None  # refused where there is room to say why
        if answer is not None:
            self._manager.counts.at_once += 1
        return answer

    def _generation(self, generation: Generation) -> list[Route]:
        shop, settings = generation.shop, self._settings
        jobs = Jobs(
            generation.enqueue,
            generation.engine,
            shop.jobs,
            shop.costs,
            self._manager,
            body_bytes_max=settings.job_bytes_max,
        )
        streams = JobStreams(
            jobs,
            shop.feeds,
            shop.costs,
            self._manager.counts,
            heartbeat_s=settings.heartbeat_s,
            slow_write_s=settings.stream.slow_write_s,
            retry_ms=settings.stream.retry_ms_min,
        )
        costs = Costs(shop.costs)
        presets = PresetPages(generation.presets, preset_bytes_max=settings.preset_bytes_max)
        dialogues = Dialogues(generation.copies, dialogue_bytes_max=settings.dialogue_bytes_max)
        models = Models(generation.models, settings.default_model, shop.costs)
        return [
            self._route(JOBS_PATH, {"GET": jobs.list_all, "POST": jobs.start}),
            self._route(f"{JOBS_PATH}/{{job_id}}", {"GET": jobs.read}),
            self._route(f"{JOBS_PATH}/{{job_id}}/stream", {"GET": streams.stream}, head=False),
            self._route(f"{JOBS_PATH}/{{job_id}}/cancel", {"POST": jobs.cancel}),
            self._route(SPENDING_PATH, {"GET": streams.generate}, head=False),
            self._route("/api/chat/chunks/{task_id}", {"GET": jobs.chunks}),
            self._route("/api/v1/models", {"GET": models.list_all}),
            self._route("/api/v1/costs/usage", {"GET": costs.usage}),
            self._route("/api/v1/costs/entries", {"GET": costs.entries}),
            self._route("/api/v1/costs/quota/{user}", {"PUT": costs.set_quota}),
            self._route("/api/v1/presets", {"GET": presets.list_all, "POST": presets.create}),
            self._route(
                "/api/v1/presets/{id}", {"GET": presets.read, "PUT": presets.replace, "DELETE": presets.delete}
            ),
            self._route("/api/v1/dialogues/{id}", {"GET": dialogues.read, "PUT": dialogues.put}),
        ]

    def _operating(self, generation: Generation, health: Health, probe: LoopProbe) -> list[Route]:
        """Return what tells an operator how the server does."""
        engine, shop = generation.engine, generation.shop
        survey = Survey(health, shop.jobs, shop.costs)
        metrics = Metrics(self._manager, engine, survey, shop.costs.currency)
        sources = Sources(self._manager, engine, shop.costs, survey, probe)
        status = StatusPage(sources, ephemeral=self._settings.ephemeral)
        return [
            self._route("/metrics", {"GET": metrics.scrape}),
            self._route("/api/v2/status", {"GET": status.read}),
        ]

    def _pages(self, page: Page) -> list[Route]:
        return [
            self._route("/", {"GET": page.index}),
            self._route("/admin", {"GET": page.admin}),
            self._route("/page/{name}", {"GET": page.file}),
            self._route("/favicon.ico", {"GET": page.favicon}),
            *self._docs(page),
        ]

    def _docs(self, page: Page) -> list[Route]:
        if not self._settings.docs:
            return []
        document = msgspec.json.encode(openapi_document())

        async def description(exchange: Exchange) -> None:
            await exchange.answer(200, document)

        return [self._route("/openapi.json", {"GET": description}), self._route("/docs", {"GET": page.docs})]

    def _route(self, path: str, handlers: Mapping[str, Handler], *, head: bool = True) -> Route:
        return Route(path, self._resource(path, handlers, head=head))

    def _resource(
        self, route: str, handlers: Mapping[str, Handler], *, head: bool = True, unknown: bool = False
    ) -> Resource:
        return Resource(
            self._identification,
            handlers,
            head=head,
            logs=self._settings.access_log,
            unknown=unknown,
            counts=self._manager.counts,
            route=route,
        )
