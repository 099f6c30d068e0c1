"""Two baselines without weights: the nearest train posts (`knn`) and the nearest class mean (`prototype`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from classifiers.errors import HeadError
from classifiers.heads.array_head import ArrayHead
from classifiers.metrics import dev_scores, softmax
from classifiers.problem import Problem, Views, chunks

# similarities nearer than this are equal: products of other shapes round the same vectors differently
_TIE = 1e-5
_CHUNK = 256


class _UnitViews(ArrayHead):
    """What both heads share: each view standardised on train and scaled to length 1, then laid side by side.

    The product of two such vectors, divided by the number of views, is the mean of the views' cosines.
    """

    def _learn_units(self, train: Views) -> np.ndarray:
        self.standardise_by(train)
        return self._units(train)

    def _units(self, views: Views) -> np.ndarray:
        """float32 [n, sum of D]; a vector equal to the train mean has length 0."""
        parts, start = [], 0
        for name, dim in self.dims.items():
            own = slice(start, start + dim)
            array = (views[name] - self.mean[own]) / self.scale[own]
            # far outside of train the square of a length would overflow
            array /= np.maximum(np.abs(array).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            array /= np.maximum(np.linalg.norm(array, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            parts.append(array)
            start += dim
        return np.concatenate(parts, axis=1) / np.float32(np.sqrt(len(parts)))

    def probabilities(self, views: Views) -> np.ndarray:
        """float32 [n, C] for float32 views [n, D]."""
        result = np.empty((len(next(iter(views.values()))), self.n_outputs), dtype=np.float32)
        for part, units in self._in_chunks(views):
            result[part] = self._answer(units)
        return result

    def _in_chunks(self, views: Views) -> Iterator[tuple[slice, np.ndarray]]:
        """The unit vectors of some rows at a time, on one thread also for what is done with them."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            for part in chunks(len(next(iter(views.values()))), _CHUNK):
                yield part, self._units({name: views[name][part] for name in self.dims})

    def _answer(self, units: np.ndarray) -> np.ndarray:
        """Probabilities [n, C] of unit vectors [n, D]."""
        raise NotImplementedError


class NearestNeighbours(_UnitViews):
    """The classes' shares among the k train posts of the highest mean cosine.

    Train's own shares count as one more neighbour, so that no class has probability 0. Train posts that are
    equally near where only some of them would count share the places that are left. `k_grid` are the k to try
    on dev. The train vectors are kept in half precision: `posts` float16 [n, D], `targets` int64 [n], `k` int64 [1].
    """

    learned = ("posts", "targets", "k")
    growing = ("posts", "targets")

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, k_grid: tuple[float, ...]) -> None:
        super().__init__(dims, n_outputs)
        self.k_grid = k_grid
        self.posts = np.zeros((1, len(self.mean)), dtype=np.float16)
        self.targets = np.zeros(1, dtype=np.int64)
        self.k = np.ones(1, dtype=np.int64)

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take what `tensors` gave; `HeadError` also for labels, or a number of neighbours, that cannot be."""
        super().load_tensors(tensors)
        count = len(self.posts)
        labels = len(self.targets) == count and 0 <= self.targets.min(initial=0) <= self.targets.max() < self.n_outputs
        if not (labels and 1 <= int(self.k[0]) <= count and np.isfinite(self.posts).all()):
            raise HeadError("The saved weights do not fit the head: 'targets', 'k' or 'posts' are not those of posts.")

    def fit(self, problem: Problem, seed: int) -> tuple[list[dict[str, float]], int]:
        """Remember train; keep the k of the highest dev macro-F1, among equals the lowest dev loss, then k.

        History: one row per k (`epoch`, `k`, `dev_loss`, `dev_accuracy`, `dev_macro_f1`). Nothing is random.
        """
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            self.posts = self._learn_units(problem.train).astype(np.float16)
        self.targets = problem.train_targets
        history = []
        for epoch, (k, answers) in enumerate(self._tried(problem.dev).items(), start=1):
            history.append({"epoch": epoch, "k": float(k), **dev_scores(np.log(answers), problem)})
        best = min(history, key=lambda row: (-row["dev_macro_f1"], row["dev_loss"], row["k"]))
        self.k = np.array([int(best["k"])])
        return history, int(best["epoch"])

    def _tried(self, dev: Views) -> dict[int, np.ndarray]:
        """Probabilities [n, C] per k of the grid, ascending; each dev post is compared with train once for all."""
        n = len(next(iter(dev.values())))
        tried = sorted({min(int(k), len(self.posts)) for k in self.k_grid})
        found = {k: np.empty((n, self.n_outputs), dtype=np.float32) for k in tried}
        for part, units in self._in_chunks(dev):
            for k, shares in zip(tried, self._shares(units, tried), strict=True):
                found[k][part] = shares
        return found

    def _answer(self, units: np.ndarray) -> np.ndarray:
        (shares,) = self._shares(units, [min(int(self.k[0]), len(self.posts))])
        return shares

    def _shares(self, units: np.ndarray, ks: Sequence[int]) -> Iterator[np.ndarray]:
        """Probabilities [n, C] of unit vectors [n, D] for each of `ks`, 1 to the number of train posts."""
        near = units @ self.posts.astype(np.float32).T
        n, last = len(near), max(ks)
        nearest = -np.sort(np.partition(-near, last - 1, axis=1)[:, :last], axis=1)
        # no other train post has a vote for any k
        rows, columns = np.nonzero(near >= nearest[:, -1:] - 2 * _TIE)
        found, cells = near[rows, columns], rows * self.n_outputs + self.targets[columns]
        all_shares = np.bincount(self.targets, minlength=self.n_outputs) / len(self.targets)
        for k in ks:
            farthest = nearest[rows, k - 1]
            nearer, tied = found > farthest + _TIE, np.abs(found - farthest) <= _TIE
            places = k - np.bincount(rows, nearer, n)
            votes = nearer + tied * (places / np.bincount(rows, tied, n))[rows]
            counts = np.bincount(cells, votes, n * self.n_outputs).reshape(n, -1)
            yield (counts + all_shares) / (k + 1)


class Prototype(_UnitViews):
    """Softmax of `sharpness` times the mean cosine to each class's mean vector (Rocchio's classifier).

    The label does not depend on the sharpness; of `sharpness_grid` the one with the lowest dev loss is kept.
    `prototypes` float32 [C, D], `sharpness` float64 [1].
    """

    learned = ("prototypes", "sharpness")

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, sharpness_grid: tuple[float, ...]) -> None:
        super().__init__(dims, n_outputs)
        self.sharpness_grid = sharpness_grid
        self.prototypes = np.zeros((n_outputs, len(self.mean)), dtype=np.float32)
        self.sharpness = np.ones(1, dtype=np.float64)

    def fit(self, problem: Problem, seed: int) -> tuple[list[dict[str, float]], int]:
        """Average each class, then choose the sharpness on dev; history: one row per sharpness."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            units = self._learn_units(problem.train)
            for index in range(self.n_outputs):
                mean = units[problem.train_targets == index].mean(axis=0, dtype=np.float64)
                self.prototypes[index] = mean / max(np.linalg.norm(mean), np.finfo(np.float32).tiny)
            cosines = self._units(problem.dev).astype(np.float64) @ self.prototypes.T
        history = [
            {"epoch": epoch, "sharpness": value, **dev_scores(value * cosines, problem)}
            for epoch, value in enumerate(self.sharpness_grid, start=1)
        ]
        best = min(history, key=lambda row: (row["dev_loss"], row["epoch"]))
        self.sharpness = np.array([best["sharpness"]])
        return history, int(best["epoch"])

    def _answer(self, units: np.ndarray) -> np.ndarray:
        logits = self.sharpness * (units.astype(np.float64) @ self.prototypes.T)
        return softmax(logits)
