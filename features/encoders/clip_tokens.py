"""The texts of a CLIP as its own tokenizer makes ids of them, and how much of each is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from features.encoders.tokenizer import beginning
from features.text import Text, TextRead, joined


@dataclass(frozen=True)
class ClipTokens:
    """int64 [context] of one text, and how much of it that is."""

    ids: Any
    read: TextRead


class ClipTokenizer:
    """open_clip's tokenizer. A text beyond the context is cut at it, always in the same place, also where the model was
    trained on texts shortened by drawing.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.context_length: int = tokenizer.context_length
        # a tokenizer of transformers inside, or CLIP's own byte pairs
        self._inner: Any = getattr(tokenizer, "tokenizer", None)
        self._clean: Callable[[str], str] = getattr(tokenizer, "clean_fn", str)

    def __call__(self, texts: Sequence[Text]) -> list[ClipTokens]:
        begun = [self._begun(joined(text)) for text in texts]
        return self._of_pairs(begun) if self._inner is None else self._of_inner(begun)

    def _begun(self, text: str) -> str:
        """As much of a text as is read. What is cut off is cut off the cleaned text, as cleaning looks at all of it."""
        begun = beginning(text, self._count, self.context_length)
        return begun if begun == text else beginning(self._clean(text), self._count, self.context_length)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text) if self._inner is None else self._own([text])[0])

    def _of_pairs(self, texts: list[str]) -> list[ClipTokens]:
        import torch

        room = self.context_length - 2
        made = []
        for text in texts:
            own = self._tokenizer.encode(text)
            ids = torch.zeros(self.context_length, dtype=torch.long)
            row = [self._tokenizer.sot_token_id, *own[:room], self._tokenizer.eot_token_id]
            ids[: len(row)] = torch.tensor(row)
            made.append(ClipTokens(ids, TextRead(min(len(own), room), 0, len(own) > room)))
        return made

    def _of_inner(self, texts: list[str]) -> list[ClipTokens]:
        if not texts:
            return []
        marks = 3 if self._tokenizer_mode == "clips" else self._inner.num_special_tokens_to_add()
        room = max(self.context_length - marks, 0)
        unknown: Any = getattr(self._inner, "unk_token_id", None)
        made = []
        for ids, own in zip(self._tokenizer(texts), self._own(texts), strict=True):
            read = own[:room]
            made.append(ClipTokens(ids, TextRead(len(read), read.count(unknown), len(own) > room)))
        return made

    @property
    def _tokenizer_mode(self) -> str:
        return str(getattr(self._tokenizer, "tokenizer_mode", ""))

    def _own(self, texts: list[str]) -> list[list[int]]:
        """The ids of the texts themselves, uncut and without marks."""
        cleaned = [self._clean(text) for text in texts]
        ids: list[list[int]] = self._inner(cleaned, add_special_tokens=False, verbose=False)["input_ids"]
        return ids
