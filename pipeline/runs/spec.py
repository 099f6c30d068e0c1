"""A head as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classifiers import Balance


@dataclass(frozen=True)
class HeadSpec:
    """A head by name, with the parameters that are its own and its trainer's, and how train is balanced for it."""

    head: str
    params: Mapping[str, Any] = field(default_factory=dict)
    balance: Balance = field(default_factory=Balance)
