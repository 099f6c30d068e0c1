"""Hyperparameters: the trainer's declared defaults, and the checks that turn nonsense into a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from classifiers.errors import HeadError
from classifiers.heads.card import HeadCard
from classifiers.presets import PRESETS, preset_values
from crisis_registry import Parameter, Range, above, at_least, below, did_you_mean, one_of


def _set(default: Any, range_: Range, meaning: str) -> Any:
    """A field of `Training` with the range of its values and what it means."""
    return field(default=default, metadata={"range": range_, "meaning": meaning})


@dataclass(frozen=True)
class Training:
    """How a torch head is trained; the defaults are the preset `fast` (see `classifiers.presets`).

    `optimiser` "adamw" decays weights apart from the gradient, "sgd" (with `momentum`) within it. `schedule` of the
    rate, per epoch: "constant"; "cosine", from `lr` down to a tenth over `max_epochs`; "plateau", a tenth of what it
    was after each 2 epochs without a lower dev loss. `keep` "best", the epoch of the lowest dev loss; "last", the last
    of `max_epochs`, which all are trained.
    """

    preset: str = _set("fast", one_of(*PRESETS), "where the others start from: fast, or as the head's source trained")
    optimiser: str = _set("adamw", Range("adamw or sgd", ("adamw", "sgd").__contains__), "the optimiser")
    lr: float = _set(1e-3, above(0), "learning rate")
    momentum: float = _set(0.0, below(0, 1), "momentum of sgd")
    batch_size: int = _set(128, at_least(1), "posts in a step")
    weight_decay: float = _set(1e-2, at_least(0), "decay of weights and biases")
    max_epochs: int = _set(50, at_least(1), "passes over train at most")
    patience: int = _set(5, at_least(1), "epochs without a lower dev loss before stopping")
    schedule: str = _set(
        "cosine",
        Range("constant, cosine or plateau", ("constant", "cosine", "plateau").__contains__),
        "how the learning rate changes from epoch to epoch",
    )
    keep: str = _set("best", Range("best or last", ("best", "last").__contains__), "which epoch's weights are kept")


TRAINING = tuple(Parameter(one.name, one.default, **one.metadata) for one in fields(Training))
"""The trainer's parameters, as cards have their own."""

_PRESET = TRAINING[0]


def split_params(card: HeadCard, params: Mapping[str, Any]) -> tuple[dict[str, Any], Training | None]:
    """`params` over the preset's values over the declared defaults, split into the head's own and the trainer's.

    `params["preset"]` is "fast" unless given; library heads train alike under both, and the second is None
    for them. Raises `HeadError` for a name that neither declares, and for a value of the wrong type or out
    of range.
    """
    preset = checked(_PRESET, params.get("preset", "fast"))
    if card.family == "torch":
        trainer, given = TRAINING, {**_of_preset(preset, card), **params}
    else:
        trainer, given = (), {name: value for name, value in params.items() if name != "preset"}
    known = {one.name: one for one in (*trainer, *card.hyperparameters)}
    unknown = [name for name in given if name not in known]
    if unknown:
        near, names = did_you_mean(unknown[0], known), ", ".join(sorted(known))
        raise HeadError(f"The head '{card.name}' has no parameter '{unknown[0]}'{near}; it has {names}.")
    chosen = {name: checked(one, given.get(name, one.default)) for name, one in known.items()}
    own = {one.name: chosen[one.name] for one in card.hyperparameters}
    if card.family != "torch":
        return own, None
    return own, Training(**{one.name: chosen[one.name] for one in trainer})


def _of_preset(preset: str, card: HeadCard) -> dict[str, Any]:
    """What the preset sets otherwise than `Training`'s defaults."""
    return dict(card.paper) if preset == "paper" and card.paper is not None else preset_values(preset, card.name)


def training_dict(training: Training | None) -> dict[str, Any]:
    """The trainer's parameters as plain JSON values; empty for library heads."""
    return {} if training is None else asdict(training)


def checked(parameter: Parameter, value: Any) -> Any:
    """`value` as the type of the parameter's default, within its range; `HeadError` otherwise."""
    try:
        return parameter.checked(value)
    except ValueError as error:
        raise HeadError(str(error)) from error
