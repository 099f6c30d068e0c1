"""The flags that balance the train posts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from pipeline.cli.words import named, one_of

if TYPE_CHECKING:
    from classifiers import Balance
    from pipeline.datasets.tasks import Task


@dataclass(frozen=True)
class BalanceFlags:
    """How the train posts are balanced."""

    PANEL: ClassVar[str] = "Balancing"

    balance: Annotated[
        str,
        named(
            "classifiers:BALANCERS",
            extra=["none"],
            help="A balancer of modalities, such as d_sse; `crisis balancers` lists them.",
        ),
    ] = "none"
    class_weight: Annotated[
        str, typer.Option(help="Weights in the loss: none, balanced, or CLASS:WEIGHT,... by name or number.")
    ] = "none"
    sampling: Annotated[
        str,
        one_of("classifiers.balance.choice:SAMPLINGS", help="Train posts drawn per class: none, over, under or smote."),
    ] = "none"

    def choose(self, params: dict[str, Any], task: Task) -> tuple[Balance, dict[str, Any]]:
        """The balance, with the parameters it declares, and the parameters that are the head's and trainer's."""
        from classifiers.balance import take_balance
        from pipeline.runs.balance import class_weights

        weights = class_weights(self.class_weight, task)
        return take_balance(self.balance, params, class_weight=weights, sampling=self.sampling)

    def rest(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters that are not the balancer's; refuses, before anything is read, what does not exist."""
        from classifiers.balance import take_balance

        return take_balance(self.balance, params, sampling=self.sampling)[1]


@dataclass(frozen=True)
class BalanceLists:
    """How the train posts are balanced, several ways in turn."""

    PANEL: ClassVar[str] = "Balancing"

    balance: Annotated[
        str, named("classifiers:BALANCERS", extra=["none"], help="Balancers of modalities, as none,sse,d_sse.")
    ] = "none"
    class_weight: Annotated[str, typer.Option(help="Weights in the loss, as none,balanced.")] = "none"
    sampling: Annotated[
        str, named("classifiers.balance.choice:SAMPLINGS", help="Train posts drawn per class, as none,over,smote.")
    ] = "none"

    def choose(self) -> list[Balance]:
        """Every combination of what the flags list."""
        from classifiers.balance import Balance

        lists = [
            list(dict.fromkeys(part.strip() for part in text.split(",")))
            for text in (self.balance, self.class_weight, self.sampling)
        ]
        return [
            Balance(method, class_weight=weight, sampling=sampling)
            for method in lists[0]
            for weight in lists[1]
            for sampling in lists[2]
        ]
