"""Training and evaluation settings of text, image and caption, and mix training (Farah 2025, Table 4.1, 4.5.3).

An absent view is a view of zeros, which heads over segments (`cmb`) leave out of account.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifiers.errors import HeadError


@dataclass(frozen=True)
class Setting:
    """What is trained on and what is asked, as names of views; asked views are among the trained ones."""

    train: tuple[str, ...]
    test: tuple[str, ...]


SETTINGS = {
    "T_T": Setting(("text",), ("text",)),
    "I_I": Setting(("image",), ("image",)),
    "C_C": Setting(("caption",), ("caption",)),
    "TI_TI": Setting(("image", "text"), ("image", "text")),
    "TC_T": Setting(("caption", "text"), ("text",)),
    "TC_C": Setting(("caption", "text"), ("caption",)),
    "TC_TC": Setting(("caption", "text"), ("caption", "text")),
    # the comparison with MARMOT (Table 4.3)
    "TCI_TCI": Setting(("caption", "image", "text"), ("caption", "image", "text")),
}


def setting(name: str) -> Setting:
    """The setting `name`; `HeadError` names the known ones."""
    if name not in SETTINGS:
        raise HeadError(f"There is no setting '{name}'; there are {', '.join(SETTINGS)}.")
    return SETTINGS[name]


def mixed_out(rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mix training: those of the posts in `rows` that lose a view, as `share` (0 to 1, exact to one post) keep it.

    They lose it for the whole fit, chosen by `seed` alone; smaller shares keep a part of what larger ones keep. A post
    that `rows` repeats counts once. Raises `HeadError` for a share out of range.
    """
    if not 0 <= share <= 1:
        raise HeadError(f"The share of posts that keep a view must be from 0 to 1, but is {share!r}.")
    posts = np.unique(rows)
    return np.random.default_rng(seed).permutation(posts)[round(share * len(posts)) :]
