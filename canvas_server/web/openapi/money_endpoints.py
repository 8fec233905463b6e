"""What is asked about money."""

from __future__ import annotations

from typing import Final

from canvas_server.core.errors import InvalidFieldError
from canvas_server.web.costs import EntriesBody, NewQuotaBody, UsageBody
from canvas_server.web.openapi import money_examples
from canvas_server.web.openapi.answers import Answer, json_media
from canvas_server.web.openapi.endpoint import KEEPING, READING_BODY, Endpoint
from canvas_server.web.problems import AuthRequiredError, ForbiddenError

_USAGE: Final = json_media(UsageBody, money_examples.USAGE)

MONEY: Final = (
    Endpoint(
        "get",
        "/api/v1/costs/usage",
        "readUsage",
        "Money",
        "Read what was spent and held in a month",
        (Answer(200, "All together, and by provider.", (_USAGE,)),),
        parameters=("month", "user"),
        refusals=(AuthRequiredError, ForbiddenError, InvalidFieldError, *KEEPING),
    ),
    Endpoint(
        "get",
        "/api/v1/costs/entries",
        "readBill",
        "Money",
        "Read the bill of a month, line by line",
        (Answer(200, "A line for each call, newest first.", (json_media(EntriesBody, money_examples.ENTRIES),)),),
        parameters=("month", "of_provider", "entries_limit", "user"),
        refusals=(AuthRequiredError, ForbiddenError, InvalidFieldError, *KEEPING),
    ),
    Endpoint(
        "put",
        "/api/v1/costs/quota/{user}",
        "setQuota",
        "Money",
        "Set what somebody may spend in a month",
        (Answer(200, "Set, from this month on; `providers` is left empty.", (_USAGE,)),),
        "For admins. What is spent already stays spent.",
        ("user_of_quota",),
        (json_media(NewQuotaBody, money_examples.NEW_QUOTA),),
        refusals=(*READING_BODY, ForbiddenError, *KEEPING),
    ),
)
