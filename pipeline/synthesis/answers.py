"""From what a language model answered to the one post that was asked for, or why it cannot be used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.synthesis.language import speaks

EMPTY = "empty answer"
REFUSAL = "the model refused"
PLACEHOLDER = "holds a placeholder"
NO_WORDS = "no words but tags and links"
TOO_LONG = "too long"
CUT_OFF = "cut off at the length limit"
WRONG_LANGUAGE = "wrong language"

_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*`{3,}\w*[ \t]*$", re.MULTILINE)
_OPENER = r"(?:sure|certainly|of course|absolutely|okay|ok|alright|great)"
_PREAMBLE = re.compile(
    rf"^(?:{_OPENER}\b[^\n]*:|here\b[^\n]*:|{_OPENER}\b\W*(?:here you go\W*)?|here you go\W*)$", re.IGNORECASE
)
_PREAMBLE_INLINE = re.compile(
    rf"^(?:{_OPENER}[!,.]\s+)?(?:here(?:['’]s| is) )?(?:a|an|one|your|the)\b[^:\n\"“]{{0,40}}\b"
    r"(?:post|tweet|message|example)\b[^:\n\"“]{0,40}:\s*(?=\S)",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^[*_#\s]{0,3}(?:tweet|post|social media post|answer|text|caption)(?: ?#?\d+)?[*_]{0,2}:[*_]{0,2}\s*(?=\S)",
    re.IGNORECASE,
)
_WRAPPERS = 4000
"""Characters that preamble, list marks and quotes around a post may have beside it."""
_ITEM = re.compile(r"^(?:[-*•‣–]|\(?\d{1,2}[.)])\s+")
_MARKUP = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("'", "'"), ("‘", "’"), ("`", "`"))
_MARKS = " " + "".join({mark for pair in _QUOTES for mark in pair})
_REFUSAL = re.compile(
    r"^(?:i['’]?m (?:very )?sorry|i am sorry|sorry,? but|i (?:can['’]?t|cannot|can not|won['’]?t|am unable)|as an ai\b|"
    r"i['’]?m (?:just )?an ai\b|i['’]?m unable)",
    re.IGNORECASE,
)
_REFUSING = re.compile(
    r"\b(?:can['’]?t|cannot|can not|unable|won['’]?t|not able|as an ai|language model)\b", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    r"\[[a-z][a-z' /]{2,30}\]|\{[a-z_]{3,20}\}|<(?:insert|location|name|city|place)[^>]{0,20}>", re.I
)
_TAGS = re.compile(r"\S*://\S+|www\.\S+|[@#]\w+")


@dataclass(frozen=True)
class Answer:
    """A usable `text` and no `reason`, or a `reason` and "" ."""

    text: str
    reason: str = ""


def read_answer(raw: str, *, language: str, max_chars: int, cut: bool = False) -> Answer:
    """The post in a model's answer, on one line: without thinking, preamble, label, list marks, quotes or markup.

    Of several (a list, paragraphs) the first one counts. `cut`: the model was stopped by its length limit. A text
    longer than `max_chars` is refused, never shortened: half a sentence is no post.
    """
    # wrappers are taken off one by one, each over the whole text; what stands so far behind is not the first post's
    text = _unwrap(_THINKING.sub("", _printable(raw)).strip()[: 4 * max_chars + _WRAPPERS])
    reason = ""
    if not text:
        reason = EMPTY
    elif _REFUSAL.match(text) and _REFUSING.search(text):
        reason = REFUSAL
    elif _PLACEHOLDER.search(text):
        reason = PLACEHOLDER
    elif not any(character.isalnum() for character in _TAGS.sub("", text)):
        reason = NO_WORDS
    elif cut:
        reason = CUT_OFF
    elif len(text) > max_chars:
        reason = TOO_LONG
    elif not speaks(text, language):
        reason = WRONG_LANGUAGE
    return Answer("", reason) if reason else Answer(text)


def _printable(raw: str) -> str:
    """Without lone surrogates and control characters, neither of which a table of texts can hold."""
    text = raw.encode("utf-8", "ignore").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c in "\n\t" or c.isprintable() or c in "\u200d\ufe0f" else " " for c in text)


def _unwrap(text: str) -> str:
    """Take off wrappers until none is left, so that what comes out would come out again."""
    while True:
        inner = _first_post(_FENCE.sub("", _THINKING.sub("", text)))
        if inner == text:
            return text
        text = inner


def _first_post(text: str) -> str:
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    if len(lines) > 1 and _PREAMBLE.match(lines[0]) and any(lines[1:]):
        lines = lines[1:]
        while lines and not lines[0]:
            lines.pop(0)
    if lines and _ITEM.match(lines[0]):
        lines = [_ITEM.sub("", lines[0])]
    if "" in lines:
        lines = lines[: lines.index("")]
    one = " ".join(" ".join(lines).split())
    one = _MARKUP.sub(r"\2", one)
    one = _PREAMBLE_INLINE.sub("", one)
    one = _unquote(_LABEL.sub("", one))
    return "" if _PREAMBLE.match(one) else one


def _unquote(text: str) -> str:
    for opening, closing in _QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            inner = text[len(opening) : -len(closing)]
            # two quotations in one sentence are not one quotation; an apostrophe is no quotation mark
            marks = re.sub(r"(?<=\w)['’](?=\w)", "", inner).strip(_MARKS)
            if opening not in marks and closing not in marks:
                return inner.strip()
    return text
