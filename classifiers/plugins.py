"""How a class of somebody else's, in a file or an installed package, becomes a head or a balancer of ours.

It carries its own card as the class attribute `card`, or one is read off it: the first line of its docstring says what
it is, its keyword arguments with their defaults are its hyperparameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

from crisis_registry import Parameter, anything


class _HasLoader(Protocol):
    """A dataclass that says what makes the thing it declares."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def loader(self) -> str | Callable[..., Any]: ...


Card = TypeVar("Card", bound=_HasLoader)


def adopted(name: str, found: Any, kind: type[Card], what: str, derived: Callable[[type], Card]) -> Card:
    """The card, of class `kind`, of what a package or a file brings under `name`: `found` itself, or the one that it
    carries, or the one that `derived` reads off a class of `what` ("a head"). Raises `TypeError` for anything else.
    """
    if isinstance(found, type):
        carried = getattr(found, "card", None)
        if isinstance(carried, kind):
            return replace(carried, name=name, loader=carried.loader or found)
        return derived(found)
    if not isinstance(found, kind):
        raise TypeError(f"it is neither a {kind.__name__} nor a class of {what}")
    if not found.loader:
        raise TypeError("its card has no loader; name the class that carries it, or give the card one")
    return replace(found, name=name)


def summary_of(found: Callable[..., Any]) -> str:
    """The first line of the docstring, as a card has it."""
    lines = (inspect.getdoc(found) or "").splitlines()
    return lines[0].rstrip(".") if lines else "a plug-in that says nothing of itself"


def hyperparameters_of(found: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The keyword arguments that have a number, a word, a list of numbers or yes or no as their default."""
    return tuple(
        Parameter(name, argument.default, anything(), "")
        for name, argument in inspect.signature(found).parameters.items()
        if isinstance(argument.default, bool | int | float | str | tuple)
    )
