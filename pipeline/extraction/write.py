"""Writing: lay the vectors of a window out by row, copy rows that stay, and give bad ones their reason."""

from __future__ import annotations

from typing import Any

import numpy as np

from cache import Rows, Status
from features.text import Text
from pipeline.errors import DataError
from pipeline.extraction.infer import Inference
from pipeline.extraction.read import Pending, Window
from pipeline.extraction.work import Work
from pipeline.inputs.hashing import NO_HASH
from pipeline.inputs.inputs import Inputs, PairInputs


class RowLayout:
    """The last of three steps; it waits for the encoder."""

    def __init__(self, work: Work, inference: Inference) -> None:
        self._work = work
        self._inference = inference

    def rows(self, window: Window) -> Rows:
        """The window's rows: computed where fresh, else copied as they are in the file."""
        n = len(window.rows)
        ids, groups = self._work.posts.ids, self._work.posts.groups
        result = Rows(
            ids=[ids[p] if p >= 0 else "" for p in window.posts.tolist()],
            groups=[groups[p] if p >= 0 else "" for p in window.posts.tolist()],
            views={
                name: np.full((n, *shape), np.nan, self._work.dtype) for name, shape in self._work.encoder.views.items()
            },
            status={m: np.zeros(n, np.uint8) for m in self._work.modalities},
            hashes={m: np.zeros((n, 16), np.uint8) for m in self._work.modalities},
            stamps={m: np.zeros(n, np.uint64) for m in self._work.modalities},
            captions={name: [""] * n for name in self._work.encoder.captions},
        )
        old = np.flatnonzero(~window.fresh)
        if len(old):
            self._copy(result, window.rows, old)
        where = np.flatnonzero(window.fresh)
        for pending in window.pending:
            self._fill(result, pending, where, window.posts[where])
        return result

    def _copy(self, result: Rows, rows: np.ndarray, old: np.ndarray) -> None:
        cached = self._work.store.committed()
        for names, column in ((result.ids, cached.ids), (result.groups, cached.groups)):
            for position in old.tolist():
                names[position] = column[rows[position]].decode()
        for name, array in result.views.items():
            array[old] = cached.take(name, rows[old], verify=True)
        for name, texts in result.captions.items():
            kept = cached.captions(name, verify=True)
            for position in old.tolist():
                texts[position] = kept[int(rows[position])]
        for modality in self._work.modalities:
            result.status[modality][old] = cached.status_of(modality)[rows[old]]
            result.hashes[modality][old] = cached.hashes(modality)[rows[old]]
            result.stamps[modality][old] = cached.stamps(modality)[rows[old]]

    def _fill(self, result: Rows, pending: Pending, where: np.ndarray, posts: np.ndarray) -> None:
        """Lay the vectors of one modality out over the rows at positions `where`."""
        modality = pending.inputs.modality
        status, hashes = result.status[modality], result.hashes[modality]
        failed = self._inference.failed[modality]
        slots = {digest: slot for slot, digest in enumerate(pending.new)}
        vectors = self._inference.gather(pending, list(slots))
        by_row: list[tuple[int, int]] = []
        by_slot: list[tuple[int, int]] = []
        for position, (state, stamp) in zip(where.tolist(), pending.states, strict=True):
            if state.hash != NO_HASH and state.hash not in self._inference.passing:
                # without hash and stamp a row is looked at again by the next run
                hashes[position] = np.frombuffer(state.hash, np.uint8)
                result.stamps[modality][position] = stamp
            status[position] = failed.get(state.hash, state.status) if state.status == Status.OK else state.status
            if status[position] == Status.OK:
                row = pending.row_of[state.hash]
                (by_slot if row is None else by_row).append((position, slots[state.hash] if row is None else row))
        names = [name for name in result.views if name.split("/")[0] == modality]
        for name in names:
            for pairs, new in ((by_slot, True), (by_row, False)):
                if pairs:
                    at, of = np.array(pairs, dtype=np.int64).T
                    result.views[name][at] = vectors[name][of] if new else self._work.store.take(name, of)
        for name in [name for name, of in self._work.encoder.captions.items() if of == modality]:
            for position, row in by_row:
                result.captions[name][position] = self._work.store.caption(name, row)
            for position, slot in by_slot:
                result.captions[name][position] = str(vectors[f"captions/{name}"][slot])
        self._settle_bad(result, pending.inputs, where, posts)

    def _settle_bad(self, result: Rows, inputs: Inputs, where: np.ndarray, posts: np.ndarray) -> None:
        """What happens to bad rows: left as NaN with their reason, a stop, or a blank photo in their place."""
        modality = inputs.modality
        status = result.status[modality]
        bad = np.flatnonzero(status[where] != Status.OK)
        if not len(bad):
            return
        if self._work.options.on_error == "stop":
            post = int(posts[bad[0]])
            reason = Status(int(status[where[bad[0]]])).reason
            raise DataError(f"The post '{self._work.posts.ids[post]}' is bad: {reason} (--on-error stop).")
        if self._work.options.on_error == "blank" and modality != "text":
            self._put_blank(result, inputs, where[bad], posts[bad])

    def _put_blank(self, result: Rows, inputs: Inputs, at: np.ndarray, posts: np.ndarray) -> None:
        """The white photo's answer in rows `at`, by itself or with each post's own text; bad texts stay bad."""
        sharing: dict[Text, list[int]] = {}
        for position, post in zip(at.tolist(), posts.tolist(), strict=True):
            if not isinstance(inputs, PairInputs):
                sharing.setdefault("", []).append(position)
            elif inputs.text_status(post) == Status.OK:
                sharing.setdefault(inputs.text(post), []).append(position)
        for text, views in self._inference.white(inputs, list(sharing)):
            self._lay_blank(result, inputs.modality, views, sharing[text])

    def _lay_blank(self, result: Rows, modality: str, views: dict[str, Any], at: list[int]) -> None:
        with np.errstate(over="ignore"):
            stored = {n: v.astype(self._work.dtype) for n, v in views.items() if not n.startswith("captions/")}
        if not all(np.isfinite(value).all() for value in stored.values()):
            return
        for name, value in stored.items():
            result.views[name][at] = value
        for name in views.keys() - stored.keys():
            for position in at:
                result.captions[name.removeprefix("captions/")][position] = str(views[name])
        result.status[modality][at] = Status.BLANK
