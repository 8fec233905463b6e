"""Money over HTTP: who sees what, what an admin may set, and what a refusal for the quota tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

import httpx2
import pytest
from starlette.routing import Route, Router

from canvas_server.core.job import JobId
from canvas_server.core.usage import Price, Usage
from canvas_server.generation.cost import CostControl, CostRules
from canvas_server.generation.pricing import ListedPrice, PriceTable
from canvas_server.generation.providers.failures import NotConfiguredError, OutputInvalidError, UnknownModelError
from canvas_server.storage.ledger import SqliteLedgerStore
from canvas_server.storage.transactions import open_memory
from canvas_server.web.costs import Costs
from canvas_server.web.exchange import Exchange, Guarded, Resource
from canvas_server.web.gate import OPEN, Gate, Need
from tests.serving import Json
from tests.web.gates import opened_gate

NOVEMBER = 1_795_262_400_000
"""2026-11-21, noon UTC."""
OTHERS = {"Authorization": "Bearer bob-bob-bob-bob-bob"}
ADMINS = {"Authorization": "Bearer ada-ada-ada-ada-ada"}
ERRORS = {
    "not-configured": NotConfiguredError("no key", hint="Set OPENAI_API_KEY."),
    "unknown-model": UnknownModelError("no such model", hint="Choose another."),
    "misfit": OutputInvalidError("does not fit", hint="Ask again."),
}


class StoppedClock:
    """A clock that shows one moment."""

    def now_ms(self) -> int:
        return NOVEMBER

    def monotonic_s(self) -> float:
        return 0.0


class Service(NamedTuple):
    """The handlers under their paths, and what they talk to."""

    http: httpx2.AsyncClient
    costs: CostControl

    async def get(self, path: str, status: int = 200, headers: dict[str, str] | None = None) -> Json:
        return told(await self.http.get(path, headers=headers), status)

    async def put(self, path: str, body: object, status: int = 200, headers: dict[str, str] | None = None) -> Json:
        return told(await self.http.put(path, json=body, headers=headers), status)

    async def call(self, job: str, user: str, micros: int, provider: str = "openai") -> None:
        """Have a call made that costs so much."""
        estimate = self.costs.estimate(provider, "m", micros, 0)
        await self.costs.reserve(JobId(job), 1, user, estimate, unlimited=True)
        await self.costs.settle(JobId(job), 1, Usage(input_tokens=micros, output_tokens=7))


def told(answer: httpx2.Response, status: int) -> Json:
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    return body


def router(costs: CostControl, gate: Gate) -> Router:
    """Return the paths as the server has them, and one that raises what it is asked to."""
    handlers = Costs(costs, entries_limit_max=3)

    async def fail(exchange: Exchange) -> None:
        if name := exchange.parameter("error"):
            raise ERRORS[name]
        await costs.reserve(
            JobId("new"), 1, "local", costs.estimate("openai", exchange.parameter("model") or "m", 9, 9)
        )

    return Router(
        [
            Route("/api/v1/costs/usage", Resource(gate, {"GET": Guarded(Need("read"), handlers.usage)})),
            Route("/api/v1/costs/entries", Resource(gate, {"GET": Guarded(Need("read"), handlers.entries)})),
            Route("/api/v1/costs/quota/{user}", Resource(gate, {"PUT": Guarded(Need("admin"), handlers.set_quota)})),
            Route("/api/fail", Resource(gate, {"GET": Guarded(OPEN, fail)})),
        ]
    )


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    free_output = Price(
        provider="openai",
        model="m",
        valid_from="2026-01-01",
        input_micros=1_000_000,
        cached_micros=250_000,
        output_micros=0,
    )
    rules = CostRules(zone=ZoneInfo("Europe/Paris"), quota_micros=10_000_000, currency="EUR", warn_percent=90)
    async with open_memory() as transactions, opened_gate(required=False) as gate:
        prices = PriceTable([ListedPrice(label="M", price=free_output)])
        costs = CostControl(SqliteLedgerStore(transactions), prices, StoppedClock(), rules)
        transport = httpx2.ASGITransport(router(costs, gate))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield Service(http, costs)


async def test_usage_tells_the_month_as_a_whole_and_by_provider(service: Service) -> None:
    await service.call("a", "local", 9_012_345)
    await service.call("b", "local", 1, provider="demo")
    await service.costs.reserve(JobId("c"), 1, "local", service.costs.estimate("openai", "m", 500_000, 0))

    assert await service.get("/api/v1/costs/usage") == {
        "user": "local",
        "month": "2026-11",
        "total": {
            "limit": 10.0,
            "spent": 9.0123,
            "reserved": 0.5,
            "remaining": 0.4877,
            "percentage": 95.1,
            "warning": True,
            "resets_at": "2026-12-01T00:00:00+01:00",
            "currency": "EUR",
        },
        "providers": [
            {"provider": "demo", "spent": 0.0, "reserved": 0.0, "updated_unix_ms": NOVEMBER},
            {"provider": "openai", "spent": 9.0123, "reserved": 0.5, "updated_unix_ms": NOVEMBER},
        ],
    }


async def test_a_month_with_nothing_spent_is_told_as_such(service: Service) -> None:
    body = await service.get("/api/v1/costs/usage?month=2026-12")

    assert (body["month"], body["providers"], body["total"]["spent"]) == ("2026-12", [], 0.0)
    assert body["total"]["resets_at"] == "2027-01-01T00:00:00+01:00"
    assert body["total"]["warning"] is False


async def test_entries_tell_each_call_with_its_price_newest_first(service: Service) -> None:
    await service.call("a", "local", 1_500)
    await service.call("b", "local", 2_500_000)

    body = await service.get("/api/v1/costs/entries")

    assert (body["user"], body["month"], body["currency"]) == ("local", "2026-11", "EUR")
    newest, oldest = body["entries"]
    assert newest == {
        "job_id": "b",
        "call": 1,
        "provider": "openai",
        "model": "m",
        "state": "settled",
        "input_tokens": 2_500_000,
        "cached_tokens": 0,
        "output_tokens": 7,
        "estimated": False,
        "cost": 2.5,
        "price": {"input": 1.0, "cached": 0.25, "output": 0.0, "valid_from": "2026-01-01"},
        "created_unix_ms": NOVEMBER,
        "settled_unix_ms": NOVEMBER,
    }
    assert (oldest["job_id"], oldest["cost"]) == ("a", 0.0015)


async def test_entries_are_chosen_by_month_provider_and_number(service: Service) -> None:
    for number in range(4):
        await service.call(f"job-{number}", "local", 1, provider="demo" if number == 2 else "openai")

    async def jobs(query: str) -> list[str]:
        return [entry["job_id"] for entry in (await service.get(f"/api/v1/costs/entries?{query}"))["entries"]]

    assert await jobs("") == ["job-3", "job-2", "job-1"]
    assert await jobs("limit=1") == ["job-3"]
    assert await jobs("provider=demo&month=2026-11") == ["job-2"]
    assert await jobs("month=2026-10") == []


@pytest.mark.parametrize("path", ["usage", "entries"])
async def test_everybody_sees_their_own_money_and_only_an_admin_that_of_others(service: Service, path: str) -> None:
    path = f"/api/v1/costs/{path}"

    assert (await service.get(path, headers=OTHERS))["user"] == "bob"
    assert (await service.get(f"{path}?user=bob", headers=OTHERS))["user"] == "bob"
    assert (await service.get(f"{path}?user=local"))["user"] == "local"
    assert (await service.get(f"{path}?user=bob", headers=ADMINS))["user"] == "bob"
    assert (await service.get(f"{path}?user=local", 403, OTHERS))["code"] == "FORBIDDEN"
    assert (await service.get(f"{path}?user=bob", 403))["code"] == "FORBIDDEN"
    assert (await service.get(path, 401, {"Authorization": "Bearer wrong"}))["code"] == "AUTH_REQUIRED"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("month=2026-13", "/month"),
        ("month=2026-1", "/month"),
        ("month=9999-12", "/month"),
        ("month=0000-01", "/month"),
        ("month=", "/month"),
        ("limit=0", "/limit"),
        ("limit=4", "/limit"),
        ("limit=x", "/limit"),
        ("limit=\u0661", "/limit"),
        ("user=", "/user"),
        ("user=a%0Ab", "/user"),
        ("user=" + "a" * 129, "/user"),
    ],
)
async def test_a_parameter_that_cannot_be_is_refused_with_its_place(service: Service, query: str, pointer: str) -> None:
    body = await service.get(f"/api/v1/costs/entries?{query}", 422, ADMINS)

    assert (body["code"], body["pointer"]) == ("INVALID_FIELD", pointer)
    assert body["hint"].endswith(".")


async def test_an_admin_sets_what_somebody_may_spend(service: Service) -> None:
    await service.call("a", "bob", 5_000_000)

    body = await service.put("/api/v1/costs/quota/bob", {"quota": 12.5}, headers=ADMINS)

    assert (body["user"], body["month"], body["total"]["limit"], body["total"]["remaining"]) == (
        "bob",
        "2026-11",
        12.5,
        7.5,
    )
    assert (await service.get("/api/v1/costs/usage", headers=OTHERS))["total"]["limit"] == 12.5
    assert (await service.get("/api/v1/costs/usage"))["total"]["limit"] == 10.0


@pytest.mark.parametrize("headers", [None, OTHERS])
async def test_nobody_else_sets_a_quota(service: Service, headers: dict[str, str] | None) -> None:
    body = await service.put("/api/v1/costs/quota/bob", {"quota": 1_000}, 403, headers)

    assert (body["code"], body["retryable"]) == ("FORBIDDEN", False)
    assert (await service.get("/api/v1/costs/usage", headers=OTHERS))["total"]["limit"] == 10.0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/quota"),
        ({"quota": -1}, "/quota"),
        ({"quota": 1_000_001}, "/quota"),
        ({"quota": "12"}, "/quota"),
        ({"quota": None}, "/quota"),
        ({"quota": 1, "user": "x"}, "/user"),
        ([], ""),
    ],
)
async def test_a_quota_that_cannot_be_is_refused_with_its_place(service: Service, body: object, pointer: str) -> None:
    refusal = await service.put("/api/v1/costs/quota/bob", body, 422, ADMINS)

    assert (refusal["code"], refusal["pointer"]) == ("INVALID_FIELD", pointer)


async def test_a_refusal_for_the_quota_tells_the_amounts_and_when_to_come_back(service: Service) -> None:
    await service.call("a", "local", 10_000_000)

    answer = await service.http.get("/api/fail")

    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) == (9 * 24 + 11) * 3600
    assert (
        answer.json().items()
        >= {
            "code": "QUOTA_EXCEEDED",
            "retryable": False,
            "limit": 10.0,
            "spent": 10.0,
            "reserved": 0.0,
            "resets_at": "2026-12-01T00:00:00+01:00",
        }.items()
    )


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("model=unheard-of", 422, "PRICE_UNKNOWN"),
        ("error=not-configured", 422, "PROVIDER_NOT_CONFIGURED"),
        ("error=unknown-model", 422, "MODEL_UNKNOWN"),
        ("error=misfit", 502, "OUTPUT_INVALID"),
    ],
)
async def test_what_else_can_go_wrong_with_a_call_has_its_status(
    service: Service, query: str, status: int, code: str
) -> None:
    body = await service.get(f"/api/fail?{query}", status)

    assert (body["code"], body["status"]) == (code, status)
    assert body.keys().isdisjoint({"limit", "spent", "reserved", "resets_at"})
