"""The one place that knows what the openai SDK raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from canvas_server.generation.providers.failures import ProviderTimeoutError, StreamLostError, UnavailableError
from canvas_server.generation.providers.statuses import of_code, of_status


@contextmanager
def translating(provider: str, model: str, *, streaming: bool = False) -> Iterator[None]:
    """Raise what the SDK raises as errors of `failures`, without what they say.

    Args:
        provider: who is asked.
        model: for what.
        streaming: the answer has begun, so a connection that fails is a stream that is lost.
    """
    import openai  # noqa: PLC0415 - takes most of a second, and is needed only where it is used

    try:
        yield
    except openai.APITimeoutError:
        raise ProviderTimeoutError(f"{provider} did not answer in time", hint="Try again later.") from None
    except openai.APIConnectionError:
        if streaming:
            raise lost(provider) from None
        raise UnavailableError(f"{provider} cannot be reached", hint="Check that it runs, and its base URL.") from None
    except openai.APIStatusError as error:
        raise of_status(provider, model, error.status_code, error.code, error.response.headers) from None
    except (openai.APIResponseValidationError, json.JSONDecodeError, UnicodeDecodeError):
        raise lost(provider) from None
    except openai.APIError as error:
        raise of_code(provider, model, error.code) from None


def lost(provider: str) -> StreamLostError:
    """Return the error for an answer that broke off."""
    return StreamLostError(f"the answer of {provider} broke off", hint="Try again; what came so far is kept.")
