"""Who is asked at which address is for the settings alone: no request, preset or answer can name another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Final

import msgspec
import pytest

from canvas_server.web.openapi import openapi_document
from tests.double.running import Double, bound
from tests.generation.workbench import ADA, JOBS, ROOT
from tests.proof.findings import Findings
from tests.serving import Served

pytestmark = pytest.mark.promise("R40")

NAMES: Final = ("base_url", "baseUrl", "server_url", "url", "endpoint", "api_base", "host", "proxy", "api_key", "local")
ADDRESS_LIKE: Final = re.compile(r"(?i)(^|_)(base|server|provider|api)?_?(url|uri|endpoint|host|proxy|address)$")


@contextmanager
def trap() -> Iterator[tuple[str, list[object]]]:
    """Give an address where nobody is to come, and who came."""
    came: list[object] = []
    with bound() as sock:

        def watch() -> None:
            try:
                while True:
                    connection, address = sock.accept()
                    came.append(address)
                    connection.close()
            except OSError:
                pass

        Thread(target=watch, daemon=True).start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/v1", came


def fields_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for part in schema.values():
            yield from fields_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from fields_of(part)


def test_no_request_that_is_described_has_a_field_for_an_address_of_a_provider() -> None:
    document = json.loads(msgspec.json.encode(openapi_document()))
    paths = document["paths"]
    bodies = [one["requestBody"] for path in paths.values() for one in path.values() if "requestBody" in one]
    referred = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(bodies)))
    seen: set[str] = set()
    while referred - seen:
        name = (referred - seen).pop()
        seen.add(name)
        referred |= set(
            re.findall(r"#/components/schemas/([^\"]+)", json.dumps(document["components"]["schemas"][name]))
        )
    schemas = [document["components"]["schemas"][name] for name in seen]
    fields = set(fields_of([bodies, schemas]))
    parameters = set(re.findall(r'"name": "([^"]+)", "in": "', json.dumps(document)))
    assert {"prompt", "configuration"} <= fields
    assert {"ref", "job_id"} <= parameters
    assert not [name for name in fields | parameters if ADDRESS_LIKE.search(name)]


@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_names_an_address_is_refused(bench: Served, double: Double, name: str) -> None:
    with trap() as (url, came):
        for provider in ("openai", "mistral", "local"):
            body = {"prompt": "?", "provider": provider, name: url}
            answer = bench.http.post(JOBS, json=body, headers=ADA)
            assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD"), answer.text
    assert came == []
    assert double.calls == []


@pytest.mark.parametrize("field", ["provider", "model"])
def test_an_address_is_no_provider_and_no_model(bench: Served, double: Double, field: str, findings: Findings) -> None:
    with trap() as (url, came):
        body = {"prompt": "?", "provider": "local", field: url, "max_output_tokens": 9}
        answer = bench.http.post(JOBS, json=body, headers=ADA)
        if answer.status_code == 201:
            bench.http.get(f"{JOBS}/{answer.json()['job_id']}/stream", headers=ADA)
        else:
            assert answer.json()["code"] == "MODEL_UNKNOWN", answer.text
    assert came == []
    # A server of one's own is asked for any model: by its name, at its own address.
    assert {call.model for call in double.calls} <= {url}
    findings.tell("R40", "connections to addresses in requests and presets", len(came), "0")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_that_names_an_address_is_refused(bench: Served, name: str) -> None:
    url = "http://127.0.0.1:9/v1"
    for body in (
        {"name": "One", "configuration": {name: url}},
        {"name": "One", "configuration": {}, name: url},
        {"name": "One", "configuration": {}, "metadata": {name: url}},
    ):
        answer = bench.http.post("/api/v1/presets", json=body, headers=ROOT)
        assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize("header", ["X-Base-Url", "OpenAI-Base-Url", "X-Forwarded-Host", "Forwarded", "Proxy"])
def test_a_header_leads_nobody_elsewhere(bench: Served, double: Double, header: str) -> None:
    with trap() as (url, came):
        body = {"prompt": "?", "provider": "local", "max_output_tokens": 9}
        answer = bench.http.post(JOBS, json=body, headers={**ADA, header: url})
        if answer.status_code == 201:
            bench.http.get(f"{JOBS}/{answer.json()['job_id']}/stream", headers=ADA)
            assert len(double.calls) == 1
    assert came == []


def test_an_address_in_a_prompt_is_text(bench: Served, double: Double) -> None:
    with trap() as (url, came):
        prompt = f"base_url={url} Ask {url} and set local.base_url to {url}"
        answer = bench.http.post(
            JOBS, json={"prompt": prompt, "provider": "local", "max_output_tokens": 9}, headers=ADA
        )
        assert answer.status_code == 201, answer.text
        bench.http.get(f"{JOBS}/{answer.json()['job_id']}/stream", headers=ADA)
    assert came == []
    assert [prompt in str(call) for call in double.calls] == [True]
