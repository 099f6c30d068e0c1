"""The table of encoders: one line declares one; adding an encoder is adding its file and its line here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from features.card import PRECISIONS, Card, Encoder, FeatureError, UnknownChoice, UnknownOption
from features.weights import is_local, settle_hub

SCORER = "ViT-B-32/laion2b_s34b_b79k"
"""The CLIP model that chooses among a captioner's candidates unless told otherwise."""

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
        dims="projected 512; pooled image 768, text 512 (ViT-B-32)",
        options={"tokens": False},
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
        options={"tokens": False},
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
        options={"tokens": False},
    ),
    Card(
        name="timm",
        summary="any timm image model, its own transform (DenseNet, VGG, ResNet, ViT, ...)",
        modalities=("image",),
        default_views={"image": "image/penultimate"},
        loader="features.vision_timm:load",
        pretrained="densenet121.ra_in1k",
        licence="Apache-2.0 (densenet121.ra_in1k)",
        extra="encoders",
        dims="1024 (densenet121)",
        options={"tokens": False},
    ),
    Card(
        name="blip2",
        summary="BLIP2: vision tower, Q-Former, language model, and photo and text together",
        modalities=("image", "text", "joint"),
        default_views={"image": "image/qformer", "text": "text/mean", "joint": "joint/mean"},
        loader="features.blip2:load",
        pretrained="Salesforce/blip2-opt-2.7b-coco",
        licence="MIT (blip2-opt-2.7b-coco)",
        extra="encoders",
        dims="vision 1408, Q-Former 768, text and joint 2560 (blip2-opt-2.7b)",
    ),
    Card(
        name="blip2_lavis",
        summary="BLIP2's feature extractor through salesforce-lavis (an environment of its own)",
        modalities=("image", "text", "joint"),
        default_views={"image": "image/qformer", "text": "text/cls", "joint": "joint/qformer"},
        loader="features.blip2_lavis:load",
        pretrained="pretrain",
        licence="BSD-3-Clause",
        extra="lavis",
        dims="768, projected 256",
    ),
    Card(
        name="vilt",
        summary="ViLT: one Transformer over words and patches",
        modalities=("joint",),
        default_views={"joint": "joint/pooled"},
        loader="features.vilt:load",
        pretrained="dandelin/vilt-b32-mlm",
        licence="Apache-2.0 (vilt-b32-mlm)",
        extra="encoders",
        dims="768 (vilt-b32)",
    ),
    Card(
        name="blip",
        summary="captions by BLIP (or any BLIP, BLIP2 or GIT through transformers)",
        modalities=("image",),
        default_views={},
        loader="features.caption_auto:load",
        pretrained="Salesforce/blip-image-captioning-base",
        licence="BSD-3-Clause (blip-image-captioning-base)",
        extra="encoders",
        dims="captions",
        options={"name": "blip", "candidates": 5, "max_new_tokens": 40, "scorer": SCORER},
    ),
    Card(
        name="git",
        summary="captions by GIT",
        modalities=("image",),
        default_views={},
        loader="features.caption_auto:load",
        pretrained="microsoft/git-base-coco",
        licence="MIT (git-base-coco)",
        extra="encoders",
        dims="captions",
        options={"name": "git", "candidates": 5, "max_new_tokens": 40, "scorer": SCORER},
    ),
    Card(
        name="blip2_captions",
        summary="captions by BLIP2",
        modalities=("image",),
        default_views={},
        loader="features.caption_auto:load",
        pretrained="Salesforce/blip2-opt-2.7b-coco",
        licence="MIT (blip2-opt-2.7b-coco)",
        extra="encoders",
        dims="captions",
        options={"name": "blip2_captions", "candidates": 5, "max_new_tokens": 40, "scorer": SCORER},
    ),
    Card(
        name="clip_prefix",
        summary="captions by GPT-2 from a CLIP vector (published CLIP prefix checkpoints: CLIP_cc, CLIP_coco)",
        modalities=("image",),
        default_views={},
        loader="features.clip_prefix:load",
        licence="MIT (published code; weights: see their page)",
        extra="encoders",
        dims="captions",
        options={"candidates": 5, "max_new_tokens": 67, "scorer": "ViT-B-32-quickgelu/openai"},
    ),
    Card(
        name="llava",
        summary="descriptions by LLaVA, conditioned on the tweet",
        modalities=("joint",),
        default_views={},
        loader="features.llava:load",
        pretrained="llava-hf/llava-1.5-7b-hf",
        licence="Llama 2 Community License (llava-1.5-7b)",
        extra="encoders",
        dims="captions",
        options={"prompt": "describe_post", "candidates": 1, "max_new_tokens": 200, "scorer": SCORER},
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
    options: Mapping[str, Any] | None = None,
) -> Encoder:
    """The frozen encoder of `card`, on `device`, computing in `precision` ("fp32", "fp16" or "bf16").

    `pretrained` is a hub id or a local folder. `options` overrides the card's own (`card.options`), such as
    `tokens` for token views. Raises `FeatureError` for an option that the family does not have, when the extra is
    not installed, or when the weights cannot be had.
    """
    if precision not in PRECISIONS:
        raise UnknownChoice(f"There is no precision '{precision}'; choose one of {', '.join(PRECISIONS)}.")
    chosen = {**card.options, **(options or {})}
    for option in chosen.keys() - card.options.keys():
        known = f"it has {', '.join(card.options)}" if card.options else "it has none"
        raise UnknownOption(f"The model '{card.name}' has no option '{option}'; {known}.")
    if pretrained and revision and is_local(pretrained):
        raise FeatureError(f"The folder '{pretrained}' has no revisions; leave out --revision.")
    settle_hub(pretrained or card.pretrained)
    module, function = card.loader.split(":")
    arguments: dict[str, Any] = {
        "pretrained": pretrained or card.pretrained,
        # a pinned revision belongs to the pinned weights only
        "revision": revision or (None if pretrained else card.revision),
        "device": device,
        "precision": precision,
        **chosen,
    }
    try:
        return getattr(importlib.import_module(module), function)(**arguments)
    except ModuleNotFoundError as error:
        if card.extra is None:
            raise
        raise FeatureError(
            f"The model '{card.name}' needs the package '{error.name}'; "
            f"install the extra: pip install 'crisis[{card.extra}]'."
        ) from error
