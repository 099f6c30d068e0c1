"""Words for people go to standard error, so that results on standard output stay clean."""

from __future__ import annotations

import re
import sys
import warnings
from typing import Any

# what moves the cursor, paints or turns writing round; and halves of characters, which cannot be encoded
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Keep `say` silent (`--quiet`); warnings still come through."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    return _quiet


def say(message: str) -> None:
    if not _quiet:
        _tell(message)


def warn(message: str) -> None:
    _tell(f"warning: {message}")


def error(message: str) -> None:
    _tell(f"error: {message}")


def printable(text: str) -> str:
    r"""`text` with control characters written out (\u001b), so that what a dataset holds cannot act on a terminal."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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


def _tell(message: str) -> None:
    print(printable(re.sub(r"\s*\n\s*", " ", message)), file=sys.stderr, flush=True)
