"""What a run is: its configuration, and a digest of the posts and vectors behind it, by which a run is known again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xxhash

import classifiers
from cache import FeatureFile, Status
from classifiers.balance import Balance
from classifiers.params import split_params, training_dict
from classifiers.shared import FileRows
from pipeline.datasets.posts import Posts
from pipeline.members import Member
from pipeline.showing import Showing
from pipeline.splits import Protocol
from pipeline.views import Source, Views


def run_config(
    posts: Posts,
    protocol: Protocol,
    head: str,
    balance: Balance,
    sources: Sequence[Source],
    views: Views,
    wanted: np.ndarray,
    seeds: Sequence[int],
    params: Mapping[str, Any],
    showing: Showing,
    identity: str,
) -> dict[str, Any] | None:
    """All that decides the result, as plain JSON values; None for parameters that the head refuses."""
    try:
        own, training = split_params(classifiers.head_card(head), params)
    except classifiers.HeadError:
        return None
    gone = views.reasons[(protocol.labels[wanted] >= 0) & ~views.usable]
    parameters = {**own, **training_dict(training)}
    preset = parameters.pop("preset", "fast")
    return {
        "dataset": posts.name,
        "posts": len(posts),
        "task": protocol.task.name,
        "classes": list(protocol.task.classes),
        "setting": protocol.setting,
        "split": protocol.split,
        "head": head,
        "preset": preset,
        "parameters": parameters,
        "balance": {"label": balance.label, **balance.as_dict()},
        "views": {source.name: source.label for source in sources},
        "fingerprints": dict(views.fingerprints),
        "identity": identity,
        "eval_setting": showing.eval_setting,
        "mix_share": showing.mix_share,
        "seeds": list(seeds),
        "left_out": dict(Counter(Status(int(code)).reason for code in gone)),
        "notes": [*protocol.notes, *showing.notes(classifiers.head_card(head))],
    }


def identity_of(
    posts: Posts,
    protocol: Protocol,
    members: Sequence[Member],
    discordant: Mapping[str, np.ndarray],
    sources: Sequence[Source],
    views: Views,
    wanted: np.ndarray,
) -> str:
    """A digest, 32 hex digits, of what the words of a configuration leave open: the labelled posts with their labels
    and events, who is in which part of every fit, which pairs are in conflict, and what the views hold.

    Pooled views are told by their vectors, token views, which are not read here, by the hashes of their inputs.
    """
    own = np.flatnonzero((protocol.labels[wanted] >= 0) & views.usable)
    state = xxhash.xxh3_128()
    for post in wanted[own].tolist():
        known = (posts.ids[post], posts.events[post], int(protocol.labels[post]), int(protocol.concordant[post]))
        state.update(repr(known).encode())
    number = np.full(len(wanted), -1, dtype=np.int64)
    number[own] = np.arange(len(own))
    named = [((m.seed, m.fold, part), rows) for m in members for part, rows in m.rows.items()]
    for name, rows in [*named, *((side, rows) for side, rows in discordant.items())]:
        state.update(repr((name, len(rows))).encode())
        state.update(number[rows].tobytes())
    for source in sources:
        state.update(source.name.encode())
        view = views.arrays[source.name]
        if isinstance(view, FileRows):
            with FeatureFile.open(source.path) as file:
                state.update(file.hashes(source.inputs)[view.rows[own]].tobytes())
        else:
            state.update(view[own].tobytes())
    return state.hexdigest()
