"""The solver behind `linear_path`: L-BFGS on all problems at once, preconditioned in the Gram matrix's eigenbasis.

The problems lie on top of each other as rows: per target, per class, per C. Where all logits are equal the
Hessian of the mean loss is the Kronecker product of a class matrix, mean_i(diag(p_i) - p_i p_i^T), and the Gram
matrix of the features. Both have eigenbases, so with the penalty added its inverse costs two small products;
that inverse, with the class matrix of the current answers, is the first guess of every L-BFGS direction
(Nocedal & Wright 2006, algorithm 7.4, whose initial matrix may change in each step).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MEMORY = 10
# a step is taken once the slope along it is this share of the slope at its start
SLOPE_LEFT = 0.25
SEARCHES = 6


@dataclass(frozen=True)
class Basis:
    """Centred features `x` float32 [n, D], the eigenvalues [D] and eigenvectors [D, D] of x^T x / n.

    `vectors` is None where x already lies in its eigenbasis, `back` [D before, D] then turns weights back.
    """

    x: np.ndarray
    values: np.ndarray
    vectors: np.ndarray | None
    back: np.ndarray | None


class _Block:
    """The problems of one target that are still being solved: `rows` of the stack, as [K', cs, ...].

    K' is the number of classes, or 1 for two. `onehot` [K', 1, n] are the classes of the posts; `weight` [n] is
    the post's weight / posts, and 0 for one that takes no part.
    """

    def __init__(self, y: np.ndarray, mass: np.ndarray, cs: np.ndarray) -> None:
        classes = int(y.max()) + 1
        self.binary = classes == 2
        shown = np.array([1]) if self.binary else np.arange(classes)
        self.onehot = (y[None, :] == shown[:, None]).astype(np.float32)[:, None]
        self.weight = ((y >= 0) * mass / (y >= 0).sum()).astype(np.float32)
        self.penalty = 1.0 / (cs * (y >= 0).sum())
        self.left = np.arange(len(cs))

    @property
    def shape(self) -> tuple[int, int]:
        """K' and how many C are left."""
        return len(self.onehot), len(self.left)

    def keep(self, mask: np.ndarray) -> None:
        """Go on with some of the C."""
        self.left, self.penalty = self.left[mask], self.penalty[mask]

    def start(self) -> np.ndarray:
        """The intercepts [K' * cs] that answer every post with the classes' shares."""
        share = (self.onehot[:, 0] * self.weight).sum(axis=1, dtype=np.float64) / self.weight.sum(dtype=np.float64)
        logits = np.log(share / (1 - share)) if self.binary else np.log(share) - np.log(share).mean()
        return np.repeat(logits, len(self.left))

    def answers(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities [K', cs, n] of logits [K' * cs, n]."""
        z = logits.reshape(*self.shape, -1)
        if self.binary:
            shares: np.ndarray = 1 / (1 + np.exp(-z.clip(-80, 80)))
            return shares
        shares = np.exp(z - z.max(axis=0))
        shares /= shares.sum(axis=0)
        return shares

    def residual(self, p: np.ndarray) -> np.ndarray:
        """The mean loss's derivative by the logits, [K' * cs, n]."""
        r = p - self.onehot
        r *= self.weight
        result: np.ndarray = r.reshape(-1, r.shape[-1])
        return result

    def divided(self, q: np.ndarray, p: np.ndarray, gram: np.ndarray) -> np.ndarray:
        """q [K' * cs, D + 1], its columns in the Gram matrix's eigenbasis, divided by the curvature of its problem:
        class matrix eigenvalue x Gram eigenvalue + penalty for the weights, the former alone for the intercepts.
        """
        rows, cs = self.shape
        values, vectors = self._class_basis(p)
        mixed = vectors.transpose(0, 2, 1) @ q.reshape(rows, cs, -1).transpose(1, 0, 2)
        mixed[:, :, :-1] /= (
            values[:, :, None] * gram.astype(np.float32) + self.penalty.astype(np.float32)[:, None, None]
        )
        mixed[:, :, -1] /= np.maximum(values, 1e-9)
        if not self.binary:
            # raising all intercepts alike, the first eigenvector, changes nothing and has no curvature
            mixed[:, 0, -1] = 0
        result: np.ndarray = (vectors @ mixed).transpose(1, 0, 2).reshape(rows * cs, -1)
        return result

    def _class_basis(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ascending eigenvalues [cs, K'] and eigenvectors [cs, K', K'] of mean_i(diag(p_i) - p_i p_i^T), float32."""
        by_c = p.transpose(1, 0, 2)
        weighted = by_c * self.weight
        matrix = -(weighted @ by_c.transpose(0, 2, 1)).astype(np.float64)
        own = np.arange(len(p))
        matrix[:, own, own] += weighted.sum(axis=2, dtype=np.float64)
        values, vectors = np.linalg.eigh(matrix)
        return values.clip(0).astype(np.float32), vectors.astype(np.float32)


def solve_stack(
    basis: Basis,
    targets: Sequence[np.ndarray],
    masses: Sequence[np.ndarray],
    c_grid: np.ndarray,
    *,
    tol: float,
    max_iter: int,
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per target: weights float64 [c, K', D], intercepts [c, K'] for the centred features, and steps taken [c].

    K' is the number of classes, or 1 for two. `masses` [n] has per target how much each post weighs. A problem
    leaves when its gradient's largest entry is `tol` or less, or after `max_iter` steps with what it has then.
    """
    blocks = [_Block(y, mass, c_grid) for y, mass in zip(targets, masses, strict=True)]
    dim = basis.x.shape[1]
    result = [_nothing(block, dim) for block in blocks]
    places = dict(enumerate(blocks))
    w = np.zeros((sum(len(b.onehot) * len(b.left) for b in blocks), dim + 1), dtype=np.float32)
    w[:, dim] = np.concatenate([block.start() for block in blocks])
    z = np.repeat(w[:, dim:], len(basis.x), axis=1)
    answers = _answers(blocks, z)
    memory: list[_Pair] = []
    g = _gradient(basis, blocks, answers, w)
    for step in range(max_iter + 1):
        problem = _problems(blocks)
        open_ = _largest(g, problem) > tol if step < max_iter else np.zeros(problem.max() + 1, dtype=bool)
        if not open_.all():
            _hand_over(result, places, w, open_, step)
            rows = open_[problem]
            answers = [p[:, mask] for p, mask in zip(answers, _split(blocks, open_), strict=True) if mask.any()]
            for block, mask in zip(blocks, _split(blocks, open_), strict=True):
                block.keep(mask)
            places = {place: block for place, block in places.items() if len(block.left)}
            blocks = list(places.values())
            if not blocks:
                break
            w, z, g = w[rows], z[rows], g[rows]
            memory = [pair.taken(rows, open_) for pair in memory]
            problem = _problems(blocks)
        direction = _direction(basis, blocks, answers, g, memory, problem)
        along = direction[:, :dim] @ basis.x.T
        along += direction[:, dim:]
        size, z, answers = _search(blocks, w, z, direction, along, g, problem)
        moved = size[problem, None].astype(np.float32) * direction
        w += moved
        before, g = g, _gradient(basis, blocks, answers, w)
        memory = [*memory[-MEMORY + 1 :], _Pair.of(moved, g - before, problem)]
    return result


@dataclass(frozen=True)
class _Pair:
    """One step s and what it changed in the gradient, y: float32 [M, D + 1]; `scale` [P] is 1 / (s . y)."""

    s: np.ndarray
    y: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, s: np.ndarray, y: np.ndarray, problem: np.ndarray) -> _Pair:
        """A problem whose s . y is not positive (rounding) ignores the pair: its scale is 0."""
        product = _dot(s, y, problem)
        return cls(s, y, np.divide(1.0, product, out=np.zeros_like(product), where=product > 0))

    def taken(self, rows: np.ndarray, problems: np.ndarray) -> _Pair:
        return _Pair(self.s[rows], self.y[rows], self.scale[problems])


def _problems(blocks: Sequence[_Block]) -> np.ndarray:
    """Which problem each row of the stack belongs to, int64 [M]."""
    numbers, base = [], 0
    for block in blocks:
        rows, cs = block.shape
        numbers.append(base + np.tile(np.arange(cs), rows))
        base += cs
    return np.concatenate(numbers)


def _parts(blocks: Sequence[_Block]) -> list[slice]:
    """Each block's rows."""
    ends = np.cumsum([rows * cs for rows, cs in (block.shape for block in blocks)])
    return [slice(end - block.shape[0] * block.shape[1], end) for end, block in zip(ends, blocks, strict=True)]


def _split(blocks: Sequence[_Block], values: np.ndarray) -> list[np.ndarray]:
    """A value per problem, cut into a piece per block."""
    return np.split(values, np.cumsum([len(block.left) for block in blocks])[:-1])


def _dot(a: np.ndarray, b: np.ndarray, problem: np.ndarray) -> np.ndarray:
    """The inner product of each problem's rows, float64 [P]."""
    return np.bincount(problem, np.einsum("md,md->m", a, b))


def _largest(g: np.ndarray, problem: np.ndarray) -> np.ndarray:
    """The largest absolute entry of each problem's gradient, [P]."""
    largest = np.zeros(problem.max() + 1, dtype=g.dtype)
    np.maximum.at(largest, problem, np.maximum(g.max(axis=1), -g.min(axis=1)))
    return largest


def _answers(blocks: Sequence[_Block], z: np.ndarray) -> list[np.ndarray]:
    return [block.answers(z[part]) for block, part in zip(blocks, _parts(blocks), strict=True)]


def _residuals(blocks: Sequence[_Block], answers: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([block.residual(p) for block, p in zip(blocks, answers, strict=True)])


def _penalties(blocks: Sequence[_Block]) -> np.ndarray:
    """1 / (C n) of each row, float32 [M, 1]."""
    return np.concatenate([np.tile(b.penalty, len(b.onehot)) for b in blocks]).astype(np.float32)[:, None]


def _gradient(basis: Basis, blocks: Sequence[_Block], answers: Sequence[np.ndarray], w: np.ndarray) -> np.ndarray:
    """Of mean loss plus penalty, [M, D + 1]; the last column is the intercept's."""
    r = _residuals(blocks, answers)
    g = np.empty_like(w)
    np.matmul(r, basis.x, out=g[:, :-1])
    g[:, :-1] += _penalties(blocks) * w[:, :-1]
    g[:, -1] = r.sum(axis=1)
    return g


def _direction(
    basis: Basis,
    blocks: Sequence[_Block],
    answers: Sequence[np.ndarray],
    g: np.ndarray,
    memory: Sequence[_Pair],
    problem: np.ndarray,
) -> np.ndarray:
    """The L-BFGS direction of every problem, [M, D + 1]."""
    q = -g
    shares = []
    for pair in reversed(memory):
        share = pair.scale * _dot(pair.s, q, problem)
        q -= share[problem, None].astype(np.float32) * pair.y
        shares.append(share)
    q = _preconditioned(basis, blocks, answers, q)
    for pair, share in zip(memory, reversed(shares), strict=True):
        share = share - pair.scale * _dot(pair.y, q, problem)
        q += share[problem, None].astype(np.float32) * pair.s
    return q


def _preconditioned(basis: Basis, blocks: Sequence[_Block], answers: Sequence[np.ndarray], q: np.ndarray) -> np.ndarray:
    """(class matrix x Gram matrix + penalty)^-1 q, each problem with the class matrix of its own answers."""
    turned = q.copy()
    if basis.vectors is not None:
        np.matmul(q[:, :-1], basis.vectors, out=turned[:, :-1])
    for block, part, p in zip(blocks, _parts(blocks), answers, strict=True):
        turned[part] = block.divided(turned[part], p, basis.values)
    if basis.vectors is not None:
        turned[:, :-1] = turned[:, :-1] @ basis.vectors.T
    return turned


def _search(
    blocks: Sequence[_Block],
    w: np.ndarray,
    z: np.ndarray,
    direction: np.ndarray,
    along: np.ndarray,
    g: np.ndarray,
    problem: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Step sizes [P], and logits and answers after them.

    Logits are linear in the weights, so a trial costs no matrix product; the objective is convex, so the slope
    along the direction says all: it is brought near 0 by false position. Function values, whose rounding
    drowns small steps in float32, are not needed.
    """
    penalty = _penalties(blocks)[:, 0]
    first = _dot(g, direction, problem)
    linear = np.bincount(problem, penalty * np.einsum("md,md->m", w[:, :-1], direction[:, :-1]))
    square = np.bincount(problem, penalty * np.einsum("md,md->m", direction[:, :-1], direction[:, :-1]))
    low, low_slope = np.zeros_like(first), first.copy()
    high, high_slope = np.full_like(first, np.inf), np.full_like(first, np.nan)
    size = np.ones_like(first)
    for trial in range(SEARCHES):
        at = z + size[problem, None].astype(np.float32) * along
        answers = _answers(blocks, at)
        r = _residuals(blocks, answers)
        slope = np.bincount(problem, np.einsum("mn,mn->m", r, along)) + linear + size * square
        wanting = np.abs(slope) > SLOPE_LEFT * np.abs(first)
        if trial == SEARCHES - 1 or not wanting.any():
            break
        above = slope > 0
        high, high_slope = np.where(above, size, high), np.where(above, slope, high_slope)
        low, low_slope = np.where(above, low, size), np.where(above, low_slope, slope)
        size = np.where(wanting, _next_size(low, low_slope, high, high_slope, first), size)
    return size, at, answers


def _next_size(
    low: np.ndarray, low_slope: np.ndarray, high: np.ndarray, high_slope: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """Where the slope should vanish: between the bracket's ends by false position, else four times as far."""
    closed = np.isfinite(high)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (low_slope / (low_slope - high_slope)).clip(0.1, 0.9)
        onward = (first / (first - low_slope)).clip(1.5, 4.0)
    inside = low + np.where(closed, share, 0.0) * np.where(closed, high - low, 0.0)
    return np.where(closed, inside, low * np.where(np.isfinite(onward), onward, 4.0))


def _nothing(block: _Block, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Room for one target's solutions."""
    rows, cs = block.shape
    return np.zeros((cs, rows, dim)), np.zeros((cs, rows)), np.zeros(cs, dtype=np.int64)


def _hand_over(
    result: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    places: dict[int, _Block],
    w: np.ndarray,
    open_: np.ndarray,
    step: int,
) -> None:
    """Copy the solutions of the problems that are no longer open."""
    blocks = list(places.values())
    for place, part, mask in zip(places, _parts(blocks), _split(blocks, ~open_), strict=True):
        weights, intercepts, steps = result[place]
        rows, cs = places[place].shape
        done = w[part].reshape(rows, cs, -1)[:, mask].transpose(1, 0, 2)
        at = places[place].left[mask]
        weights[at], intercepts[at], steps[at] = done[:, :, :-1], done[:, :, -1], step
