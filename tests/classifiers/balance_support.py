"""Small balanced fits for the tests: a setup a balancer can be made from, and `concat` written in numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from classifiers import Balance, head_card
from classifiers.balance.make import make_balancer
from classifiers.params import Training
from classifiers.training.balancer import Balancer, Setup

NAMES = ("a", "b", "c")


def setup(
    n: int = 60,
    classes: int = 3,
    views: int = 2,
    seed: int = 0,
    head: str = "concat",
    dtype: torch.dtype = torch.float64,
    discordant: tuple[tuple[int, ...], ...] = (),
    **training: Any,
) -> Setup:
    """A head over `views` views of `n` random rows; every class occurs. `discordant` rows per view."""
    rng = np.random.default_rng(seed)
    dims = {name: 5 + index for index, name in enumerate(NAMES[:views])}
    torch.manual_seed(seed)
    made = head_card(head).build(dims, classes, {"width": 4, "dropout": 0.0}).to(dtype)
    targets = rng.permutation(np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)]))
    held = [torch.from_numpy(rng.normal(size=(n, dim))).to(dtype) for dim in dims.values()]
    marks = np.stack([np.isin(np.arange(n), rows) for rows in discordant or ((),) * views])
    chosen = Training(**{"batch_size": 16, "schedule": "constant", **training})
    return Setup(made, chosen, held, torch.from_numpy(targets), classes, marks, np.random.default_rng(seed + 1))


def balancer(method: str, made: Setup, **params: Any) -> Balancer:
    found = make_balancer(Balance(method, params), made)
    assert found is not None
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@dataclass
class NumpyConcat:
    """`concat` without dropout and its SGD step, by hand in float64; weights are [in, out]."""

    w: list[np.ndarray]
    b: list[np.ndarray]
    v: np.ndarray
    c: np.ndarray
    h: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of(cls, head: Any) -> NumpyConcat:
        take = lambda tensor: tensor.detach().numpy().copy()  # noqa: E731
        return cls(
            [take(layer.weight).T for layer in head.projections],
            [take(layer.bias) for layer in head.projections],
            take(head.classifier.weight).T,
            take(head.classifier.bias),
        )

    def branches(self, views: list[np.ndarray]) -> list[np.ndarray]:
        return [np.maximum(x @ w + b, 0) for x, w, b in zip(views, self.w, self.b, strict=True)]

    def read_outs(self, views: list[np.ndarray]) -> list[np.ndarray]:
        parts = np.split(self.v, len(views))
        return [h @ part + self.c / len(views) for h, part in zip(self.branches(views), parts, strict=True)]

    def step(
        self, views: list[np.ndarray], mass: np.ndarray, lr: float, scale: tuple[float, ...] | None = None
    ) -> float:
        """One step on `mass` [B, C], each branch's gradient times `scale`; the batch's loss before it."""
        h = self.branches(views)
        wide = np.concatenate(h, axis=1)
        p = softmax(wide @ self.v + self.c)
        g = (p * mass.sum(axis=1, keepdims=True) - mass) / mass.sum()
        gh = np.split(g @ self.v.T, len(views), axis=1)
        self.v = self.v - lr * wide.T @ g
        self.c = self.c - lr * g.sum(axis=0)
        for m, (x, own, gradient) in enumerate(zip(views, h, gh, strict=True)):
            k = 1.0 if scale is None else scale[m]
            gradient = gradient * (own > 0)
            self.w[m] = self.w[m] - lr * k * x.T @ gradient
            self.b[m] = self.b[m] - lr * k * gradient.sum(axis=0)
        return float(-(mass * np.log(p)).sum() / mass.sum())

    def assert_equals(self, head: Any, bound: float = 1e-12) -> None:
        other = NumpyConcat.of(head)
        pairs = zip((*self.w, *self.b, self.v, self.c), (*other.w, *other.b, other.v, other.c), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, atol=bound, rtol=0)
