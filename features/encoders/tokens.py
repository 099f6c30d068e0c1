"""Tokens in and out: texts as padded batches, means over what is not padding, and token views of a fixed length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crisis_registry import Parameter, anything
from features.device import to_numpy
from features.text import Text, joined

TOKENS = Parameter("tokens", False, anything("true or false"), "write the token views as well (large)")
"""The option of every encoder that can write token views."""

TEXT_TOKENS = 128
"""Text tokens that a token view keeps; what a text has beyond them still counts in `text/cls` and `text/mean`."""


def padded_batch(tokenizer: Any, texts: Sequence[Text], limit: int) -> Any:
    """The tokenizer's tensors of `texts`, each as one string, cut at `limit` tokens and padded on the right."""
    return tokenizer(
        [joined(text) for text in texts],
        padding=True,
        truncation=True,
        max_length=limit,
        padding_side="right",
        return_tensors="pt",
    )


def masked_mean(hidden: Any, mask: Any) -> Any:
    """The mean [n, D] in float32 of hidden states [n, t, D] over the tokens whose `mask` [n, t] is 1, or over all
    without one.
    """
    if mask is None:
        return hidden.float().mean(dim=1)
    real = mask.unsqueeze(-1).float()
    return (hidden.float() * real).sum(dim=1) / real.sum(dim=1).clamp(min=1.0)


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
