"""The base of all errors that are told in one sentence; all rooms may import it, and it imports nothing."""

from __future__ import annotations


class CrisisError(Exception):
    """Something cannot be done; the message is one sentence that says what is wrong and what to do.

    `exit_code` is that of the command: 1 failed, 2 wrong use.
    """

    exit_code = 1
