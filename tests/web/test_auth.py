"""Who asks: tokens of the settings, tokens issued for a while, and those without one."""

from __future__ import annotations

import pytest

from canvas_server.web.auth import Actor, Caller, Identification
from canvas_server.web.problems import AuthRequiredError

TOKEN = "ada-ada-ada-ada-ada"


@pytest.fixture
def identification() -> Identification:
    return Identification([Actor("ada", "human", TOKEN, "admin"), Actor("bot", "agent", "bot-bot-bot-bot-bot")])


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


def test_a_caller_is_known_by_the_token_and_is_an_admin_only_if_the_settings_say_so(
    identification: Identification,
) -> None:
    assert identification.caller(bearer(TOKEN)) == Caller("ada", "human", admin=True)
    assert identification.caller(bearer("bot-bot-bot-bot-bot")) == Caller("bot", "agent", admin=False)
    assert identification.caller({}) == Caller("local", "human", admin=False)


@pytest.mark.parametrize(
    "authorization", [b"", b"Bearer ", b"Bearer wrong", b"Basic " + TOKEN.encode(), TOKEN.encode()]
)
def test_a_token_that_is_not_known_is_refused(identification: Identification, authorization: bytes) -> None:
    with pytest.raises(AuthRequiredError):
        identification.caller({b"authorization": authorization})


def test_an_issued_token_is_known_until_it_is_revoked(identification: Identification) -> None:
    token = identification.issue("Génération 7 é/…", "job")

    author = identification.author(bearer(token), "client")
    assert (author.actor, author.kind, author.client_id) == ("Génération 7 é/…", "job", "client")
    assert identification.caller(bearer(token)) == Caller("Génération 7 é/…", "job", admin=False)

    identification.revoke(token)
    identification.revoke(token)
    with pytest.raises(AuthRequiredError):
        identification.caller(bearer(token))
    assert identification.caller(bearer(TOKEN)).name == "ada"


def test_issued_tokens_cannot_be_guessed_and_are_never_the_same(identification: Identification) -> None:
    tokens = {identification.issue("job", "job") for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) >= 43 for token in tokens)
