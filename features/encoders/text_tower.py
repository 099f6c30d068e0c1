"""The text half of an encoder, for texts that have no photos (class prompts)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.encoders.encoder import Encoder
from features.errors import WrongModality
from features.text import Text, TextRead


class TextTower(Encoder):
    """Encodes texts as `encoder` does and reads no photos, so that a text without one is not a bad post.

    Raises `WrongModality` for an encoder that reads no texts on their own.
    """

    modalities = ("text",)

    def __init__(self, encoder: Encoder) -> None:
        if "text" not in encoder.modalities:
            raise WrongModality("This model reads no text, so it cannot encode prompts; choose one such as clip.")
        self._encoder = encoder
        self.views = {name: shape for name, shape in encoder.views.items() if name.startswith("text/")}
        self.identity = encoder.identity
        self.parallel = encoder.parallel
        self.text_limit = encoder.text_limit
        self.default_views = {name: view for name, view in encoder.default_views.items() if name == "text"}

    def tokenize(self, texts: Sequence[Text]) -> list[Any]:
        return self._encoder.tokenize(texts)

    def text_length(self, tokens: Any) -> int:
        return self._encoder.text_length(tokens)

    def text_read(self, tokens: Any) -> TextRead | None:
        return self._encoder.text_read(tokens)

    def encode_tokens(self, tokens: Sequence[Any]) -> dict[str, np.ndarray]:
        return self._encoder.encode_tokens(tokens)

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        return self._encoder.encode_texts(texts)
