"""Token views [N, T, D]: read in slabs from where they lie, never turned into float32 as a whole.

One convention covers short texts, missing views and posts without a caption: a token of zeros is padding,
and a view of which a post has only padding is absent. Frozen encoders give no exact zeros.

Memory: reading a view takes at most `SLAB_BYTES` of float32 at a time beside the array itself, which may be a
memory map; a training step takes its own batch. Neither grows with the number of posts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from classifiers.errors import HeadError

SLAB_BYTES = 32 << 20
SLAB_ROWS = 4096


class TokenRows:
    """Some rows of a token view, read as float32 when asked for.

    Indexed by a slice or by positions among its rows, it gives float32 [n, T', D]: padding at the end that
    all n posts share is cut off, so 1 <= T' <= T. `shape` is (rows, T, D).
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self.array = array
        self.rows = rows
        self.shape = (len(rows), array.shape[1], array.shape[2])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        # a value too large for float32 becomes an infinity, which `require_finite` refuses by name
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(self.stored(part), dtype=np.float32)

    def stored(self, part: slice | np.ndarray) -> np.ndarray:
        """The same in the array's own type, [n, T', D]."""
        tokens = self.array[self.rows[part]]
        length = tokens.shape[1]
        # from the end, where most often the first look suffices
        while length > 1 and not tokens[:, length - 1].any():
            length -= 1
        result: np.ndarray = tokens[:, :length]
        return result


def slabs(shape: Sequence[int]) -> list[slice]:
    """Slices over the rows of a float32 array of `shape`; those of tokens take `SLAB_BYTES` or less each."""
    n, size = shape[0], SLAB_ROWS
    if len(shape) == 3:
        size = min(size, max(1, SLAB_BYTES // (4 * shape[1] * shape[2])))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def require_finite(name: str, view: np.ndarray | TokenRows, rows: np.ndarray) -> None:
    """`HeadError` that names the first of `rows` whose vectors have a NaN or an infinity."""
    bad = np.concatenate(
        [~np.isfinite(view[part]).reshape(part.stop - part.start, -1).all(axis=1) for part in slabs(view.shape)]
        or [np.zeros(0, dtype=bool)]
    )
    if bad.any():
        raise HeadError(
            f"The view '{name}' has a NaN or an infinity in {int(bad.sum())} of the rows asked for "
            f"(the first is row {int(rows[np.argmax(bad)])}); leave those rows out."
        )


def moments(view: np.ndarray | TokenRows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population deviation of the features, float64 [D], over all vectors that are not all zeros.

    Vectors of zeros are padding or absent views. There is no float64 copy of the whole view. Without any
    vector both are 0.
    """
    dim, count = view.shape[-1], 0
    total, squares = np.zeros((2, dim))
    for part in slabs(view.shape):
        vectors = _present(view[part], dim)
        total += vectors.sum(axis=0, dtype=np.float64)
        count += len(vectors)
    mean = total / max(count, 1)
    for part in slabs(view.shape):
        squares += np.square(_present(view[part], dim) - mean).sum(axis=0)
    return mean, np.sqrt(squares / max(count, 1))


def refuse_tokens(head: str, takes_tokens: bool, views: Mapping[str, np.ndarray]) -> None:
    """`HeadError` when a head that takes vectors [N, D] only is given tokens [N, T, D]."""
    for name, array in views.items():
        if array.ndim == 3 and not takes_tokens:
            raise HeadError(
                f"The view '{name}' has {array.shape[1]} tokens per post, but the head '{head}' takes one "
                f"vector per post; choose a pooled view or a head for tokens."
            )


def _present(vectors: np.ndarray, dim: int) -> np.ndarray:
    flat = vectors.reshape(-1, dim)
    return flat[flat.any(axis=1)]
