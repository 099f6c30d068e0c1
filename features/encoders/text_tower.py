"""The text half of an encoder, for texts that have no photos (class prompts)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.encoders.encoder import Encoder
from features.errors import WrongModality
from features.text import Text


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

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        return self._encoder.encode_texts(texts)
