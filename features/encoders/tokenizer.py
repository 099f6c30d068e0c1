"""A text as the ids that a model reads: cut at its limit, in the model's own vocabulary, and counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import FeatureError
from features.text import Text, TextRead, joined
from features.vocabulary import check_vocabulary

UNLIMITED = 1_000_000
"""From here on a tokenizer's limit says that it has none."""

_LONG = 16
"""A text of more characters than these for each token of the limit is looked at piece by piece."""
_SPARE = 64
"""Tokens beyond the limit that the beginning of a long text must have, so that the end of it decides nothing."""


def limit_of(tokenizer: Any, most: int, positions: int | None = None) -> int:
    """The most tokens of a text: `most`, or fewer where the tokenizer or the model's positions (None: no limit) say so.

    A tokenizer without a limit says none, a huge one, or one below 1.
    """
    said = getattr(tokenizer, "model_max_length", None)
    own = int(said) if isinstance(said, (int, float)) and 0 < said < UNLIMITED else most
    return min(most, own, most if positions is None else positions)


def beginning(text: str, count: Callable[[str], int], limit: int) -> str:
    """As much of a text as decides its first `limit` tokens: the text itself, or, of one that has many more characters
    than these take, a beginning of at least `limit` + 64 tokens (`count` counts them).

    Tokenizers read words apart, so that a beginning that ends at a space has the tokens that the whole text begins
    with. Only a word that is longer than all of that, without a space, ends in its middle: of its last tokens a few may
    be others than in the whole, and these are among the spare ones, which nothing reads. Either way the text has more
    tokens than the limit, and counts as cut. What it costs no longer grows with the length of such a word.
    """
    size = _LONG * (limit + _SPARE)
    while len(text) > size:
        space = text.rfind(" ", size // 2, size)
        begun = text[: space if space > 0 else size]
        if count(begun) >= limit + _SPARE:
            return begun
        size *= 2
    return text


@dataclass(frozen=True)
class Tokens:
    """One tokenized text: what the model reads, name by name, and how much of the text that is."""

    inputs: Mapping[str, list[int]]
    read: TextRead

    @property
    def length(self) -> int:
        return len(self.inputs["input_ids"])


class TextTokenizer:
    """A tokenizer of transformers, and what a model can read of what it makes.

    `limit`: the most tokens; `rows`: how many ids the model has a vector for; `names`: what it takes; `joins`: two
    segments are read as one text, with a space between; `lowered`: in small letters; `prompt` stands in front of each
    text. Raises `FeatureError` for a tokenizer that is not the model's.
    """

    def __init__(
        self,
        tokenizer: Any,
        limit: int,
        rows: int,
        names: frozenset[str],
        types: int | None = None,
        joins: bool = False,
        lowered: bool = False,
        prompt: str = "",
    ) -> None:
        self._tokenizer = tokenizer
        # a tokenizer keeps how it last cut, so that no two threads may use it at once
        self._lock = threading.Lock()
        self.limit = limit
        self._rows = rows
        self._joins = joins
        self._lowered = lowered
        self._prompt = prompt
        # all that it takes of what its tokenizer makes; the mask follows from how texts are laid side by side
        self._known = names - {"attention_mask"}
        self._types = types
        unknown = getattr(tokenizer, "unk_token_id", None)
        marks = (getattr(tokenizer, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "cls", "sep"))
        # tokenizers of bytes know everything, and say so by naming another mark
        self._unknown = unknown if unknown is not None and unknown not in set(marks) else None
        self._substitute = unknown if unknown is not None and unknown < rows else None
        check_vocabulary(tokenizer, rows, self._substitute)
        self._marks = {pair: int(tokenizer.num_special_tokens_to_add(pair=pair)) for pair in (False, True)}
        if limit <= self._marks[False]:
            raise FeatureError(
                f"The model reads {limit} tokens of a text, and its tokenizer adds {self._marks[False]} marks, so that "
                "nothing of the text is left; mend the folder (--pretrained)."
            )

    def __call__(self, texts: Sequence[Text]) -> list[Tokens]:
        if not texts:
            return []
        with self._lock:
            return self._of(texts)

    def _of(self, texts: Sequence[Text]) -> list[Tokens]:
        # one call takes texts of one segment or of two, never both kinds
        pairs = isinstance(texts[0], tuple) and not self._joins
        columns = [list(column) for column in zip(*texts, strict=True)] if pairs else [[joined(t) for t in texts]]
        columns[0] = [self._prompt + text for text in columns[0]]
        segments = [[self._begun(text) for text in column] for column in columns]
        rows = self._rows_of(segments)
        found = [self._tokens(row, pairs, False) for row in rows]
        over = [position for position, one in enumerate(found) if one.length > self.limit]
        if over:
            short = self._rows_of([[column[at] for at in over] for column in segments], max_length=self.limit)
            for at, row in zip(over, short, strict=True):
                found[at] = self._tokens(row, pairs, True)
        return found

    def _begun(self, text: str) -> str:
        text = text.lower() if self._lowered else text
        if self._tokenizer.truncation_side == "left":
            # its end is read, so that its beginning is what is cut off
            return beginning(text[::-1], lambda part: self._count(part[::-1]), self.limit)[::-1]
        return beginning(text, self._count, self.limit)

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _rows_of(self, segments: list[list[str]], max_length: int | None = None) -> list[dict[str, list[int]]]:
        cut = {"truncation": True, "max_length": max_length} if max_length else {"truncation": False}
        made = self._tokenizer(*segments, **cut, return_attention_mask=False, verbose=False)
        kept = {name: made[name] for name in made if name in self._known}
        return [dict(zip(kept, row, strict=True)) for row in zip(*kept.values(), strict=True)]

    def _tokens(self, row: dict[str, list[int]], pair: bool, cut: bool) -> Tokens:
        ids = row["input_ids"]
        unknown = ids.count(self._unknown) if self._unknown is not None else 0
        if self._substitute is not None and any(one >= self._rows for one in ids):
            # words that were added to the tokenizer and not to the model
            unknown += sum(one >= self._rows for one in ids)
            row["input_ids"] = [one if one < self._rows else self._substitute for one in ids]
        if self._types is not None and max(row.get("token_type_ids", [0]), default=0) >= self._types:
            row["token_type_ids"] = [0] * len(ids)
        return Tokens(row, TextRead(max(len(ids) - self._marks[pair], 0), unknown, cut))
