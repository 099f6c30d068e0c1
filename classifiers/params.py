"""Hyperparameters: the trainer's declared defaults, and the checks that turn nonsense into a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from classifiers.errors import HeadError
from classifiers.table import HeadCard


@dataclass(frozen=True)
class Training:
    """How a torch head is trained: AdamW on mini-batches, early stopping on the dev loss.

    `lr` learning rate; `batch_size` rows per step; `weight_decay` decoupled, on weights and biases;
    `max_epochs` passes over train at most; `patience` epochs without a lower dev loss before stopping.
    """

    lr: float = 1e-3
    batch_size: int = 128
    weight_decay: float = 1e-2
    max_epochs: int = 50
    patience: int = 5


# name -> (what holds for a good value, the words that say so)
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "lr": (lambda v: v > 0, "above 0"),
    "batch_size": (lambda v: v >= 1, "at least 1"),
    "weight_decay": (lambda v: v >= 0, "0 or more"),
    "max_epochs": (lambda v: v >= 1, "at least 1"),
    "patience": (lambda v: v >= 1, "at least 1"),
    "width": (lambda v: v >= 1, "at least 1"),
    "dropout": (lambda v: 0 <= v < 1, "from 0 up to, but not, 1"),
    "max_iter": (lambda v: v >= 1, "at least 1"),
    "c_grid": (lambda v: len(v) > 0 and min(v) > 0, "one or more numbers above 0"),
}


def split_params(card: HeadCard, params: Mapping[str, Any]) -> tuple[dict[str, Any], Training | None]:
    """`params` over the declared defaults, split into the head's own and the trainer's.

    The second is None for library heads, which the trainer does not train. Raises `HeadError` for a name
    that neither declares, and for a value of the wrong type or out of range.
    """
    trainer = {field.name: field.default for field in fields(Training)} if card.family == "torch" else {}
    known = {**card.defaults, **trainer}
    unknown = [name for name in params if name not in known]
    if unknown:
        raise HeadError(f"The head '{card.name}' has no parameter '{unknown[0]}'; it has {', '.join(sorted(known))}.")
    chosen = {name: _checked(name, params.get(name, default), default) for name, default in known.items()}
    own = {name: chosen[name] for name in card.defaults}
    if card.family != "torch":
        return own, None
    return own, Training(**{name: chosen[name] for name in trainer})


def training_dict(training: Training | None) -> dict[str, Any]:
    """The trainer's parameters as plain JSON values; empty for library heads."""
    return {} if training is None else asdict(training)


def _checked(name: str, value: Any, default: Any) -> Any:
    """`value` as the type of `default`, within its range."""
    good, words = _RULES[name]
    try:
        typed = _as_type_of(default, value)
    except (TypeError, ValueError, OverflowError):
        typed = None
    if typed is None or not good(typed):
        raise HeadError(f"The parameter '{name}' must be {words}, but is {value!r}.")
    return typed


def _as_type_of(default: Any, value: Any) -> Any:
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
