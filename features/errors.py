"""What goes wrong with an encoder, each in one sentence; `exit_code` is that of the command line (1 unless stated)."""

from __future__ import annotations

import textwrap

from crisis_errors import CrisisError, in_one_line


class FeatureError(CrisisError):
    """An encoder cannot be had or cannot be used as asked."""


class UnknownChoice(FeatureError):
    """A model, cleaner, precision or device was named that does not exist."""

    exit_code = 2


class UnknownOption(FeatureError):
    """A model was given an option that it does not have."""

    exit_code = 2


class BadOption(FeatureError):
    """A model was given a value that its option does not take."""

    exit_code = 2


class WrongModality(FeatureError):
    """A model was asked to read what it does not read."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """A library's message in one line of at most 160 characters; its kind where it says nothing."""
    return textwrap.shorten(in_one_line(str(error)) or type(error).__name__, 160, placeholder=" ...")
