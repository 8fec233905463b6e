"""Whatever is asked, the answer is one that is described: never a fault, and what is refused changes nothing.

The requests are made from the API description: as it wants them, and as it does not.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any, Final, TypeAlias

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from canvas_server.config import Secret
from canvas_server.config.settings import ActorSettings, DemoSettings, GenerationSettings
from canvas_server.web.admission import SPENDING_PATH
from canvas_server.web.job_bodies import JOBS_PATH
from canvas_server.web.openapi import openapi_document
from tests.listener import PATIENCE_S
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import IN_MEMORY, Canvas, serving
from tests.web.answers import SLOWEST_S_MAX, judged

Case: TypeAlias = schemathesis.Case[Any]

EXAMPLES: Final = amount(ci=12, hand=165)
"""Of each of 31 operations, as they should be and as they should not: 744 or 10,230."""
DESCRIPTION: Final = schemathesis.openapi.from_dict(json.loads(msgspec.json.encode(openapi_document())))
WITHOUT_INPUT: Final = (
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /api/v2/status",
    "GET /api/v1/models",
    "GET /api/v1/presets",
)
OPERATIONS: Final = {
    one.ok().label: one.ok()
    for one in DESCRIPTION.get_all_operations()
    if isinstance(one, Ok) and one.ok().label not in WITHOUT_INPUT
}
ADMIN: Final = "an admin's token"
GENERATING: Final = msgspec.structs.replace(
    IN_MEMORY,
    generation=GenerationSettings(provider="demo"),
    demo=DemoSettings(delay_ms=0),
    actors={"boss": ActorSettings(Secret(ADMIN), role="admin")},
)
"""Whoever names no provider has the demonstration write, so that jobs are started."""
ONES_OWN: Final = (
    "PUT /api/v2/canvas/{ref}",
    "DELETE /api/v2/canvas/{ref}",
    "POST /api/v2/canvas/{ref}:close",
    "DELETE /api/v1/presets/{id}",
)
"""These get a name from the description; all others one of what is there."""
BY_PATH_ALONE: Final = (
    f"GET {JOBS_PATH}/{{job_id}}",
    f"POST {JOBS_PATH}/{{job_id}}/cancel",
    "GET /api/v1/presets/{id}",
    "GET /api/v1/dialogues/{id}",
)
"""In these nothing else can be wrong."""
BEYOND_CHANCE: Final = ("provider", "model", "preset_id", "canvas", "schema")
"""Fields of which hardly any value that fits the description is one that there is."""
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


class Client:
    """Asks what is generated, and judges what it is told.

    Args:
        canvas: that is asked about, unless the case says otherwise.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._session = requests.Session()
        self._session.trust_env = False
        self.asked = 0
        self.refused: Counter[str] = Counter()
        self.slowest_s = 0.0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._session.close()

    def ask(self, case: Case) -> None:
        """Send a request and judge the answer."""
        before = self._canvas.version
        started_s = perf_counter()
        sent = case.as_transport_kwargs(base_url=self._canvas.served.url)
        with self._session.request(**sent, stream=True, timeout=PATIENCE_S) as answer:
            self.asked += 1
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return
            code = judged(answer.status_code, str(answer.headers).lower().encode(), answer.content)
            case.validate_response(answer, checks=CHECKS)
        self.slowest_s = max(self.slowest_s, perf_counter() - started_s)
        if code:
            self.refused[code] += 1
            assert self._canvas.version == before


@pytest.fixture(scope="module")
def canvas() -> Iterator[Canvas]:
    """One on a server of its own, for what is asked may fill it."""
    with serving(GENERATING) as served:
        yield served.canvas("# One\n\nText 😀\n", ref="fuzzed")


@pytest.fixture(scope="module")
def known(canvas: Canvas) -> Mapping[str, str]:
    """What there is to ask about, by the path parameters that name it."""
    http = canvas.http
    job_id = http.post(JOBS_PATH, json={"prompt": "A word.", "max_output_tokens": 4}).json()["job_id"]
    preset = http.post("/api/v1/presets", json={"name": "One", "configuration": {}}).json()
    return {"ref": canvas.ref, "op_id": "some-op", "job_id": job_id, "task_id": job_id, "id": preset["id"]}


@pytest.mark.promise("R30")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=120, hand=1_800))
@pytest.mark.parametrize("mode", GenerationMode)
def test_any_request_gets_an_answer_that_is_described(
    canvas: Canvas, known: Mapping[str, str], findings: Findings, mode: GenerationMode
) -> None:
    with Client(canvas) as client:
        for strategy in strategies(known, mode):
            run = given(strategy)(client.ask)
            settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))(
                run
            )()
    findings.tell("R30", f"{mode} requests made from the API description", client.asked, "no fault")
    findings.tell("R30", f"{mode} requests refused", client.refused.total(), "each with a listed code")
    findings.tell("R30", f"{mode} requests: slowest answer", f"{client.slowest_s * 1000:.0f} ms", "under 1 s")
    assert client.asked > EXAMPLES * len(OPERATIONS) / 2
    assert client.refused.total() > client.asked / 10
    assert client.slowest_s < SLOWEST_S_MAX


def strategies(known: Mapping[str, str], mode: GenerationMode) -> Iterator[SearchStrategy[Case]]:
    """Yield what makes requests of each operation."""
    for label, operation in OPERATIONS.items():
        is_free = label in ONES_OWN or (mode is GenerationMode.NEGATIVE and label in BY_PATH_ALONE)
        names = () if is_free else re.findall(r"\{(\w+)\}", label)
        path_parameters = {name: known[name] for name in names if name in known}
        cases = operation.as_strategy(generation_mode=mode, path_parameters=path_parameters or None)
        yield cases.map(as_one_who_may) if mode is GenerationMode.POSITIVE else cases


def as_one_who_may(case: Case) -> Case:
    """Return a request without what keeps nearly all like it from getting anywhere; an admin asks about money."""
    if case.path == JOBS_PATH and isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name not in BEYOND_CHANCE}
    elif case.path == SPENDING_PATH:
        case.query = {name: value for name, value in case.query.items() if name not in BEYOND_CHANCE}
        case.headers.pop("Last-Event-ID", None)
    elif case.path.startswith("/api/v1/costs/"):
        case.headers["Authorization"] = f"Bearer {ADMIN}"
    return case
