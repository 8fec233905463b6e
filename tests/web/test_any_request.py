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
from zlib import crc32

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy, builds, sampled_from
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
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
from tests.door import Asked, through_the_door
from tests.listener import PATIENCE_S
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import IN_MEMORY, Canvas, serving
from tests.web.answers import SLOWEST_S_MAX, judged

Case: TypeAlias = schemathesis.Case[Any]

DESCRIPTION: Final = schemathesis.openapi.from_dict(json.loads(msgspec.json.encode(openapi_document())))
OPERATIONS: Final = {one.ok().label: one.ok() for one in DESCRIPTION.get_all_operations() if isinstance(one, Ok)}
"""Every one there is: what is described tomorrow is asked tomorrow."""
REQUESTS: Final = amount(ci=700, hand=14_000)
EXAMPLES: Final = -(-REQUESTS // (len(GenerationMode) * len(OPERATIONS)))
"""Of each operation, as they should be and as they should not; those that have no input give less."""
SOCKET_EVERY: Final = 4
"""Of so many requests one goes over a socket, and all that may get a stream; the others ask the application itself."""
ADMIN: Final = "an admin's own token"
WRITER: Final = "a writer's own token"
CREDENTIALS: Final = (None, f"Bearer {WRITER}", f"Bearer {ADMIN}", "Bearer nobody's", "Basic YTpi", "Bearer", "é")
"""What requests that should not be as they are say who they are; all others are an admin's."""
GENERATING: Final = msgspec.structs.replace(
    IN_MEMORY,
    generation=GenerationSettings(provider="demo"),
    demo=DemoSettings(delay_ms=0),
    actors={
        "boss": ActorSettings(Secret(ADMIN), role="admin"),
        "ada": ActorSettings(Secret(WRITER)),
    },
)
"""Whoever names no provider has the demonstration write, so that jobs are started."""
ADMINS: Final = ((b"authorization", f"Bearer {ADMIN}".encode()),)
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
        self.asked: Counter[str] = Counter()
        """By operation."""
        self.over_a_socket = 0
        self.refused: Counter[str] = Counter()
        """By code."""
        self.slowest_s = 0.0
        self.slowest = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._session.close()

    def ask(self, case: Case) -> None:
        """Send a request and judge the answer."""
        before = self._kept()
        request = requests.Request(**case.as_transport_kwargs(base_url=self._canvas.served.url)).prepare()
        # Chosen by what is asked: the same request again must go the same way.
        chance = crc32(f"{request.method} {request.url}".encode())
        by_socket = chance % SOCKET_EVERY == 0 or case.path.endswith(("listen", "/stream"))
        label = f"{case.method} {case.path}"
        started_s = perf_counter()
        answer = (self._by_socket if by_socket else self._by_the_door)(request)
        took_s = perf_counter() - started_s
        self.asked[label] += 1
        self.over_a_socket += by_socket
        if answer is None:
            return
        if took_s > self.slowest_s:
            self.slowest_s, self.slowest = took_s, label
        code = judged(answer.status_code, str(answer.headers).lower().encode(), answer.content)
        case.validate_response(answer, checks=CHECKS)
        if code:
            self.refused[code] += 1
            assert self._kept() == before, f"{label} was refused and changed something"

    def _by_socket(self, request: requests.PreparedRequest) -> Response | None:
        with self._session.send(request, stream=True, timeout=PATIENCE_S) as answer:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return None
            return Response.from_requests(answer, verify=True)

    def _by_the_door(self, request: requests.PreparedRequest) -> Response | None:
        assert request.url is not None
        assert request.method is not None
        served = self._canvas.served
        body = request.body or b""
        assert isinstance(body, str | bytes)
        fields = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(
            request.method,
            request.url.removeprefix(served.url).encode("latin-1"),
            tuple((_bytes(name), _bytes(value)) for name, value in fields.items()),
            body.encode() if isinstance(body, str) else body,
        )
        told = served.run(through_the_door(served.house.app, asked))
        if told.is_stream:
            return None
        headers: dict[str, list[str]] = {}
        for name, value in told.headers:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return Response(told.status, headers, told.body, request, elapsed=0.0, verify=True)

    def _kept(self) -> object:
        """Return all that there is to change: every canvas with its version and text, presets, and who may what."""
        served = self._canvas.served
        told = [
            served.run(through_the_door(served.house.app, Asked("GET", target, ADMINS)))
            for target in (b"/api/v2/canvas?limit=200", self._canvas.path.encode(), b"/api/v1/presets")
        ]
        return [(one.status, one.body) for one in told]


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
@pytest.mark.timeout(amount(ci=300, hand=1_800))
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
    asked, refused, slowest_ms = client.asked.total(), client.refused.total(), client.slowest_s * 1000
    told = f"{asked} of {len(client.asked)} operations, {client.over_a_socket} over a socket"
    findings.tell("R30", f"{mode} requests made from the API description", told, "no fault")
    findings.tell("R30", f"{mode} requests refused", f"{refused}, with {len(client.refused)} codes", "nothing changed")
    findings.tell("R30", f"{mode} requests: slowest answer", f"{slowest_ms:.0f} ms ({client.slowest})", "under 1 s")
    assert set(client.asked) >= set(OPERATIONS) - (set() if mode is GenerationMode.POSITIVE else WITHOUT_INPUT)
    assert asked > REQUESTS / len(GenerationMode) * 0.75
    assert client.over_a_socket > asked / SOCKET_EVERY / 2
    assert refused > asked / 10
    assert client.slowest_s < SLOWEST_S_MAX


def strategies(known: Mapping[str, str], mode: GenerationMode) -> Iterator[SearchStrategy[Case]]:
    """Yield what makes requests of each operation."""
    for label, operation in OPERATIONS.items():
        if mode is GenerationMode.NEGATIVE and label in WITHOUT_INPUT:
            continue
        is_free = label in ONES_OWN or (mode is GenerationMode.NEGATIVE and label in BY_PATH_ALONE)
        names = () if is_free else re.findall(r"\{(\w+)\}", label)
        path_parameters = {name: known[name] for name in names if name in known}
        cases = operation.as_strategy(generation_mode=mode, path_parameters=path_parameters or None)
        if mode is GenerationMode.POSITIVE:
            yield cases.map(as_one_who_may)
        else:
            yield builds(as_somebody, cases, sampled_from(CREDENTIALS))


def as_one_who_may(case: Case) -> Case:
    """Return a request of an admin, without what keeps nearly all like it from getting anywhere."""
    if case.path == JOBS_PATH and isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name not in BEYOND_CHANCE}
    elif case.path == SPENDING_PATH:
        case.query = {name: value for name, value in case.query.items() if name not in BEYOND_CHANCE}
        case.headers.pop("Last-Event-ID", None)
    case.headers["Authorization"] = f"Bearer {ADMIN}"
    return case


def as_somebody(case: Case, credential: str | None) -> Case:
    """Return a request with a credential."""
    if credential is not None:
        case.headers["Authorization"] = credential.encode().decode("latin-1")
    return case


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _without_input() -> frozenset[str]:
    """Return the operations that nothing can be wrong about: they take neither parameters nor a body."""
    document = json.loads(msgspec.json.encode(openapi_document()))
    return frozenset(
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not operation.get("parameters") and "requestBody" not in operation
    )


WITHOUT_INPUT: Final = _without_input()
