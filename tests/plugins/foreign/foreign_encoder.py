"""An encoder of somebody else's: how loud a text is, and how bright a photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from features import Card, Encoder
from features.text import Text, joined


class Loudness(Encoder):
    card = Card(
        name="loudness",
        summary="how loud a text is, and how bright a photo",
        modalities=("image", "text"),
        default_views={"image": "image/light", "text": "text/loudness"},
        views={"image/light": (16,), "text/loudness": (3,)},
    )
    modalities = ("image", "text")
    views = {"image/light": (16,), "text/loudness": (3,)}
    identity = {"version": 1}

    def prepare(self, image: Image) -> np.ndarray:
        return np.asarray(image.convert("L").resize((4, 4)), dtype=np.float32).ravel() / 255

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"image/light": batch}

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        return {"text/loudness": np.array([_loudness(joined(text)) for text in texts], dtype=np.float32)}


def _loudness(text: str) -> tuple[float, float, float]:
    count = max(1, len(text))
    return sum(map(str.isupper, text)) / count, text.count("!") / count, count / 280
