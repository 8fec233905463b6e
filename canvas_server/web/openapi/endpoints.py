"""What each path does, in the order of PROTOCOL section 2, then what stands beside; paths are those of `web.routes`."""

from __future__ import annotations

from typing import Final

from canvas_server.web.openapi.canvas_endpoints import READING, WRITING
from canvas_server.web.openapi.endpoint import Endpoint
from canvas_server.web.openapi.generation_endpoints import generation
from canvas_server.web.openapi.identity_endpoints import IDENTITY
from canvas_server.web.openapi.money_endpoints import MONEY
from canvas_server.web.openapi.operation_endpoints import listening, operations
from canvas_server.web.openapi.preset_endpoints import DIALOGUES, PRESETS
from canvas_server.web.openapi.service_endpoints import SERVICE

TAGS: Final = {
    "Canvases": "Create, read, list, rename, close and delete.",
    "Operations": "Change a canvas. What became of a change is told on the stream, never in the answer.",
    "Listening": "Everything that happens, as server-sent events.",
    "Identity": "Who one is, and who may do what: users, tokens, the rights to canvases.",
    "Generation": "Have a language model write: jobs that live apart from any connection.",
    "Money": "What jobs cost, and what may be spent.",
    "Presets": "Scenes that prompts are made of.",
    "Dialogues": "What a client or the auto-save keeps as a file.",
    "Service": "For whoever runs the server.",
}


def endpoints() -> tuple[Endpoint, ...]:
    """Return all endpoints of the API; the page and its files are none of it."""
    return (
        *WRITING,
        *READING,
        *operations(),
        *listening(),
        *IDENTITY,
        *generation(),
        *MONEY,
        *PRESETS,
        *DIALOGUES,
        *SERVICE,
    )
