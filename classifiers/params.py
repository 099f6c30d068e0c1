"""Hyperparameters: the trainer's declared defaults, and the checks that turn nonsense into a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from classifiers.errors import HeadError
from classifiers.heads.registry import HeadCard
from classifiers.presets import PRESETS, preset_values


@dataclass(frozen=True)
class Training:
    """How a torch head is trained; the defaults are the preset `fast` (see `classifiers.presets`).

    `optimiser` "adamw" (decoupled decay) or "sgd" (with `momentum`, decay in the gradient); `lr` learning
    rate; `batch_size` rows per step; `weight_decay` on weights and biases; `max_epochs` passes over train at
    most; `patience` epochs without a lower dev loss before stopping. `schedule` of the rate, per epoch:
    "constant"; "cosine", from `lr` down to a tenth over `max_epochs`; "plateau", a tenth of what it was
    after each 2 epochs without a lower dev loss. `keep` "best", the epoch of the lowest dev loss; "last", the
    last of `max_epochs`, which all are trained.
    """

    preset: str = "fast"
    optimiser: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.0
    batch_size: int = 128
    weight_decay: float = 1e-2
    max_epochs: int = 50
    patience: int = 5
    schedule: str = "cosine"
    keep: str = "best"


# name -> (what holds for a good value, the words that say so)
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "preset": (lambda v: v in PRESETS, f"one of {', '.join(PRESETS)}"),
    "optimiser": (lambda v: v in ("adamw", "sgd"), "adamw or sgd"),
    "schedule": (lambda v: v in ("constant", "cosine", "plateau"), "constant, cosine or plateau"),
    "keep": (lambda v: v in ("best", "last"), "best or last"),
    "momentum": (lambda v: 0 <= v < 1, "from 0 up to, but not, 1"),
    "lr": (lambda v: v > 0, "above 0"),
    "batch_size": (lambda v: v >= 1, "at least 1"),
    "weight_decay": (lambda v: v >= 0, "0 or more"),
    "max_epochs": (lambda v: v >= 1, "at least 1"),
    "patience": (lambda v: v >= 1, "at least 1"),
    "width": (lambda v: v >= 1, "at least 1"),
    "layers": (lambda v: v >= 0, "0 or more"),
    "bottlenecks": (lambda v: v >= 1, "at least 1"),
    "sketch": (lambda v: v >= 1, "at least 1"),
    "dropout": (lambda v: 0 <= v < 1, "from 0 up to, but not, 1"),
    "max_iter": (lambda v: v >= 1, "at least 1"),
    "k_grid": (lambda v: len(v) > 0 and all(k >= 1 and k == int(k) for k in v), "one or more whole numbers above 0"),
    "sharpness_grid": (lambda v: len(v) > 0 and min(v) > 0, "one or more numbers above 0"),
    "rounds": (lambda v: v >= 1, "at least 1"),
    "leaves": (lambda v: v >= 2, "at least 2"),
    "min_leaf": (lambda v: v >= 1, "at least 1"),
    "column_share": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    "estimator": (lambda v: v != "", "the name or the import path of a scikit-learn classifier"),
    "c_grid": (lambda v: len(v) > 0 and min(v) > 0, "one or more numbers above 0"),
    # of balancers
    "p0": (lambda v: 0 <= v <= 1, "from 0 to 1"),
    "p_c": (lambda v: 0 <= v <= 1, "from 0 to 1"),
    "rho": (lambda v: v >= 0, "0 or more"),
    "a": (lambda v: v >= 0, "0 or more"),
    "alpha": (lambda v: v > 0, "above 0"),
    "noise": (lambda v: v >= 0, "0 or more"),
    "mu": (lambda v: v >= 0, "0 or more"),
    "until": (lambda v: v >= 0, "0 or more"),
    "memory": (lambda v: 0 <= v < 1, "from 0 up to, but not, 1"),
    "neighbours": (lambda v: v >= 1, "at least 1"),
}


def split_params(card: HeadCard, params: Mapping[str, Any]) -> tuple[dict[str, Any], Training | None]:
    """`params` over the preset's values over the declared defaults, split into the head's own and the trainer's.

    `params["preset"]` is "fast" unless given; library heads train alike under both, and the second is None
    for them. Raises `HeadError` for a name that neither declares, and for a value of the wrong type or out
    of range.
    """
    preset = checked("preset", params.get("preset", "fast"), "fast")
    if card.family == "torch":
        trainer = {field.name: field.default for field in fields(Training)}
        given = {**preset_values(preset, card.name), **params}
    else:
        trainer, given = {}, {name: value for name, value in params.items() if name != "preset"}
    known = {**card.defaults, **trainer}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise HeadError(f"The head '{card.name}' has no parameter '{unknown[0]}'; it has {', '.join(sorted(known))}.")
    chosen = {name: checked(name, given.get(name, default), default) for name, default in known.items()}
    own = {name: chosen[name] for name in card.defaults}
    if card.family != "torch":
        return own, None
    return own, Training(**{name: chosen[name] for name in trainer})


def training_dict(training: Training | None) -> dict[str, Any]:
    """The trainer's parameters as plain JSON values; empty for library heads."""
    return {} if training is None else asdict(training)


def checked(name: str, value: Any, default: Any) -> Any:
    """`value` as the type of `default`, within the range of the parameter `name`; `HeadError` otherwise."""
    good, words = _RULES[name]
    try:
        typed = _as_type_of(default, value)
    except (TypeError, ValueError, OverflowError):
        typed = None
    if typed is None or not good(typed):
        raise HeadError(f"The parameter '{name}' must be {words}, but is {value!r}.")
    return typed


def _as_type_of(default: Any, value: Any) -> Any:
    if isinstance(default, str):
        if not isinstance(value, str):
            raise TypeError
        return value
    if isinstance(default, tuple):
        return tuple(sorted(_finite(number) for number in value))
    if isinstance(default, int):
        if value != int(value):
            raise ValueError
        return int(value)
    return _finite(value)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number
