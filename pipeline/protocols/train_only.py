"""Synthetic posts in a protocol: they join train of every fold, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.protocols.protocol import Fold, Protocol


def add_to_train(posts: Posts, protocol: Protocol) -> Protocol:
    """`protocol`, which was made of the first `posts.real` posts, with the synthetic ones behind them.

    They are in train of every fold except one that holds out the event they speak of. Their text and image are in
    conflict by construction, so they count as discordant where the dataset knows of such pairs. Raises `UsageError`
    when none of them has a label of the task.
    """
    index = {name: position for position, name in enumerate(protocol.task.classes)}
    found = [index.get(protocol.task.label(label), -1) for label in posts.synthetic]
    labels = np.array(found, dtype=protocol.labels.dtype)
    if not (labels >= 0).any():
        theirs = ", ".join(sorted(set(posts.synthetic)))
        raise UsageError(
            f"None of the {len(labels)} synthetic posts has a label of the task '{protocol.task.name}' (theirs: "
            f"{theirs}); leave --synthetic out, or make posts with another --label."
        )
    known = bool((protocol.concordant >= 0).any())
    concordant = np.full(len(labels), 0 if known else -1, dtype=protocol.concordant.dtype)
    rows = posts.real + np.flatnonzero(labels >= 0)
    events = np.array(posts.events, dtype=object)[rows]

    def joined(fold: Fold) -> Fold:
        allowed = rows if not fold.name else rows[events != fold.name]
        return replace(fold, train=np.concatenate([fold.train, allowed.astype(fold.train.dtype)]))

    return replace(
        protocol,
        labels=np.concatenate([protocol.labels, labels]),
        concordant=np.concatenate([protocol.concordant, concordant]),
        folds=lambda seed: [joined(fold) for fold in protocol.folds(seed)],
        notes=(*protocol.notes, *(note for note in posts.notes if "synthetic" in note and "train" in note)),
    )
