"""E1: CLIP through open_clip: any architecture/pretrained pair, `hf-hub:` id or local folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.card import FeatureError
from features.device import to_numpy
from features.weights import check_path, describe, is_local, loading


def load(*, pretrained: str, revision: str | None, device: str, precision: str) -> ClipEncoder:
    """`pretrained`: "ARCHITECTURE/TAG" (as `open_clip.list_pretrained()` has them), "hf-hub:ORG/NAME", or a
    local folder in open_clip's own layout (`open_clip_config.json` and weights).
    """
    import open_clip

    name, tag = _model_name(pretrained)

    def read() -> tuple[Any, Any, Any]:
        model, _, transform = open_clip.create_model_and_transforms(
            name, pretrained=tag, device=device, precision=precision
        )
        return model, transform, open_clip.get_tokenizer(name)

    model, transform, tokenizer = loading("clip", pretrained, read)
    return ClipEncoder(model.eval(), transform, tokenizer, describe(pretrained, revision), device)


def _model_name(pretrained: str) -> tuple[str, str | None]:
    if is_local(pretrained):
        return f"local-dir:{pretrained}", None
    if pretrained.startswith("hf-hub:"):
        return pretrained, None
    if pretrained.count("/") == 1:
        name, tag = pretrained.split("/")
        return name, tag
    check_path(pretrained)
    raise FeatureError(
        f"'{pretrained}' names no CLIP weights; give a folder, 'hf-hub:ORG/NAME' or 'ARCHITECTURE/TAG' "
        "such as ViT-B-32/laion2b_s34b_b79k (--pretrained)."
    )


class ClipEncoder:
    """`image/projected`, `text/projected` [D]: the vectors of the shared space, of unit length.

    CLIP is fed its own normalisation and its own tokenizer (77 tokens; longer texts are cut).
    """

    modalities = ("image", "text")

    def __init__(self, model: Any, transform: Any, tokenizer: Any, weights: dict[str, Any], device: str) -> None:
        self._model = model
        self._transform = transform
        self._tokenizer = tokenizer
        self._device = device
        parameter = next(model.parameters())
        self._dtype = parameter.dtype
        width = model.text_projection.shape[-1] if hasattr(model, "text_projection") else self._probe_width()
        self.views = {"image/projected": (width,), "text/projected": (width,)}
        self.identity = {"weights": weights, "context": tokenizer.context_length, "unit_length": True}

    def prepare(self, image: Any) -> np.ndarray:
        """[3, height, width] float32, as the model's own transform makes it."""
        return self._transform(image).numpy()

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        pixels = torch.from_numpy(batch).to(self._device, self._dtype)
        with torch.inference_mode():
            projected = self._model.encode_image(pixels)
        return {"image/projected": _unit(projected)}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        import torch

        tokens = self._tokenizer(list(texts)).to(self._device)
        with torch.inference_mode():
            projected = self._model.encode_text(tokens)
        return {"text/projected": _unit(projected)}

    def text_length(self, text: str) -> int:
        # every text is padded to the same 77 tokens, so none costs more than another
        return 0

    def _probe_width(self) -> int:
        return self.encode_texts([""])["text/projected"].shape[1]


def _unit(projected: Any) -> np.ndarray:
    import torch

    return to_numpy(torch.nn.functional.normalize(projected.float(), dim=-1))
