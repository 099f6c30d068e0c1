"""The registry of heads: one entry declares one; adding a head is adding its file and its entry here.

A head of somebody else's needs neither: an installed package names it under the entry point `crisis.heads`, a file
beside the data is named as `my_file:MyHead`. Either is a class, best a `TorchHead`, that takes
`(dims, n_outputs, **parameters)`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from classifiers.errors import HeadError, UnknownHead
from classifiers.heads.card import HeadCard, dropout, width
from classifiers.heads.fusion_cards import FUSION_CARDS
from classifiers.heads.library_cards import LIBRARY_CARDS
from classifiers.plugins import (
    adopted,
    check_arguments,
    hyperparameters_of,
    refuse_trainers_names,
    require,
    summary_of,
)
from crisis_registry import Parameter, Registry, above, at_least, each

_DECLARED = (
    HeadCard(
        name="logistic",
        summary="logistic regression on the concatenated views, C chosen on dev",
        source="multinomial logistic regression, L2 penalty",
        loader="classifiers.heads.logistic:LogisticHead",
        family="library",
        views=(1, None),
        hyperparameters=(
            Parameter(
                "c_grid",
                (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0),
                each(above(0), "one or more numbers above 0"),
                "the inverse strengths of the penalty to choose from",
            ),
            Parameter("max_iter", 1000, at_least(1), "iterations of the solver at most"),
        ),
        deterministic=True,
    ),
    HeadCard(
        name="mlp",
        summary="three linear layers with ReLU and dropout on the concatenated views",
        source="BLIP2 four-class project, model section",
        loader="classifiers.heads.mlp:MLP",
        family="torch",
        views=(1, None),
        hyperparameters=(
            width(256),
            dropout(0.3),
        ),
        parameters=329_477,
    ),
    HeadCard(
        name="concat",
        summary="each view projected, the projections concatenated and classified",
        source="Farah 2025, eqs 3.5.10-3.5.11",
        loader="classifiers.heads.concat:Concat",
        family="torch",
        views=(1, None),
        hyperparameters=(
            width(128),
            dropout(0.3),
        ),
        parameters=132_613,
    ),
    HeadCard(
        name="cross_attention",
        summary="each modality's projection masked by the other one, two layers with self-attention between",
        source="Abavisani et al. 2020, section 3.3 (its text, not its printed eqs 5-6)",
        loader="classifiers.heads.cross_attention:CrossAttention",
        family="torch",
        views=(2, 2),
        hyperparameters=(
            width(100),
            dropout(0.3),
        ),
        parameters=225_805,
    ),
    HeadCard(
        name="guided_ca",
        summary="self-attention per modality, projections gated by the other modality's mask, concatenated",
        source="Munia et al. 2025, eqs 4-7",
        loader="classifiers.heads.guided_ca:GuidedCA",
        family="torch",
        views=(2, 2),
        hyperparameters=(
            width(128),
            dropout(0.3),
        ),
        parameters=263_941,
    ),
)


_TORCH, _LIBRARY = ("logits",), ("fit", "probabilities", "tensors", "load_tensors")
"""What the class of a head must be able to do, by who trains it."""


def _adopt(name: str, found: Any) -> HeadCard:
    card = adopted(name, found, HeadCard, "a head", partial(_derived, name))
    if isinstance(card.loader, type):
        require(card.loader, _TORCH if card.family == "torch" else _LIBRARY, "a head")
    if callable(card.loader):
        check_arguments(card.loader, 2, card.defaults)
    if card.family == "torch":
        refuse_trainers_names(card.defaults)
    return card


def _derived(name: str, found: type) -> HeadCard:
    """The card of a class that carries none."""
    family: Literal["torch", "library"] = "torch" if hasattr(found, "logits") else "library"
    require(found, _TORCH if family == "torch" else _LIBRARY, "a head")
    source = f"{found.__module__}.{found.__qualname__}"
    parameters = hyperparameters_of(found)
    return HeadCard(name, summary_of(found), source=source, loader=found, family=family, hyperparameters=parameters)


HEADS = Registry(
    "head",
    ((card.name, card) for card in (*_DECLARED, *LIBRARY_CARDS, *FUSION_CARDS)),
    group="crisis.heads",
    command="crisis heads",
    error=UnknownHead,
    adopt=_adopt,
)


def head_card(name: str) -> HeadCard:
    """The declared card of `name`, which may be "module:Class" of a file; `UnknownHead` names the nearest known ones.

    "sklearn:ESTIMATOR" is the card of `sklearn` with that estimator, under that name.
    """
    family, colon, estimator = name.partition(":")
    if family == "sklearn" and colon and estimator:
        (declared,) = HEADS["sklearn"].hyperparameters
        return replace(HEADS["sklearn"], name=name, hyperparameters=(replace(declared, default=estimator),))
    return HEADS[name]


def check_view_count(card: HeadCard, names: list[str]) -> None:
    """`HeadError` unless the head takes as many views as there are `names`."""
    least, greatest = card.views
    if len(names) >= least and (greatest is None or len(names) <= greatest):
        return
    wanted = f"exactly {least}" if least == greatest else f"at least {least}"
    given = ", ".join(names) or "none"
    raise HeadError(f"The head '{card.name}' needs {wanted} views, one per modality, but was given {given}.")
