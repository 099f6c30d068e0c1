"""What text encoders are fed: named, versioned cleaners, and texts of one or two segments.

A cleaner's mark is part of the fingerprint, so that what it does never changes under one mark.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from features.errors import FeatureError

Text = str | tuple[str, str]
"""A text, or two segments kept apart (a cleaned tweet, and the caption or knowledge text that goes with it)."""


@dataclass(frozen=True)
class TextRead:
    """How much of a text an encoder reads. `tokens`: those of the text itself, without marks such as [CLS]; `unknown`:
    how many of these its tokenizer has no word for; `cut`: whether the text has more than are read.
    """

    tokens: int
    unknown: int
    cut: bool


# An address ends where its characters do: a line break, a bracket, an ellipsis or a word of another script that
# is glued to it stays. Twitter's own short links are letters and digits only, so that "t.co/ab12#flood" keeps its tag.
_SHORT = r"(?:https?://)?\bt\.co/[A-Za-z0-9]+"
_LONG = r"(?:https?://|\bwww\.)[A-Za-z0-9\-._~:/?#\[@!$&'*+,;=%]*[A-Za-z0-9/_#=&%~+-]"
_LINK = re.compile(f"(?:{_SHORT})|(?:{_LONG})", re.IGNORECASE)
_RETWEET = re.compile(r"^\s*(?:RT\s+@\w+\s*:\s*)+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w@.])@\w+")


@dataclass(frozen=True)
class Cleaner:
    """A named cleaner. `mark` ("crisis-1": what it does, and its version) goes into the fingerprint."""

    name: str
    mark: str
    summary: str
    clean: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.clean(text)


def _raw(text: str) -> str:
    return text


def _abavisani(text: str) -> str:
    """Abavisani et al. 2020, 4.3: lower case, double spaces removed, every link replaced by the word "link"."""
    return re.sub(" {2,}", " ", _LINK.sub("link", text).lower())


def _crisis(text: str) -> str:
    try:
        import ftfy
    except ModuleNotFoundError:
        raise FeatureError(
            "The cleaner 'crisis' needs the package 'ftfy'; install the extra: pip install 'crisis[encoders]'."
        ) from None
    repaired = _RETWEET.sub("", ftfy.fix_text(text))
    return " ".join(_HANDLE.sub("@user", _LINK.sub(" link ", repaired)).split())


_DECLARED = (
    Cleaner("raw", "raw-1", "as it is", _raw),
    # its mark is older than its name, and stands in the fingerprints of existing caches
    Cleaner(
        "abavisani",
        "002-1",
        'lower case, double spaces collapsed, link -> "link" (Abavisani et al. 2020)',
        _abavisani,
    ),
    Cleaner(
        "crisis",
        "crisis-1",
        'mojibake repaired (ftfy), retweet header dropped, link -> "link", handle -> "@user", spaces collapsed',
        _crisis,
    ),
)

CLEANERS: dict[str, Cleaner] = {cleaner.name: cleaner for cleaner in _DECLARED}
CLEANERS["002"] = CLEANERS["abavisani"]
"""Cleaners by name; "002" is what older commands call Abavisani's."""


def joined(text: Text) -> str:
    """One string for encoders without a second segment: tweet, a space, and what goes with it (Munia et al. 2025,
    eq. 2).
    """
    return text if isinstance(text, str) else " ".join(part for part in text if part)


def bare(text: str) -> str:
    """What a text says, whoever passes it on: without retweet header, links, handles, case and punctuation; "" where
    nothing is left. Posts with the same are one text to an audit, whatever the encoder is fed.
    """
    plain = _HANDLE.sub(" ", _LINK.sub(" ", _RETWEET.sub("", html.unescape(text))))
    folded = unicodedata.normalize("NFKC", plain).casefold()
    # letters, marks (the vowels of many scripts) and numbers
    return " ".join("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in folded).split())


def is_retweet(text: str) -> bool:
    """Whether a text begins with a retweet header."""
    return _RETWEET.match(text) is not None
