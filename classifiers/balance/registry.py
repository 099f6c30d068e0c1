"""The table of balancers: one entry declares one; adding a balancer is adding its file and its entry here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifiers.errors import UnknownBalancer


@dataclass(frozen=True)
class BalancerCard:
    """Declared metadata of one balancer; read without importing torch.

    `loader` ("module:class") makes one from a `classifiers.training.balancer.Setup` and its parameters, whose defaults
    are `defaults`. `views` is the least and the greatest number of views it balances (None: any number more).
    `branches`: it needs a head with trained weights per view; `read_outs`: one that reads each view out of its
    answer (`modality_logits`); `vectors`: views of one vector per post.
    """

    name: str
    summary: str
    source: str
    loader: str
    defaults: Mapping[str, Any]
    views: tuple[int, int | None] = (2, None)
    branches: bool = False
    read_outs: bool = False
    vectors: bool = False


_DECLARED = (
    BalancerCard(
        name="sse",
        summary="a view replaced by that of another post, mostly of the same class",
        source="Abavisani et al. 2020, section 3.4, eqs 9-10",
        loader="classifiers.balance.sse:SSE",
        defaults={"p0": 0.1, "rho": 10.0},
    ),
    BalancerCard(
        name="r_sse",
        summary="a view replaced by that of a post of another class, which view drawn anew each epoch",
        source="Farah 2025, section 5.5.4",
        loader="classifiers.balance.dynamic:RandomSSE",
        defaults={"p_c": 0.1},
    ),
    BalancerCard(
        name="d_sse",
        summary="a view replaced by that of a post of another class, more often the view that dominates",
        source="Farah 2025, section 5.4, Algorithms 1-2; beyond two views a softmax over the scores",
        loader="classifiers.balance.dynamic:DynamicSSE",
        defaults={"p_c": 0.1, "a": 1.5},
    ),
    BalancerCard(
        name="modality_dropout",
        summary="a view replaced by zeros",
        source="Farah 2025, section 5.5.6, Table 5.3",
        loader="classifiers.balance.sse:ModalityDropout",
        defaults={"p_c": 0.1},
    ),
    BalancerCard(
        name="shuffle_within",
        summary="views paired anew inside each class, every epoch",
        source="Abavisani et al. 2020, Table 8",
        loader="classifiers.balance.sse:ShuffleWithin",
        defaults={},
    ),
    BalancerCard(
        name="mixup",
        summary="convex combinations of two posts and of their labels",
        source="Abavisani et al. 2020, Table 8; Zhang et al. 2018",
        loader="classifiers.balance.sse:Mixup",
        defaults={"alpha": 0.2},
        views=(1, None),
        vectors=True,
    ),
    BalancerCard(
        name="ogm_ge",
        summary="the dominating view's gradients made smaller, noise added to both",
        source="Farah 2025, Table 5.3; Peng et al. 2022, eqs 8-10",
        loader="classifiers.balance.ogm_ge:GradientModulation",
        defaults={"alpha": 0.5, "noise": 1.0, "until": 50},
        views=(2, 2),
        branches=True,
        read_outs=True,
    ),
    BalancerCard(
        name="pmr",
        summary="the slower view drawn to the prototypes of its classes",
        source="Farah 2025, Table 5.3; Fan et al. 2023",
        loader="classifiers.balance.pmr:PrototypeRebalance",
        defaults={"alpha": 1.0, "mu": 0.01, "until": 10, "memory": 0.2},
        views=(2, 2),
        branches=True,
    ),
)

BALANCERS: dict[str, BalancerCard] = {card.name: card for card in _DECLARED}


def balancer_card(name: str) -> BalancerCard:
    """The declared card of `name`; `UnknownBalancer` names the known ones."""
    if name not in BALANCERS:
        raise UnknownBalancer(f"There is no balancer '{name}'; there are none, {', '.join(BALANCERS)}.")
    return BALANCERS[name]
