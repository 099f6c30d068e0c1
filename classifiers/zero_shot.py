"""CLIP zero-shot: each post against a vector per class, nothing trained (Radford et al. 2021, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from classifiers.errors import HeadError
from classifiers.metrics import softmax
from classifiers.problem import check_views

# CLIP's own temperature: training stops at a logit scale of 100, where all published weights ended
LOGIT_SCALE = 100.0


def class_vectors(prompts: np.ndarray, labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """A vector of length 1 per class, float64 [C, D]: the mean of its prompts' unit vectors, made a unit again.

    `prompts` [P, D] are prompt vectors, `labels` the class of each. Raises `HeadError` for a class without one.
    """
    owners = np.array(labels, dtype=object)
    absent = [name for name in classes if not (owners == name).any()]
    if absent:
        raise HeadError(f"There is no prompt for the class '{absent[0]}'; every class needs one.")
    lengths = _units(prompts)
    return _units(np.stack([lengths[owners == name].mean(axis=0) for name in classes]))


def zero_shot(views: Mapping[str, np.ndarray], classes: np.ndarray) -> np.ndarray:
    """Probabilities float32 [n, C]: the softmax of 100 times the cosine between post and class.

    `views` are arrays [n, D] of the space that the class vectors `classes` [C, D] lie in; of several (image and
    text) the mean of their unit vectors is the post's. Raises `HeadError` for views of another width, and for
    several of one modality, which are never all of that space.
    """
    check_views(views)
    if len({name.partition("/")[0] for name in views}) < len(views):
        raise HeadError(f"Zero-shot answers take one view per modality, but were given {', '.join(sorted(views))}.")
    for name, array in views.items():
        if array.ndim != 2 or array.shape[1] != classes.shape[1]:
            raise HeadError(
                f"The view '{name}' has the shape {array.shape}, but the prompts have {classes.shape[1]} features; "
                f"use projected views of the model that encoded the prompts."
            )
    posts = _units(np.mean([_units(views[name]) for name in sorted(views)], axis=0))
    logits = LOGIT_SCALE * posts @ classes.T
    return softmax(logits).astype(np.float32)


def _units(vectors: np.ndarray) -> np.ndarray:
    """float64, each row of length 1; a row of zeros stays one."""
    wide = vectors.astype(np.float64)
    result: np.ndarray = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return result
