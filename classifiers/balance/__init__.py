"""Balance inside the trainer: which row of train gives which view, how much it weighs, and what the gradients do.

A balancer is asked once an epoch for a `Plan` of row numbers; nothing cached is copied or changed. Its draws come
from a generator of its own that the fit's seed alone sets. Importing this package imports neither torch nor numpy.
"""

from __future__ import annotations

from classifiers.balance.choice import Balance, check_balance, take_balance
from classifiers.balance.registry import BALANCERS, BalancerCard, balancer_card

__all__ = ["BALANCERS", "Balance", "BalancerCard", "balancer_card", "check_balance", "take_balance"]
