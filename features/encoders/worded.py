"""The base class of encoders whose texts go through a tokenizer of transformers (`TextTokenizer`)."""

from __future__ import annotations

from collections.abc import Sequence

from features.encoders.encoder import Encoder
from features.encoders.tokenizer import TextTokenizer, Tokens
from features.text import Text, TextRead


class WordedEncoder(Encoder):
    """Reads texts, on their own or beside a photo, as `_tokenizer` cuts and counts them."""

    _tokenizer: TextTokenizer

    def tokenize(self, texts: Sequence[Text]) -> list[Tokens]:
        return self._tokenizer(texts)

    def text_length(self, tokens: Tokens) -> int:
        return tokens.length

    def text_read(self, tokens: Tokens) -> TextRead:
        return tokens.read
