"""What is asked by whoever runs the server."""

from __future__ import annotations

from typing import Final

from canvas_server.web.health import Alive, Readiness
from canvas_server.web.openapi.answers import Answer, Media, json_media
from canvas_server.web.openapi.endpoint import Endpoint
from canvas_server.web.problems import AuthRequiredError
from canvas_server.web.status import Status

_TEXT: Final[dict[str, object]] = {"type": "string"}

SERVICE: Final = (
    Endpoint(
        "get", "/healthz", "isAlive", "Service", "Is it alive?", (Answer(200, "It answers.", (json_media(Alive),)),)
    ),
    Endpoint(
        "get",
        "/readyz",
        "isReady",
        "Service",
        "Can it do its work?",
        (
            Answer(200, "It can.", (json_media(Readiness, Readiness(ready=True, reasons=(), oldest_unsaved_s=0.4)),)),
            Answer(503, "It cannot: `reasons` says why.", (json_media(Readiness),)),
        ),
    ),
    Endpoint(
        "get",
        "/metrics",
        "readMetrics",
        "Service",
        "What was counted and measured, for Prometheus",
        (
            Answer(
                200,
                "In the text format, or as OpenMetrics where `Accept` asks for it.",
                (Media("text/plain", _TEXT), Media("application/openmetrics-text", _TEXT)),
            ),
        ),
    ),
    Endpoint(
        "get",
        "/api/v2/status",
        "readStatus",
        "Service",
        "How does it do?",
        (Answer(200, "The figures of `/metrics`, and the canvases that are open.", (json_media(Status),)),),
        refusals=(AuthRequiredError,),
    ),
)
