"""Decision fusion: one answer from the stored probabilities of unimodal heads, nothing trained (Farah 2025, 3.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifiers.errors import HeadError

RULES = ("mean", "max", "or", "and")


def fuse(rule: str, answers: Sequence[np.ndarray], positive: int | None = None) -> np.ndarray:
    """Fused probabilities float32 [n, C]; their argmax is the rule's class.

    `answers` are probabilities [n, C] of two or more heads for the same posts. "mean" (eqs 3.5.5-3.5.6, and the
    score fusion of Abavisani et al. 2020) averages them; "max" (eqs 3.5.7-3.5.8) takes each class's largest and
    makes the sum 1 again, which moves no argmax. "or" (eqs 3.5.1-3.5.2) and "and" (eqs 3.5.3-3.5.4) are for two
    classes: the class `positive` is given if any head, or if every head, gives it; the answer returned is that
    of the head surest of the positive class, or least sure. Raises `HeadError` for an unknown rule, fewer than
    two answers, shapes that differ, and "or" and "and" with other than two classes or no positive one.
    """
    if rule not in RULES:
        raise HeadError(f"There is no fusion rule '{rule}'; choose one of {', '.join(RULES)}.")
    if len(answers) < 2 or len({answer.shape for answer in answers}) > 1:
        raise HeadError("Fusion needs the probabilities of two heads or more, for the same posts and classes.")
    stacked = np.stack([np.asarray(answer, dtype=np.float64) for answer in answers])
    fused: np.ndarray
    if rule == "mean":
        fused = stacked.mean(axis=0)
        return fused.astype(np.float32)
    if rule == "max":
        largest = stacked.max(axis=0)
        fused = largest / largest.sum(axis=1, keepdims=True)
        return fused.astype(np.float32)
    if stacked.shape[2] != 2 or positive not in (0, 1):
        raise HeadError(f"The rule '{rule}' is for two classes, one of them named as the positive one.")
    lead = stacked[:, :, positive] - stacked[:, :, 1 - positive]
    chosen = lead.argmax(axis=0) if rule == "or" else lead.argmin(axis=0)
    fused = stacked[chosen, np.arange(stacked.shape[1])]
    return fused.astype(np.float32)
