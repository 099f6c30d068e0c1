"""BLIP2's `blip2_feature_extractor` through salesforce-lavis, in an environment of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from features.card import Card
from features.device import to_numpy, torch_dtype
from features.encoders.encoder import Encoder
from features.errors import FeatureError
from features.text import Text, joined
from features.weights import loading

MODEL = "blip2_feature_extractor"


def load(*, pretrained: str, revision: str | None, device: str, precision: str) -> LavisEncoder:
    """`pretrained`: one of lavis's model types (pretrain, pretrain_vitL, coco). `precision` is that of the vision
    tower, the one part that lavis itself runs in less than fp32.
    """
    from importlib.metadata import version

    from lavis.common.registry import registry
    from lavis.models import load_model_and_preprocess

    types = registry.get_model_class(MODEL).PRETRAINED_MODEL_CONFIG_DICT
    if pretrained not in types:
        raise FeatureError(f"lavis has no '{pretrained}' of {MODEL}; choose {', '.join(types)} (--pretrained).")

    def read() -> Any:
        return load_model_and_preprocess(name=MODEL, model_type=pretrained, is_eval=True, device=device)

    model, images, texts = loading("blip2_lavis", pretrained, read)
    weights = {"id": f"{MODEL}/{pretrained}", "revision": f"salesforce-lavis {version('salesforce-lavis')}"}
    return LavisEncoder(model, images["eval"], texts["eval"], weights, device, precision)


CARD = Card(
    name="blip2_lavis",
    summary="BLIP2's feature extractor through salesforce-lavis (an environment of its own)",
    modalities=("image", "text", "joint"),
    default_views={"image": "image/qformer", "text": "text/cls", "joint": "joint/qformer"},
    loader=load,
    pretrained="pretrain",
    licence="BSD-3-Clause",
    hub=False,
    extra="lavis",
    views={
        "image/qformer": (768,),
        "image/projected": (256,),
        "text/cls": (768,),
        "text/projected": (256,),
        "joint/qformer": (768,),
    },
)


class LavisEncoder(Encoder):
    """`image/qformer`, `joint/qformer`: the mean over the query outputs, of the photo alone and of photo and text;
    `text/cls`: the first token; `image/projected` (mean over the queries) and `text/projected`: the shared space.
    """

    modalities = ("image", "text", "joint")

    def __init__(
        self, model: Any, images: Any, texts: Any, weights: dict[str, Any], device: str, precision: str = "fp32"
    ) -> None:
        # lavis chooses by the device: half weights and autocast on CUDA, fp32 elsewhere
        self._model = model.float()
        self._model.maybe_autocast = lambda dtype=None: _computing(device, precision)
        self._images = images
        self._texts = texts
        self._device = device
        width, shared = model.Qformer.config.hidden_size, model.vision_proj.out_features
        self.views = {
            "image/qformer": (width,),
            "image/projected": (shared,),
            "text/cls": (width,),
            "text/projected": (shared,),
            "joint/qformer": (width,),
        }
        self.identity = {"weights": weights, "text_processor": type(texts).__name__}

    def prepare(self, image: Any) -> np.ndarray:
        """[3, height, width] float32, as lavis's evaluation processor makes it."""
        return self._images(image).numpy()

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        found = self._extract("image", {"image": self._pixels(batch)})
        return {
            "image/qformer": to_numpy(found.image_embeds.float().mean(dim=1)),
            "image/projected": to_numpy(found.image_embeds_proj.float().mean(dim=1)),
        }

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        found = self._extract("text", {"text_input": self._clean(texts)})
        return {"text/cls": to_numpy(found.text_embeds[:, 0]), "text/projected": to_numpy(found.text_embeds_proj[:, 0])}

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        samples = {"image": self._pixels(batch), "text_input": self._clean(texts)}
        found = self._extract("multimodal", samples)
        return {"joint/qformer": to_numpy(found.multimodal_embeds.float().mean(dim=1))}

    def _extract(self, mode: str, samples: dict[str, Any]) -> Any:
        import torch

        with torch.inference_mode():
            return self._model.extract_features(samples, mode=mode)

    def _pixels(self, batch: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(batch).to(self._device)

    def _clean(self, texts: Sequence[Text]) -> list[str]:
        """lavis's own text processor: lower case, some punctuation removed, cut at 50 words."""
        return [self._texts(joined(text)) for text in texts]


def _computing(device: str, precision: str) -> Any:
    """The context in which lavis runs the vision tower."""
    import torch

    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.split(":")[0], dtype=torch_dtype(precision))
