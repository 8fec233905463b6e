"""Who may do what, said once more in the plainest words, and by nothing of the code that it is held against.

A row says what a route needs; a caller says what it has. `expected` puts the two together.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ROLES: Final = {
    "admin": {"read", "write", "create", "manage", "generate", "admin", "unmetered"},
    "writer": {"read", "write", "create", "manage", "generate"},
    "agent": {"read", "write", "create", "generate"},
    "reader": {"read"},
}
LEVELS: Final = {"none": 0, "read": 1, "write": 2, "own": 3}


class Row(NamedTuple):
    """What a route needs.

    Attributes:
        needs: rights.
        level: of the rights to the canvas that the request is about; None if it is about none.
        ok: status for whoever may.
        body: JSON that is sent; `{ref}` and the like are filled in.
        query: of the request.
        about: what the path names: a canvas, a job or a token of its user, and so on.
        open: whether it is for everybody.
        bound: whether credentials for single canvases will do; for a canvas they always do.
        one_way: a refusal tells that the name is taken, as it must.
    """

    needs: str = ""
    level: str | None = None
    ok: int = 200
    body: object = None
    query: str = ""
    about: str = "canvas"
    open: bool = False
    bound: bool = True
    one_way: bool = False
    ndjson: bool = False


class Who(NamedTuple):
    """What a caller has.

    Attributes:
        role: of its user.
        level: of its rights to the canvas; for jobs and tokens it is their user if this is `own`.
        good: whether its credentials are.
        without: rights that its token has not, or `it` for those that the row needs.
        bound: `here` or `elsewhere` if its credentials are for single canvases.
        way: how it shows them.
    """

    role: str = "writer"
    level: str = "none"
    good: bool = True
    without: str = ""
    bound: str = ""
    way: str = "token"

    def rights(self, row: Row) -> set[str]:
        if self.way in ("cookie", "ticket"):
            return {"read"}
        if self.way == "job":
            return {"read", "write"}
        gone = row.needs if self.without == "it" else self.without
        return ROLES[self.role] - set(gone.split())


END: Final = {"type": "position", "position": {"mode": "end"}}
JOB: Final = {"prompt": "x", "provider": "demo"}
INTO: Final = {"canvas": {"ref": "{ref}", "action": "insert", "target": END}}
OP: Final = {"op_id": "op", "client_version": "{version}", "action": "insert", "target": END, "content": "!"}
PRESET: Final = {
    "name": "Ouverture",
    "configuration": {
        "characters": ["char-001"],
        "locations": ["loc-001"],
        "region": "Avili",
        "subLocation": "Ancienne Forge",
        "sceneType": "Adieux",
        "instructions": "Tendu.",
    },
}

_C: Final = "/api/v2/canvas/{ref}"
_J: Final = "/api/v1/dialogues/generate/jobs"

ROWS: Final[dict[str, tuple[Row, ...]]] = {
    f"POST {_C}/ops:stream": (
        Row("write", "write", 202, {"ops": [OP]}),
        Row("write", "write", 202, OP, ndjson=True),
    ),
    f"GET {_C}/ops:listen": (Row("read", "read"),),
    f"POST {_C}/ops:preview": (Row("read", "read", 200, {"ops": [OP]}),),
    f"GET {_C}/preview": (Row("read", "read"),),
    f"GET {_C}/ops/{{op_id}}": (Row("read", "read"),),
    f"GET {_C}/ops": (Row("read", "read"),),
    f"GET {_C}/outline": (Row("read", "read"),),
    f"POST {_C}/presence": (Row("read", "read", 204, {"ttl_ms": 1000}),),
    f"GET {_C}/access": (Row("read", "read"),),
    f"PUT {_C}/access": (Row("manage", "own", 200, {"link": "none"}),),
    f"POST {_C}:close": (Row("manage", "write"),),
    f"GET {_C}": (Row("read", "read"),),
    f"PUT {_C}": (Row("create", None, 201, {"content": "new"}, about="new", bound=True, one_way=True),),
    f"PATCH {_C}": (Row("manage", "write", 200, {"title": "another"}),),
    f"DELETE {_C}": (Row("manage", "own", 204),),
    "GET /api/v2/canvas": (Row("read", about="all"),),
    "POST /api/v2/canvas": (Row("create", None, 201, {}, about="all", bound=False),),
    "GET /api/v2/ops:listen": (Row("read", "read", query="ref={ref}"),),
    "GET /api/v2/me": (Row(about="all"),),
    "POST /api/v2/links": (Row("manage", None, 201, {}, about="all", bound=False),),
    "POST /api/v2/sessions": (Row("", None, 201, {"code": "{code}"}, about="all", open=True),),
    "DELETE /api/v2/sessions": (Row("", None, 204, about="session"),),
    "POST /api/v2/sessions/cookie": (Row("read", None, 204, about="stored"),),
    "POST /api/v2/tickets": (
        Row("read", "read", 201, {"refs": ["{ref}"]}),
        Row("read generate", None, 201, {"generate": True}, about="all"),
    ),
    "GET /api/v2/users": (Row("admin", about="all", bound=False),),
    "POST /api/v2/users": (Row("admin", None, 201, {"name": "{fresh}"}, about="all", bound=False),),
    "PATCH /api/v2/users/{name}": (Row("admin", None, 200, {"role": "agent"}, about="all", bound=False),),
    "DELETE /api/v2/users/{name}": (Row("admin", None, 204, about="all", bound=False),),
    "GET /api/v2/tokens": (
        Row("manage", about="all", bound=False),
        Row("manage admin", about="all", query="all=true", bound=False),
    ),
    "POST /api/v2/tokens": (
        Row("manage", None, 201, {}, about="all", bound=False),
        Row("manage admin", None, 201, {"user": "{name}"}, about="all", bound=False),
    ),
    "DELETE /api/v2/tokens/{id}": (Row("manage", None, 204, about="token", bound=False),),
    f"GET {_J}": (Row("read", about="all"),),
    f"POST {_J}": (
        Row("generate", None, 201, JOB, about="all", bound=False),
        Row("generate write", "write", 201, {**JOB, **INTO}),
    ),
    f"GET {_J}/{{job_id}}": (Row("read", about="job"),),
    f"GET {_J}/{{job_id}}/stream": (Row("read", about="job"),),
    f"POST {_J}/{{job_id}}/cancel": (Row("generate", about="job"),),
    "GET /api/v1/generate/stream": (Row("read generate", query="prompt=x&provider=demo", about="all", bound=False),),
    "GET /api/chat/chunks/{task_id}": (Row("read", about="job"),),
    "GET /api/v1/models": (Row("read", about="all"),),
    "GET /api/v1/costs/usage": (
        Row("read", about="all", bound=False),
        Row("read admin", about="all", query="user={name}", bound=False),
    ),
    "GET /api/v1/costs/entries": (
        Row("read", about="all", bound=False),
        Row("read admin", about="all", query="user={name}", bound=False),
    ),
    "PUT /api/v1/costs/quota/{user}": (Row("admin", None, 200, {"quota": 5}, about="all", bound=False),),
    "GET /api/v1/presets": (Row("read", about="all"),),
    "POST /api/v1/presets": (Row("manage", None, 201, PRESET, about="all", bound=False),),
    "GET /api/v1/presets/{id}": (Row("read", about="preset"),),
    "PUT /api/v1/presets/{id}": (Row("manage", None, 200, PRESET, about="preset", bound=False),),
    "DELETE /api/v1/presets/{id}": (Row("manage", None, 204, about="preset", bound=False),),
    "GET /api/v1/dialogues/{id}": (Row("read", "read", about="copy"),),
    "PUT /api/v1/dialogues/{id}": (Row("write", "write", 200, {"nodes": ["x"]}, about="copy", one_way=True),),
    "GET /healthz": (Row(open=True, about="all"),),
    "GET /readyz": (Row(open=True, about="all"),),
    "GET /": (Row(open=True, about="all"),),
    "GET /admin": (Row(open=True, about="all"),),
    "GET /page/{name}": (Row(open=True, about="all"),),
    "GET /client/{name}": (Row(open=True, about="all"),),
    "GET /favicon.ico": (Row(open=True, about="all"),),
    "GET /docs": (Row(open=True, about="all"),),
    "GET /openapi.json": (Row(about="all"),),
    "GET /metrics": (Row(about="all"),),
    "GET /api/v2/status": (Row("admin", about="all", bound=False),),
}

CALLERS: Final[dict[str, Who]] = {
    "nobody": Who(good=False, way="none"),
    "wrong token": Who(good=False),
    "expired token": Who(level="own", good=False),
    "revoked token": Who(level="own", good=False),
    "locked out": Who(level="own", good=False),
    "deleted user": Who(level="own", good=False),
    "reader, stranger": Who("reader"),
    "reader, shared write": Who("reader", "write"),
    "reader, owner": Who("reader", "own"),
    "agent, stranger": Who("agent"),
    "agent, shared write": Who("agent", "write"),
    "agent, owner": Who("agent", "own"),
    "writer, stranger": Who("writer"),
    "writer, shared read": Who("writer", "read"),
    "writer, shared write": Who("writer", "write"),
    "writer, link read": Who("writer", "read"),
    "writer, link write": Who("writer", "write"),
    "writer, owner": Who("writer", "own"),
    "owner, without the right": Who("writer", "own", without="it"),
    "admin": Who("admin"),
    "admin, without the right": Who("admin", without="it"),
    "admin, without admin": Who("admin", without="admin"),
    "bound here, owner": Who("writer", "own", bound="here"),
    "bound here, stranger": Who("writer", bound="here"),
    "bound elsewhere, owner": Who("writer", "own", bound="elsewhere"),
    "bound here, admin": Who("admin", bound="here"),
    "bound elsewhere, admin": Who("admin", bound="elsewhere"),
    "job here": Who("writer", "own", bound="here", way="job"),
    "job elsewhere": Who("writer", "own", bound="elsewhere", way="job"),
    "cookie, owner": Who("writer", "own", way="cookie"),
    "cookie, stranger": Who("writer", way="cookie"),
    "cookie, admin": Who("admin", way="cookie"),
    "ticket here, owner": Who("writer", "own", bound="here", way="ticket"),
    "ticket elsewhere, owner": Who("writer", "own", bound="elsewhere", way="ticket"),
    "session, owner": Who("writer", "own", way="session"),
}


def expected(row: Row, method: str, who: Who) -> int:
    """Return the status that a caller must get."""
    if row.open:
        return row.ok
    if not who.good or (who.way in ("cookie", "ticket") and method not in ("GET", "HEAD")):
        return 401
    rights = who.rights(row)
    if not set(row.needs.split()) <= rights:
        return 403
    # Only a token with the right to everything goes everywhere: never a ticket or a cookie, which can only read.
    is_owner = who.level == "own" or "admin" in rights
    if row.level is not None:
        return _to_canvas(row, who, 3 if is_owner else LEVELS[who.level])
    if row.about == "job":
        return row.ok if is_owner and who.bound != "elsewhere" else 404
    if _is_forbidden(row, who):
        return 403
    return row.ok if is_owner or row.about != "token" else 404


def _to_canvas(row: Row, who: Who, level: int) -> int:
    if who.bound == "elsewhere" or level < LEVELS["read"]:
        return 404
    return row.ok if level >= LEVELS[row.level or "none"] else 403


def _is_forbidden(row: Row, who: Who) -> bool:
    match row.about:
        case "session":
            return who.way != "session"
        case "stored":
            return who.way == "job"
        case "new":
            return who.bound == "elsewhere"
        case _:
            return bool(who.bound) and not row.bound
