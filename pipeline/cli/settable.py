"""What `--set` takes: the parameters of heads, of their trainer, of balancers and of encoders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crisis_registry import Parameter


def training_parameters() -> list[Parameter]:
    """What can be set of the trainer of torch heads, beside the preset."""
    from classifiers.params import TRAINING

    return [parameter for parameter in TRAINING if parameter.name != "preset"]


def settable(heads: Iterable[str], balances: Iterable[str]) -> list[str]:
    """The names that `--set` takes for these heads and balancers; what does not exist has none."""
    from classifiers import BALANCERS, HEADS

    found: list[Parameter] = []
    for head in heads:
        if head in HEADS:
            found += HEADS[head].hyperparameters
            found += training_parameters() if HEADS[head].family == "torch" else []
    for balance in balances:
        if balance in BALANCERS:
            found += BALANCERS[balance].hyperparameters
    return list(dict.fromkeys(parameter.name for parameter in found))


def settable_of_model(model: str) -> list[str]:
    """The names of a model's options; none where there is no such model."""
    from features import CARDS

    return [option.name for option in CARDS[model].options] if model in CARDS else []
