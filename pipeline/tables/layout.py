"""What a table of a paper is made of: systems as rows, tasks as panels, measures as columns, and what was published.

A table is data alone: `pipeline.tables.build` fills it, `pipeline.tables.show` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.tables.encoder import Encoder

Published = float | tuple[float, float] | None
"""A published figure as its source prints it, percentages in percent: the mean alone, or mean and deviation."""


@dataclass(frozen=True)
class Measure:
    """A column. `metric` is a key of `pipeline.tables.measure.METRICS`, or "posts", the count of a part; `part` is
    "dev" or "test", and of the count also "train" or "total"; `subset` "ambiguous" keeps the posts whose text and photo
    are labelled differently.
    """

    metric: str
    part: str = "test"
    subset: str = ""

    @property
    def title(self) -> str:
        """ "accuracy", "macro-F1 (dev)"."""
        name = {"macro_f1": "macro-F1", "weighted_f1": "weighted F1"}.get(self.metric, self.metric.replace("_", " "))
        if self.metric == "posts":
            return f"{self.part} posts"
        said = [word for word in ("dev" if self.part == "dev" else "", self.subset) if word]
        return name + (f" ({', '.join(said)})" if said else "")

    @property
    def is_share(self) -> bool:
        """Whether it is from 0 to 1 and shown in percent."""
        return self.metric != "posts"


@dataclass(frozen=True)
class Asked:
    """Who trains and who tests, as `choose_protocol` takes it; None where it is left open. `event` keeps the posts of
    one event only; `balance_train` and `balance_test` cut a part to equal classes.
    """

    task: str | None = None
    split_set: str | None = None
    setting: str | None = None
    split: str | None = None
    target: str | None = None
    event: str | None = None
    balance_train: bool | None = None
    balance_test: bool | None = None

    def over(self, other: Asked) -> Asked:
        """These, and those of `other` where these leave something open."""
        ours = {one.name: getattr(self, one.name) for one in fields(self)}
        return Asked(**{name: getattr(other, name) if value is None else value for name, value in ours.items()})


@dataclass(frozen=True)
class Trained:
    """A head on the cached views of one encoder per modality, with parameters of its own and its balancer's."""

    head: str
    image: Encoder | None = None
    text: Encoder | None = None
    caption: Encoder | None = None
    balance: str = "none"
    params: Mapping[str, Any] = field(default_factory=dict)
    eval_setting: str | None = None
    mix_share: float | None = None

    @property
    def encoders(self) -> dict[str, Encoder]:
        """By modality, those that it has."""
        every = {"image": self.image, "text": self.text, "caption": self.caption}
        return {modality: encoder for modality, encoder in every.items() if encoder is not None}


@dataclass(frozen=True)
class Fused:
    """The answers of heads that are trained apart, put together by a rule; nothing further is trained."""

    rule: str
    members: tuple[Trained, ...]


@dataclass(frozen=True)
class ZeroShot:
    """The photo's nearest class prompt, by an encoder of photos and texts; nothing is trained, and no other encoder can
    stand in its place.
    """

    encoder: Encoder


@dataclass(frozen=True)
class OneRight:
    """A fusion, asked about the posts that only one of two models of one modality answers rightly."""

    fused: Trained
    text: Trained
    photo: Trained


@dataclass(frozen=True)
class Counted:
    """Nothing is trained: the posts of the parts are counted."""


@dataclass(frozen=True)
class NotOurs:
    """A row of the source that this project cannot do: `why` ends the sentence "not ours: "."""

    why: str


System = Trained | Fused | ZeroShot | OneRight | Counted | NotOurs


@dataclass(frozen=True)
class Row:
    """`title` is the source's name of the system; `published` has per panel one figure per measure of the table. The
    row stands under the `panels` that are named, or all.
    """

    title: str
    system: System
    published: Mapping[str, Sequence[Published]]
    asked: Asked = Asked()
    panels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """A task, or another way of dividing the posts, under which all rows are asked. `not_ours` says why a panel of the
    source cannot be filled here.
    """

    title: str
    asked: Asked = Asked()
    not_ours: str = ""


@dataclass(frozen=True)
class Source:
    """Where a table was published, and what its authors did that may differ from what is done here; "" where they do
    not say. `seeds` is over how many runs their figures are, 0 where they do not say.
    """

    paper: str
    number: str
    encoders: str
    photos: str = ""
    seeds: int = 0
    balancing: str = ""
    labels: str = ""


@dataclass(frozen=True)
class PaperTable:
    """`name` is what `crisis table` calls it; `seeds` how many there are unless told otherwise."""

    name: str
    title: str
    source: Source
    panels: tuple[Panel, ...]
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    seeds: int = 5

    def __post_init__(self) -> None:
        titles = {panel.title for panel in self.panels}
        for row in self.rows:
            for panel, figures in row.published.items():
                if panel not in titles or len(figures) != len(self.measures):
                    raise ValueError(f"{self.name}, {row.title}: {panel} must have {len(self.measures)} figures.")

    @property
    def places(self) -> Iterator[tuple[Panel, Row]]:
        """Every cell's panel and row, panel by panel."""
        for panel in self.panels:
            yield from ((panel, row) for row in self.rows if panel.title in (row.panels or (panel.title,)))

    @property
    def encoders(self) -> list[tuple[str, Encoder]]:
        """Each modality and encoder that a row needs, once."""
        found: dict[tuple[str, Encoder], None] = {}
        for row in self.rows:
            for trained in trained_of(row.system):
                found.update(dict.fromkeys(trained.encoders.items()))
            if isinstance(row.system, ZeroShot):
                found["image", row.system.encoder] = None
        return list(found)


def trained_of(system: System) -> tuple[Trained, ...]:
    """The heads that must be trained for a system."""
    if isinstance(system, Fused):
        return system.members
    if isinstance(system, OneRight):
        return system.fused, system.text, system.photo
    return (system,) if isinstance(system, Trained) else ()
