"""The base of all errors that are told in one sentence; all rooms may import it, and it imports nothing."""

from __future__ import annotations


class CrisisError(Exception):
    """Something cannot be done; the message is one sentence that says what is wrong and what to do.

    `exit_code` is that of the command: 1 failed, 2 wrong use.
    """

    exit_code = 1


def in_one_line(text: str) -> str:
    """The words of a library or a server as part of a sentence: one line, without characters that do not print."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
