"""How a protocol divides the loaded posts among fits, and what of that decides a result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xxhash

from cache import FeatureFile, Status
from classifiers import HeadError, HeadSpec
from classifiers.params import training_dict
from classifiers.shared import FileRows
from pipeline.errors import CrisisError
from pipeline.protocols.choose import Fold, Protocol
from pipeline.protocols.protocol import when_held_out
from pipeline.protocols.remarks import remarks
from pipeline.runs.balance import discordant_rows
from pipeline.runs.config import RunConfig, asked_config
from pipeline.runs.material import Material, numbered
from pipeline.runs.run import PARTS, counted, fit_name


@dataclass(frozen=True)
class Fit:
    """One fit: its seed and fold, and int64 row numbers.

    `rows` has per part ("train", "dev", "test") the loaded rows of its posts. `trained` are the rows of the visible
    views that it learns from, `asked` those that it is asked about, on "dev" and on "test".
    """

    seed: int
    fold: str
    rows: Mapping[str, np.ndarray]
    trained: np.ndarray
    asked: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        """What its run calls it."""
        return fit_name(self.seed, self.fold)


@dataclass(frozen=True)
class Division:
    """The fits of one protocol over the loaded posts, the same for all heads; `divide` makes it.

    `sides` has per modality the loaded rows of the posts whose own label on that side is not the post's. `bad` says of
    seeds that were asked for why they cannot be trained; they are not among `seeds`.
    """

    material: Material
    protocol: Protocol
    seeds: tuple[int, ...]
    fits: Sequence[Fit]
    sides: Mapping[str, np.ndarray]
    bad: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def labels(self) -> np.ndarray:
        """int64, per row of the visible views: its class, -1 for a post that takes no part."""
        return np.tile(self.protocol.labels[self.material.rows], self.material.visible.blocks)

    @cached_property
    def discordant(self) -> dict[str, np.ndarray]:
        """Per view the rows of the visible views whose own label on that view's side is not the post's."""
        visible = self.material.visible
        return {
            source.name: visible.in_every_block(self.sides[source.modality])
            for source in self.material.sources
            if source.modality in self.sides
        }

    @cached_property
    def identity(self) -> str:
        """A digest, 32 hex digits, of what the words of a configuration leave open: the labelled posts with their
        labels and events, who is in which part of every fit, which pairs are in conflict, and what the views hold.

        Pooled views are told by their vectors, token views, which are not read here, by the hashes of their inputs.
        """
        posts, protocol, views, rows = self.material.posts, self.protocol, self.material.views, self.material.rows
        labelled = np.flatnonzero((protocol.labels[rows] >= 0) & views.usable)
        state = xxhash.xxh3_128()
        for post in rows[labelled].tolist():
            known = (posts.ids[post], posts.events[post], int(protocol.labels[post]), int(protocol.concordant[post]))
            state.update(repr(known).encode())
        number = np.full(len(rows), -1, dtype=np.int64)
        number[labelled] = np.arange(len(labelled))
        named = [((fit.seed, fit.fold, part), held) for fit in self.fits for part, held in fit.rows.items()]
        for name, held in [*named, *self.sides.items()]:
            state.update(repr((name, len(held))).encode())
            state.update(number[held].data)
        for source in self.material.sources:
            state.update(source.name.encode())
            view = views.arrays[source.name]
            if isinstance(view, FileRows):
                with FeatureFile.open(source.path) as file:
                    state.update(file.hashes(source.inputs)[view.rows[labelled]].tobytes())
            else:
                state.update(view[labelled].data)
        return state.hexdigest()

    @cached_property
    def remarks(self) -> list[str]:
        """What makes the figures less than they seem."""
        material = self.material
        folds: dict[int, list[Fold]] = {}
        for fit in self.fits:
            parts = (material.rows[fit.rows[part]] for part in ("train", *PARTS))
            folds.setdefault(fit.seed, []).append(Fold(fit.fold, *parts))
        return remarks(self.protocol, folds, numbered(material.posts.groups), material.contents)

    @property
    def test_to_train(self) -> float:
        """Test posts per train post, the mean over the fits, where seeds have test posts of their own; 0 where they
        share them.
        """
        first = {fit.fold: fit.rows["test"] for fit in reversed(self.fits)}
        if all(np.array_equal(fit.rows["test"], first[fit.fold]) for fit in self.fits):
            return 0.0
        return float(np.mean([len(fit.rows["test"]) / len(fit.rows["train"]) for fit in self.fits]))


def divide(material: Material, protocol: Protocol, seeds: Sequence[int]) -> Division:
    """The loaded posts under `protocol`, a fit per seed and fold.

    A seed that cannot be trained (a part without usable posts, a train part of one class, a dev part of other classes)
    is left out and named; `CrisisError` where no seed is left.
    """
    fits: list[Fit] = []
    bad: dict[int, str] = {}
    for seed in seeds:
        try:
            fits += [_fit(material, protocol, seed, fold) for fold in protocol.folds(seed)]
        except _Untrainable as error:
            bad[seed] = str(error)
    if not fits:
        raise CrisisError(f"{next(iter(bad.values()))[:1].upper()}{next(iter(bad.values()))[1:]}.")
    sides = discordant_rows(material.posts, protocol, material.places)
    return Division(material, protocol, tuple(seed for seed in seeds if seed not in bad), fits, sides, bad)


class _Untrainable(Exception):
    """Why a seed cannot be trained, a part of a sentence."""


def _fit(material: Material, protocol: Protocol, seed: int, fold: Fold) -> Fit:
    rows = _usable(fold, material)
    labels = protocol.labels[material.rows]
    where = when_held_out(fold.name)
    trained = np.unique(labels[rows["train"]])
    if len(trained) < 2:
        raise _Untrainable(f"all train posts of seed {seed} are '{protocol.task.classes[trained[0]]}'{where}")
    if not np.isin(labels[rows["dev"]], trained).any():
        raise _Untrainable(f"no dev post of seed {seed} is of a class that its train has{where}")
    asked = {part: material.visible.asked_rows(rows[part]) for part in PARTS}
    return Fit(seed, fold.name, rows, material.visible.trained_rows(rows["train"], seed), asked)


def trained_config(division: Division, spec: HeadSpec) -> RunConfig | None:
    """All that decides the result of `spec` trained on `division`; None for parameters that the head refuses."""
    try:
        own, training = spec.split()
    except HeadError:
        return None
    material, protocol = division.material, division.protocol
    gone = material.views.reasons[(protocol.labels[material.rows] >= 0) & ~material.views.usable]
    parameters = {**own, **training_dict(training)}
    unseen = material.visibility.notes(spec.card, material.views.absent)
    return RunConfig(
        **asked_config(material.posts, protocol),
        head=spec.head,
        preset=parameters.pop("preset", "fast"),
        parameters=parameters,
        balance={"label": spec.balance.label, **spec.balance.as_dict()},
        views={source.name: source.label for source in material.sources},
        fingerprints=material.views.fingerprints,
        identity=division.identity,
        eval_setting=material.visibility.eval_setting,
        mix_share=material.visibility.mix_share,
        missing=material.visibility.missing,
        seeds=division.seeds,
        test_to_train=division.test_to_train,
        left_out=Counter(Status(int(code)).reason for code in gone),
        notes=(
            *protocol.notes,
            *division.remarks,
            *unseen,
            *_left_out(division.bad),
        ),
    )


def _left_out(bad: Mapping[int, str]) -> Iterator[str]:
    """A note for each seed that is left out."""
    for seed, why in bad.items():
        yield f"seed {seed} is left out: {why}"


def _usable(fold: Fold, material: Material) -> dict[str, np.ndarray]:
    """The fold's loaded rows per part, without the posts that are left out."""
    rows = {part: material.places[getattr(fold, part)] for part in ("train", *PARTS)}
    rows = {part: held[held >= 0] for part, held in rows.items()}
    for part, held in rows.items():
        if not len(held):
            left_out = material.views.left_out
            where = f" of the fold '{fold.name}'" if fold.name else ""
            why = f" ({counted(left_out)})" if left_out else ""
            raise _Untrainable(f"no post with usable features is left in {part}{where}{why}")
    return rows
