from __future__ import annotations

from string import Formatter

import pytest

from canvas_server.core.words import PHRASES, choose_language, say


def facts_of(phrase: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(phrase) if name is not None}


def test_both_languages_know_the_same_phrases() -> None:
    assert set(PHRASES["fr"]) == set(PHRASES["en"])


@pytest.mark.parametrize("key", sorted(PHRASES["fr"]))
def test_a_phrase_tells_the_same_facts_in_both_languages(key: str) -> None:
    assert facts_of(PHRASES["fr"][key]) == facts_of(PHRASES["en"][key])


def test_a_phrase_is_told_with_its_facts_in_french_unless_asked_otherwise() -> None:
    assert say("preset.character_missing", id="char-9") == "Le personnage « char-9 » n'existe plus."
    assert say("preset.character_missing", "en", id="char-9") == "The character “char-9” no longer exists."


def test_facts_are_told_as_they_are_braces_and_all() -> None:
    assert "{name}" in say("preset.character_missing", id="{name}")


@pytest.mark.parametrize(
    ("accepted", "lang"),
    [
        ("", "fr"),
        ("*", "fr"),
        ("de-DE,de;q=0.9", "fr"),
        ("en", "en"),
        ("EN-gb", "en"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("de, en;q=0.5", "en"),
        ("en;q=0.5, fr;q=0.7", "fr"),
        ("en;q=0", "fr"),
        ("fr;q=0.1, en;q=x", "fr"),
        (";;;,=,q=", "fr"),
    ],
)
def test_english_is_told_to_whoever_wants_it_more_than_french(accepted: str, lang: str) -> None:
    assert choose_language(accepted) == lang
