"""How a class of somebody else's, in a file or an installed package, becomes a head or a balancer of ours.

It carries its own card as the class attribute `card`, or one is read off it: the first line of its docstring says what
it is, its keyword arguments with their defaults are its hyperparameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from crisis_registry import Parameter, anything


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
