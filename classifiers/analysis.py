"""How a fusion uses its modalities, told from numbers alone: Farah 2025, sections 4.6 and 5.5.7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classifiers.errors import HeadError
from classifiers.problem import chunks

_CHUNK = 512


@dataclass(frozen=True)
class Utilisation:
    """Accuracies in 0..1 of one head: `accuracy` with all its views, `without[view]` with that view at zeros.

    Views are in the sorted order of their names. Raises `HeadError` for a head that is right about no post.
    """

    accuracy: float
    without: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.accuracy <= 0:
            raise HeadError("The head is right about no post, so nothing can be said of what it uses.")

    @property
    def lost(self) -> dict[str, float]:
        """The share of its accuracy that the head loses when a view is at zeros, per view, at most 1.

        Of two views, lost[m_0] is what the source prints as u(m_1 | m_0), and lost[m_1] is its u(m_0 | m_1). (Wu et
        al. 2022, where the rates come from, call them the other way round: what m_0 adds to m_1.)
        """
        return {view: (self.accuracy - there) / self.accuracy for view, there in self.without.items()}

    @property
    def d_util(self) -> float:
        """u(m_1 | m_0) - u(m_0 | m_1) of two views: above 0 where the head leans on the first, below on the second."""
        if len(self.without) != 2:
            raise HeadError(f"d_util compares two views, but the head has {len(self.without)}.")
        first, second = self.lost.values()
        return first - second


@dataclass(frozen=True)
class OneRight:
    """Posts about which one modality alone is right: how often the fusion is right about them too, how often not."""

    right: int
    wrong: int

    @property
    def share(self) -> float:
        """right / (right + wrong); NaN where there is no such post."""
        count = self.right + self.wrong
        return self.right / count if count else float("nan")


def only_one_right(truth: np.ndarray, fused: np.ndarray, alone: Mapping[str, np.ndarray]) -> dict[str, OneRight]:
    """Table 4.4: what the fusion makes of posts about which one modality is right and every other one wrong.

    `truth`, `fused` and each of `alone` are labels, integers [n]; `alone` holds what each modality's own model says,
    and the answer has its names. The source calls its rows after the modality that is wrong: its "Text" is what is
    here called "image". The mean accuracy beside its rows is the mean of the shares. Raises `HeadError` for arrays
    of other lengths and for fewer than two modalities.
    """
    lengths = {len(truth), len(fused), *(len(labels) for labels in alone.values())}
    if len(lengths) > 1 or len(alone) < 2:
        raise HeadError(
            "Error analysis needs the labels of one fusion and of two or more modalities, all about the same posts."
        )
    right = {view: np.asarray(labels) == truth for view, labels in alone.items()}
    count = np.sum(list(right.values()), axis=0)
    rescued = np.asarray(fused) == truth
    return {
        view: OneRight(int((rescued & own & (count == 1)).sum()), int((~rescued & own & (count == 1)).sum()))
        for view, own in right.items()
    }


def neighbour_similarity(multimodal: np.ndarray, unimodal: np.ndarray, k: int) -> np.ndarray:
    """Sim^k of each post (eq. 5.5.1): the share, 0..1, of its k nearest posts that two spaces have in common.

    `multimodal` [n, D] after fusion, `unimodal` [n, E] before it: floats; the answer is float64 [n]. Nearest is by
    Euclidean distance among all other posts given, equal distances by row; the source does not name its distance,
    and searches inside each batch: give a batch at a time for that. What two unrelated spaces share by chance is
    k / (n - 1). Raises `HeadError` unless 0 < k < n.
    """
    n = len(multimodal)
    if len(unimodal) != n or not 0 < k < n:
        raise HeadError(
            f"Similarity needs both vectors of the same posts and a k from 1 to their number less one, but there are "
            f"{n} and {len(unimodal)} posts and k is {k}."
        )
    near = [_nearest(np.asarray(space, dtype=np.float64), k) for space in (multimodal, unimodal)]
    return np.array([len(np.intersect1d(a, b, assume_unique=True)) / k for a, b in zip(*near, strict=True)])


def modulation_scores(history: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """S^m after each epoch, per view, from a fit's history (Figure 5.7 b).

    Fits with the balancer `d_sse` tell them; one with `p_c` 0 is a fit without a balancer that tells them. Raises
    `HeadError` for a history without scores.
    """
    names = [key[2:-1] for key in (history[0] if history else {}) if key.startswith("S(") and key.endswith(")")]
    if not names:
        raise HeadError(
            "The history tells no modulation scores; train with the balancer d_sse (p_c 0 changes nothing)."
        )
    return {name: [row[f"S({name})"] for row in history] for name in names}


def _nearest(space: np.ndarray, k: int) -> np.ndarray:
    """The k nearest other rows of each row, int64 [n, k]."""
    squares = np.einsum("nd,nd->n", space, space)
    found = []
    for part in chunks(len(space), _CHUNK):
        distances = squares[part, None] - 2 * space[part] @ space.T + squares
        rows = np.arange(part.start, part.stop)
        distances[rows - part.start, rows] = np.inf
        found.append(np.argsort(distances, axis=1, kind="stable")[:, :k])
    return np.concatenate(found)
