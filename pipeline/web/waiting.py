"""How long a server asks to be left alone."""

from __future__ import annotations

import email.utils
import math
import time


def retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None for anything else."""
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
