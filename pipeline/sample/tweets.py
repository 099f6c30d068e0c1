"""Invented tweets: a sentence, and around it retweets, links, emoji and broken encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from pipeline.sample.events import Event
from pipeline.sample.templates import CLEAR, EMOJI, EXTENT, FOREIGN, HANDLES, SLOTS, STATE, VAGUE

T = TypeVar("T")

_FOREIGN_SHARE = 0.03
_RETWEET_SHARE = 0.22
_EMOJI_SHARE = 0.12
_LINK_SHARE = 0.85
_SECOND_LINK_SHARE = 0.35
_MOJIBAKE_SHARE = 0.45
_LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"))


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of `choices`, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def token(rng: np.random.Generator, length: int) -> str:
    """`length` random ASCII letters and digits, as short links and media names have them."""
    return "".join(_LETTERS[rng.integers(len(_LETTERS), size=length)])


def write_tweet(rng: np.random.Generator, event: Event, label: str, clear: bool, severity: str) -> str:
    """A tweet about `event`, on one line, without tabs.

    `label` is the humanitarian class it speaks of when `clear`; otherwise the sentence fits every class.
    `severity` is a damage class and only colours what is said about buildings.
    """
    sentence = _sentence(rng, event, label, clear, severity)
    if rng.random() < _EMOJI_SHARE:
        sentence += " " + pick(rng, EMOJI)
    if rng.random() < _RETWEET_SHARE:
        sentence = f"RT @{pick(rng, HANDLES)}: {sentence}"
    for share in (_LINK_SHARE, _SECOND_LINK_SHARE):
        if rng.random() < share:
            sentence += f" https://t.example/{token(rng, 10)}"
    return sentence.replace("&", "&amp;")


def _sentence(rng: np.random.Generator, event: Event, label: str, clear: bool, severity: str) -> str:
    foreign = clear and rng.random() < _FOREIGN_SHARE
    template = pick(rng, FOREIGN[label] if foreign else CLEAR[label] if clear else VAGUE)
    words = {slot: pick(rng, choices) for slot, choices in SLOTS.items()}
    words["extent"] = pick(rng, EXTENT[severity])
    words["state"] = pick(rng, STATE[severity])
    words["place"] = pick(rng, event.places)
    words["tag"] = pick(rng, event.tags)
    words["word"] = event.word
    words["n"] = str(int(rng.integers(2, 60)))
    return _typography(rng, template.format_map(words))


def _typography(rng: np.random.Generator, sentence: str) -> str:
    """Curly apostrophes and ellipses, now and then decoded wrongly the way crawlers leave them."""
    curly = sentence.replace("'", "’").replace("...", "…")
    if curly != sentence and rng.random() < _MOJIBAKE_SHARE:
        return curly.replace("’", "â€™").replace("…", "â€¦")
    return curly
