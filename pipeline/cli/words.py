"""Options that take one of several words: the shell completes them, and a word that does not exist is refused with the
nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import typer

from pipeline.errors import UsageError


def one_of(words: str, *names: str, **settings: Any) -> Any:
    """An option (called `names`) that takes one of `words` and nothing else.

    `words` is "module:NAME", a tuple or a mapping of them, imported when the shell or a given value asks for it.
    """

    def check(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
        if value in (None, parameter.default) or context.resilient_parsing:
            return value
        from crisis_registry import did_you_mean, load_object

        known = load_object(words)
        if value not in known:
            name = max(parameter.opts, key=len).removeprefix("--")
            raise UsageError(
                f"There is no {name} '{value}'{did_you_mean(value, known)}; choose one of {', '.join(known)}."
            )
        return value

    return typer.Option(*names, callback=check, autocompletion=_completing(words), **settings)


def named(words: str, *names: str, extra: Iterable[str] = (), **settings: Any) -> Any:
    """An option whose words, `extra` ones among them, the shell completes, one or several with commas between; who
    takes the value refuses it.
    """
    return typer.Option(*names, autocompletion=_completing(words, tuple(extra)), **settings)


def argument(words: str, **settings: Any) -> Any:
    """An argument whose words the shell completes."""
    return typer.Argument(autocompletion=_completing(words), **settings)


def _completing(words: str, extra: tuple[str, ...] = ()) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        from crisis_registry import load_object

        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in (*extra, *load_object(words)) if word.startswith(last)]

    return complete


def complete_parameter(context: typer.Context, incomplete: str) -> list[str]:
    """ "lr=" and the like: what `--set` can set for the heads and balancers, or else the model, that the line names."""
    from pipeline.cli.settable import settable, settable_of_model

    def named_by(option: str) -> list[str]:
        return str(context.params.get(option) or "").split(",")

    heads = [name for option in ("head", "heads") if option in context.params for name in named_by(option)]
    names = settable(heads, named_by("balance")) if heads else settable_of_model(named_by("model")[0])
    return [f"{name}=" for name in names if name.startswith(incomplete)]
