"""Light heads on frozen features: arrays and labels in, predictions and numbers out.

Importing this package and reading its table of heads imports neither torch nor scikit-learn nor numpy:
the names that train arrive on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from classifiers.balance import BALANCERS, Balance
from classifiers.errors import HeadError
from classifiers.heads.card import HeadCard
from classifiers.heads.registry import HEADS, head_card
from classifiers.spec import HeadSpec

if TYPE_CHECKING:
    from classifiers.fitted import FittedHead
    from classifiers.fitting import Job, Outcome, fit
    from classifiers.parallel import fit_each, fit_many
    from classifiers.storage import load, save

_ON_USE = {
    "FittedHead": "classifiers.fitted",
    **dict.fromkeys(("Job", "Outcome", "fit"), "classifiers.fitting"),
    **dict.fromkeys(("fit_each", "fit_many"), "classifiers.parallel"),
    **dict.fromkeys(("load", "save"), "classifiers.storage"),
}

__all__ = [
    "BALANCERS",
    "HEADS",
    "Balance",
    "FittedHead",
    "HeadCard",
    "HeadError",
    "HeadSpec",
    "Job",
    "Outcome",
    "fit",
    "fit_each",
    "fit_many",
    "head_card",
    "load",
    "save",
]


def __getattr__(name: str) -> Any:
    if name in _ON_USE:
        return getattr(importlib.import_module(_ON_USE[name]), name)
    raise AttributeError(f"module 'classifiers' has no attribute '{name}'")
