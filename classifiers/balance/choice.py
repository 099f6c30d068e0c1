"""What a fit does about balance, as its caller says it, and whether a head can do it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from classifiers.balance.registry import BalancerCard, balancer_card
from classifiers.errors import HeadError
from classifiers.heads.card import HeadCard
from classifiers.params import checked
from crisis_registry import Parameter, at_least, did_you_mean

NEIGHBOURS = Parameter("neighbours", 5, at_least(1), "neighbours that smote draws between")
SAMPLINGS = ("none", "over", "under", "smote")


@dataclass(frozen=True)
class Balance:
    """`method` is a name of `BALANCERS` with its `params`, or "none".

    `class_weight` "none"; "balanced", n / (C n_c) for class c, scikit-learn's formula; or label -> weight, 1 for
    labels it does not name. `sampling` of the train posts: "none"; "over", rare classes repeated, or "under",
    common ones thinned, until all have as many posts; "smote", new vectors between one of the rare class and one
    of its `neighbours` nearest of that class.

    Raises `HeadError` for what does not exist or is out of range; parameters left out take their defaults.
    """

    method: str = "none"
    params: Mapping[str, Any] = field(default_factory=dict)
    class_weight: str | Mapping[int, float] = "none"
    sampling: str = "none"
    neighbours: int = 5

    def __post_init__(self) -> None:
        declared = () if self.method == "none" else balancer_card(self.method).hyperparameters
        names = [parameter.name for parameter in declared]
        unknown = [name for name in self.params if name not in names]
        if unknown:
            near, known = did_you_mean(unknown[0], names), ", ".join(names) or "none"
            raise HeadError(f"The balancer '{self.method}' has no parameter '{unknown[0]}'{near}; it has {known}.")
        values = {one.name: checked(one, self.params.get(one.name, one.default)) for one in declared}
        object.__setattr__(self, "params", values)
        if self.sampling not in SAMPLINGS:
            near = did_you_mean(self.sampling, SAMPLINGS)
            raise HeadError(f"There is no sampling '{self.sampling}'{near}; choose one of {', '.join(SAMPLINGS)}.")
        object.__setattr__(self, "neighbours", checked(NEIGHBOURS, self.neighbours))
        if isinstance(self.class_weight, str):
            if self.class_weight not in ("none", "balanced"):
                raise HeadError(
                    f"The class weights must be none, balanced or a weight per class, not {self.class_weight!r}."
                )
            return
        weights = {int(label): float(weight) for label, weight in self.class_weight.items()}
        if any(not (weight > 0 and math.isfinite(weight)) for weight in weights.values()):
            raise HeadError("Class weights must be numbers above 0.")
        object.__setattr__(self, "class_weight", weights)

    @property
    def label(self) -> str:
        """A short name for tables: "none", "d_sse", "d_sse + balanced weights + smote"."""
        weights = self.class_weight if isinstance(self.class_weight, str) else "manual"
        parts = (self.method, "none" if weights == "none" else f"{weights} weights", self.sampling)
        return " + ".join(part for part in parts if part != "none") or "none"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `of_dict` takes them back."""
        return asdict(self)

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Balance:
        """What `as_dict` gave, also after a way through JSON."""
        return cls(**values)


def take_balance(method: str, params: Mapping[str, Any], **rest: Any) -> tuple[Balance, dict[str, Any]]:
    """The balance by `method` with those of `params` that it declares, and the other parameters."""
    declared = {} if method == "none" else balancer_card(method).defaults
    own = {name: value for name, value in params.items() if name in declared}
    return Balance(method, own, **rest), {name: value for name, value in params.items() if name not in declared}


def check_balance(balance: Balance, head: HeadCard, views: int) -> None:
    """`HeadError` unless `head` over that many views can be trained so."""
    if balance.class_weight != "none" and not head.weighs_classes:
        raise HeadError(f"The head '{head.name}' has no loss whose classes could be weighted; balance by sampling.")
    if balance.method == "none":
        return
    card = balancer_card(balance.method)
    least, greatest = card.views
    wanted = f"exactly {least}" if least == greatest else f"{least} or more"
    if head.family != "torch":
        raise HeadError(
            f"The balancer '{card.name}' needs a torch head with {wanted} views, and a library fits '{head.name}'; "
            f"class weights and sampling work there."
        )
    if views < least or (greatest is not None and views > greatest):
        raise HeadError(f"The balancer '{card.name}' needs a torch head with {wanted} views, but there are {views}.")
    if card.read_outs or card.branches:
        _check_head(card, head)


def _check_head(card: BalancerCard, head: HeadCard) -> None:
    """`HeadError` unless the head has the read-outs and the weights per view that the balancer needs."""
    import torch

    with torch.device("meta"):
        # built without memory, only to be looked at
        built = head.build({"a": 8, "b": 8}, 2, head.defaults)
    if card.read_outs and not hasattr(built, "modality_logits"):
        raise HeadError(
            f"The balancer '{card.name}' needs a head that reads each view out of its answer, which '{head.name}' "
            f"does not: concat, sum, gated or film."
        )
    if card.branches and not built.branch_parameters(0):
        raise HeadError(
            f"The balancer '{card.name}' needs a head with weights for each view alone, which '{head.name}' has not: "
            f"concat, sum, gated, film, guided_ca or cross_attention have."
        )
