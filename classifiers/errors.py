"""The one exception of this room."""

from __future__ import annotations

from crisis_errors import CrisisError


class HeadError(CrisisError):
    """A head cannot be had, trained, saved or loaded as asked; the message is one sentence."""


class UnknownHead(HeadError):
    """A head was named that is not in the table."""

    exit_code = 2


class UnknownBalancer(HeadError):
    """A balancer was named that is not in the table."""

    exit_code = 2
