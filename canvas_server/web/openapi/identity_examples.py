"""Examples of what is said about users, tokens and rights."""

from __future__ import annotations

from typing import Final

from canvas_server.core.identity import RIGHTS_OF
from canvas_server.web.identity_bodies import (
    AccessBody,
    AccessState,
    LinkBody,
    MadeTokenBody,
    MeBody,
    NewTokenBody,
    NewUserBody,
    SessionBody,
    SignInBody,
    TicketBody,
    TicketRequestBody,
    TokenBody,
    TokenList,
    UserBody,
    UserList,
)
from canvas_server.web.openapi.examples import REF

_MADE_UNIX_MS: Final = 1_795_269_324_712
_OVER_UNIX_MS: Final = _MADE_UNIX_MS + 30 * 86_400_000
_SECRET: Final = "cvs_" + "x" * 43
_CODE: Final = "y" * 43

ME: Final = MeBody(
    name="local",
    kind="human",
    rights=sorted(RIGHTS_OF["writer"]),
    canvases=None,
    expires_unix_ms=_OVER_UNIX_MS,
    signed_in=True,
)
LINK: Final = LinkBody(f"http://127.0.0.1:8642/#t={_CODE}", "ada", 600.0)
SIGN_IN: Final = SignInBody(_CODE)
SESSION: Final = SessionBody(token=_SECRET, user="ada", expires_unix_ms=_OVER_UNIX_MS)
TICKET_REQUEST: Final = TicketRequestBody((REF,))
TICKET: Final = TicketBody(_CODE, 30.0)
NEW_USER: Final = NewUserBody("ada")
USER: Final = UserBody(
    name="ada", role="writer", kind="human", active=True, created_unix_ms=_MADE_UNIX_MS, settled=False
)
USERS: Final = UserList((USER,))
NEW_TOKEN: Final = NewTokenBody(
    label="scribe on the notes", rights=("read", "write"), canvases=(REF,), expires_in_s=86_400
)
_TOKEN: Final = TokenBody(
    id="0123456789abcdef",
    user="ada",
    purpose="token",
    label="scribe on the notes",
    rights=("read", "write"),
    canvases=(REF,),
    ops_per_s=None,
    created_unix_ms=_MADE_UNIX_MS,
    expires_unix_ms=_OVER_UNIX_MS,
    used_unix_ms=None,
)
MADE_TOKEN: Final = MadeTokenBody(token=_SECRET, about=_TOKEN)
TOKENS: Final = TokenList((_TOKEN,))
ACCESS: Final = AccessBody(shared_with={})
ACCESS_STATE: Final = AccessState(ref=REF, level="own", owner="ada", link="none", shared_with={"bob": "write"})
