"""What a head declares about itself."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class HeadCard:
    """Declared metadata of one head; read without importing any learning library.

    `loader` ("module:function") builds an untrained head from `(dims, n_outputs, **defaults)`. `family`
    says who trains it: "torch" heads share the trainer of `classifiers.training.trainer`, "library" heads bring
    their own. `views` is the least and the greatest number of views it takes (None: any number more).
    `defaults` are its own hyperparameters; those of the trainer are in `classifiers.params.Training`. A
    `deterministic` head ignores the seed: the same rows give the same fit. One that `weighs_classes` can give the
    posts of some classes more weight than others. One that takes `tokens` reads
    views [N, T, D] as well as [N, D]. `swept` heads belong in sweeps and tables of all heads; the others
    exist to show what a source printed or published and must be asked for by name. `parameters` counts the
    learned numbers over two views of 512 features, five classes and the defaults; `stated` is what the
    source says of its own count, where it does.
    """

    name: str
    summary: str
    source: str
    loader: str
    family: Literal["library", "torch"]
    views: tuple[int, int | None]
    defaults: Mapping[str, Any]
    deterministic: bool = False
    weighs_classes: bool = True
    tokens: bool = False
    swept: bool = True
    parameters: int | None = None
    stated: str = ""

    def build(self, dims: Mapping[str, int], n_outputs: int, params: Mapping[str, Any]) -> Any:
        """An untrained head over views of `dims` (name -> D) with `n_outputs` classes."""
        module, function = self.loader.split(":")
        return getattr(importlib.import_module(module), function)(dims, n_outputs, **params)
