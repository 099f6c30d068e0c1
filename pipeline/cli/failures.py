"""What an error is called on the command line: one sentence and an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

from pipeline.errors import CrisisError, Stopped


def described(error: BaseException) -> tuple[str | None, int]:
    """The sentence and the exit code of one of our own errors, of wrong use that typer found and of Ctrl-C; no
    sentence for any other error, which is a bug.
    """
    if isinstance(error, KeyboardInterrupt):
        error = Stopped()
    if isinstance(error, typer.Abort):
        return "Stopped; nothing was done.", 1
    if hasattr(error, "format_message"):
        return _refused(error), getattr(error, "exit_code", 1)
    # of an OSError (a full disk, a folder that may not be written) the system's words name cause and file
    if isinstance(error, CrisisError | OSError) or _is_of_a_room(error):
        return str(error), getattr(error, "exit_code", 1)
    return None, 1


def _is_of_a_room(error: BaseException) -> bool:
    from cache import CacheError
    from classifiers import HeadError
    from features import FeatureError
    from pipeline.sample import SampleError

    return isinstance(error, CacheError | HeadError | FeatureError | SampleError)


def _refused(error: Any) -> str:
    """What typer could not read, in a sentence that says what to do; typer tells its errors apart by what they hold."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if parameter is not None and hasattr(error, "param_type"):
        return f"{_name(parameter)} is missing: {parameter.help[:1].lower()}{parameter.help[1:]}"
    if parameter is not None:
        taken = _taken(parameter)
        return f"{_name(parameter)} takes {taken}." if taken else f"{_name(parameter)}: {error.message}"
    if context is None:
        return str(error.format_message())
    page = f"`{context.command_path} -h`"
    if hasattr(error, "possibilities"):
        from crisis_registry import did_you_mean

        near = did_you_mean(error.option_name, _options(context))
        return f"There is no option '{error.option_name}'{near}; {page} lists them."
    if error.message == "Missing command.":
        return f"The command is missing; {page} lists them."
    return f"{error.message.rstrip('.')}; {page} says what there is."


def _name(parameter: Any) -> str:
    return str(max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.metavar)


def _taken(parameter: Any) -> str | None:
    """ "a whole number from 1 to 10,000", for an option that takes numbers."""
    limits = parameter if hasattr(parameter, "min") else parameter.type
    what = {"N": "a whole number", "X": "a number"}.get(parameter.metavar)
    least, greatest = getattr(limits, "min", None), getattr(limits, "max", None)
    if what is None or least is None:
        return what
    return f"{what} of at least {least:,}" if greatest is None else f"{what} from {least:,} to {greatest:,}"


def _options(context: Any) -> Iterable[str]:
    return [name for parameter in context.command.get_params(context) for name in parameter.opts if name[:2] == "--"]
