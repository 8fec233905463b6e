"""What is done with jobs: start, find, follow, stop."""

from __future__ import annotations

from typing import Final

from canvas_server.core.errors import (
    DrainingError,
    InvalidFieldError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    StorageCorruptError,
    StorageUnavailableError,
    TooLargeError,
)
from canvas_server.core.quota import QuotaExceededError
from canvas_server.generation.enqueue import KeyReusedError
from canvas_server.generation.pricing import PriceUnknownError
from canvas_server.generation.providers.failures import NotConfiguredError, UnknownModelError
from canvas_server.web.admission import SPENDING_PATH
from canvas_server.web.job_bodies import (
    JOBS_PATH,
    ChunksBody,
    JobBody,
    JobsBody,
    JobView,
    ModelsBody,
    StartedBody,
    StoppedBody,
)
from canvas_server.web.openapi import job_examples
from canvas_server.web.openapi.answers import Answer, Media, json_media
from canvas_server.web.openapi.endpoint import KEEPING, READING_BODY, Endpoint, Refusals
from canvas_server.web.openapi.schemas import reference
from canvas_server.web.problems import AuthRequiredError

_JOB: Final = f"{JOBS_PATH}/{{job_id}}"
_STARTING: Final[Refusals] = (
    AuthRequiredError,
    InvalidFieldError,
    TooLargeError,
    KeyReusedError,
    NotFoundError,
    NotConfiguredError,
    UnknownModelError,
    PriceUnknownError,
    RateLimitedError,
    QuotaExceededError,
    OverloadedError,
    StorageUnavailableError,
    StorageCorruptError,
    DrainingError,
)
_OF_ONE: Final[Refusals] = (AuthRequiredError, NotFoundError, *KEEPING)
_STARTING_DESCRIPTION: Final = (
    "The job runs whether or not anybody listens; only `cancel` stops it. Everything that can be refused is refused"
    " here, before anything is paid: what the call may cost at most is held against the quota.\n\n"
    "The same `idempotency_key` again gives the same job (200), and 409 with another request. With `canvas` the text"
    " is written into that canvas as it comes, by a client of kind `job`."
)
_STREAM_DESCRIPTION: Final = (
    "Frames have `data:` with one line of JSON, and `id:` with the number of the event, from 1 without a gap (`queued`"
    " and `heartbeat` have none). Every event is stored before it is told, so that a stream can be taken up after any"
    " of them, as often as wanted. `complete` or `error` is the last. Schema and example are those of one event."
)
_SPENDING_DESCRIPTION: Final = (
    "For a bare `EventSource`; programs rather use POST. It spends money on a GET, so it is guarded as a write is: web"
    " pages of other origins and prefetches are refused, its query is never logged, a request for just what runs"
    " already joins it, and one with `Last-Event-ID` goes on with that job and never starts one. Ids are"
    " `<job_id>.<seq>`; the first event, `job`, names the job."
)


def generation() -> tuple[Endpoint, ...]:
    """Return the endpoints of jobs and models."""
    return (*_starting(), *_following(), _stopping(), _models())


def _starting() -> tuple[Endpoint, ...]:
    started = json_media(StartedBody, job_examples.STARTED)
    return (
        Endpoint(
            "post",
            JOBS_PATH,
            "startJob",
            "Generation",
            "Start a job",
            (
                Answer(201, "Taken.", (started,), ("Location", "X-Quota-Warning")),
                Answer(200, "Taken before, under the same key.", (started,), ("Location", "X-Quota-Warning")),
            ),
            _STARTING_DESCRIPTION,
            ("Accept-Language",),
            (json_media(JobBody, job_examples.JOB),),
            refusals=(*READING_BODY, *(kind for kind in _STARTING if kind not in READING_BODY)),
        ),
        Endpoint(
            "get",
            SPENDING_PATH,
            "generateAndStream",
            "Generation",
            "Start a job and follow it in one request",
            _events(("X-Quota-Warning",)),
            _SPENDING_DESCRIPTION,
            (
                *("prompt", "provider", "model", "preset_id", "max_output_tokens", "idempotency_key"),
                *("heard_of_any_job", "Accept-Language"),
            ),
            refusals=_STARTING,
        ),
    )


def _following() -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            "get",
            JOBS_PATH,
            "listJobs",
            "Generation",
            "List one's jobs, newest first",
            (Answer(200, "The newest 100, without their texts.", (json_media(JobsBody, job_examples.JOBS),)),),
            parameters=("active", "all"),
            refusals=(AuthRequiredError, InvalidFieldError, *KEEPING),
        ),
        Endpoint(
            "get",
            _JOB,
            "readJob",
            "Generation",
            "Read a job, with its text so far",
            (Answer(200, "As it stands.", (json_media(JobView, job_examples.VIEW),)),),
            parameters=("job_id",),
            refusals=_OF_ONE,
        ),
        Endpoint(
            "get",
            f"{_JOB}/stream",
            "followJob",
            "Generation",
            "Follow a job",
            _events(),
            _STREAM_DESCRIPTION,
            ("job_id", "heard_of_job", "from_id"),
            refusals=(*_OF_ONE, InvalidFieldError),
        ),
        Endpoint(
            "get",
            "/api/chat/chunks/{task_id}",
            "readChunks",
            "Generation",
            "Read the stored pieces of a job's text",
            (Answer(200, "Those from `from_id` on.", (json_media(ChunksBody, job_examples.CHUNKS),)),),
            parameters=("task_id", "from_id"),
            refusals=(*_OF_ONE, InvalidFieldError),
        ),
    )


def _stopping() -> Endpoint:
    return Endpoint(
        "post",
        f"{_JOB}/cancel",
        "cancelJob",
        "Generation",
        "Stop a job",
        (Answer(200, "It has stopped, or had ended before.", (json_media(StoppedBody, job_examples.STOPPED),)),),
        "Answers when it has stopped, within 10 s whatever its provider does. What it wrote into a canvas is taken"
        ' back, unless the job was started with `"on_cancel": "keep"`.',
        ("job_id",),
        refusals=_OF_ONE,
    )


def _models() -> Endpoint:
    return Endpoint(
        "get",
        "/api/v1/models",
        "listModels",
        "Generation",
        "Say what can be chosen, and what it costs",
        (Answer(200, "Providers and models.", (json_media(ModelsBody, job_examples.MODELS),)),),
        refusals=(AuthRequiredError,),
    )


def _events(headers: tuple[str, ...] = ()) -> tuple[Answer, ...]:
    told = Media("text/event-stream", reference("JobEvent"), job_examples.CHUNK)
    over = Answer(204, "The job has ended, and the reader has heard all of it.")
    return (Answer(200, "The stream.", (told,), headers), over)
