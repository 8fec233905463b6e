"""People on a server that asks for credentials: users with their roles, and tokens made for them by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import httpx2

from canvas_server.core.access import Access, Shared
from canvas_server.core.identity import RIGHTS_OF, Purpose, Right, Role, Token, User
from canvas_server.core.ids import CanvasRef
from canvas_server.state.minting import Minted, Terms, mint
from canvas_server.web.routes import Web
from tests.listener import Listener
from tests.serving import Served, append

Json = dict[str, Any]

_numbers: Final = itertools.count(1)


class Person(NamedTuple):
    """Somebody with a token, seen from outside."""

    served: Served
    name: str
    minted: Minted

    @property
    def secret(self) -> str:
        return self.minted.secret

    @property
    def token(self) -> Token:
        return self.minted.token

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.secret)

    def ask(self, method: str, path: str, json: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request with the token; `json` is its body."""
        sent = {**self.headers, **(headers or {})}
        if json is None:
            return self.served.http.request(method, path, headers=sent)
        return self.served.http.request(method, path, json=json, headers=sent)

    def canvas(self, content: str = "", ref: str | None = None, access: Json | None = None) -> str:
        """Make a canvas, with the rights to it, and return its ref."""
        ref = ref or f"{self.name}-{next(_numbers)}"
        answer = self.ask("PUT", f"/api/v2/canvas/{ref}", {"content": content})
        assert answer.status_code == 201, answer.text
        if access is not None:
            answer = self.ask("PUT", f"/api/v2/canvas/{ref}/access", access)
            assert answer.status_code == 200, answer.text
        return ref

    def text(self, ref: str) -> str:
        answer = self.ask("GET", f"/api/v2/canvas/{ref}", headers={"Accept": "text/markdown"})
        assert answer.status_code == 200, answer.text
        return answer.content.decode()

    def post(self, ref: str, *operations: Json) -> Answer:
        """Send operations; the first stands on version 0 if it says nothing, for inserts at the end that is enough."""
        version = self.ask("GET", f"/api/v2/canvas/{ref}").json().get("version", 'W/"0-0000000000000000"')
        first, *others = operations
        ops = [{"client_version": version, **first}, *others]
        return self.ask("POST", f"/api/v2/canvas/{ref}/ops:stream", {"ops": ops})

    def write(self, ref: str, content: str) -> Answer:
        return self.post(ref, append(content))

    def listen(self, target: str) -> Listener:
        return self.served.listen(target, self.headers)

    def hear(self, ref: str) -> Listener:
        return self.listen(f"/api/v2/canvas/{ref}/ops:listen")


Answer = httpx2.Response


def bearer(secret: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {secret}"}


def person(
    served: Served,
    role: Role = "writer",
    name: str | None = None,
    *,
    rights: Iterable[Right] | None = None,
    canvases: Iterable[str] | None = None,
    lasts_s: float | None = None,
    ops_per_s: int | None = None,
    purpose: Purpose = "token",
) -> Person:
    """Store a user with a token for all that the role allows, or for less."""
    name = name or f"{role}-{next(_numbers)}"
    identity = served.house.identity
    if identity.user(name) is None:
        served.run(identity.put_user(User(name=name, role=role)))
    held = RIGHTS_OF[role] if rights is None else frozenset(rights)
    bound = None if canvases is None else frozenset(canvases)
    terms = Terms(purpose=purpose, canvases=bound, lasts_s=lasts_s, ops_per_s=ops_per_s)
    minted = mint(name, held, served.house.manager._clock.now_ms(), terms)
    served.run(identity.put_token(minted.token))
    return Person(served, name, minted)


def change(served: Served, name: str, **fields: object) -> None:
    """Change the role of a user, or lock it out; durable and in force when this returns."""
    identity = served.house.identity
    user = identity.user(name)
    assert user is not None
    values = {"name": name, "role": user.role, "active": user.active, **fields}
    served.run(identity.put_user(User(**values)))  # type: ignore[arg-type]


def share(served: Served, ref: str, owner: str, shared: Mapping[str, Shared] | None = None) -> None:
    """Set the rights to a canvas, without telling anybody."""
    access = Access(owner=owner, shared=dict(shared or {}))
    served.run(served.manager.set_access(CanvasRef(ref), access))


def forgive(served: Served) -> None:
    """Forget what wrong credentials came from this address."""
    web = served.house.app._app
    assert isinstance(web, Web)
    web._gate._failures._full_s.clear()
