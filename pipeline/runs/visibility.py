"""Which views a head sees when it is trained and when it is asked: settings of evaluation, and mix training.

Both are Farah's (2025, Table 4.1 and section 4.5.3). A view that is not visible is zeros, which heads over segments
(`cmb`) leave out of account and others read as the mean of train. Views are laid out in blocks: the posts with all
views, and where needed the posts again as they are asked, and again without captions; a fit chooses among them by row
number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from classifiers import HeadCard, HeadError
from classifiers.shared import FileRows
from crisis_registry import did_you_mean
from pipeline.errors import UsageError


@dataclass(frozen=True)
class EvalSetting:
    """The views that are trained on, and those among them that are asked with."""

    train: tuple[str, ...]
    test: tuple[str, ...]


EVAL_SETTINGS = {
    "T_T": EvalSetting(("text",), ("text",)),
    "I_I": EvalSetting(("image",), ("image",)),
    "C_C": EvalSetting(("caption",), ("caption",)),
    "TI_TI": EvalSetting(("image", "text"), ("image", "text")),
    "TC_T": EvalSetting(("caption", "text"), ("text",)),
    "TC_C": EvalSetting(("caption", "text"), ("caption",)),
    "TC_TC": EvalSetting(("caption", "text"), ("caption", "text")),
    # the comparison with MARMOT (Table 4.3)
    "TCI_TCI": EvalSetting(("caption", "image", "text"), ("caption", "image", "text")),
}


def eval_setting(name: str) -> EvalSetting:
    """The setting `name`; `HeadError` names those there are."""
    if name not in EVAL_SETTINGS:
        raise HeadError(f"There is no setting '{name}'; there are {', '.join(EVAL_SETTINGS)}.")
    return EVAL_SETTINGS[name]


def mixed_out(rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mix training: those of the posts in `rows` (int64) that lose a view, as `share` (0 to 1, exact to one post) keep
    it.

    They lose it for the whole fit, chosen by `seed` alone; smaller shares keep a part of what larger ones keep. A post
    that `rows` repeats counts once. Raises `HeadError` for a share out of range.
    """
    if not 0 <= share <= 1:
        raise HeadError(f"The share of posts that keep a view must be from 0 to 1, but is {share!r}.")
    posts = np.unique(rows)
    return np.random.default_rng(seed).permutation(posts)[round(share * len(posts)) :]


MISSING = ("skip", "absent")


@dataclass(frozen=True)
class Visibility:
    """`eval_setting` is one of `EVAL_SETTINGS`, or None for all views in training and asking; `mix_share` is the share
    of train posts that keep their caption, in percent, or None for all. `missing` says what becomes of a post that has
    not all of the views: it is left out ("skip"), or the views that it lacks are "absent", vectors of zeros.
    """

    eval_setting: str | None = None
    mix_share: float | None = None
    missing: str = "skip"

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            near = did_you_mean(self.missing, MISSING)
            raise UsageError(f"--missing takes {' or '.join(MISSING)}, and not '{self.missing}'{near}.")

    def trained(self, modalities: Sequence[str]) -> tuple[str, ...]:
        """Which of the `modalities` there are to train on; `UsageError` where they do not fit the setting."""
        if self.mix_share is not None and not 0 <= self.mix_share <= 100:
            raise UsageError(f"--mix-share is a percentage from 0 to 100, but is {self.mix_share:g}.")
        names = tuple(sorted(modalities))
        if self.eval_setting is not None:
            names = eval_setting(self.eval_setting).train
            for view in sorted({*names, *modalities}):
                if view not in modalities:
                    raise UsageError(f"The setting {self.eval_setting} needs a {view} model; give it with --{view}.")
                if view not in names:
                    raise UsageError(f"The setting {self.eval_setting} does not use --{view}; leave it out.")
        if self.mix_share is not None and not ("caption" in names and len(names) > 1):
            raise UsageError("--mix-share takes captions away in training; give --caption beside --text or --image.")
        return names

    def notes(self, card: HeadCard, absent: Mapping[str, int]) -> Iterator[str]:
        """What a reader of the figures must know of views that are not there: how many posts lack which (`absent`), and
        what a head makes of them that has no notion of an absent view.
        """
        lacking = {name: count for name, count in absent.items() if count}
        if lacking:
            said = ", ".join(f"{count:,} posts have no {name} view" for name, count in lacking.items())
            yield f"{said}: it is absent (--missing absent)"
        hidden = self.mix_share is not None or (self.eval_setting and len(set(self.eval_setting.split("_"))) > 1)
        if (hidden or lacking) and not card.tokens:
            yield f"the head {card.name} reads a view that is not shown as the mean of train; cmb leaves it out"

    def apply(self, views: Mapping[str, np.ndarray]) -> VisibleViews:
        """The `views` [n, ...] as they are seen; where that is one block, the very arrays of `views`."""
        trained = self.trained(sorted({_modality(name) for name in views}))
        asked = eval_setting(self.eval_setting).test if self.eval_setting else trained
        blocks = [frozenset(trained)]
        places = []
        for present in (frozenset(asked), blocks[0] - {"caption"} if self.mix_share is not None else blocks[0]):
            if present not in blocks:
                blocks.append(present)
            places.append(blocks.index(present))
        arrays = {
            name: _stacked(view, [_modality(name) in present for present in blocks])
            for name, view in views.items()
            if _modality(name) in trained
        }
        return VisibleViews(arrays, len(next(iter(views.values()))), places[0], places[1], self.mix_share)


ALL_VISIBLE = Visibility()


@dataclass(frozen=True)
class VisibleViews:
    """Views in blocks of `count` rows each. The first block has all views that are trained on."""

    arrays: Mapping[str, np.ndarray]
    count: int
    asked_block: int
    mixed_block: int
    mix_share: float | None

    @property
    def blocks(self) -> int:
        return max(self.asked_block, self.mixed_block) + 1

    def trained_rows(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """`rows` of the first block, those that mix training takes the caption from elsewhere; drawn by `seed`."""
        if self.mix_share is None:
            return rows
        out = mixed_out(rows, self.mix_share / 100, seed)
        return np.where(np.isin(rows, out), rows + self.mixed_block * self.count, rows)

    def in_every_block(self, rows: np.ndarray) -> np.ndarray:
        """`rows` of the first block and the same posts' rows of the others."""
        return np.concatenate([rows + block * self.count for block in range(self.blocks)])

    def asked_rows(self, rows: np.ndarray) -> np.ndarray:
        """`rows` as the head is asked about them, on dev and on test."""
        return rows + self.asked_block * self.count


def _modality(name: str) -> str:
    """ "text" of a view called "text" or, as one of several, "text/layer-0"."""
    return name.partition("/")[0]


def _stacked(view: np.ndarray, present: Sequence[bool]) -> np.ndarray:
    if len(present) == 1:
        return view
    if isinstance(view, FileRows):
        there, absent = np.arange(len(view)), np.full(len(view), -1)
        return cast(np.ndarray, view.taking(np.concatenate([there if seen else absent for seen in present])))
    return np.concatenate([view if seen else np.zeros_like(view) for seen in present])
