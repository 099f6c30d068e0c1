"""Photos whose processor makes several arrays of each, or arrays of other shapes for other photos."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from features.images import BadImage

_RATIOS = (1.0, 1.33, 1.5, 1.78, 2.0, 2.5, 3.0, 4.0)
_SIZES = tuple((round(240 * a), round(240 * b)) for r in _RATIOS for a, b in ((r, 1.0), (1.0, r)))
"""Photos of these shapes are tried at load."""
_MARGIN = 1.2
"""How much larger than any of them a photo of another shape may become."""
TOO_LONG = "too long and narrow for this model"


def input_names(model: Any) -> frozenset[str]:
    """What the model's `forward` takes, by name."""
    return frozenset(inspect.signature(model.forward).parameters)


class Packed:
    """What a processor of transformers makes of a photo, for all that the model takes, as one flat float32 array of one
    length: the shapes, the values, then zeros. Photos of one shape go through the model together, so that no patch is
    padding and nothing depends on the company.
    """

    def __init__(self, processor: Any, known: Collection[str], version: str) -> None:
        self._processor = processor
        self._known = known
        tried = [self._arrays(Image.new("RGB", size, (200, 120, 40))) for size in _SIZES]
        self.names = tuple(sorted(tried[0]))
        self._kinds = {name: tried[0][name].dtype for name in self.names}
        self._ranks = {name: tried[0][name].ndim for name in self.names}
        self._room = max(sum(array.size for array in one.values()) for one in tried)
        self.of_one_shape = all(
            one.keys() == tried[0].keys() and all(one[n].shape == tried[0][n].shape for n in one) for one in tried
        )
        if not self.of_one_shape:
            self._room = int(self._room * _MARGIN)
        self.identity: Mapping[str, Any] = {
            "library": f"transformers {version} {type(processor).__name__}",
            "inputs": list(self.names),
        }

    @property
    def is_plain(self) -> bool:
        """Whether it makes nothing but pixels [3, height, width] of one size."""
        return self.names == ("pixel_values",) and self.of_one_shape and self._ranks["pixel_values"] == 3

    def _arrays(self, image: Any) -> dict[str, np.ndarray]:
        made = self._processor(images=image, return_tensors="pt")
        return {name: np.asarray(made[name][0]) for name in made if name in self._known}

    def prepare(self, image: Any) -> np.ndarray:
        arrays = self._arrays(image)
        shapes = [length for name in self.names for length in arrays[name].shape]
        values = np.concatenate([arrays[name].ravel() for name in self.names])
        if len(values) > self._room:
            raise BadImage(TOO_LONG)
        flat = np.zeros(len(shapes) + self._room, np.float32)
        flat[: len(shapes)] = shapes
        flat[len(shapes) : len(shapes) + len(values)] = values
        return flat

    def groups(self, batch: np.ndarray) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """The rows of the photos of each shape, with the arrays [n, ...] of theirs by name."""
        begin = sum(self._ranks.values())
        shapes = batch[:, :begin].astype(int)
        for shape in np.unique(shapes, axis=0):
            rows = np.flatnonzero((shapes == shape).all(axis=1))
            inputs, place, start = {}, begin, 0
            for name in self.names:
                own = tuple(shape[start : start + self._ranks[name]].tolist())
                start += self._ranks[name]
                count = int(np.prod(own))
                inputs[name] = batch[rows, place : place + count].reshape(len(rows), *own).astype(self._kinds[name])
                place += count
            yield rows, inputs
