"""Any timm image model (DenseNet-121/201, VGG-16, ResNet-152, ViT, ...) with its own evaluation transform."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from features.card import Card
from features.device import place, to_numpy, torch_dtype
from features.encoders.encoder import Encoder
from features.encoders.tokens import TOKENS
from features.encoders.transforms import of_torchvision
from features.errors import FeatureError
from features.weights import UNUSED, check_tensors, describe, is_local, loading, matching, state_dicts


def load(*, pretrained: str, revision: str | None, device: str, precision: str, tokens: bool = False) -> TimmEncoder:
    """`tokens` adds the feature map as a token view."""
    import timm
    import torch

    name = f"local-dir:{pretrained}" if is_local(pretrained) else pretrained
    if revision:
        name = f"{pretrained if pretrained.startswith('hf-hub:') else f'hf-hub:timm/{pretrained}'}@{revision}"

    def read() -> Any:
        with state_dicts() as calls:
            model = timm.create_model(name, pretrained=True, num_classes=0)
        if not isinstance(model, torch.nn.Module) or not hasattr(model, "forward_features"):
            raise FeatureError(f"'{pretrained}' gives no features of an image as a classifier reads them.")
        # without its classifier timm reads a checkpoint leniently
        for module, answer in calls:
            if module is model:
                check_tensors(answer.missing_keys, set(answer.unexpected_keys) - _of_classifier(model, answer))
        channels = getattr(model, "pretrained_cfg", {}).get("input_size", (3,))[0]
        if (seen := getattr(model, "in_chans", channels)) != 3:
            raise FeatureError(f"'{pretrained}' reads photos of {seen} channels; name one that reads three (colour).")
        return model

    model = loading("timm", pretrained, read)
    repository = pretrained.removeprefix("hf-hub:") if pretrained.startswith("hf-hub:") else f"timm/{pretrained}"
    identity = describe(pretrained, revision, repository)
    return TimmEncoder(place(model.to(torch_dtype(precision)), device), identity, tokens)


CARD = Card(
    name="timm",
    summary="any timm image model, its own transform (DenseNet, VGG, ResNet, ViT, ...)",
    modalities=("image",),
    default_views={"image": "image/penultimate"},
    loader=load,
    pretrained="densenet121.ra_in1k",
    revision="e65bed9f92a2e438879b179438d22ed719be26d6",
    licence="Apache-2.0",
    extra="encoders",
    views={"image/penultimate": (1024,), "image/pooled": (1024,)},
    token_views={"image/tokens": (49, 1024)},
    options=(TOKENS,),
)


def _of_classifier(model: Any, answer: Any) -> set[str]:
    """Those of the tensors left over that belong to the classifier, which is not wanted."""
    declared = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    heads = (declared,) if isinstance(declared, str) else tuple(declared)
    return matching(answer.unexpected_keys, [*(rf"^{re.escape(head)}\." for head in heads), *UNUSED, r"^head\b"])


class TimmEncoder(Encoder):
    """`image/penultimate` [D]: what the model's own classifier would read; `image/pooled` [C], of models with one last
    feature map: the mean over its positions (the patch tokens of a Transformer). The two agree where the classifier
    reads that mean (DenseNet, ResNet) and differ elsewhere (VGG: 4096 and 512; ViT: class token and patches). On
    request `image/tokens` [T, C], the feature map itself, row by row.
    """

    modalities = ("image",)
    parallel = True

    def __init__(self, model: Any, weights: dict[str, Any], tokens: bool) -> None:
        import timm.data

        from features.images import blank

        self._model = model
        self._tokens = tokens
        config = timm.data.resolve_model_data_config(model)
        named = {name: _plain(value) for name, value in sorted(config.items())}
        self._pixels = of_torchvision(timm.data.create_transform(**config, is_training=False), named)
        self.views = {n: v.shape[1:] for n, v in self.encode_images(self.prepare(blank())[None]).items()}
        self.identity = {"weights": weights, "transform": dict(self._pixels.identity)}

    def prepare(self, image: Any) -> np.ndarray:
        return self._pixels.prepare(image)

    def decode_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        return self._pixels.decode_size(size)

    def pixels(self, batch: np.ndarray) -> Any:
        """Prepared photos to what the model reads: [n, 3, height, width], the same as its own transform makes."""
        return self._pixels.tensor(batch, self._model)

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            features = self._model.forward_features(self.pixels(batch))
            penultimate = self._model.forward_head(features)
        views = {"image/penultimate": to_numpy(penultimate)}
        # some models hand several feature maps to their classifier, or none that has positions
        if isinstance(features, (list, tuple, dict)) or features.ndim not in (3, 4):
            if self._tokens:
                raise FeatureError("This model has no single feature map, so it has no token view (--set tokens=).")
            return views
        positions = self._positions(features).float()
        views["image/pooled"] = to_numpy(positions.mean(dim=1))
        if self._tokens:
            views["image/tokens"] = to_numpy(positions)
        return views

    def _positions(self, features: Any) -> Any:
        """A feature map [n, C, h, w] or [n, h, w, C], or tokens [n, prefix + T, C], as [n, T, C]."""
        if features.ndim == 3:
            return features[:, getattr(self._model, "num_prefix_tokens", 0) :]
        if getattr(self._model, "output_fmt", "NCHW") == "NCHW":
            features = features.permute(0, 2, 3, 1)
        return features.flatten(1, 2)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
