"""Regions by a torchvision detector: the boxes that it finds, and what its own box head makes of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.device import to_numpy
from features.errors import FeatureError, one_line
from features.regions.region import Found
from features.weights import file_digest, load_tensor_file

COUNT = 36
"""Regions kept per photo, as the published region features of LXMERT have them."""


def load(name: str, device: str) -> Detector:
    """`name`: "ARCHITECTURE", "ARCHITECTURE/TAG" (torchvision's weights) or "ARCHITECTURE/FILE" (a state dict)."""
    import torchvision

    architecture, _, weights = name.partition("/")
    if architecture not in torchvision.models.list_models(torchvision.models.detection, include="*rcnn*"):
        raise FeatureError(f"torchvision has no region detector '{architecture}' (--set regions=torchvision:...).")
    file = Path(weights) if weights and Path(weights).is_file() else None

    def read() -> Any:
        if file is None:
            return torchvision.models.get_model(architecture, weights=weights or "DEFAULT")
        state = _state(file)
        classes = state["roi_heads.box_predictor.cls_score.weight"].shape[0]
        model = torchvision.models.get_model(architecture, weights=None, weights_backbone=None, num_classes=classes)
        model.load_state_dict(state)
        return model

    try:
        model = read()
    except Exception as error:
        raise FeatureError(
            f"The detector '{name}' could not be loaded ({one_line(error)}); name another one, or ARCHITECTURE/FILE "
            "for a local state dict, with --set regions=torchvision:..."
        ) from error
    identity = {"digest": file_digest(file)} if file else {"id": weights or "DEFAULT"}
    return Detector(model.eval().to(device), device, {"detector": architecture, **identity, "regions": COUNT})


def _state(file: Path) -> Mapping[str, Any]:
    return load_tensor_file(file)


class Detector:
    """The boxes that the detector itself keeps, the surest `COUNT` of them; where it finds nothing, the whole photo.

    Photos go through one by one, in fp32: in a batch a photo's answer would depend on the size of its neighbours.
    """

    boxed = True

    def __init__(self, model: Any, device: str, identity: Mapping[str, Any]) -> None:
        self._model = model
        self._device = device
        self._turn = threading.Lock()
        self.identity = identity
        self.count = COUNT
        self.width = model.roi_heads.box_predictor.cls_score.in_features

    def find(self, image: Any) -> Found:
        import torch
        import torchvision

        pixels = torch.from_numpy(np.array(image, np.float32).transpose(2, 0, 1) / 255.0).to(self._device)
        with self._turn, torch.inference_mode():
            resized, _ = self._model.transform([pixels])
            maps = self._model.backbone(resized.tensors)
            proposals, _ = self._model.rpn(resized, maps)
            kept, _ = self._model.roi_heads(maps, proposals, resized.image_sizes)
            height, width = resized.image_sizes[0]
            scale = torch.tensor([width, height, width, height], dtype=torch.float32, device=self._device)
            boxes = torchvision.ops.clip_boxes_to_image(kept[0]["boxes"][:COUNT], (height, width))
            if not len(boxes):
                boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=self._device) * scale
            pooled = self._model.roi_heads.box_roi_pool(maps, [boxes], resized.image_sizes)
            return Found(to_numpy(self._model.roi_heads.box_head(pooled)), to_numpy(boxes / scale))
