"""The table of heads: one entry declares one; adding a head is adding its file and its entry here."""

from __future__ import annotations

from dataclasses import replace

from classifiers.errors import HeadError, UnknownHead
from classifiers.heads.card import HeadCard
from classifiers.heads.fusion_cards import FUSION_CARDS
from classifiers.heads.library_cards import LIBRARY_CARDS

_DECLARED = (
    HeadCard(
        name="logistic",
        summary="logistic regression on the concatenated views, C chosen on dev",
        source="multinomial logistic regression, L2 penalty",
        loader="classifiers.heads.logistic:LogisticHead",
        family="library",
        views=(1, None),
        defaults={"c_grid": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0), "max_iter": 1000},
        deterministic=True,
    ),
    HeadCard(
        name="mlp",
        summary="three linear layers with ReLU and dropout on the concatenated views",
        source="BLIP2 four-class project, model section",
        loader="classifiers.heads.mlp:MLP",
        family="torch",
        views=(1, None),
        defaults={"width": 256, "dropout": 0.3},
        parameters=329_477,
    ),
    HeadCard(
        name="concat",
        summary="each view projected, the projections concatenated and classified",
        source="Farah 2025, eqs 3.5.10-3.5.11",
        loader="classifiers.heads.concat:Concat",
        family="torch",
        views=(1, None),
        defaults={"width": 128, "dropout": 0.3},
        parameters=132_613,
    ),
    HeadCard(
        name="cross_attention",
        summary="each modality's projection masked by the other one, two layers with self-attention between",
        source="Abavisani et al. 2020, section 3.3 (its text, not its printed eqs 5-6)",
        loader="classifiers.heads.cross_attention:CrossAttention",
        family="torch",
        views=(2, 2),
        defaults={"width": 100, "dropout": 0.3},
        parameters=225_805,
    ),
    HeadCard(
        name="guided_ca",
        summary="self-attention per modality, projections gated by the other modality's mask, concatenated",
        source="Munia et al. 2025, eqs 4-7",
        loader="classifiers.heads.guided_ca:GuidedCA",
        family="torch",
        views=(2, 2),
        defaults={"width": 128, "dropout": 0.3},
        parameters=263_941,
    ),
)

HEADS: dict[str, HeadCard] = {card.name: card for card in (*_DECLARED, *LIBRARY_CARDS, *FUSION_CARDS)}


def head_card(name: str) -> HeadCard:
    """The declared card of `name`; `UnknownHead` names the known ones.

    "sklearn:ESTIMATOR" is the card of `sklearn` with that estimator, under that name.
    """
    family, colon, estimator = name.partition(":")
    if family == "sklearn" and colon and estimator:
        return replace(HEADS["sklearn"], name=name, defaults={"estimator": estimator})
    if name not in HEADS:
        raise UnknownHead(f"There is no head '{name}'; `crisis heads` lists them: {', '.join(HEADS)}.")
    return HEADS[name]


def check_view_count(card: HeadCard, names: list[str]) -> None:
    """`HeadError` unless the head takes as many views as there are `names`."""
    least, greatest = card.views
    if len(names) >= least and (greatest is None or len(names) <= greatest):
        return
    wanted = f"exactly {least}" if least == greatest else f"at least {least}"
    given = ", ".join(names) or "none"
    raise HeadError(f"The head '{card.name}' needs {wanted} views, one per modality, but was given {given}.")
