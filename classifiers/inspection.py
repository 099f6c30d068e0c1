"""What a trained torch head does with each of its views: read-outs, zeroed views, feature maps (Farah 2025, 5.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.analysis import Utilisation, neighbour_similarity
from classifiers.errors import HeadError
from classifiers.fitted import FittedHead
from classifiers.heads.torch_head import TorchHead, one_thread
from classifiers.metrics import accuracy
from classifiers.problem import Views, chunks


@dataclass(frozen=True)
class Representations:
    """Feature maps of n posts, float32: `unimodal[view]` [n, K_m] before the views meet, `multimodal` [n, K] after.

    After is what goes into the head's last linear layer; the class scores themselves for a head that ends in none
    (`sum`).
    """

    unimodal: dict[str, np.ndarray]
    multimodal: np.ndarray


def utilisation(
    fitted: FittedHead, views: Mapping[str, np.ndarray], labels: np.ndarray, rows: np.ndarray | None = None
) -> Utilisation:
    """The head's accuracy on `rows` (default: all), and that with each view in turn at zeros (section 5.5.7).

    `views` and `rows` as for `FittedHead.predict_proba`; `labels` integers [N]. The source's zero vector is zeros
    after standardisation, that is the view's mean over train; to a head over tokens, an absent view. Raises
    `HeadError`, also for a library head, which has no such vectors.
    """
    truth = _truth(fitted, views, labels, rows)
    head = _torch_head(fitted)

    def scores(per_view: list[Tensor]) -> list[Tensor]:
        full = [head.logits(head.join(per_view))]
        for index in range(len(per_view)):
            zeroed = [torch.zeros_like(view) if at == index else view for at, view in enumerate(per_view)]
            full.append(head.logits(head.join(zeroed)))
        return full

    full, *without = (_accuracy(fitted, truth, logits) for logits in _of_posts(fitted, views, rows, scores))
    return Utilisation(full, dict(zip(head.dims, without, strict=True)))


def read_outs(
    fitted: FittedHead, views: Mapping[str, np.ndarray], rows: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """What the head says of each view alone: labels int64 [n] per view, the last layer split (section 5.5.4).

    For `concat`, `sum`, `gated` and `film`; `HeadError` for the others, which cannot be split.
    """
    head = _torch_head(fitted)
    split: Callable[[list[Tensor]], list[Tensor]] | None = getattr(head, "modality_logits", None)
    if split is None:
        raise HeadError(f"The head '{fitted.card.name}' has no read-out per view; concat, sum, gated and film have.")
    logits = _of_posts(fitted, views, rows, lambda per_view: split(head.join(per_view)))
    return {view: fitted.classes[own.argmax(axis=1)] for view, own in zip(head.dims, logits, strict=True)}


def unimodal_accuracy(
    fitted: FittedHead, views: Mapping[str, np.ndarray], labels: np.ndarray, rows: np.ndarray | None = None
) -> dict[str, float]:
    """The accuracy in 0..1 of each view's read-out on `rows` (Table 5.2, "Modal. 0" and "Modal. 1")."""
    truth = _truth(fitted, views, labels, rows)
    return {view: accuracy(truth, said) for view, said in read_outs(fitted, views, rows).items()}


def representations(
    fitted: FittedHead, views: Mapping[str, np.ndarray], rows: np.ndarray | None = None
) -> Representations:
    """The feature maps of the posts in `rows` (default: all), dropout off."""
    head = _torch_head(fitted)

    def maps(per_view: list[Tensor]) -> list[Tensor]:
        seen: list[tuple[Tensor, Tensor]] = []
        hooks = [
            module.register_forward_hook(lambda _, given, answer: seen.append((given[0], answer)))
            for module in head.modules()
            if isinstance(module, nn.Linear)
        ]
        try:
            logits = head.logits(head.join(per_view))
        finally:
            for hook in hooks:
                hook.remove()
        last = next((given for given, answer in seen if answer is logits), logits)
        return [*head.branches(per_view), last]

    *unimodal, multimodal = _of_posts(fitted, views, rows, maps)
    return Representations(dict(zip(head.dims, unimodal, strict=True)), multimodal)


def similarities(
    fitted: FittedHead, views: Mapping[str, np.ndarray], k: int, rows: np.ndarray | None = None
) -> dict[str, float]:
    """The mean Sim^k of each view's feature map with the fused one, 0..1 (eq. 5.5.1); see `neighbour_similarity`."""
    found = representations(fitted, views, rows)
    return {view: float(neighbour_similarity(found.multimodal, own, k).mean()) for view, own in found.unimodal.items()}


def _torch_head(fitted: FittedHead) -> TorchHead:
    if not isinstance(fitted.head, TorchHead):
        raise HeadError(f"The head '{fitted.card.name}' is a library's: its views cannot be looked at one by one.")
    return fitted.head


def _truth(
    fitted: FittedHead, views: Mapping[str, np.ndarray], labels: np.ndarray, rows: np.ndarray | None
) -> np.ndarray:
    n = len(next(iter(fitted.take(views, rows).values())))
    truth = np.asarray(labels) if rows is None else np.asarray(labels)[rows]
    if len(truth) != n:
        raise HeadError(f"There are {len(truth)} labels for {n} posts.")
    return truth


def _accuracy(fitted: FittedHead, truth: np.ndarray, logits: np.ndarray) -> float:
    return accuracy(truth, fitted.classes[logits.argmax(axis=1)])


def _of_posts(
    fitted: FittedHead,
    views: Mapping[str, np.ndarray],
    rows: np.ndarray | None,
    compute: Callable[[list[Tensor]], list[Tensor]],
) -> list[np.ndarray]:
    """`compute` of the prepared views of all posts in `rows`, some at a time, its tensors [n, ...] put together."""
    head, own = _torch_head(fitted), fitted.take(views, rows)
    head.eval()
    with one_thread(), torch.inference_mode():
        parts = [[tensor.numpy() for tensor in compute(per_view)] for per_view in _slices(head, own)]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _slices(head: TorchHead, own: Views) -> Iterator[list[Tensor]]:
    for part in chunks(len(next(iter(own.values()))), head.rows_at_once):
        yield head.per_view({name: torch.from_numpy(own[name][part]) for name in head.dims})
