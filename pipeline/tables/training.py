"""Training what the rows of a table need: each set of views is loaded once, each run is kept and found again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import HeadError, HeadSpec
from classifiers.balance import take_balance
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.interrupt import LostInterrupts
from pipeline.log import say
from pipeline.protocols.balanced import balanced
from pipeline.protocols.choose import Fold, Protocol, choose_protocol
from pipeline.runs.division import divide, trained_config
from pipeline.runs.fit import fit_matrix
from pipeline.runs.material import Material, load_material
from pipeline.runs.run import Run
from pipeline.runs.sources import Source
from pipeline.runs.visibility import Visibility
from pipeline.tables.encoder import Encoder, Missing, find_encoder
from pipeline.tables.layout import Asked, Trained


@dataclass(frozen=True)
class Wishes:
    """How a table is to be built. `models` has per modality ("image", "text") the model that stands in the place of the
    encoders that the table names; `params` are set for every head or trainer that knows them; `runs` is the folder that
    runs are kept in.
    """

    seeds: Sequence[int]
    runs: Path
    models: Mapping[str, str] = field(default_factory=dict)
    preset: str = "fast"
    params: Mapping[str, Any] = field(default_factory=dict)
    workers: int | None = None


@dataclass
class Fit:
    """A head to be trained; `result` is its run, or why there is none."""

    spec: HeadSpec
    result: Run | str = "it was not trained"


@dataclass
class _Group:
    """Fits on the same views, by the protocol they are trained under."""

    sources: Sequence[Source]
    visibility: Visibility
    fits: dict[Asked, tuple[Protocol, list[Fit]]] = field(default_factory=dict)


class Training:
    """Collects what must be trained (`want`), trains it (`train`), and knows what became of it (`result`)."""

    def __init__(self, posts: Posts, cache: Path, wishes: Wishes) -> None:
        self.wishes = wishes
        self.count = 0
        """How many runs were trained, those that were there already left out."""
        self.posts = posts
        self._cache = cache
        self._found: dict[tuple[str, Encoder], Source | Missing] = {}
        self._groups: dict[tuple[tuple[Source, ...], Visibility], _Group] = {}
        self._wanted: dict[tuple[str, Asked], Fit | list[Missing] | str] = {}

    def want(self, trained: Trained, asked: Asked) -> None:
        """Note that this head is to be trained, once."""
        key = (repr(trained), asked)
        if key not in self._wanted:
            self._wanted[key] = self._note(trained, asked)

    def result(self, trained: Trained, asked: Asked) -> Run | list[Missing] | str:
        """The run of what was wanted; else what its cache lacks, or why it could not be trained."""
        found = self._wanted[repr(trained), asked]
        return found.result if isinstance(found, Fit) else found

    def _note(self, trained: Trained, asked: Asked) -> Fit | list[Missing] | str:
        found = [self._source(*one) for one in trained.encoders.items()]
        if missing := [one for one in found if isinstance(one, Missing)]:
            return missing
        # what an encoder says of photo and text together stands in the place of both
        sources = tuple({one.label: one for one in found if isinstance(one, Source)}.values())
        visibility = Visibility(trained.eval_setting, trained.mix_share)
        try:
            protocol = protocol_of(self.posts, asked, frozenset(one.modality for one in sources))
        except CrisisError as error:
            # the dataset has no such task, setting or split set
            return str(error)
        group = self._groups.setdefault((sources, visibility), _Group(sources, visibility))
        fit = Fit(self._spec(trained))
        group.fits.setdefault(asked, (protocol, []))[1].append(fit)
        return fit

    def _source(self, modality: str, encoder: Encoder) -> Source | Missing:
        encoder = encoder.called(self.wishes.models.get("text" if modality == "caption" else modality))
        if (modality, encoder) not in self._found:
            self._found[modality, encoder] = find_encoder(self.posts, self._cache, modality, encoder)
        return self._found[modality, encoder]

    def _spec(self, trained: Trained) -> HeadSpec:
        balance, own = take_balance(trained.balance, trained.params)
        wished = {name: value for name, value in self.wishes.params.items() if _knows(trained.head, {name: value})}
        return HeadSpec(trained.head, {"preset": self._preset(trained.head), **own, **wished}, balance)

    def _preset(self, head: str) -> str:
        """The preset that is wished for; for a head whose source does not say how it was trained, the usual one."""
        preset = self.wishes.preset
        try:
            HeadSpec(head, {"preset": preset}).split()
        except HeadError:
            if preset != "paper":
                raise
            return "fast"
        return preset

    def check(self) -> None:
        """Refuse a parameter that no head knows that is to be trained."""
        heads = {fit.spec.head for group in self._groups.values() for _, fits in group.fits.values() for fit in fits}
        for name, value in self.wishes.params.items():
            if heads and not any(_knows(head, {name: value}) for head in heads):
                raise UsageError(f"No head of this table has a parameter '{name}' (--set).")

    def train(self) -> None:
        """Train all that was noted and is not among the runs."""
        for group in self._groups.values():
            protocols = [protocol for protocol, _ in group.fits.values()]
            material = load_material(self.posts, protocols, group.sources, group.visibility)
            for protocol, fits in group.fits.values():
                self._train(material, protocol, fits)

    def _train(self, material: Material, protocol: Protocol, fits: Sequence[Fit]) -> None:
        wishes = self.wishes
        try:
            division = divide(material, protocol, wishes.seeds)
        except CrisisError as error:
            for fit in fits:
                fit.result = str(error)
            return
        by_digest: dict[str, list[Fit]] = {}
        for fit in fits:
            config = trained_config(division, fit.spec)
            by_digest.setdefault(config.digest if config else repr(fit.spec), []).append(fit)
        specs = [alike[0].spec for alike in by_digest.values()]
        before = {path.name for path in wishes.runs.glob("*")}
        with LostInterrupts() as interrupts:
            for found in fit_matrix(
                material, [protocol], specs, wishes.seeds, wishes.runs, workers=wishes.workers, keep=True
            ):
                if isinstance(found, HeadError):
                    _put([fit for fit in fits if f"{fit.spec.called}:" in str(found)], str(found))
                else:
                    _put(by_digest[found.config.digest], found)
                    self._tell(found, before)
                interrupts.raise_lost()

    def _tell(self, run: Run, before: set[str]) -> None:
        new = run.folder.name not in before
        self.count += new
        config = run.config
        balance = "" if config.balance_label == "none" else f", balance {config.balance_label}"
        say(
            f"{config.task}: {config.head} on {' + '.join(config.views)}{balance}, {'done' if new else 'there already'}"
        )


def _put(fits: Iterable[Fit], result: Run | str) -> None:
    for fit in fits:
        fit.result = result


def _knows(head: str, params: Mapping[str, Any]) -> bool:
    """Whether the head or its trainer has these parameters; `HeadError` for a value that they refuse."""
    try:
        HeadSpec(head, params).split()
    except HeadError as error:
        if "has no parameter" in str(error):
            return False
        raise
    return True


def protocol_of(posts: Posts, asked: Asked, modalities: frozenset[str] = frozenset()) -> Protocol:
    """The protocol that is asked for, of views of these modalities."""
    protocol = choose_protocol(
        posts,
        task=asked.task,
        split_set=asked.split_set,
        setting=asked.setting,
        split=asked.split,
        target=asked.target,
        modalities=modalities,
    )
    if asked.event is not None:
        protocol = _of_event(posts, protocol, asked.event)
    for part, wanted in (("train", asked.balance_train), ("test", asked.balance_test)):
        protocol = balanced(protocol, part) if wanted else protocol
    return protocol


def _of_event(posts: Posts, protocol: Protocol, event: str) -> Protocol:
    """The protocol with the posts of one event alone."""
    inside = np.array([one == event for one in posts.events])
    if not inside.any():
        raise UsageError(f"There is no event '{event}' in '{posts.name}'.")

    def folds(seed: int) -> list[Fold]:
        return [
            Fold(fold.name, *(rows[inside[rows]] for rows in (fold.train, fold.dev, fold.test)))
            for fold in protocol.folds(seed)
        ]

    labels = np.where(inside, protocol.labels, -1)
    return replace(protocol, split=f"{protocol.split}, posts of {event}", labels=labels, folds=folds)
