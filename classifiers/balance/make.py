"""From a fit's `Balance` to what the trainer asks."""

from __future__ import annotations

from torch import Tensor

from classifiers.balance.choice import Balance
from classifiers.balance.registry import balancer_card
from classifiers.errors import HeadError
from classifiers.training.balancer import Balancer, Setup


def make_balancer(balance: Balance, setup: Setup) -> Balancer:
    """The balancer that `balance` names (not "none"). Raises `HeadError` where the views cannot be balanced so."""
    card = balancer_card(balance.method)
    if card.vectors and any(not isinstance(view, Tensor) for view in setup.views):
        raise HeadError(f"The balancer '{card.name}' needs one vector per post; choose pooled views.")
    balancer: Balancer = card.build(setup, balance.params)
    return balancer
