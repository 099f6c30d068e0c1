"""Words for people go to standard error, so that results on standard output stay clean."""

from __future__ import annotations

import sys
import warnings
from typing import Any

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Keep `say` silent (`--quiet`); warnings still come through."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    return _quiet


def say(message: str) -> None:
    if not _quiet:
        print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)


def tell_warnings() -> None:
    """From now on, what the cache warns of is told as our own warnings are, once each."""
    shown = warnings.showwarning
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        from cache import CacheWarning

        if not issubclass(category, CacheWarning):
            shown(message, category, *where, **more)
        elif str(message) not in told:
            told.add(str(message))
            warn(str(message))

    warnings.showwarning = show
