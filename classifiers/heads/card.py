"""What a head declares about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crisis_registry import Parameter, at_least, below, load_object


@dataclass(frozen=True)
class HeadCard:
    """Declared metadata of one head; read without importing any learning library.

    `loader`, "module:function" or the function itself, builds an untrained head from `(dims, n_outputs, **parameters)`;
    "" in the card that a class carries: the class itself. `family` says who trains it: "torch" heads share the trainer
    of `classifiers.training.trainer`, "library" heads bring their own. `views` is the least and the greatest number of
    views it takes (None: any number more). `hyperparameters` are its own; those of the trainer are in
    `classifiers.params.Training`. A
    `deterministic` head ignores the seed: the same rows give the same fit. One that `weighs_classes` can give the
    posts of some classes more weight than others. One that takes `tokens` reads
    views [N, T, D] as well as [N, D]. `swept` heads belong in sweeps and tables of all heads; the others
    exist to show what a source printed or published and must be asked for by name. `parameters` counts the
    learned numbers over two views of 512 features, five classes and the defaults; `stated` is what the
    source says of its own count, where it does. `paper` is how the trainer is set under the preset of that name, for a
    head of a plug-in (ours are in `classifiers.presets`; None: there is no such preset).
    """

    name: str
    summary: str
    source: str
    loader: str | Callable[..., Any] = ""
    family: Literal["library", "torch"] = "torch"
    views: tuple[int, int | None] = (1, None)
    hyperparameters: tuple[Parameter, ...] = ()
    deterministic: bool = False
    weighs_classes: bool = True
    tokens: bool = False
    swept: bool = True
    parameters: int | None = None
    stated: str = ""
    paper: Mapping[str, Any] | None = None

    @property
    def defaults(self) -> dict[str, Any]:
        """The head's own parameters by name, with their defaults."""
        return {parameter.name: parameter.default for parameter in self.hyperparameters}

    def build(self, dims: Mapping[str, int], n_outputs: int, params: Mapping[str, Any]) -> Any:
        """An untrained head over views of `dims` (name -> D) with `n_outputs` classes."""
        make = self.loader if callable(self.loader) else load_object(self.loader)
        return make(dims, n_outputs, **params)


def width(default: int, meaning: str = "features of each view's projection") -> Parameter:
    return Parameter("width", default, at_least(1), meaning)


def dropout(default: float) -> Parameter:
    return Parameter("dropout", default, below(0, 1), "share of features that a training step leaves out")


def layers(default: int) -> Parameter:
    return Parameter("layers", default, at_least(0), "transformer layers")
