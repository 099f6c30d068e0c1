"""Token views: one vector per token, at a fixed length, so that rows of a cache file have one shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from features.device import to_numpy

TEXT_TOKENS = 128
"""Text tokens that a token view keeps; what a text has beyond them still counts in `text/cls` and `text/mean`."""


def token_views(name: str, hidden: Any, mask: Any, length: int) -> dict[str, np.ndarray]:
    """Hidden states [n, t, D] and their mask [n, t] (1: a token, 0: padding) as "<name>/tokens" [n, length, D] and
    "<name>/mask" [n, length], float32; zeros where there is no token.
    """
    kept = min(length, hidden.shape[1])
    real = mask[:, :kept].to(hidden.dtype)
    tokens = np.zeros((len(hidden), length, hidden.shape[2]), np.float32)
    marks = np.zeros((len(hidden), length), np.float32)
    tokens[:, :kept] = to_numpy(hidden[:, :kept] * real.unsqueeze(-1))
    marks[:, :kept] = to_numpy(real)
    return {f"{name}/tokens": tokens, f"{name}/mask": marks}


def token_shapes(name: str, length: int, width: int) -> Mapping[str, tuple[int, ...]]:
    """The per-row shapes of what `token_views` gives."""
    return {f"{name}/tokens": (length, width), f"{name}/mask": (length,)}
