"""Which views are shown when a head is trained and when it is asked (H11; Farah 2025, Table 4.1 and section 4.5.3).

A view that is not shown is zeros. Views are laid out in blocks: the posts with all views, and where needed the posts
again as they are asked, and again without captions; a fit chooses among them by row number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from classifiers import HeadCard
from classifiers.shared import FileRows
from pipeline.errors import UsageError
from pipeline.runs.settings import mixed_out, setting


@dataclass(frozen=True)
class Showing:
    """`eval_setting` is one of `pipeline.runs.settings.SETTINGS`, or None for all views in training and asking;
    `mix_share` is the share of train posts that keep their caption, in percent, or None for all.
    """

    eval_setting: str | None = None
    mix_share: float | None = None

    def trained(self, given: Sequence[str]) -> tuple[str, ...]:
        """The views that are trained on, out of those given; `UsageError` where they do not fit the setting."""
        if self.mix_share is not None and not 0 <= self.mix_share <= 100:
            raise UsageError(f"--mix-share is a percentage from 0 to 100, but is {self.mix_share:g}.")
        names = tuple(sorted(given))
        if self.eval_setting is not None:
            names = setting(self.eval_setting).train
            for view in sorted({*names, *given}):
                if view not in given:
                    raise UsageError(f"The setting {self.eval_setting} needs a {view} model; give it with --{view}.")
                if view not in names:
                    raise UsageError(f"The setting {self.eval_setting} does not use --{view}; leave it out.")
        if self.mix_share is not None and not ("caption" in names and len(names) > 1):
            raise UsageError("--mix-share takes captions away in training; give --caption beside --text or --image.")
        return names

    def notes(self, card: HeadCard) -> tuple[str, ...]:
        """What a reader of the figures must know of a head that has no notion of an absent view."""
        hidden = self.mix_share is not None or (self.eval_setting and len(set(self.eval_setting.split("_"))) > 1)
        if not hidden or card.tokens:
            return ()
        return (f"the head {card.name} reads a view that is not shown as a vector of zeros; cmb leaves it out",)


@dataclass(frozen=True)
class Shown:
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


def shown(views: Mapping[str, np.ndarray], showing: Showing) -> Shown:
    """The `views` [n, ...] as `showing` asks for them; those of one block are the arrays given."""
    trained = showing.trained(sorted({_modality(name) for name in views}))
    asked = setting(showing.eval_setting).test if showing.eval_setting else trained
    blocks = [frozenset(trained)]
    places = []
    for present in (frozenset(asked), frozenset(trained) - {"caption"} if showing.mix_share is not None else blocks[0]):
        if present not in blocks:
            blocks.append(present)
        places.append(blocks.index(present))
    arrays = {
        name: _stacked(view, [_modality(name) in present for present in blocks])
        for name, view in views.items()
        if _modality(name) in trained
    }
    return Shown(arrays, len(next(iter(views.values()))), places[0], places[1], showing.mix_share)


def _modality(name: str) -> str:
    """ "text" of a view called "text" or, as one of several, "text/layer-0"."""
    return name.partition("/")[0]


def _stacked(view: np.ndarray, present: Sequence[bool]) -> np.ndarray:
    if len(present) == 1:
        return view
    if isinstance(view, FileRows):
        own, none = np.arange(len(view)), np.full(len(view), -1)
        return cast(np.ndarray, view.taking(np.concatenate([own if there else none for there in present])))
    return np.concatenate([view if there else np.zeros_like(view) for there in present])
