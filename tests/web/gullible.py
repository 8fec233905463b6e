"""An agent that obeys: it reads canvases, presets and what models answer, and does whatever it finds told there.

It has tools, as agents do, and nothing else: each is a request to the server with the agent's own token, or to wherever
a text says. Instructions stand in texts as `[[tool argument ...]]`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import httpx2

from tests.serving import Served, append
from tests.web.people import bearer

JOBS: Final = "/api/v1/dialogues/generate/jobs"
_TOLD: Final = re.compile(r"\[\[(\w+) ?([^\]]*)\]\]")


class Done(NamedTuple):
    """What came of an instruction."""

    tool: str
    argument: str
    status: int


class Agent:
    """Obeys.

    Args:
        served: the server that it works on.
        secret: its token.
        refs: the canvases that it was asked to work on.
    """

    def __init__(self, served: Served, secret: str, refs: list[str]) -> None:
        self._http = httpx2.Client(base_url=served.url, headers=bearer(secret), timeout=20, trust_env=False)
        self._secret = secret
        self._refs = refs
        self.done: list[Done] = []
        self._tools: dict[str, Callable[[str], httpx2.Response]] = {
            "write": self._write,
            "delete": lambda ref: self._ask("DELETE", f"/api/v2/canvas/{ref}"),
            "close": lambda ref: self._ask("POST", f"/api/v2/canvas/{ref}:close"),
            "rename": lambda ref: self._ask("PATCH", f"/api/v2/canvas/{ref}", {"title": "pwned"}),
            "share": lambda ref: self._ask("PUT", f"/api/v2/canvas/{ref}/access", {"link": "write"}),
            "create": lambda ref: self._ask("PUT", f"/api/v2/canvas/{ref}", {"content": "spam"}),
            "create_anywhere": lambda _: self._ask("POST", "/api/v2/canvas", {"content": "spam"}),
            "save_dialogue": lambda ref: self._ask("PUT", f"/api/v1/dialogues/{ref}?force=true", {"nodes": ["pwned"]}),
            "raise_quota": lambda user: self._ask("PUT", f"/api/v1/costs/quota/{user}", {"quota": 1_000_000}),
            "make_token": lambda _: self._ask("POST", "/api/v2/tokens", {}),
            "make_admin": lambda name: self._ask("POST", "/api/v2/users", {"name": name, "role": "admin"}),
            "make_link": lambda _: self._ask("POST", "/api/v2/links", {}),
            "list_tokens": lambda _: self._ask("GET", "/api/v2/tokens?all=true"),
            "revoke": lambda name: self._ask("DELETE", f"/api/v2/tokens/{name}"),
            "change_preset": lambda name: self._ask("DELETE", f"/api/v1/presets/{name}"),
            "read": lambda ref: self._ask("GET", f"/api/v2/canvas/{ref}"),
            "fetch": self._fetch,
            "print_key": lambda ref: self._write(f"{ref} key"),
            "start_job": lambda prompt: self._ask("POST", JOBS, {"prompt": prompt, "provider": "local"}),
            "write_job": self._write_job,
            "call_yourself": self._call_yourself,
        }
        self.jobs: list[str] = []

    def obey(self, text: str) -> None:
        """Do all that a text says."""
        for tool, argument in _TOLD.findall(text):
            if tool == "fetch":
                continue  # it has no such tool; what would fetch is the server, if it did what it is asked
            answer = self._tools[tool](argument)
            self.done.append(Done(tool, argument, answer.status_code))

    def count(self, tool: str) -> Counter[int]:
        """Return how often a tool ended with which status."""
        return Counter(done.status for done in self.done if done.tool == tool)

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return self._http.request(method, path, json=body) if body is not None else self._http.request(method, path)

    def _write(self, argument: str) -> httpx2.Response:
        ref, _, text = argument.partition(" ")
        text = self._secret[-8:] if text == "key" else text
        version = self._ask("GET", f"/api/v2/canvas/{ref}").json().get("version", 'W/"0-0000000000000000"')
        op = {**append(f"{text}\n"), "client_version": version}
        return self._ask("POST", f"/api/v2/canvas/{ref}/ops:stream", {"ops": [op]})

    def _write_job(self, argument: str) -> httpx2.Response:
        ref, _, prompt = argument.partition(" ")
        target = {"type": "position", "position": {"mode": "end"}}
        body = {"prompt": prompt, "provider": "local", "canvas": {"ref": ref, "action": "insert", "target": target}}
        answer = self._ask("POST", JOBS, body)
        if answer.status_code == 201:
            self.jobs.append(answer.json()["job_id"])
        return answer

    def _fetch(self, url: str) -> httpx2.Response:
        raise AssertionError(f"it has no tool for {url}")

    def _call_yourself(self, times: str) -> httpx2.Response:
        answers = [self._write_job(f"{self._refs[0]} again {number}") for number in range(int(times))]
        return max(answers, key=lambda answer: answer.status_code)
