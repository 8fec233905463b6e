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
from canvas_server.web.canvases import Canvases
from canvas_server.web.costs import Costs
from canvas_server.web.dialogues import Dialogues
from canvas_server.web.exchange import Exchange, Guarded, Handler, Request, Resource
from canvas_server.web.gate import KNOWN, OPEN, Gate, Need
from canvas_server.web.health import Health
from canvas_server.web.job_bodies import JOBS_PATH, DefaultModel
from canvas_server.web.job_stream import JobStreams, StreamTimes
from canvas_server.web.jobs import Jobs
from canvas_server.web.lag import LoopProbe
from canvas_server.web.listen import StreamSettings, listen
from canvas_server.web.metrics import SUBMIT_ROUTE, Metrics
from canvas_server.web.models import Models
from canvas_server.web.openapi import openapi_document
from canvas_server.web.ops import preview_ops, stream_ops, submit_at_once
from canvas_server.web.page import Page
from canvas_server.web.presets import PresetPages
from canvas_server.web.preview.press import Press, PressLimits
from canvas_server.web.previews import Previews
from canvas_server.web.sessions import Sessions
from canvas_server.web.sharing import Sharing
from canvas_server.web.status import Sources, StatusPage
from canvas_server.web.streams import Streams
from canvas_server.web.survey import Survey
from canvas_server.web.tokens import Tokens
from canvas_server.web.users import Users

_PREFIX: Final = "/api/v2/canvas/"
_SUBMIT: Final = "/ops:stream"

_READ: Final = Need("read")
_READ_SOME: Final = Need("read", bound=True)
_CREATE: Final = Need("create", bound=True)
_GENERATE: Final = Need("generate", bound=True)
_ADMIN: Final = Need("admin")
_READ_CANVAS: Final = Need("read", "read")
_WRITE_CANVAS: Final = Need("write", "write")
_KEEP_CANVAS: Final = Need("manage", "write")
_OWN_CANVAS: Final = Need("manage", "own")


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
    press: PressLimits = PressLimits()
    dialogue_bytes_max: int = 8 * 1024 * 1024
    default_model: DefaultModel = DefaultModel("demo", "demo")
    unsaved_age_s_max: float = 15.0
    ephemeral: bool = False
    docs: bool = True
    operators_need: Need = KNOWN
    """What one needs to see the metrics and the API description, in which nobody is named."""
    status_need: Need = KNOWN
    """What one needs to see the status, in which canvases are named."""
    access_log: bool = False


class Identities(NamedTuple):
    """What asks whoever comes."""

    gate: Gate
    streams: Streams
    sessions: Sessions
    users: Users
    tokens: Tokens
    sharing: Sharing


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
        identities: ask whoever comes.
        generation: what stands beside the canvases.
        settings: of this floor.
        probe: knows how late the event loop is.
    """

    def __init__(
        self,
        manager: CanvasStateManager,
        identities: Identities,
        generation: Generation,
        settings: WebSettings,
        probe: LoopProbe,
    ) -> None:
        self._gate = identities.gate
        self._streams = identities.streams
        self._settings = settings
        self._manager = manager
        self.press = Press(settings.press)
        """Renders previews, once somebody opens it."""
        health = Health(manager, settings.unsaved_age_s_max)
        self._submit = self._resource(SUBMIT_ROUTE, {"POST": (_WRITE_CANVAS, self._take_operations)})
        self._routes = [
            *self._canvases(identities.sharing, Previews(manager, self.press)),
            *self._identities(identities),
            *self._generation(generation),
            self._route("/healthz", {"GET": (OPEN, health.alive)}),
            self._route("/readyz", {"GET": (OPEN, health.ready)}),
            *self._operating(generation, health, probe),
            *self._pages(Page()),
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
            request = Request(scope, self._gate, path[len(_PREFIX) : -len(_SUBMIT)])
            answer = submit_at_once(request, body, self._manager)
        except CanvasError:
            return None  # refused where there is room to say why
        if answer is not None:
            self._manager.counts.at_once += 1
        return answer

    async def _take_operations(self, exchange: Exchange) -> None:
        await stream_ops(exchange, self._manager, self._streams)

    async def _preview_operations(self, exchange: Exchange) -> None:
        await preview_ops(exchange, self._manager)

    async def _listen(self, exchange: Exchange) -> None:
        await listen(exchange, self._manager, self._streams, self._settings.stream)

    def _canvases(self, sharing: Sharing, previews: Previews) -> list[Route]:
        settings = self._settings
        canvases = Canvases(
            self._manager,
            list_limit_max=settings.list_limit_max,
            history_limit_max=settings.history_limit_max,
            presence_ttl_ms_max=settings.presence_ttl_ms_max,
            presence_bytes_max=settings.presence_bytes_max,
        )
        return [
            self._route(SUBMIT_ROUTE, {"POST": (_WRITE_CANVAS, self._take_operations)}),
            self._route("/api/v2/canvas/{ref}/ops:listen", {"GET": (_READ_CANVAS, self._listen)}, head=False),
            self._route("/api/v2/canvas/{ref}/ops:preview", {"POST": (_READ_CANVAS, self._preview_operations)}),
            self._route("/api/v2/canvas/{ref}/ops/{op_id}", {"GET": (_READ_CANVAS, canvases.outcome)}),
            self._route("/api/v2/canvas/{ref}/ops", {"GET": (_READ_CANVAS, canvases.history)}),
            self._route("/api/v2/canvas/{ref}/outline", {"GET": (_READ_CANVAS, canvases.outline)}),
            self._route("/api/v2/canvas/{ref}/preview", {"GET": (_READ_CANVAS, previews.read)}),
            self._route("/api/v2/canvas/{ref}/presence", {"POST": (_READ_CANVAS, canvases.presence)}),
            self._route(
                "/api/v2/canvas/{ref}/access",
                {"GET": (_READ_CANVAS, sharing.read), "PUT": (_OWN_CANVAS, sharing.change)},
            ),
            self._route("/api/v2/canvas/{ref}:close", {"POST": (_KEEP_CANVAS, canvases.close)}),
            self._route(
                "/api/v2/canvas/{ref}",
                {
                    "GET": (_READ_CANVAS, canvases.read),
                    "PUT": (_CREATE, canvases.create),
                    "PATCH": (_KEEP_CANVAS, canvases.change_title),
                    "DELETE": (_OWN_CANVAS, canvases.delete),
                },
            ),
            self._route(
                "/api/v2/canvas",
                {"GET": (_READ_SOME, canvases.list_all), "POST": (_CREATE, canvases.create_anywhere)},
            ),
            self._route("/api/v2/ops:listen", {"GET": (_READ_SOME, self._listen)}, head=False),
        ]

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
            self._streams,
            shop.feeds,
            shop.costs,
            self._manager.counts,
            StreamTimes(settings.heartbeat_s, settings.stream.slow_write_s, settings.stream.retry_ms_min),
        )
        costs = Costs(shop.costs)
        presets = PresetPages(generation.presets, preset_bytes_max=settings.preset_bytes_max)
        dialogues = Dialogues(generation.copies, self._manager, dialogue_bytes_max=settings.dialogue_bytes_max)
        models = Models(generation.models, settings.default_model, shop.costs)
        return [
            self._route(JOBS_PATH, {"GET": (_READ_SOME, jobs.list_all), "POST": (_GENERATE, jobs.start)}),
            self._route(f"{JOBS_PATH}/{{job_id}}", {"GET": (_READ_SOME, jobs.read)}),
            self._route(f"{JOBS_PATH}/{{job_id}}/stream", {"GET": (_READ_SOME, streams.stream)}, head=False),
            self._route(f"{JOBS_PATH}/{{job_id}}/cancel", {"POST": (_GENERATE, jobs.cancel)}),
            # Whoever comes back to hear the rest needs no more than to read; who starts a job is asked for more.
            self._route(SPENDING_PATH, {"GET": (_READ_SOME, streams.generate)}, head=False),
            self._route("/api/chat/chunks/{task_id}", {"GET": (_READ_SOME, jobs.chunks)}),
            self._route("/api/v1/models", {"GET": (_READ_SOME, models.list_all)}),
            self._route("/api/v1/costs/usage", {"GET": (_READ, costs.usage)}),
            self._route("/api/v1/costs/entries", {"GET": (_READ, costs.entries)}),
            self._route("/api/v1/costs/quota/{user}", {"PUT": (_ADMIN, costs.set_quota)}),
            self._route(
                "/api/v1/presets", {"GET": (_READ_SOME, presets.list_all), "POST": (Need("manage"), presets.create)}
            ),
            self._route(
                "/api/v1/presets/{id}",
                {
                    "GET": (_READ_SOME, presets.read),
                    "PUT": (Need("manage"), presets.replace),
                    "DELETE": (Need("manage"), presets.delete),
                },
            ),
            self._route(
                "/api/v1/dialogues/{id}",
                {"GET": (_READ_SOME, dialogues.read), "PUT": (Need("write", bound=True), dialogues.put)},
            ),
        ]

    def _identities(self, identities: Identities) -> list[Route]:
        sessions, users, tokens = identities.sessions, identities.users, identities.tokens
        return [
            self._route("/api/v2/me", {"GET": (KNOWN, sessions.me)}),
            self._route("/api/v2/links", {"POST": (Need("manage"), sessions.make_link)}),
            self._route("/api/v2/sessions", {"POST": (OPEN, sessions.sign_in), "DELETE": (KNOWN, sessions.sign_out)}),
            self._route("/api/v2/sessions/cookie", {"POST": (_READ_SOME, sessions.give_cookie)}),
            self._route("/api/v2/tickets", {"POST": (_READ_SOME, sessions.give_ticket)}),
            self._route("/api/v2/users", {"GET": (_ADMIN, users.list_all), "POST": (_ADMIN, users.create)}),
            self._route("/api/v2/users/{name}", {"PATCH": (_ADMIN, users.change), "DELETE": (_ADMIN, users.delete)}),
            self._route(
                "/api/v2/tokens", {"GET": (Need("manage"), tokens.list_all), "POST": (Need("manage"), tokens.create)}
            ),
            self._route("/api/v2/tokens/{id}", {"DELETE": (Need("manage"), tokens.revoke)}),
        ]

    def _operating(self, generation: Generation, health: Health, probe: LoopProbe) -> list[Route]:
        """Return what tells an operator how the server does."""
        engine, shop = generation.engine, generation.shop
        survey = Survey(health, shop.jobs, shop.costs)
        metrics = Metrics(self._manager, engine, survey, shop.costs.currency)
        sources = Sources(self._manager, engine, shop.costs, survey, probe)
        status = StatusPage(sources, ephemeral=self._settings.ephemeral)
        return [
            self._route("/metrics", {"GET": (self._settings.operators_need, metrics.scrape)}),
            self._route("/api/v2/status", {"GET": (self._settings.status_need, status.read)}),
        ]

    def _pages(self, page: Page) -> list[Route]:
        return [
            self._route("/", {"GET": (OPEN, page.index)}),
            self._route("/admin", {"GET": (OPEN, page.admin)}),
            self._route("/page/{name}", {"GET": (OPEN, page.file)}),
            self._route("/client/{name}", {"GET": (OPEN, page.client)}),
            self._route("/favicon.ico", {"GET": (OPEN, page.favicon)}),
            *self._docs(page),
        ]

    def _docs(self, page: Page) -> list[Route]:
        if not self._settings.docs:
            return []
        document = msgspec.json.encode(openapi_document())

        async def description(exchange: Exchange) -> None:
            await exchange.answer(200, document)

        return [
            self._route("/openapi.json", {"GET": (self._settings.operators_need, description)}),
            self._route("/docs", {"GET": (OPEN, page.docs)}),
        ]

    def _route(self, path: str, handlers: Mapping[str, tuple[Need, Handler]], *, head: bool = True) -> Route:
        return Route(path, self._resource(path, handlers, head=head))

    def _resource(
        self, route: str, handlers: Mapping[str, tuple[Need, Handler]], *, head: bool = True, unknown: bool = False
    ) -> Resource:
        return Resource(
            self._gate,
            {method: Guarded(*handler) for method, handler in handlers.items()},
            head=head,
            route=route,
            logs=self._settings.access_log,
            unknown=unknown,
            counts=self._manager.counts,
        )
