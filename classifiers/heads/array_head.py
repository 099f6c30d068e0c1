"""What heads over plain numpy arrays share: views laid side by side and standardised, and arrays that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from classifiers.errors import HeadError
from classifiers.problem import Views, standardisation


class ArrayHead:
    """A head of numpy arrays over named views, in the sorted order of their names.

    `mean` and `scale` float32 [sum of D] are those of the train rows once `standardise_by` has seen them. A subclass
    names in `learned` the attributes that it learns, which are kept with the head beside these two, and in `growing`
    those whose first axis depends on the data.
    """

    learned: ClassVar[tuple[str, ...]] = ()
    growing: ClassVar[tuple[str, ...]] = ()

    def __init__(self, dims: Mapping[str, int], n_outputs: int) -> None:
        self.dims = {name: dims[name] for name in sorted(dims)}
        self.n_outputs = n_outputs
        width = sum(self.dims.values())
        self.mean = np.zeros(width, dtype=np.float32)
        self.scale = np.ones(width, dtype=np.float32)

    def standardise_by(self, train: Views) -> None:
        """Take mean and scale of each column from the train rows."""
        means, scales = standardisation(train)
        self.mean = np.concatenate([means[name] for name in self.dims])
        self.scale = np.concatenate([scales[name] for name in self.dims])

    def side_by_side(self, views: Views) -> np.ndarray:
        """float32 [n, sum of D], as they are."""
        return np.concatenate([views[name] for name in self.dims], axis=1)

    def standardised(self, views: Views, dtype: type[np.floating] = np.float32) -> np.ndarray:
        """[n, sum of D] of `dtype`, minus the mean, divided by the scale; zeros, an absent view, are kept."""
        wide = self.side_by_side(views).astype(dtype, copy=False)
        wide -= self.mean
        wide /= self.scale
        end = 0
        for name, width in self.dims.items():
            start, end = end, end + width
            absent = ~views[name].any(axis=1)
            if absent.any():
                wide[absent, start:end] = 0
        return wide

    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays of `learned`, and `mean` and `scale` float32 [D]."""
        return {name: getattr(self, name) for name in (*self.learned, "mean", "scale")}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take what `tensors` gave; `HeadError` unless names, shapes (but for what grows) and types are the same."""
        for name in (*self.learned, "mean", "scale"):
            setattr(self, name, self._fitting(tensors, name))

    def _fitting(self, tensors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        """The array of that name, if it is like the head's own."""
        own, given = getattr(self, name), tensors.get(name)
        first = 1 if name in self.growing else 0
        if given is None or given.dtype != own.dtype or given.shape[first:] != own.shape[first:]:
            raise HeadError(f"The saved weights do not fit the head: '{name}' is absent or differs in shape.")
        return given
