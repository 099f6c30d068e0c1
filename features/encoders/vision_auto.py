"""Any AutoModel vision encoder of transformers (DINOv2, ViT), with the model's own image processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from features.card import Card
from features.device import place, to_numpy, torch_dtype
from features.encoders.encoder import Encoder
from features.encoders.tokens import TOKENS
from features.encoders.transforms import Pixels, of_processor
from features.weights import describe, loading, model_of, part_of, quiet_transformers


def load(*, pretrained: str, revision: str | None, device: str, precision: str, tokens: bool = False) -> VisionEncoder:
    """`tokens` adds the token view."""
    from transformers import AutoImageProcessor, AutoModel

    version = quiet_transformers()

    def read() -> tuple[Any, Any]:
        processor = part_of(AutoImageProcessor, pretrained, revision)
        model = model_of(AutoModel, pretrained, revision, dtype=torch_dtype(precision))
        return processor, model

    processor, model = loading("dinov2", pretrained, read)
    identity = describe(pretrained, revision)
    return VisionEncoder(of_processor(processor, version), place(model, device), identity, tokens)


CARD = Card(
    name="dinov2",
    summary="DINOv2, or any AutoModel vision encoder (ViT, ...)",
    modalities=("image",),
    default_views={"image": "image/cls"},
    loader=load,
    pretrained="facebook/dinov2-small",
    revision="ed25f3a31f01632728cabb09d1542f84ab7b0056",
    licence="Apache-2.0",
    extra="encoders",
    views={"image/cls": (384,), "image/mean": (384,)},
    token_views={"image/tokens": (256, 384)},
    options=(TOKENS,),
)


class VisionEncoder(Encoder):
    """`image/cls` [D]: the first token of the last hidden state, after the final norm; `image/mean` [D]: the mean
    over the patch tokens that follow it; on request `image/tokens` [T, D], those patch tokens.
    """

    modalities = ("image",)
    parallel = True

    def __init__(self, pixels: Pixels, model: Any, weights: dict[str, Any], tokens: bool) -> None:
        self._pixels = pixels
        self._model = model
        self._tokens = tokens
        width = model.config.hidden_size
        self._special_tokens = 1 + getattr(model.config, "num_register_tokens", 0)
        self.views = {"image/cls": (width,), "image/mean": (width,)}
        if tokens:
            from features.images import blank

            self.views = {n: v.shape[1:] for n, v in self.encode_images(self.prepare(blank())[None]).items()}
        self.identity = {"weights": weights, "transform": dict(pixels.identity)}

    def prepare(self, image: Any) -> np.ndarray:
        return self._pixels.prepare(image)

    def decode_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        return self._pixels.decode_size(size)

    def pixels(self, batch: np.ndarray) -> Any:
        """Prepared photos to what the model reads: [n, 3, height, width], the same as its own processor makes."""
        return self._pixels.tensor(batch, self._model)

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            hidden = self._model(pixel_values=self.pixels(batch)).last_hidden_state.float()
        patches = hidden[:, self._special_tokens :]
        views = {"image/cls": to_numpy(hidden[:, 0]), "image/mean": to_numpy(patches.mean(dim=1))}
        if self._tokens:
            views["image/tokens"] = to_numpy(patches)
        return views
