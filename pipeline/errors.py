"""The pipeline's own errors; the command line prints the message as one sentence and picks the exit code."""

from __future__ import annotations

from crisis_errors import CrisisError as CrisisError


class UsageError(CrisisError):
    """The command was used wrongly: a flag, a column, a name that does not exist (exit code 2)."""

    exit_code = 2


class DataError(CrisisError):
    """The data on disk is not what it should be."""


class Stopped(CrisisError):
    """Ctrl-C ended the command (exit code 130)."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("Stopped by Ctrl-C.")
