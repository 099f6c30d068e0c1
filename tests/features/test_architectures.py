"""Of all architectures for photos that the libraries have, a sample: each works and equals the library, or is refused.

All of them: `python -m benchmarks.architectures --kind vision` (or open_clip, timm).
"""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import pytest

from benchmarks import architectures_open_clip, architectures_timm, architectures_vision

VISION = random.Random(1).sample(architectures_vision.names(), 25)
OPEN_CLIP = random.Random(1).sample(architectures_open_clip.names(), 20)
TIMM = ("resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto", "efficientnet_lite0")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *((architectures_vision, name) for name in VISION),
        *((architectures_open_clip, name) for name in OPEN_CLIP),
        *((architectures_timm, name) for name in TIMM),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.rpartition("_")[2],
)
def test_architecture_works_or_is_refused(module: object, name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        outcome, why = module.attempt(name, tmp_path)  # type: ignore[attr-defined]
    assert outcome != "failed", why
