"""The API description says what the server does: paths, types, codes and examples are compared with the real ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from canvas_server.app import asgi_app
from canvas_server.config import Settings
from canvas_server.core.event import Ack, Conflict, Failure
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation, check_operation
from canvas_server.core.splice import apply_changes
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.settings import StateSettings
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.system import SystemClock, SystemIds
from canvas_server.web import canvas_bodies
from canvas_server.web.admission import Admission
from canvas_server.web.exchange import Resource
from canvas_server.web.openapi import openapi_document
from canvas_server.web.openapi.examples import CONTENT
from canvas_server.web.openapi.schemas import EVENTS
from canvas_server.web.ops import Accepted, OpsBody, Preview, read_operations
from canvas_server.web.routes import Web

Json = dict[str, Any]

DOCUMENT: Json = json.loads(msgspec.json.encode(openapi_document()))
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
NOT_THE_API = {"/", "/page/{name}", "/favicon.ico", "/openapi.json", "/docs"}


def nodes(node: object, name: str = "") -> Iterator[tuple[str, Json]]:
    """Iterate over all objects of the document with the names under which they stand."""
    if isinstance(node, dict):
        yield name, node
        for key, value in node.items():
            yield from nodes(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value, name)


def resolve(reference: str) -> object:
    assert reference.startswith("#/")
    found: Any = DOCUMENT
    for step in reference[2:].split("/"):
        found = found[step]
    return found


def examples_of(operation_id: str) -> dict[str, Any]:
    (operation,) = (one for _, _, one in OPERATIONS if one["operationId"] == operation_id)
    return {kind: media["example"] for kind, media in operation["requestBody"]["content"].items()}


def handlers_of(route: Route) -> Iterable[str]:
    assert isinstance(route.endpoint, Resource)
    return route.endpoint._handlers


async def test_the_paths_and_methods_are_those_of_the_route_table() -> None:
    async with CanvasStateManager(MemoryCanvasStore(), SystemClock(), SystemIds(), StateSettings()) as manager:
        app = asgi_app(manager, Settings())
    assert isinstance(app, Admission)
    assert isinstance(app._app, Web)
    served = {
        (route.path, method.lower())
        for route in app._app._routes
        if route.path not in NOT_THE_API
        for method in handlers_of(route)
        if method != "HEAD"
    }
    assert {(path, method) for path, method, _ in OPERATIONS} == served


def test_every_reference_leads_somewhere() -> None:
    references = [node["$ref"] for _, node in nodes(DOCUMENT) if isinstance(node.get("$ref"), str)]
    assert len(references) > 100
    for reference in references:
        assert isinstance(resolve(reference), dict)


def test_every_discriminator_leads_to_a_schema_with_that_tag() -> None:
    found = [node["discriminator"] for _, node in nodes(SCHEMAS) if "discriminator" in node]
    assert len(found) >= 2
    for discriminator in found:
        for tag, reference in discriminator["mapping"].items():
            target = resolve(reference)
            assert isinstance(target, dict)
            assert target["properties"][discriminator["propertyName"]]["enum"] == [tag]


def test_every_component_is_used() -> None:
    text = json.dumps(DOCUMENT)
    unused = [
        f"{kind}/{name}"
        for kind in ("schemas", "parameters", "headers", "responses")
        for name in DOCUMENT["components"][kind]
        if f'"#/components/{kind}/{name}"' not in text
    ]
    assert unused == []


def test_every_operation_has_an_id_of_its_own_a_summary_a_declared_tag_and_a_default_answer() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for _, _, operation in OPERATIONS:
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        assert "default" in operation["responses"]


def test_the_parameters_of_each_path_are_those_in_its_braces() -> None:
    for path, _, operation in OPERATIONS:
        parameters = [resolve(one["$ref"]) for one in operation.get("parameters", [])]
        told = {one["name"] for one in parameters if isinstance(one, dict) and one["in"] == "path"}
        assert told == set(re.findall(r"\{(\w+)\}", path))


def test_all_text_is_plain_json_with_no_pattern_that_only_python_reads() -> None:
    patterns = [node["pattern"] for _, node in nodes(SCHEMAS) if isinstance(node.get("pattern"), str)]
    assert patterns
    assert not [pattern for pattern in patterns if "(?" in pattern]


def test_sentences_beside_fields_are_told_with_them() -> None:
    scope = SCHEMAS["Operation"]["properties"]["scope"]
    assert scope["description"] == "What must not have changed since `client_version`."
    inherited = SCHEMAS["CanvasState"]["properties"]["length"]
    assert inherited["description"] == "Of the whole text, in `unit`."


def test_every_event_of_the_code_is_in_the_schema_of_events() -> None:
    told = {one["$ref"].rpartition("/")[2] for one in SCHEMAS["Event"]["oneOf"]}
    assert told == {kind.__name__ for kind in EVENTS}
    assert {"Ack", "Conflict", "Failure", "Start", "Snapshot", "CheckpointFailed", "Bye"} <= told


def test_the_example_of_a_request_is_taken_by_the_code_that_reads_requests() -> None:
    for operation_id in ("submitOperations", "previewOperations"):
        body = json.dumps(examples_of(operation_id)["application/json"]).encode()
        (operation,) = read_operations(body, Limits())
        assert operation.op_id == "ada-1"


def test_the_example_of_a_line_is_an_operation() -> None:
    line = examples_of("submitOperations")["application/x-ndjson"]
    check_operation(msgspec.convert(line, Operation), Limits(), "")
    assert line["scope"] == "range"


@pytest.mark.parametrize(
    ("operation_id", "kind"),
    [
        ("createCanvas", canvas_bodies.CreateBody),
        ("createCanvasAnywhere", canvas_bodies.CreateAnywhereBody),
        ("changeTitle", canvas_bodies.TitleBody),
        ("tellPresence", canvas_bodies.PresenceBody),
    ],
)
def test_the_example_of_a_body_is_what_its_type_takes(operation_id: str, kind: type[msgspec.Struct]) -> None:
    body = json.dumps(examples_of(operation_id)["application/json"]).encode()
    assert isinstance(msgspec.json.decode(body, type=kind), kind)


def test_the_examples_of_answers_are_what_their_types_say() -> None:
    kinds: dict[str, type] = {kind.__name__: kind for kind in (Accepted, Preview, canvas_bodies.HistoryBody)}
    checked = 0
    for _, _, operation in OPERATIONS:
        for answer in operation["responses"].values():
            media = answer.get("content", {}).get("application/json", {})
            kind = kinds.get(media.get("schema", {}).get("$ref", "").rpartition("/")[2])
            if kind is not None:
                msgspec.json.decode(json.dumps(media["example"]), type=kind)
                checked += 1
    assert checked == 3


def test_the_examples_of_events_are_the_outcomes_of_the_example_operations() -> None:
    ack, conflict, failure = (
        msgspec.json.decode(json.dumps(told), type=Ack | Conflict | Failure) for told in SCHEMAS["Event"]["examples"]
    )
    assert isinstance(ack, Ack)
    assert isinstance(conflict, Conflict)
    assert isinstance(failure, Failure)
    assert apply_changes(CONTENT, ack.changes) == "# Notes\n\n## Ideas\n\nOne.\n\nFrom ada.\n"
    assert conflict.expected_version == ack.server_version
    assert failure.candidates[0].text == "One."


def test_refusals_tell_their_codes_and_come_as_problems() -> None:
    (submit,) = (one for _, _, one in OPERATIONS if one["operationId"] == "submitOperations")
    codes = {status: answer["x-codes"] for status, answer in submit["responses"].items() if "x-codes" in answer}
    assert codes["400"] == ["INVALID_JSON"]
    assert codes["422"] == ["INVALID_FIELD"]
    assert "DRAINING" in codes["503"]
    for _, _, operation in OPERATIONS:
        for answer in operation["responses"].values():
            if "x-codes" in answer:
                assert list(answer["content"]) == ["application/problem+json"]


def test_every_schema_is_a_schema_and_the_examples_fit_theirs() -> None:
    jsonschema = pytest.importorskip("jsonschema_rs", reason="jsonschema-rs is not installed")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": {"schemas": SCHEMAS}}
    for name, schema in SCHEMAS.items():
        jsonschema.meta.validate(schema)
        validator = jsonschema.validator_for({**document, "$ref": f"#/components/schemas/{name}"})
        for example in schema.get("examples", []):
            validator.validate(example)
    checked = 0
    for _, node in nodes(DOCUMENT["paths"]):
        if "example" in node and "schema" in node and isinstance(node["example"], dict):
            jsonschema.validator_for({**document, **node["schema"]}).validate(node["example"])
            checked += 1
    assert checked >= 12


def test_the_operation_language_is_one_schema_that_an_agent_can_be_given() -> None:
    assert SCHEMAS["Operation"]["required"] == ["op_id", "action", "target"]
    assert SCHEMAS["OpsBody"]["properties"]["ops"]["items"] == {"$ref": "#/components/schemas/Operation"}
    assert msgspec.json.decode(msgspec.json.encode({"ops": []}), type=OpsBody).ops == []
