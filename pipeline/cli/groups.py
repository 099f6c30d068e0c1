"""Flags that go together: each group is declared once and stands in every command that takes it."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.models import ArgumentInfo

from pipeline.cli.words import named, one_of

if TYPE_CHECKING:
    from pipeline.datasets.columns import Columns
    from pipeline.datasets.posts import Posts
    from pipeline.protocols.choose import Protocol
    from pipeline.runs.sources import Source
    from pipeline.runs.visibility import Visibility

LARGEST = 2**32 - 1
# the sections of a command's help, in their order; "Options" are a command's own
PANELS = (
    "Arguments",
    "Options",
    "Dataset",
    "Views",
    "Seeds",
    "Split",
    "Balancing",
    "Texts",
    "Images",
    "Local weights",
    "Columns of a table",
    "Running",
    "Output",
)
_METAVARS = {Path: "PATH", int: "N", float: "X", str: "NAME"}

Seeds = Annotated[int, typer.Option(min=1, max=10_000, help="How many seeds.", rich_help_panel="Seeds")]
FirstSeed = Annotated[int, typer.Option(min=0, max=LARGEST - 10_000, help="The first seed.", rich_help_panel="Seeds")]


def column(help: str) -> Any:
    """An option that names the column of a table with what `help` says."""
    return typer.Option(metavar="COLUMN", help=help, rich_help_panel="Columns of a table")


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer reads it: a parameter whose type is one of the groups here becomes that group's flags."""
    hints = typing.get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            parameters += _flags(hints[name])
        else:
            parameters.append(parameter.replace(annotation=_shown(name, hints[name])))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _flags(group: type[Any]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(
            f.name, kind, default=f.default, annotation=_shown(f.name, hints[f.name], getattr(group, "PANEL", None))
        )
        for f in fields(group)
    ]


def _shown(name: str, hint: Any, panel: str | None = None) -> Any:
    """The hint of an option or argument, with the word for its value and its section where it does not say them."""
    info = hint.__metadata__[0]
    if isinstance(info, ArgumentInfo):
        info.metavar = info.metavar or name.upper()
    else:
        info.metavar = info.metavar or _METAVARS.get(_plain_type(hint.__origin__))
    info.rich_help_panel = info.rich_help_panel or panel
    return hint


def _plain_type(hint: Any) -> Any:
    """The type of one value: `str` of `list[str] | None`."""
    inner = [part for part in typing.get_args(hint) if part is not type(None)]
    return _plain_type(inner[0]) if inner else hint


@dataclass(frozen=True)
class DatasetFlags:
    """Which dataset, and what the columns of a table hold."""

    PANEL: ClassVar[str] = "Dataset"

    data: Annotated[
        Path | None,
        typer.Option(help="A table file, the CrisisMMD folder, or a folder of photos or texts [env: CRISIS_DATA]."),
    ] = None
    dataset: Annotated[
        str | None,
        named(
            "pipeline.datasets:DATASETS",
            help="crisismmd, table, folder, sample or MODULE:CLASS; guessed from --data if left out.",
        ),
    ] = None
    name: Annotated[str | None, typer.Option(help="The dataset's name in the cache, if not the usual one.")] = None
    text_column: Annotated[str | None, column("The text.")] = None
    image_column: Annotated[str | None, column("Image paths, relative to the file.")] = None
    label_column: Annotated[str | None, column("The label.")] = None
    group_column: Annotated[str | None, column("Posts with an equal value are never split apart.")] = None
    event_column: Annotated[str | None, column("The event.")] = None
    id_column: Annotated[str | None, column("The post id.")] = None
    split_column: Annotated[str | None, column("train, dev or test.")] = None
    knowledge_column: Annotated[str | None, column("Knowledge text about the post.")] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            help="The file's encoding, such as utf-8; found if left out.", rich_help_panel="Columns of a table"
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            help="comma, semicolon, tab, pipe or one character; found if left out.",
            rich_help_panel="Columns of a table",
        ),
    ] = None
    image_root: Annotated[
        Path | None,
        typer.Option(help="The folder of the photos, if not the file's.", rich_help_panel="Columns of a table"),
    ] = None
    image_separator: Annotated[
        str | None,
        typer.Option(
            help="What parts several photos in a cell: a post for each.", rich_help_panel="Columns of a table"
        ),
    ] = None
    clean_labels: Annotated[
        bool,
        typer.Option(
            "--clean-labels",
            help="Classes that differ only in case or spaces are one.",
            rich_help_panel="Columns of a table",
        ),
    ] = False
    knowledge: Annotated[
        Path | None, typer.Option(help="A table of knowledge texts: post_id or text, and knowledge.")
    ] = None

    def open(self, cache: Path, synthetic: Path | None = None) -> Posts:
        """The dataset's posts, and behind them the accepted ones of the folder `synthetic`; which they are goes to
        standard error.
        """
        from pipeline.datasets import open_dataset
        from pipeline.datasets.knowledge import with_knowledge

        columns = self.columns()
        posts = open_dataset(self.dataset, self.data, columns, name=self.name, cache=cache, synthetic=synthetic)
        return with_knowledge(posts, self.knowledge)

    def columns(self) -> Columns:
        """What was said of a table's columns, and of how it is written."""
        from pipeline.datasets.columns import Columns

        return Columns(
            text=self.text_column,
            image=self.image_column,
            label=self.label_column,
            group=self.group_column,
            event=self.event_column,
            id=self.id_column,
            split=self.split_column,
            knowledge=self.knowledge_column,
            encoding=self.encoding,
            delimiter=self.delimiter,
            image_root=self.image_root,
            image_separator=self.image_separator,
            clean_labels=self.clean_labels,
        )


@dataclass(frozen=True)
class ProtocolFlags:
    """Who trains and who tests."""

    PANEL: ClassVar[str] = "Split"

    splits: Annotated[
        str | None,
        named(
            "pipeline.datasets.crisismmd:SPLIT_SETS",
            help="CrisisMMD's split set: agreed, all, settingA, settingB, damage.",
        ),
    ] = None
    setting: Annotated[
        str | None,
        one_of(
            "pipeline.protocols.choose:SETTINGS",
            help="A: agreed pairs only. B: discordant pairs join train. C1 to C3: the past trains, wildfires test.",
        ),
    ] = None
    split: Annotated[
        str | None,
        one_of("pipeline.protocols.choose:DRAWN", help="Draw the split: by group, event (leave one out) or random."),
    ] = None
    split_seed: Annotated[int | None, typer.Option(min=0, max=LARGEST, help="One drawn split for all seeds.")] = None
    test_event: Annotated[str | None, typer.Option(help="Hold out this event only.")] = None
    split_file: Annotated[
        Path | None, typer.Option(help="A table of post_id and part, as `crisis audit --fix` writes it.")
    ] = None

    target: Annotated[
        str | None,
        one_of(
            "pipeline.protocols.choose:TARGETS",
            help="Whose label: the text's, the image's or the pair's. Views of one modality take its own if left out.",
        ),
    ] = None

    balance_train: Annotated[
        bool,
        typer.Option("--balance-train", help="As many train posts of every class; each seed draws its own."),
    ] = False
    balance_test: Annotated[
        bool, typer.Option("--balance-test", help="As many test posts of every class, the same for all seeds.")
    ] = False
    per_class: Annotated[
        int | None, typer.Option(min=1, help="How many posts of a class --balance-train keeps; else the rarest's.")
    ] = None

    def choose(self, posts: Posts, task: str | None, modalities: Collection[str] = ()) -> Protocol:
        """The protocol of `task`, or of the dataset's usual one, for views of these modalities."""
        from pipeline.errors import UsageError
        from pipeline.protocols.balanced import balanced
        from pipeline.protocols.choose import choose_protocol

        if self.per_class is not None and not self.balance_train:
            raise UsageError("--per-class belongs to --balance-train.")
        protocol = choose_protocol(
            posts,
            task=task,
            split_set=self.splits,
            setting=self.setting,
            split=self.split,
            split_seed=self.split_seed,
            test_event=self.test_event,
            split_file=self.split_file,
            target=self.target,
            modalities=modalities,
        )
        if self.balance_train:
            protocol = balanced(protocol, "train", self.per_class)
        return balanced(protocol, "test") if self.balance_test else protocol

    def check(self, posts: Posts, task: str | None) -> None:
        """Refuse wrong flags, which are told before features that are missing."""
        self.choose(posts, task)


@dataclass(frozen=True)
class SourceFlags:
    """Which cached views a head trains on."""

    PANEL: ClassVar[str] = "Views"

    model: Annotated[str | None, named("features:CARDS", help="The model whose views to use, image and text.")] = None
    image: Annotated[str | None, named("features:CARDS", help="The image model: MODEL[@FINGERPRINT][:VIEW].")] = None
    text: Annotated[str | None, named("features:CARDS", help="The text models: MODEL[@FINGERPRINT][:VIEW],...")] = None
    caption: Annotated[
        str | None, named("features:CARDS", help="The text model over captions (extracted with --text caption:NAME).")
    ] = None
    eval_setting: Annotated[
        str | None,
        one_of(
            "pipeline.runs.visibility:EVAL_SETTINGS",
            help="Trained on _ asked with: T_T, I_I, C_C, TI_TI, TC_T, TC_C, TC_TC, TCI_TCI.",
        ),
    ] = None
    mix_share: Annotated[
        float | None, typer.Option(help="Mix training: percent of train posts that keep their caption.")
    ] = None

    missing: Annotated[
        str,
        one_of(
            "pipeline.runs.visibility:MISSING",
            help="A post that lacks a view: skip it, or take the view for absent (zeros once standardised).",
        ),
    ] = "skip"

    def choose(self, posts: Posts, cache: Path, head: str) -> list[Source]:
        """The views for `head`, checked against how many it and the setting need."""
        from pipeline.runs.sources import choose_sources, specs_by_modality

        if self.eval_setting is not None or self.mix_share is not None:
            named = specs_by_modality(posts, cache, self.model, self.image, self.text, self.caption)
            self.visibility().trained(list(named))
        return choose_sources(
            posts, cache, head, model=self.model, image=self.image, text=self.text, caption=self.caption
        )

    def visibility(self) -> Visibility:
        """Which views are visible in training and in asking."""
        from pipeline.runs.visibility import Visibility

        return Visibility(self.eval_setting, self.mix_share, self.missing)


@dataclass(frozen=True)
class SeedFlags:
    """Over which seeds."""

    PANEL: ClassVar[str] = "Seeds"

    seeds: Seeds = 5
    seed: FirstSeed = 0

    def numbers(self) -> range:
        return range(self.seed, self.seed + self.seeds)
