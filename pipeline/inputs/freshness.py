"""Whether an input is still the one that a row was made from."""

from __future__ import annotations

import numpy as np

from cache import FeatureFile, Status
from pipeline.inputs.inputs import Input, Inputs
from pipeline.inputs.stamps import KnownStamps

SAME, CHANGED, GONE = 0, 1, 2


def input_states(
    inputs: Inputs, cached: FeatureFile, rows: np.ndarray, which: np.ndarray, reread: bool = False
) -> np.ndarray:
    """int8 [n]: whether the input of post `which[i]` is still the one of row `rows[i]`: `SAME`, `CHANGED`, or `GONE`.

    A cheap stamp decides where it is equal; only inputs whose stamp differs are read and hashed (all of them with
    `reread`), and the stamps of those that turn out to be the same are remembered beside the file. A photo that is no
    longer where it was, while its row is good, is gone and not changed: a disk may not be mounted, or somebody else's
    cache came without the photos.
    """
    hashes = cached.hashes(inputs.modality)[rows]
    good = cached.status_of(inputs.modality)[rows] == Status.OK
    known = KnownStamps(cached, inputs.modality)
    stamps = known.of(rows)
    states = np.zeros(len(which), dtype=np.int8)
    seen: dict[str, tuple[int, Input | None]] = {}
    for position, post in enumerate(which.tolist()):
        key = inputs.key(post)
        stamp, found = seen.get(key) or (inputs.stamp(post), None)
        if reread or stamp not in stamps[position]:
            found = found or inputs.examine(post)
            if key and good[position] and found.status == Status.IMAGE_MISSING:
                states[position] = GONE
            elif found.hash != hashes[position].tobytes():
                states[position] = CHANGED
            elif stamp:
                known.add(int(rows[position]), stamp)
        seen[key] = (stamp, found)
    known.keep()
    return states
