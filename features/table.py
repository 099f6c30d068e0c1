"""The table of encoders: one line declares one; adding an encoder is adding its file and its line here."""

from __future__ import annotations

import importlib
from typing import Any

from features.card import PRECISIONS, Card, Encoder, FeatureError, UnknownChoice
from features.weights import settle_hub

_DECLARED = (
    Card(
        name="classic",
        summary="hashed words and characters; colour, gradient and texture statistics (no weights)",
        modalities=("image", "text"),
        default_views={"image": "image/statistics", "text": "text/hashed"},
        loader="features.classic:load",
        licence="MIT (ours)",
        dims="image 552, text 1024",
    ),
    Card(
        name="clip",
        summary="CLIP through open_clip: image and text towers",
        modalities=("image", "text"),
        default_views={"image": "image/projected", "text": "text/projected"},
        loader="features.clip:load",
        pretrained="ViT-B-32/laion2b_s34b_b79k",
        licence="MIT (weights: see the model's page)",
        extra="encoders",
        dims="512 (ViT-B-32)",
    ),
    Card(
        name="bert",
        summary="any AutoModel text encoder (BERT, RoBERTa, ELECTRA, MiniLM, multilingual ones)",
        modalities=("text",),
        default_views={"text": "text/mean"},
        loader="features.text_auto:load",
        pretrained="google-bert/bert-base-uncased",
        licence="Apache-2.0 (bert-base-uncased)",
        extra="encoders",
        dims="768 (bert-base)",
    ),
    Card(
        name="dinov2",
        summary="DINOv2, or any AutoModel vision encoder (ViT, ...)",
        modalities=("image",),
        default_views={"image": "image/cls"},
        loader="features.vision_auto:load",
        pretrained="facebook/dinov2-small",
        licence="Apache-2.0 (dinov2-small)",
        extra="encoders",
        dims="384 (dinov2-small)",
    ),
    Card(
        name="timm",
        summary="any timm image model, its own transform (DenseNet, VGG, ResNet, ViT, ...)",
        modalities=("image",),
        default_views={"image": "image/pooled"},
        loader="features.vision_timm:load",
        pretrained="densenet121.ra_in1k",
        licence="Apache-2.0 (densenet121.ra_in1k)",
        extra="encoders",
        dims="1024 (densenet121)",
    ),
)

CARDS: dict[str, Card] = {card.name: card for card in _DECLARED}


def card(name: str) -> Card:
    """The declared card of `name`; `UnknownChoice` names the known ones."""
    if name not in CARDS:
        raise UnknownChoice(f"There is no model '{name}'; `crisis models` lists them: {', '.join(CARDS)}.")
    return CARDS[name]


def load(
    card: Card,
    *,
    pretrained: str | None = None,
    revision: str | None = None,
    device: str = "cpu",
    precision: str = "fp32",
) -> Encoder:
    """The frozen encoder of `card`, on `device`, computing in `precision` ("fp32", "fp16" or "bf16").

    `pretrained` is a hub id or a local folder. Raises `FeatureError` when the extra is not installed or
    the weights cannot be had.
    """
    if precision not in PRECISIONS:
        raise UnknownChoice(f"There is no precision '{precision}'; choose one of {', '.join(PRECISIONS)}.")
    settle_hub(pretrained or card.pretrained)
    module, function = card.loader.split(":")
    options: dict[str, Any] = {
        "pretrained": pretrained or card.pretrained,
        # a pinned revision belongs to the pinned weights only
        "revision": revision or (None if pretrained else card.revision),
        "device": device,
        "precision": precision,
    }
    try:
        return getattr(importlib.import_module(module), function)(**options)
    except ModuleNotFoundError as error:
        if card.extra is None:
            raise
        raise FeatureError(
            f"The model '{card.name}' needs the package '{error.name}'; "
            f"install the extra: pip install 'crisis[{card.extra}]'."
        ) from error
