"""E4: any timm image model (DenseNet-121/201, VGG-16, ResNet-152, ViT, ...) with its own evaluation transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.device import to_numpy, torch_dtype
from features.weights import describe, is_local, loading


def load(*, pretrained: str, revision: str | None, device: str, precision: str) -> TimmEncoder:
    import timm

    name = f"local-dir:{pretrained}" if is_local(pretrained) else pretrained
    if revision:
        name = f"hf-hub:timm/{pretrained}@{revision}"
    model = loading("timm", pretrained, lambda: timm.create_model(name, pretrained=True, num_classes=0))
    identity = describe(pretrained, revision)
    return TimmEncoder(model.eval().to(device, torch_dtype(precision)), identity)


class TimmEncoder:
    """`image/pooled` [D]: the globally pooled features that the model's own classifier would read."""

    modalities = ("image",)

    def __init__(self, model: Any, weights: dict[str, Any]) -> None:
        import timm.data

        self._model = model
        config = timm.data.resolve_model_data_config(model)
        self._transform = timm.data.create_transform(**config, is_training=False)
        self.views = {"image/pooled": (model.num_features,)}
        if hasattr(model, "head_hidden_size"):
            self.views = {"image/pooled": (model.head_hidden_size,)}
        self.identity = {"weights": weights, "transform": {k: _plain(v) for k, v in sorted(config.items())}}

    def prepare(self, image: Any) -> np.ndarray:
        """[3, height, width] float32, as the model's own evaluation transform makes it."""
        return self._transform(image).numpy()

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        parameter = next(self._model.parameters())
        with torch.inference_mode():
            pooled = self._model(torch.from_numpy(batch).to(parameter.device, parameter.dtype))
        return {"image/pooled": to_numpy(pooled)}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        raise TypeError("an image encoder takes no texts")

    def text_length(self, text: str) -> int:
        raise TypeError("an image encoder takes no texts")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
