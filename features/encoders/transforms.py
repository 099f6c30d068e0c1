"""Photos to pixels: resize, crop and normalisation declared as data, and done with the least work.

Libraries prepare one photo at a time and normalise it in float32 before it meets the batch. Here a photo stays 8-bit
until it is in its batch, which is normalised where the model is. What a library's own transform does is read from its
settings and compared with it on a few photos of noise: only a transform that gives the same pixels stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from features.device import first_weight, layout

if TYPE_CHECKING:
    import torch

Size = tuple[int, int]
DRAFT = 2
"""A JPEG is decoded at 1/8, 1/4 or 1/2 of its size where that leaves at least this many times the one it is scaled to,
and its sides can be divided so: a side rounded up would shift the photo (DINOv2 vectors of real photos: cosine 0.9955).
"""
SAME = 1e-4
"""Largest difference of two normalised pixels that counts as none: 8-bit steps are above 0.01."""
_PROBES = ((131, 97), (90, 260), (640, 409), (51, 60))
_PILLOW = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


class Pixels(Protocol):
    """From a decoded photo to what a model reads, in two steps: each photo alone, then the batch on the device."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that decides the pixels; it goes into the fingerprint."""

    def decode_size(self, size: Size) -> Size | None:
        """The smallest (width, height) that a JPEG of `size` may be decoded at; None: only its own."""

    def prepare(self, image: Image.Image) -> np.ndarray:
        """One RGB photo to an array of a fixed shape."""

    def tensor(self, batch: np.ndarray, model: torch.nn.Module) -> torch.Tensor:
        """Prepared photos [n, ...] to the normalised pixels [n, 3, height, width] that `model` reads, in its number
        format and on its device.
        """


@dataclass(frozen=True)
class Transform:
    """The usual evaluation transform. `resize`: (height, width), or the length (n,) of the shorter edge; `crop`:
    (height, width) cut from the middle, or None; `method`: how to interpolate; `kernel`: whose arithmetic, "torch"
    (8-bit tensors, as torchvision has them) or "pillow"; `mean` and `std` of the channels in [0, 1]; `draft`: 0 never,
    else as `DRAFT`.
    """

    resize: tuple[int, ...]
    crop: Size | None
    method: str
    kernel: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    draft: int = DRAFT

    @property
    def identity(self) -> Mapping[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def resized(self, size: Size) -> Size:
        """(width, height) that a photo of `size` is scaled to, before the crop."""
        width, height = size
        if len(self.resize) == 2:
            return self.resize[1], self.resize[0]
        (edge,) = self.resize
        return (edge, int(edge * height / width)) if width <= height else (int(edge * width / height), edge)

    def decode_size(self, size: Size) -> Size | None:
        if not self.draft:
            return None
        least = [self.draft * length for length in self.resized(size)]
        for scale in (8, 4, 2):
            if all(side % scale == 0 and side // scale >= length for side, length in zip(size, least, strict=True)):
                return size[0] // scale, size[1] // scale
        return None

    def prepare(self, image: Image.Image) -> np.ndarray:
        """[height, width, 3] uint8."""
        size = self.resized(image.size)
        array = np.array(image) if image.size == size else self._scale(image, size)
        if self.crop is None:
            return array
        top, left = (self._edge(*lengths) for lengths in zip(array.shape, self.crop, strict=False))
        return np.ascontiguousarray(array[top : top + self.crop[0], left : left + self.crop[1]])

    def _scale(self, image: Image.Image, size: Size) -> np.ndarray:
        if self.kernel == "pillow":
            return np.array(image.resize(size, Image.Resampling(_PILLOW[self.method])))
        import torch

        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0)
        scaled = torch.nn.functional.interpolate(
            pixels, size=(size[1], size[0]), mode=self.method, align_corners=False, antialias=True
        )
        return scaled[0].permute(1, 2, 0).numpy()

    def _edge(self, length: int, cut: int) -> int:
        """Where the middle `cut` of `length` begins; the libraries round a half differently."""
        return (length - cut) // 2 if self.kernel == "torch" else round((length - cut) / 2)

    def tensor(self, batch: np.ndarray, model: torch.nn.Module) -> torch.Tensor:
        import torch

        weight = first_weight(model)
        # 8-bit pixels are a quarter of the bytes to send to the device
        pixels = torch.from_numpy(batch).to(weight.device).permute(0, 3, 1, 2)
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=weight.device).mul_(255.0).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return torch.sub(pixels, mean).div_(std).to(weight.dtype, memory_format=layout(model))


@dataclass(frozen=True)
class LibraryTransform:
    """A library's own transform, for settings that `Transform` does not know: `apply` makes normalised float32 pixels
    [3, height, width] of a photo; `name` says whose it is.
    """

    apply: Callable[[Image.Image], np.ndarray]
    name: Any

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"library": self.name}

    def decode_size(self, size: Size) -> Size | None:
        return None

    def prepare(self, image: Image.Image) -> np.ndarray:
        return self.apply(image)

    def tensor(self, batch: np.ndarray, model: torch.nn.Module) -> torch.Tensor:
        import torch

        weight = first_weight(model)
        return torch.from_numpy(batch).to(weight.device, weight.dtype, memory_format=layout(model))


def of_processor(processor: Any, version: str) -> Pixels:
    """The transform of an image processor of transformers; its name and `version` stand for one of unknown settings."""
    library = LibraryTransform(
        lambda image: np.asarray(processor(images=image, return_tensors="pt")["pixel_values"][0]),
        f"transformers {version} {type(processor).__name__}",
    )
    return _first_equal(_processor_settings(processor.to_dict()), library)


def of_torchvision(transform: Any, name: Any) -> Pixels:
    """The transform of a torchvision `Compose` as timm and open_clip make them; `name` (plain data) stands for one of
    unknown steps.
    """
    return _first_equal(
        _compose_settings(getattr(transform, "transforms", [transform])),
        LibraryTransform(lambda image: transform(image).numpy(), name),
    )


def _first_equal(settings: dict[str, Any] | None, library: LibraryTransform) -> Pixels:
    for kernel in ("torch", "pillow") if settings else ():
        transform = Transform(kernel=kernel, **(settings or {}))
        if _same_pixels(transform, library):
            return transform
    return library


def _same_pixels(transform: Transform, library: LibraryTransform) -> bool:
    """Whether both make the same pixels of photos of noise, landscape and portrait, scaled up and down."""
    rng = np.random.default_rng(0)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (transform.mean, transform.std))
    for width, height in _PROBES:
        photo = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        try:
            ours = transform.prepare(photo).transpose(2, 0, 1) / np.float32(255.0)
        except (KeyError, NotImplementedError, RuntimeError, ValueError):
            return False
        theirs = library.apply(photo)
        if theirs.shape != ours.shape or np.abs((ours - mean) / std - theirs).max() > SAME:
            return False
    return True


def _processor_settings(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `Transform` needs, from an image processor's settings; None when they say anything else."""
    wanted = (found.get("do_resize"), found.get("do_rescale"), bool(found.get("do_pad")))
    if wanted != (True, True, False) or abs(found.get("rescale_factor", 0) - 1 / 255) > 1e-9:
        return None
    size = {name: value for name, value in (found.get("size") or {}).items() if value is not None}
    edges: tuple[int, ...]
    if set(size) == {"shortest_edge"}:
        edges = (size["shortest_edge"],)
        if not found.get("do_center_crop"):
            return None
    elif set(size) == {"height", "width"}:
        edges = (size["height"], size["width"])
    else:
        return None
    crop = found.get("crop_size") if found.get("do_center_crop") else None
    normal = bool(found.get("do_normalize"))
    return {
        "resize": edges,
        "crop": (crop["height"], crop["width"]) if crop else None,
        "method": {value: name for name, value in _PILLOW.items()}.get(int(found.get("resample", -1)), "unknown"),
        "mean": tuple(found["image_mean"]) if normal else (0.0, 0.0, 0.0),
        "std": tuple(found["image_std"]) if normal else (1.0, 1.0, 1.0),
    }


def _compose_settings(steps: Sequence[Any]) -> dict[str, Any] | None:
    """The same from torchvision's steps, known by the names of their classes; steps without effect are passed over."""
    found: dict[str, Any] = {"crop": None, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    for step in steps:
        kind = type(step).__name__
        if kind == "Resize":
            edges = step.size if isinstance(step.size, (tuple, list)) else (step.size,)
            found |= {"resize": tuple(edges), "method": step.interpolation.value}
        elif kind == "CenterCrop":
            found["crop"] = tuple(step.size)
        elif kind == "Normalize":
            found |= {name: tuple(round(float(v), 7) for v in getattr(step, name)) for name in ("mean", "std")}
        elif kind not in ("ToTensor", "MaybeToTensor", "function", "MaybeConvertMode"):
            return None
    return found if "resize" in found and (found["crop"] or len(found["resize"]) == 2) else None
