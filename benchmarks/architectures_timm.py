"""The smallest model of each of timm's families, with random weights: works and equals the library, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures_photos import encoded, judged, photos

MOST_WEIGHTS = 60_000_000


def names() -> list[str]:
    """Of each of timm's modules the model with the fewest parameters; of `vision_transformer` and others whose models
    read photos in several ways also one of each kind.
    """
    import timm
    import torch

    chosen = []
    for module in timm.list_modules():
        counted = []
        for name in timm.list_models(module=module):
            try:
                with torch.device("meta"):
                    model = timm.create_model(name, num_classes=0)
            except Exception:
                continue
            counted.append((sum(weight.numel() for weight in model.parameters()), name))
        chosen += [name for count, name in sorted(counted)[:1] if count <= MOST_WEIGHTS]
    return chosen


def attempt(name: str, folder: Path) -> tuple[str, str]:
    """ "works", "refused", "not built" or "failed" for the model `name`, and a sentence of why."""
    import timm
    import torch
    from timm.models import save_for_hf

    from features import CARDS, FeatureError, load

    torch.manual_seed(0)
    try:
        model = timm.create_model(name, num_classes=10).eval()
        save_for_hf(model, folder, safe_serialization=True)
    except Exception as error:
        return "not built", f"{type(error).__name__}: {error}"
    try:
        encoder = load(CARDS["timm"], pretrained=str(folder))
        found = encoded(encoder)
    except FeatureError as error:
        return "refused", str(error)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    try:
        wanted = documented(timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval())
    except Exception as error:
        return "failed", f"the library itself: {type(error).__name__}: {error}"
    return judged(found, wanted, "image/penultimate")


def documented(model: Any) -> dict[str, np.ndarray]:
    """What timm's documentation computes: the model's own transform, then `model(x)` of a model without classifier."""
    import timm.data
    import torch

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.no_grad():
        answers = [model(transform(photo)[None])[0].numpy() for photo in photos()]
    return {"image/penultimate": np.stack(answers)}
