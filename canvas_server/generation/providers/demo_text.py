"""What the demonstration says, in French and English."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import count
from typing import Final, Literal, TypeAlias

Language: TypeAlias = Literal["fr", "en"]

_OPENING: Final[Mapping[Language, str]] = {
    "fr": (
        "**Ceci est une démonstration.** Aucun modèle n'a été interrogé et rien n'a été dépensé : ces phrases sont "
        "prêtes d'avance, et seul leur ordre dépend de la demande, qui compte {words} mots."
    ),
    "en": (
        "**This is a demonstration.** No model was asked and nothing was spent: these sentences were written "
        "beforehand, and only their order depends on the request, which has {words} words."
    ),
}

_SENTENCES: Final[Mapping[Language, tuple[str, ...]]] = {
    "fr": (
        "La lampe brûlait encore quand la porte s'est ouverte sur le couloir vide.",
        "Personne ne parlait, mais chacun attendait que l'autre commence.",
        "Au loin, le fleuve portait des barges chargées de sel et de bois sec.",
        "Elle posa la carte sur la table et lissa le pli du bout des doigts.",
        "« Nous partirons avant l'aube », dit-il, sans lever les yeux.",
        "Le vent tourna, et avec lui l'odeur de la pluie.",
        "On entendit trois coups, puis un silence plus long que les précédents.",
        "La vieille horloge retardait d'une heure, et nul n'avait osé la régler.",
        "Dans la cour, un chien suivait du regard l'ombre des nuages.",
        "Il y avait dans sa voix une prudence nouvelle.",
        "Les lettres étaient rangées par année, les plus anciennes au fond du coffre.",
        "Quelqu'un avait laissé une plume et de l'encre à côté du registre.",
        "Le pont tenait bon, malgré la crue et les années.",
    ),
    "en": (
        "The lamp was still burning when the door opened on the empty corridor.",
        "Nobody spoke, yet each of them waited for the other to begin.",
        "Far off, the river carried barges of salt and dry timber.",
        "She laid the map on the table and smoothed the fold with her fingertips.",
        '"We leave before dawn," he said, without looking up.',
        "The wind turned, and with it came the smell of rain.",
        "There were three knocks, then a silence longer than the ones before.",
        "The old clock ran an hour late, and no one had dared to set it.",
        "In the yard a dog followed the shadow of the clouds with its eyes.",
        "There was a new caution in her voice.",
        "The letters were kept by year, the oldest at the bottom of the chest.",
        "Someone had left a pen and ink beside the ledger.",
        "The bridge held, in spite of the flood and of the years.",
    ),
}

_PARAGRAPH_SENTENCES: Final = 4
_FRENCH_LETTERS: Final = re.compile(r"[àâçéèêëîïôûùœ]", re.IGNORECASE)
_FRENCH_WORDS: Final = frozenset(
    ("le", "la", "les", "un", "une", "des", "du", "de", "et", "est", "dans", "pour", "avec", "qui", "que", "sur", "ce")
)
_ENGLISH_WORDS: Final = frozenset(
    ("the", "a", "an", "of", "and", "is", "in", "for", "with", "who", "that", "on", "to", "this", "it", "as", "at")
)


def language_of(prompt: str) -> Language:
    """Return English where its small words are more than the French ones, accented letters counted as such."""
    words = re.findall(r"[^\W\d_]+", prompt.lower())
    english = sum(word in _ENGLISH_WORDS for word in words)
    french = sum(word in _FRENCH_WORDS or _FRENCH_LETTERS.search(word) is not None for word in words)
    return "en" if english > french else "fr"


def written(prompt: str, words_min: int) -> str:
    """Return paragraphs of at least so many words, the same for the same prompt."""
    language = language_of(prompt)
    sentences = _in_order(_SENTENCES[language], prompt)
    paragraphs = [_OPENING[language].format(words=len(prompt.split()))]
    length = len(paragraphs[0].split())
    while length < words_min:
        paragraph = " ".join(next(sentences) for _ in range(_PARAGRAPH_SENTENCES))
        length += len(paragraph.split())
        paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def _in_order(sentences: tuple[str, ...], prompt: str) -> Iterator[str]:
    """Yield all sentences over and over, in an order that the prompt decides anew each time."""
    for turn in count():
        yield from sorted(sentences, key=lambda sentence: sha256(f"{turn}\0{prompt}\0{sentence}".encode()).digest())
