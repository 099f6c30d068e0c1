"""Texts of several lengths as one array, means over what is not padding, and token views of a fixed length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crisis_registry import Parameter, anything
from features.device import to_numpy
from features.encoders.tokenizer import Tokens

TOKENS = Parameter("tokens", False, anything("true or false"), "write the token views as well (large)")
"""The option of every encoder that can write token views."""

TEXT_TOKENS = 128
"""Text tokens that a token view keeps; what a text has beyond them still counts in `text/cls` and `text/mean`."""


def padded(
    tokens: Sequence[Tokens], fill: Mapping[str, int], length: int | None = None, left: bool = False
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Ids int64 [n, t] by name, filled up to the longest text (or `length`) with those of `fill`, behind the text or
    (`left`) before it, and the mask int64 [n, t], 1 where a token is.
    """
    lengths = np.array([one.length for one in tokens])
    longest = int(lengths.max()) if length is None else length
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    mask = mask[:, ::-1].copy() if left else mask
    inputs = {}
    for name in tokens[0].inputs:
        inputs[name] = np.full((len(tokens), longest), fill.get(name, 0), np.int64)
        for row, real, one in zip(inputs[name], mask, tokens, strict=True):
            row[real == 1] = one.inputs[name]
    return inputs, mask


def tensors(inputs: Mapping[str, np.ndarray], device: Any) -> dict[str, Any]:
    """The arrays as tensors on `device`."""
    import torch

    return {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}


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
