"""Every architecture of AutoModel that reads photos, at tiny size: works and equals the library, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures_photos import encoded, judged, photos
from benchmarks.architectures_tiny import quietly, tiny_model

SIDE = 32
MOST_WEIGHTS = 40_000_000
"""Convolutions are cut down less than Transformers."""


def names() -> list[str]:
    """The architectures of `AutoModel` that have an image processor or stand among the backbones and classifiers of
    photos, by model type.
    """
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    listed = {*auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES, *auto.MODEL_FOR_BACKBONE_MAPPING_NAMES}
    return sorted({*IMAGE_PROCESSOR_MAPPING_NAMES, *listed} & set(auto.MODEL_MAPPING_NAMES))


def processor_of(kind: str, config: Any) -> Any:
    """The architecture's own image processor, asked for photos of the tiny size where it names one; ViT's for those
    that have none of their own.
    """
    from transformers import ViTImageProcessor
    from transformers.models.auto import image_processing_auto as auto

    side = getattr(getattr(config, "vision_config", config), "image_size", SIDE)
    side = side if isinstance(side, int) else SIDE
    named = auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(kind, ())
    named = list(named.values()) if isinstance(named, dict) else list(named)
    for name in filter(None, named):
        family = auto.get_image_processor_class_from_name(name)
        if family is not None:
            usual = family()
            size = dict(getattr(usual, "size", None) or {})
            cut = {key: side for key in size if key in ("height", "width", "shortest_edge")}
            crop = {"crop_size": {"height": side, "width": side}} if getattr(usual, "crop_size", None) else {}
            patch = getattr(getattr(config, "vision_config", config), "patch_size", None)
            cuts = {"patch_size": patch} if isinstance(patch, int) and hasattr(usual, "patch_size") else {}
            return family(**({"size": cut} if len(cut) == len(size) and cut else {}), **crop, **cuts)
    return ViTImageProcessor(size={"height": side, "width": side})


def attempt(kind: str, folder: Path) -> tuple[str, str]:
    """ "works", "refused", "not built" or "failed" for the architecture `kind`, and a sentence of why."""
    from features import CARDS, FeatureError, load

    try:
        with quietly():
            model = tiny_model(kind, MOST_WEIGHTS)
            model.save_pretrained(folder)
            processor = processor_of(kind, model.config)
            processor.save_pretrained(folder)
    except Exception as error:
        return "not built", f"{type(error).__name__}: {error}"
    with quietly():
        try:
            encoder = load(CARDS["dinov2"], pretrained=str(folder))
            found = encoded(encoder)
        except FeatureError as error:
            return "refused", str(error)
        except Exception as error:
            return "failed", f"{type(error).__name__}: {error}"
        try:
            wanted = documented(model.eval(), processor, encoder)
        except Exception as error:
            return "failed", f"the library itself: {type(error).__name__}: {error}"
    return judged(found, wanted, encoder.default_views.get("image", "image/cls"))


def documented(model: Any, processor: Any, encoder: Any) -> dict[str, np.ndarray]:
    """What a page of the library's documentation computes of each photo alone, by view."""
    import inspect

    import torch

    layout = encoder._layout
    towers = ("vision_model", "image_model", "vision_tower")
    reader = next((part for name in towers if (part := getattr(model, name, None))), model)
    known = inspect.signature(reader.forward).parameters
    if hasattr(reader.config, "mask_ratio"):
        # a masked autoencoder sees all patches of a photo that it is to describe, in their order
        reader.config.mask_ratio = 0.0
    rows: list[dict[str, np.ndarray]] = []
    for photo in photos():
        inputs = {name: one for name, one in processor(images=photo, return_tensors="pt").items() if name in known}
        with torch.no_grad():
            said = reader(**inputs)
        hidden = getattr(said, "encoder_last_hidden_state", None)
        hidden = said.last_hidden_state[0] if hidden is None else hidden[0]
        views = {}
        if hidden.ndim == 2:
            views["image/cls"] = hidden[0].numpy()
            if "pixel_attention_mask" not in inputs:
                views["image/mean"] = hidden[layout.leading : len(hidden) - layout.trailing].mean(dim=0).numpy()
        if getattr(said, "pooler_output", None) is not None:
            views["image/pooler"] = said.pooler_output[0].flatten().numpy()
        if hidden.ndim == 3:
            width = encoder.views["image/mean"][0]
            places = (1, 2) if hidden.shape[0] == width else (0, 1)
            views["image/mean"] = hidden.mean(dim=places).numpy()
        rows.append(views)
    return {view: np.stack([row[view] for row in rows]) for view in rows[0]}
