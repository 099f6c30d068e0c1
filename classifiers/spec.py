"""What is asked for when a head is trained: which head, with which parameters, and how train is balanced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from classifiers.balance.choice import Balance, check_balance
from classifiers.heads.card import HeadCard
from classifiers.heads.registry import check_view_count, head_card
from classifiers.params import Training, split_params


def called(head: str, balance: str) -> str:
    """A head and the short name of its balance in a sentence: "the head 'mlp' with balance over"."""
    return f"the head '{head}'" + (f" with balance {balance}" if balance != "none" else "")


@dataclass(frozen=True)
class HeadSpec:
    """A head's name, `params` of the head and its trainer ("preset" among them), and how train is balanced."""

    head: str
    params: Mapping[str, Any] = field(default_factory=dict)
    balance: Balance = field(default_factory=Balance)

    @property
    def card(self) -> HeadCard:
        """The declared card; `UnknownHead` where there is none."""
        return head_card(self.head)

    @property
    def called(self) -> str:
        """For sentences: "the head 'concat' with balance d_sse"."""
        return called(self.head, self.balance.label)

    def split(self) -> tuple[dict[str, Any], Training | None]:
        """The checked parameters of the head, and of its trainer (None for a library head); see `split_params`."""
        return split_params(self.card, self.params)

    def check(self, views: Sequence[str]) -> None:
        """`HeadError` unless the head takes that many views (by name), knows the parameters and can be balanced so."""
        self.split()
        check_view_count(self.card, list(views))
        check_balance(self.balance, self.card, len(views))
