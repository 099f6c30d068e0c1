"""Any AutoModel vision encoder of transformers (DINOv2, ViT, SigLIP, Swin, ConvNeXt), with its own image processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.card import Card
from features.device import place, to_numpy, torch_dtype
from features.encoders.encoder import Encoder
from features.encoders.packed import Packed, input_names
from features.encoders.tokens import TOKENS, masked_mean
from features.encoders.transforms import Pixels, of_processor
from features.errors import FeatureError
from features.weights import describe, loading, model_of, part_of, quiet_transformers

AUTHORS = {"beit": "image/pooler", "data2vec-vision": "image/pooler"}
"""The view that the authors of an architecture use, where it is not the class token although there is one."""

_CLASS = ("cls_token", "class_embedding", "class_token", "distillation_token")
_REGISTERS = ("register_tokens", "register_token", "reg_token")


def load(*, pretrained: str, revision: str | None, device: str, precision: str, tokens: bool = False) -> VisionEncoder:
    """`tokens` adds the token view. Of a model with a tower for photos and one for texts the former is taken."""
    from transformers import AutoConfig, AutoImageProcessor, AutoModel

    version = quiet_transformers()

    def read() -> tuple[Any, Any, Any]:
        config = part_of(AutoConfig, pretrained, revision)
        processor = part_of(AutoImageProcessor, pretrained, revision)
        return config, processor, model_of(AutoModel, pretrained, revision, dtype=torch_dtype(precision))

    config, processor, model = loading("dinov2", pretrained, read)
    identity = describe(pretrained, revision)
    layout = layout_of(config, model)
    packed = Packed(processor, input_names(layout.tower), version)
    pixels = of_processor(processor, version) if packed.is_plain else packed
    return VisionEncoder(pixels, place(layout.tower, device), identity, tokens, layout)


CARD = Card(
    name="dinov2",
    summary="DINOv2, or any AutoModel vision encoder (ViT, ...)",
    modalities=("image",),
    default_views={"image": "image/cls"},
    loader=load,
    pretrained="facebook/dinov2-small",
    revision="ed25f3a31f01632728cabb09d1542f84ab7b0056",
    licence="Apache-2.0",
    extra="encoders",
    views={"image/cls": (384,), "image/mean": (384,)},
    token_views={"image/tokens": (256, 384)},
    options=(TOKENS,),
)


@dataclass(frozen=True)
class Layout:
    """How a model's answer is read. `tower`: the part of it that reads photos; `leading`: how many of the tokens it
    answers with are class, distillation and register tokens, and stand in front of the patches; `trailing`: how many
    others stand behind them; `classed`: the first one is a class token; `pooler`: its pooled vector is written.
    """

    tower: Any
    leading: int
    trailing: int
    classed: bool
    pooler: bool
    default: str | None = None
    """The view that its authors use."""


def layout_of(config: Any, model: Any) -> Layout:
    """Found from the parameters: a class token is one that the model has, whatever its name."""
    tower = next(
        (part for name in ("vision_model", "image_model", "vision_tower") if (part := getattr(model, name, None))),
        model,
    )
    counts = {"class": 0, "registers": 0}
    for name, weight in tower.named_parameters():
        if "head" in name or "pool" in name:
            # what a pooling head asks the patches with is no token among them
            continue
        last = name.rpartition(".")[2]
        kind = "class" if last in _CLASS else "registers" if last in _REGISTERS else None
        if kind:
            counts[kind] += weight.shape[-2] if weight.ndim > 1 else 1
    leading = getattr(getattr(tower, "timm_model", None), "num_prefix_tokens", sum(counts.values()))
    classed = counts["class"] > 0
    detections = any(name.endswith("detection_tokens") for name, _ in tower.named_parameters())
    trailing = int(getattr(config, "num_detection_tokens", 0)) if detections else 0
    trained = not any("pooler" in name for name in getattr(model, "untrained_tensors", ()))
    kind = str(getattr(config, "model_type", ""))
    pooler = trained and (tower is not model or not classed or kind in AUTHORS)
    # of a model with two towers the authors use what the pooled vector is projected from
    default = "image/pooler" if tower is not model else AUTHORS.get(kind)
    return Layout(tower, leading, trailing, classed, pooler, default)


class VisionEncoder(Encoder):
    """`image/cls` [D], of models with a class token: the first token of the last hidden state, after the final norm;
    `image/pooler` [D], of models that have no class token or whose authors use it (SigLIP, CLIP's tower, Swin,
    ConvNeXt, BEiT): the model's own pooled vector; `image/mean` [D]: the mean over the patches, without class,
    distillation, register and detection tokens; on request `image/tokens` [T, D], those patches.
    """

    modalities = ("image",)
    parallel = True

    def __init__(
        self, pixels: Pixels | Packed, model: Any, weights: dict[str, Any], tokens: bool, layout: Layout
    ) -> None:
        from features.images import blank

        self._pixels = pixels
        self._model = model
        self._tokens = tokens
        self._layout = layout
        self.identity: dict[str, Any] = {"weights": weights, "transform": dict(pixels.identity)}
        if tokens and isinstance(pixels, Packed) and not pixels.of_one_shape:
            raise FeatureError("This model reads photos of any shape, so it has no token view (--set tokens=).")
        if (layout.leading, layout.trailing) != (1 + getattr(model.config, "num_register_tokens", 0), 0):
            self.identity["special_tokens"] = [layout.leading, layout.trailing]
        self._masks = model.config.model_type == "vit_mae"
        if self._masks:
            # it leaves out patches at random, unless it is told to leave out none
            model.config.mask_ratio = 0.0
            self.identity["masked"] = 0.0
        found = self.encode_images(self.prepare(blank())[None])
        self.views = {name: values.shape[1:] for name, values in found.items()}
        order = ("image/cls", "image/pooler", "image/mean")
        default = layout.default if layout.default in self.views else next(v for v in order if v in self.views)
        self.default_views: Mapping[str, str] = {} if default == "image/cls" else {"image": default}

    def prepare(self, image: Any) -> np.ndarray:
        return self._pixels.prepare(image)

    def decode_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        return None if isinstance(self._pixels, Packed) else self._pixels.decode_size(size)

    def pixels(self, batch: np.ndarray) -> Any:
        """Prepared photos to what the model reads: [n, 3, height, width], the same as its own processor makes."""
        if isinstance(self._pixels, Packed):
            raise TypeError("this model reads more of a photo than its pixels")
        return self._pixels.tensor(batch, self._model)

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        if not isinstance(self._pixels, Packed):
            return self._views({"pixel_values": self.pixels(batch)})
        whole: dict[str, np.ndarray] = {}
        for rows, arrays in self._pixels.groups(batch):
            for name, values in self._views(self._on_device(arrays)).items():
                whole.setdefault(name, np.empty((len(batch), *values.shape[1:]), np.float32))[rows] = values
        return whole

    def _on_device(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        import torch

        weight = next(self._model.parameters())
        tensors = {name: torch.from_numpy(array).to(weight.device) for name, array in arrays.items()}
        return {name: one.to(weight.dtype) if one.is_floating_point() else one for name, one in tensors.items()}

    def _views(self, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            said = self._model(**inputs, **self._still(inputs))
            # of an encoder and a decoder, the encoder has read the photo
            found = getattr(said, "encoder_last_hidden_state", None)
            hidden = (said.last_hidden_state if found is None else found).float()
            pooled = getattr(said, "pooler_output", None) if self._layout.pooler else None
            pooled = None if pooled is None else pooled.flatten(1)
        views: dict[str, np.ndarray] = {}
        if hidden.ndim == 4:
            patches = self._positions(hidden, pooled)
        else:
            patches = hidden[:, self._layout.leading : hidden.shape[1] - self._layout.trailing]
            if self._layout.classed:
                views["image/cls"] = to_numpy(hidden[:, 0])
        if pooled is not None:
            views["image/pooler"] = to_numpy(pooled)
        seen = inputs.get("pixel_attention_mask")
        if seen is not None and seen.shape == patches.shape[:2]:
            views["image/mean"] = to_numpy(masked_mean(patches, seen))
        else:
            views["image/mean"] = to_numpy(patches.mean(dim=1))
        if self._tokens:
            views["image/tokens"] = to_numpy(patches)
        return views

    def _still(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The order of patches for a masked autoencoder, in place of a random one."""
        import torch

        if not self._masks:
            return {}
        pixels = inputs["pixel_values"]
        height, width = pixels.shape[-2:]
        patch = self._model.config.patch_size
        count = (height // patch) * (width // patch)
        order = torch.linspace(0, 1, count, device=pixels.device)
        return {"noise": order.expand(len(pixels), -1)}

    def _positions(self, hidden: Any, pooled: Any) -> Any:
        """A feature map [n, D, h, w], or [n, h, w, D], as [n, T, D]."""
        config = self._model.config
        sizes = getattr(config, "hidden_sizes", None) or [getattr(config, "hidden_size", None)]
        width = sizes[-1] if pooled is None else pooled.shape[1]
        if hidden.shape[1] != width and hidden.shape[-1] == width:
            return hidden.flatten(1, 2)
        return hidden.flatten(2).transpose(1, 2)
