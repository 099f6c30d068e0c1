"""The registry of balancers: one entry declares one; adding a balancer is adding its file and its entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from classifiers.errors import UnknownBalancer
from classifiers.plugins import (
    adopted,
    check_arguments,
    hyperparameters_of,
    refuse_trainers_names,
    require,
    summary_of,
)
from crisis_registry import Parameter, Registry, above, at_least, below, between, load_object


@dataclass(frozen=True)
class BalancerCard:
    """Declared metadata of one balancer; read without importing torch.

    `loader`, "module:class" or the class itself, makes one from a `classifiers.training.balancer.Setup` and its
    `hyperparameters`; "" in the card that a class carries: that class. `views` is the least and the greatest number of
    views it balances (None: any number more). `branches`: it needs a head with trained weights per view; `read_outs`:
    one that reads each view out of its answer (`modality_logits`); `vectors`: views of one vector per post.
    """

    name: str
    summary: str
    source: str
    loader: str | Callable[..., Any] = ""
    hyperparameters: tuple[Parameter, ...] = ()
    views: tuple[int, int | None] = (2, None)
    branches: bool = False
    read_outs: bool = False
    vectors: bool = False

    @property
    def defaults(self) -> dict[str, Any]:
        """The balancer's parameters by name, with their defaults."""
        return {parameter.name: parameter.default for parameter in self.hyperparameters}

    def build(self, setup: Any, params: Mapping[str, Any]) -> Any:
        """A balancer for the fit that `setup` describes."""
        make = self.loader if callable(self.loader) else load_object(self.loader)
        return make(setup, **params)


_DECLARED = (
    BalancerCard(
        name="sse",
        summary="a view replaced by that of another post, mostly of the same class",
        source="Abavisani et al. 2020, section 3.4, eqs 9-10",
        loader="classifiers.balance.sse:SSE",
        hyperparameters=(
            Parameter("p0", 0.1, between(0, 1), "chance that a view is replaced"),
            Parameter("rho", 10.0, at_least(0), "odds of a replacement from the same class against one from another"),
        ),
    ),
    BalancerCard(
        name="r_sse",
        summary="a view replaced by that of a post of another class, which view drawn anew each epoch",
        source="Farah 2025, section 5.5.4",
        loader="classifiers.balance.dynamic:RandomSSE",
        hyperparameters=(Parameter("p_c", 0.1, between(0, 1), "share of posts whose view is replaced"),),
    ),
    BalancerCard(
        name="d_sse",
        summary="a view replaced by that of a post of another class, more often the view that dominates",
        source="Farah 2025, section 5.4, Algorithms 1-2; beyond two views a softmax over the scores",
        loader="classifiers.balance.dynamic:DynamicSSE",
        hyperparameters=(
            Parameter("p_c", 0.1, between(0, 1), "share of posts whose view is replaced"),
            Parameter("a", 1.5, at_least(0), "how steeply the dominating view is preferred"),
        ),
    ),
    BalancerCard(
        name="modality_dropout",
        summary="a view replaced by zeros",
        source="Farah 2025, section 5.5.6, Table 5.3",
        loader="classifiers.balance.sse:ModalityDropout",
        hyperparameters=(Parameter("p_c", 0.1, between(0, 1), "share of posts whose view is replaced"),),
    ),
    BalancerCard(
        name="shuffle_within",
        summary="views paired anew inside each class, every epoch",
        source="Abavisani et al. 2020, Table 8",
        loader="classifiers.balance.sse:ShuffleWithin",
    ),
    BalancerCard(
        name="mixup",
        summary="convex combinations of two posts and of their labels",
        source="Abavisani et al. 2020, Table 8; Zhang et al. 2018",
        loader="classifiers.balance.sse:Mixup",
        hyperparameters=(
            Parameter("alpha", 0.2, above(0), "shape of the beta distribution that mixing shares are drawn from"),
        ),
        views=(1, None),
        vectors=True,
    ),
    BalancerCard(
        name="ogm_ge",
        summary="the dominating view's gradients made smaller, noise added to both",
        source="Farah 2025, Table 5.3; Peng et al. 2022, eqs 8-10",
        loader="classifiers.balance.ogm_ge:GradientModulation",
        hyperparameters=(
            Parameter("alpha", 0.5, above(0), "how strongly gradients are made smaller"),
            Parameter("noise", 1.0, at_least(0), "strength of the noise added to gradients"),
            Parameter("until", 50, at_least(0), "the last epoch that is balanced"),
        ),
        views=(2, 2),
        branches=True,
        read_outs=True,
    ),
    BalancerCard(
        name="pmr",
        summary="the slower view drawn to the prototypes of its classes",
        source="Farah 2025, Table 5.3; Fan et al. 2023",
        loader="classifiers.balance.pmr:PrototypeRebalance",
        hyperparameters=(
            Parameter("alpha", 1.0, above(0), "how strongly the slower view is drawn to its prototypes"),
            Parameter("mu", 0.01, at_least(0), "weight of the prototypes' loss"),
            Parameter("until", 10, at_least(0), "the last epoch that is balanced"),
            Parameter("memory", 0.2, below(0, 1), "share of the old prototype kept at each update"),
        ),
        views=(2, 2),
        branches=True,
    ),
)


def _adopt(name: str, found: Any) -> BalancerCard:
    card = adopted(name, found, BalancerCard, "a balancer", partial(_derived, name))
    if isinstance(card.loader, type):
        require(card.loader, ("plan",), "a balancer")
    if callable(card.loader):
        check_arguments(card.loader, 1, card.defaults)
    refuse_trainers_names(card.defaults)
    return card


def _derived(name: str, found: type) -> BalancerCard:
    """The card of a class that carries none."""
    require(found, ("plan",), "a balancer")
    source = f"{found.__module__}.{found.__qualname__}"
    return BalancerCard(name, summary_of(found), source, found, hyperparameters_of(found))


BALANCERS = Registry(
    "balancer",
    ((card.name, card) for card in _DECLARED),
    group="crisis.balancers",
    command="crisis heads --balancers",
    error=UnknownBalancer,
    adopt=_adopt,
)


def balancer_card(name: str) -> BalancerCard:
    """The declared card of `name`, which may be "module:Class" of a file; `UnknownBalancer` names the known ones."""
    return BALANCERS[name]
