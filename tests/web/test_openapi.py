"""The API description says what the server does: paths, types, codes and examples are compared with the real ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from starlette.routing import Route

from canvas_server.app import opened_house, opened_stores
from canvas_server.config.settings import DemoSettings, GenerationSettings
from canvas_server.core.errors import CanvasError
from canvas_server.core.event import Ack, Conflict, Failure
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation, check_operation
from canvas_server.core.splice import apply_changes
from canvas_server.web import canvas_bodies, costs, job_bodies, presets
from canvas_server.web.admission import Admission
from canvas_server.web.dialogues import SavedBody
from canvas_server.web.exchange import Resource
from canvas_server.web.openapi import examples, job_examples, money_examples, openapi_document
from canvas_server.web.openapi.kinds import EVENTS, JOB_EVENTS
from canvas_server.web.ops import Accepted, OpsBody, Preview, read_operations
from canvas_server.web.problems import status_of
from canvas_server.web.routes import Web
from tests.serving import IN_MEMORY, Served, serving

Json = dict[str, Any]

DOCUMENT: Json = json.loads(msgspec.json.encode(openapi_document()))
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
UNSTEADY = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "some-job"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+]\d\d:\d\d)", "then"),
    (r"\b\d{13}\b", "0"),
    (r'(?<="month": )"\d{4}-\d\d"', '"this one"'),
    (r"\d+-[0-9a-f]{16}", "1-c"),
    (r'"ops": \d+', '"ops": 1'),
)
QUICK = msgspec.structs.replace(
    IN_MEMORY, generation=GenerationSettings(provider="demo"), demo=DemoSettings(delay_ms=0)
)
NOT_THE_API = {"/", "/page/{name}", "/client/{name}", "/favicon.ico", "/openapi.json", "/docs", "/admin"}


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


@pytest.fixture(scope="module")
def fresh() -> Iterator[Served]:
    """A server on which nothing was done before."""
    with serving(QUICK) as served:
        yield served


def alike(told: object) -> object:
    """Return what is told without what differs from run to run: names, times, versions and how text was joined."""
    text = json.dumps(msgspec.to_builtins(told))
    for pattern, steady in UNSTEADY:
        text = re.sub(pattern, steady, text)
    return json.loads(text)


def events_of(stream: str) -> list[Json]:
    """Return what a stream told."""
    return [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]


def fits(schema: Json, told: object) -> None:
    """Raise unless something fits a schema of the document."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": {"schemas": SCHEMAS}}
    jsonschema_rs.validator_for({**document, **schema}).validate(told)


def all_kinds(kind: type[CanvasError]) -> Iterator[type[CanvasError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from all_kinds(below)


async def test_the_paths_and_methods_are_those_of_the_route_table() -> None:
    async with opened_stores(IN_MEMORY) as stores, opened_house(IN_MEMORY, "http://127.0.0.1:1", stores) as house:
        app = house.app
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


def test_every_event_of_a_job_is_in_the_schema_of_its_events() -> None:
    told = [one["$ref"].rpartition("/")[2] for one in SCHEMAS["JobEvent"]["oneOf"]]
    tags = {SCHEMAS[name]["properties"]["type"]["enum"][0] for name in told}
    assert tags == {"job", "step", "queued", "chunk", "metadata", "complete", "error", "heartbeat"}
    assert len(told) == len(JOB_EVENTS) + 1


def test_two_types_of_one_name_have_schemas_of_their_own() -> None:
    assert "tokens" in SCHEMAS["JobEventMetadata"]["properties"]
    assert "modified" in SCHEMAS["PresetMetadata"]["properties"]


def test_no_name_tells_where_a_type_is_defined() -> None:
    assert "canvas_server." not in json.dumps(SCHEMAS)


def test_the_examples_of_jobs_are_what_the_demonstration_makes_of_the_example(fresh: Served) -> None:
    fresh.canvas(examples.CONTENT, ref=examples.REF)
    taken = fresh.http.post(job_bodies.JOBS_PATH, json=job_examples.JOB).json()
    told = events_of(fresh.http.get(taken["stream_url"]).text)
    view = fresh.http.get(taken["stream_url"].removesuffix("/stream")).json()
    assert alike(taken) == alike(job_examples.STARTED)
    assert alike(view) == alike(job_examples.VIEW)
    assert alike(told[:2]) == alike(job_examples.JOB_EVENT_EXAMPLES[2:4])
    assert alike(told[-3:]) == alike(job_examples.JOB_EVENT_EXAMPLES[-3:])
    assert "".join(event.get("content", "") for event in told) == job_examples.CHUNK.content


def test_the_examples_of_money_are_what_the_example_of_a_job_cost() -> None:
    job = {name: value for name, value in job_examples.JOB.items() if name != "canvas"}
    with serving(QUICK) as served:
        served.http.get(served.http.post(job_bodies.JOBS_PATH, json=job).json()["stream_url"])
        assert alike(served.http.get("/api/v1/costs/usage").json()) == alike(money_examples.USAGE)
        assert alike(served.http.get("/api/v1/costs/entries").json()) == alike(money_examples.ENTRIES)


def test_the_example_of_a_preset_is_warned_about_as_its_example_says(fresh: Served) -> None:
    english = {"Accept-Language": "en"}
    made = fresh.http.post("/api/v1/presets", json=money_examples.PRESET, headers=english).json()
    assert alike(made) == alike(money_examples.CHECKED_PRESET)


def test_the_example_of_a_dialogue_is_saved_as_its_example_says(fresh: Served) -> None:
    saved = fresh.http.put("/api/v1/dialogues/scene-1", json=money_examples.DIALOGUE).json()
    assert alike(saved) == alike(money_examples.SAVED)
    assert alike(fresh.http.get("/api/v1/dialogues/scene-1").json()) == alike(money_examples.STORED_DIALOGUE)


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
        ("startJob", job_bodies.JobBody),
        ("setQuota", costs.NewQuotaBody),
        ("createPreset", presets.PresetBody),
        ("replacePreset", presets.PresetBody),
    ],
)
def test_the_example_of_a_body_is_what_its_type_takes(operation_id: str, kind: type[msgspec.Struct]) -> None:
    body = json.dumps(examples_of(operation_id)["application/json"]).encode()
    assert isinstance(msgspec.json.decode(body, type=kind), kind)


def test_the_examples_of_answers_are_what_their_types_say() -> None:
    modules = (canvas_bodies, costs, job_bodies, presets)
    kinds: dict[str, type] = {name: kind for module in modules for name, kind in vars(module).items()}
    kinds |= {kind.__name__: kind for kind in (Accepted, Preview, SavedBody)}
    checked = 0
    for _, _, operation in OPERATIONS:
        for answer in operation["responses"].values():
            media = answer.get("content", {}).get("application/json", {})
            kind = kinds.get(media.get("schema", {}).get("$ref", "").rpartition("/")[2])
            if kind is not None and "example" in media:
                msgspec.json.decode(json.dumps(media["example"]), type=kind)
                checked += 1
    assert checked >= 18


def test_the_examples_of_events_are_the_outcomes_of_the_example_operations() -> None:
    ack, conflict, failure = (
        msgspec.json.decode(json.dumps(told), type=Ack | Conflict | Failure) for told in SCHEMAS["Event"]["examples"]
    )
    assert isinstance(ack, Ack)
    assert isinstance(conflict, Conflict)
    assert isinstance(failure, Failure)
    assert apply_changes(examples.CONTENT, ack.changes) == "# Notes\n\n## Ideas\n\nOne.\n\nFrom ada.\n"
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


def test_each_refusal_stands_under_the_status_that_the_server_gives_it() -> None:
    kinds = {kind.code: kind for kind in all_kinds(CanvasError)}
    for _, _, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            for code in answer.get("x-codes", ()):
                assert str(status_of(kinds[code].__new__(kinds[code]))) == status, code


def test_every_schema_is_a_schema_and_the_examples_fit_theirs() -> None:
    for name, schema in SCHEMAS.items():
        jsonschema_rs.meta.validate(schema)
        for example in schema.get("examples", []):
            fits({"$ref": f"#/components/schemas/{name}"}, example)
    checked = 0
    for _, node in nodes(DOCUMENT["paths"]):
        if "example" in node and "schema" in node and isinstance(node["example"], dict):
            fits(node["schema"], node["example"])
            checked += 1
    assert checked >= 30


def test_all_that_jobs_tell_fits_the_schemas(fresh: Served) -> None:
    wanted = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    job = fresh.http.post(job_bodies.JOBS_PATH, json={"prompt": "Name it.", "schema": wanted}).json()
    cancelled = fresh.http.post(job_bodies.JOBS_PATH, json={"prompt": "A long one.", "model": "demo-long"}).json()
    fresh.http.post(cancelled["cancel_url"])
    for url in (job["stream_url"], cancelled["stream_url"]):
        for told in events_of(fresh.http.get(url).text):
            fits({"$ref": "#/components/schemas/JobEvent"}, told)
    for told in fresh.http.get(job_bodies.JOBS_PATH).json()["jobs"]:
        fits({"$ref": "#/components/schemas/JobView"}, told)


def test_the_operation_language_is_one_schema_that_an_agent_can_be_given() -> None:
    assert SCHEMAS["Operation"]["required"] == ["op_id", "action", "target"]
    assert SCHEMAS["OpsBody"]["properties"]["ops"]["items"] == {"$ref": "#/components/schemas/Operation"}
    assert msgspec.json.decode(msgspec.json.encode({"ops": []}), type=OpsBody).ops == []
