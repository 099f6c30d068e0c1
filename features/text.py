"""Named text cleaners. A cleaner's name is part of the fingerprint, so its behaviour never changes under it."""

from __future__ import annotations

from collections.abc import Callable


def _raw(text: str) -> str:
    return text


CLEANERS: dict[str, Callable[[str], str]] = {"raw": _raw}
