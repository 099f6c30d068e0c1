"""A light check that an answer is in the language that was asked for: its letters and its commonest words."""

from __future__ import annotations

import re
import unicodedata

from crisis_registry import did_you_mean
from pipeline.errors import UsageError

NAMES = {"en": "English", "es": "Spanish", "fr": "French", "de": "German", "it": "Italian", "pt": "Portuguese"}

# words that are common in one of these languages and no words, or rare ones, in the others
_COMMON = {
    "en": "the and is are was were of to it that this with have has been not they you my our your what just from "
    "when there will be at i we so by up still all can out how for after their over more get now if who why about "
    "don't it's i'm he she his her into back off again would could should than then some",
    "es": "el los las y en es por con del muy pero hay está están fue también cuando ahora desde todo hoy mi aquí "
    "nada esto ya más donde porque",
    "fr": "le les et est des une du dans pour pas qui sur avec ce cette il je nous vous sont mais au aux c'est très "
    "tout j'ai ça on mes",
    "de": "der das und ist nicht ich wir sie ein eine zu den mit von auf für im dem auch es sind war noch nur wie "
    "aber hier heute",
    "it": "il gli e è di che non sono per della nel con una anche ma questo più alla ho ci oggi dopo sta tutto perché",
    "pt": "o os não em um uma do da dos das com mas muito foi também são está você eu isso aqui hoje pelo até já mais "
    "ainda",
}
WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}

LATIN_SHARE = 0.8
ENOUGH_WORDS = 8
ENOUGH_HITS = 2


def check_language(language: str) -> None:
    """Raise `UsageError` for a language there is no check for; "any" switches the check off."""
    if language not in WORDS and language != "any":
        near = did_you_mean(language, (*WORDS, "any"))
        raise UsageError(f"There is no check for the language '{language}'{near}; choose {', '.join(WORDS)} or any.")


def name_of(language: str) -> str:
    """What a prompt calls the language; "any" leaves it to the event's usual one."""
    return NAMES.get(language, "any language")


def speaks(text: str, language: str) -> bool:
    """Whether `text` may be in `language`: at least `LATIN_SHARE` of its letters are Latin, it does not hold more of
    another language's commonest words (and at least `ENOUGH_HITS`), and from `ENOUGH_WORDS` words on it holds some of
    the language's own.

    Links, handles and hashtags are not words.
    """
    if language == "any":
        return True
    plain = re.sub(r"\S*://\S+|[@#]\w+", " ", text)
    letters = [character for character in plain if character.isalpha()]
    if letters and sum(_is_latin(letter) for letter in letters) < LATIN_SHARE * len(letters):
        return False
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", plain.casefold().replace("’", "'"))
    hits = {each: sum(word in common for word in words) for each, common in WORDS.items()}
    own = hits.pop(language)
    if max(hits.values()) >= ENOUGH_HITS and max(hits.values()) > own:
        return False
    return own > 0 or len(words) < ENOUGH_WORDS


def _is_latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN")
