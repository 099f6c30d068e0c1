"""Every architecture of open_clip, at tiny size: works and equals the library, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures_photos import encoded, judged, photos

MOST_WEIGHTS = 120_000_000
TEXTS = ("flood in the city", "the fire is out, help has come to the bridge over the river")


def names() -> list[str]:
    """All that open_clip has a configuration of."""
    import open_clip

    return list(open_clip.list_models())


def tiny_config(name: str) -> dict[str, Any]:
    """The architecture's own configuration with every size cut down; what timm or a hub builds stays as it is."""
    import open_clip

    config: dict[str, Any] = json.loads(json.dumps(open_clip.get_model_config(name)))
    config.pop("hf_hub_id", None)
    vision, text = config["vision_cfg"], config["text_cfg"]
    config["embed_dim"] = 24
    if vision.get("timm_model_name"):
        _refuse_large(vision["timm_model_name"])
    if not vision.get("timm_model_name"):
        convolves = isinstance(vision.get("layers"), list)
        vision.update(layers=[1, 1, 1, 1] if convolves else 2, width=16 if convolves else 32, image_size=32)
        vision.update({} if convolves else {"head_width": 16, "patch_size": 8})
        if convolves:
            vision.update(image_size=64, head_width=16)
        if "attn_pooler_heads" in vision:
            vision["attn_pooler_heads"] = 2
    if not text.get("hf_model_name"):
        text.update(width=32, heads=2, layers=2)
    if "multimodal_cfg" in config:
        config["multimodal_cfg"].update(width=32, heads=2, layers=2, attn_pooler_heads=2)
    return config


def _refuse_large(tower: str) -> None:
    """`ValueError` for a tower of timm's that would take gigabytes: it cannot be cut down."""
    import timm
    import torch

    with torch.device("meta"):
        count = sum(weight.numel() for weight in timm.create_model(tower, num_classes=0).parameters())
    if count > MOST_WEIGHTS:
        raise ValueError(f"{count:,} parameters are too many")


def attempt(name: str, folder: Path) -> tuple[str, str]:
    """ "works", "refused", "not built" or "failed" for the architecture `name`, and a sentence of why."""
    import open_clip
    import torch

    from features import CARDS, FeatureError, load

    try:
        config = tiny_config(name)
        preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
        (folder / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": config, "preprocess_cfg": {**preprocess, "resize_mode": "shortest"}})
        )
        torch.manual_seed(0)
        built = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
        if sum(weight.numel() for weight in built.parameters()) > MOST_WEIGHTS:
            raise ValueError("too many parameters")
        torch.save(built.state_dict(), folder / "open_clip_pytorch_model.bin")
    except Exception as error:
        return "not built", f"{type(error).__name__}: {error}"
    try:
        encoder = load(CARDS["clip"], pretrained=str(folder))
        found = {**encoded(encoder), **encoder.encode_texts(TEXTS)}
    except FeatureError as error:
        return "refused", str(error)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    try:
        wanted = documented(folder)
    except Exception as error:
        return "failed", f"the library itself: {type(error).__name__}: {error}"
    return judged(found, wanted, "image/projected")


def documented(folder: Path) -> dict[str, np.ndarray]:
    """What open_clip's documentation computes: its own transform and tokenizer, `encode_image`, `encode_text`, unit
    length.
    """
    import open_clip
    import torch

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}", pretrained_text=False)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(photo) for photo in photos()]), normalize=True)
        texts = model.encode_text(tokenizer(list(TEXTS)), normalize=True)
    return {"image/projected": images.numpy(), "text/projected": texts.numpy()}
