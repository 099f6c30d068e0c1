"""How a protocol divides the loaded posts among fits, and what of that decides a result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

import classifiers
from cache import FeatureFile, Status
from classifiers.balance import Balance
from classifiers.params import split_params, training_dict
from classifiers.shared import FileRows
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError
from pipeline.protocols.choose import Fold, Protocol
from pipeline.runs.balance import discordant_rows
from pipeline.runs.config import RunConfig
from pipeline.runs.run import counted
from pipeline.runs.showing import Showing, Shown
from pipeline.runs.views import Source, Views


@dataclass(frozen=True)
class Member:
    """One fit: its seed and fold; `rows`, per part, those of its posts in the loaded arrays. `trained` are the rows
    that it learns from, and `asked`, for dev and test, those that it is asked about, both as they are shown.
    """

    seed: int
    fold: str
    rows: Mapping[str, np.ndarray]
    trained: np.ndarray
    asked: Mapping[str, np.ndarray]


def members_of(
    protocol: Protocol, seeds: Sequence[int], place: np.ndarray, views: Views, visible: Shown
) -> list[Member]:
    """`place` int64 [posts] gives a post's row in the loaded arrays, -1 for one that is not loaded or not usable.

    Raises `CrisisError` where no usable post is left in a part.
    """
    members = []
    for seed in seeds:
        for fold in protocol.folds(seed):
            rows = _usable(fold, place, views)
            asked = {part: visible.asked_rows(rows[part]) for part in ("dev", "test")}
            members.append(Member(seed, fold.name, rows, visible.trained_rows(rows["train"], seed), asked))
    return members


def _usable(fold: Fold, place: np.ndarray, views: Views) -> dict[str, np.ndarray]:
    """The fold's rows in the loaded arrays, without the posts that are left out."""
    rows = {part: place[getattr(fold, part)] for part in ("train", "dev", "test")}
    rows = {part: held[held >= 0] for part, held in rows.items()}
    for part, held in rows.items():
        if not len(held):
            where = f" of the fold '{fold.name}'" if fold.name else ""
            why = f" ({counted(views.left_out)})" if views.left_out else ""
            raise CrisisError(f"No post with usable features is left in {part}{where}{why}.")
    return rows


@dataclass(frozen=True)
class Division:
    """One protocol over the loaded views, for all heads: the name of its labels, its fits, per view the rows whose own
    label on that view's side is not the post's, and the digest of it all, `identity_of`.
    """

    protocol: Protocol
    labels: str
    members: Sequence[Member]
    discordant: Mapping[str, np.ndarray]
    identity: str


def divide(
    posts: Posts,
    protocol: Protocol,
    labels: str,
    seeds: Sequence[int],
    sources: Sequence[Source],
    views: Views,
    visible: Shown,
    wanted: np.ndarray,
) -> Division:
    """The posts `wanted` (int64 [n]), whose `views` are loaded, under `protocol`; raises as `members_of`."""
    place = np.full(len(posts), -1, dtype=np.int64)
    place[wanted] = np.where(views.usable, np.arange(len(wanted)), -1)
    members = members_of(protocol, seeds, place, views, visible)
    sides = discordant_rows(posts, protocol, place)
    identity = identity_of(posts, protocol, members, sides, sources, views, wanted)
    marked = {one.name: visible.in_every_block(sides[one.modality]) for one in sources if one.modality in sides}
    return Division(protocol, labels, members, marked, identity)


def asked_config(posts: Posts, protocol: Protocol) -> dict[str, Any]:
    """What every configuration says of the posts, the task and the way of splitting."""
    return {
        "dataset": posts.name,
        "posts": len(posts),
        "task": protocol.task.name,
        "classes": protocol.task.classes,
        "setting": protocol.setting,
        "split": protocol.split,
    }


def run_config(
    posts: Posts,
    division: Division,
    head: str,
    balance: Balance,
    sources: Sequence[Source],
    views: Views,
    wanted: np.ndarray,
    seeds: Sequence[int],
    params: Mapping[str, Any],
    showing: Showing,
) -> RunConfig | None:
    """All that decides the result; None for parameters that the head refuses."""
    try:
        own, training = split_params(classifiers.head_card(head), params)
    except classifiers.HeadError:
        return None
    protocol = division.protocol
    gone = views.reasons[(protocol.labels[wanted] >= 0) & ~views.usable]
    parameters = {**own, **training_dict(training)}
    return RunConfig(
        **asked_config(posts, protocol),
        head=head,
        preset=parameters.pop("preset", "fast"),
        parameters=parameters,
        balance={"label": balance.label, **balance.as_dict()},
        views={source.name: source.label for source in sources},
        fingerprints=views.fingerprints,
        identity=division.identity,
        eval_setting=showing.eval_setting,
        mix_share=showing.mix_share,
        seeds=tuple(seeds),
        test_to_train=_test_to_train(division.members),
        left_out=Counter(Status(int(code)).reason for code in gone),
        notes=(*protocol.notes, *showing.notes(classifiers.head_card(head))),
    )


def _test_to_train(members: Sequence[Member]) -> float:
    """Test posts per train post, the mean over the fits, where seeds have test posts of their own; 0 where they share
    them.
    """
    first = {member.fold: member.rows["test"] for member in reversed(members)}
    if all(np.array_equal(member.rows["test"], first[member.fold]) for member in members):
        return 0.0
    return float(np.mean([len(member.rows["test"]) / len(member.rows["train"]) for member in members]))


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
        state.update(number[rows].data)
    for source in sources:
        state.update(source.name.encode())
        view = views.arrays[source.name]
        if isinstance(view, FileRows):
            with FeatureFile.open(source.path) as file:
                state.update(file.hashes(source.inputs)[view.rows[own]].tobytes())
        else:
            state.update(view[own].data)
    return state.hexdigest()
