"""How a class of somebody else's, in a file or an installed package, becomes a head or a balancer of ours.

It carries its own card as the class attribute `card`, or one is read off it: the first line of its docstring says what
it is, its keyword arguments with their defaults are its hyperparameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

from classifiers.params import TRAINING
from crisis_registry import Parameter, anything

TRAINERS_NAMES = {one.name for one in TRAINING}


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


def check_arguments(loader: Callable[..., Any], leading: int, names: Iterable[str]) -> None:
    """`TypeError`, a part of a sentence, unless `loader` can be called with so many values and arguments of `names`."""
    try:
        signature = inspect.signature(loader)
    except (TypeError, ValueError):
        return  # written in C: it says nothing of its arguments
    try:
        signature.bind(*range(leading), **dict.fromkeys(names))
    except TypeError as error:
        raise TypeError(f"its card and its arguments do not agree: {error}") from error


def require(found: type, methods: Iterable[str], what: str) -> None:
    """`TypeError`, a part of a sentence, unless the class has all `methods` of `what` ("a head")."""
    missing = [method for method in methods if not callable(getattr(found, method, None))]
    if missing:
        raise TypeError(f"the class {found.__qualname__} is not {what}: it has no {', '.join(missing)}")


def refuse_trainers_names(names: Iterable[str]) -> None:
    """`TypeError` where a parameter is called as one of the trainer's: `--set` could not tell them apart."""
    for name in names:
        if name in TRAINERS_NAMES:
            raise TypeError(f"its parameter '{name}' has the name of one of the trainer's; call it otherwise")


def hyperparameters_of(found: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The keyword arguments that have a number, a word, a list of numbers or yes or no as their default."""
    return tuple(
        Parameter(name, argument.default, anything(), "")
        for name, argument in inspect.signature(found).parameters.items()
        if isinstance(argument.default, bool | int | float | str | tuple)
    )
