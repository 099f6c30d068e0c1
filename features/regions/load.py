"""Regions from where `--set regions=...` says: files of them, or a detector."""

from __future__ import annotations

from pathlib import Path

from crisis_registry import Parameter, anything
from features.errors import FeatureError
from features.regions.region import Regions
from features.regions.supplied import SuppliedRegions

REGIONS = Parameter(
    "regions",
    None,
    anything("a folder, a file or torchvision:DETECTOR"),
    "where regions come from: a folder or file of them, or torchvision:DETECTOR",
)
"""The option of every model that reads regions."""

DETECTOR = "torchvision:"


def load_regions(model: str, where: str | None, device: str) -> Regions:
    """`where`: "torchvision:ARCHITECTURE[/WEIGHTS]" (a tag or a file), or what `SuppliedRegions` reads."""
    if where is None:
        raise FeatureError(
            f"The model '{model}' needs region features: name their folder or file, or a detector such as "
            f"{DETECTOR}fasterrcnn_resnet50_fpn, with --set regions=..."
        )
    if where.startswith(DETECTOR):
        from features.regions.detector import load

        return load(where.removeprefix(DETECTOR), device)
    return SuppliedRegions(Path(where))
