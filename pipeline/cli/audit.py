"""`crisis audit`: whether a split keeps alike posts apart, and what else makes its figures less than they seem."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.groups import LARGEST, DatasetFlags, ProtocolFlags

if TYPE_CHECKING:
    from pipeline.audit.audit import Audit
    from pipeline.audit.leaks import Leak
    from pipeline.audit.likeness import Likenesses
    from pipeline.datasets.posts import Posts
    from pipeline.protocols.choose import Protocol

LEAKS = 3
"""The exit code of a split that leaks."""


def audit(
    protocol: ProtocolFlags,
    source: DatasetFlags,
    task: o.Task = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST, help="The seed whose drawn split is looked at.", rich_help_panel="Split")
    ] = 0,
    no_near: Annotated[
        bool, typer.Option("--no-near", help="Leave out photos that only look the same: no photo is decoded.")
    ] = False,
    fix: Annotated[
        Path | None,
        typer.Option(help="Write the split without what leaks as this CSV file, for --split-file."),
    ] = None,
    cache: o.Cache = o.CACHE,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Look for posts on both sides of a split, for labels at odds and for columns that tell the label.

    Posts are alike by group (tweet), by text, and by photo, byte for byte or by its looks. A split that leaks ends the
    command with exit code 3; `--fix FILE` takes what leaks out of train and dev, and leaves test as it is.
    """
    from pipeline.audit.audit import audit as look
    from pipeline.audit.likeness import likenesses
    from pipeline.log import say, set_quiet

    set_quiet(quiet)
    posts = source.open(cache)
    chosen = protocol.choose(posts, task)
    keys = likenesses(posts, near=not no_near)
    found = look(posts, chosen, keys, _other_tasks(posts, protocol, chosen), seed)
    if json:
        o.print_json(found.as_json())
    else:
        print_audit(found)
    if fix is not None:
        say(_fix(posts, chosen, keys, seed, fix))
    if found.leaks:
        raise typer.Exit(LEAKS)


def _other_tasks(posts: Posts, flags: ProtocolFlags, chosen: Protocol) -> list[Protocol]:
    """The protocols of the dataset's other tasks, one an annotation, that have official parts under the same flags."""
    from pipeline.errors import CrisisError

    others: dict[str, Protocol] = {}
    for name, task in posts.dataset.tasks(posts).items():
        if "official" in chosen.split and task.source not in {chosen.task.source, *others}:
            with contextlib.suppress(CrisisError):
                others[task.source] = flags.choose(posts, name)
    return list(others.values())


def _fix(posts: Posts, protocol: Protocol, keys: Likenesses, seed: int, path: Path) -> str:
    """Write the split file; what was left out, in words."""
    from pipeline.audit.leaks import without_leaks
    from pipeline.errors import UsageError
    from pipeline.protocols.given import write_split

    folds = protocol.folds(seed)
    if len(folds) > 1:
        raise UsageError(f"--fix writes one split, and this one has {len(folds)} folds; name one with --test-event.")
    clean = without_leaks(folds[0], keys)
    lost = {part: len(getattr(folds[0], part)) - len(getattr(clean, part)) for part in ("train", "dev")}
    for part in lost:
        if not len(getattr(clean, part)):
            raise UsageError(
                f"Every post of {part} is alike to one that is tested on: there is no clean split to write."
            )
    write_split(path, posts, clean)
    return (
        f"{path}: the same split without {lost['train']:,} posts of train and {lost['dev']:,} of dev; use --split-file"
    )


def print_audit(found: Audit) -> None:
    from pipeline.protocols.protocol import when_held_out

    o.print_line(f"task {found.task}, setting {found.setting}, split {found.split}: {found.posts:,} labelled posts")
    for fold, classes in found.support.items():
        o.print_line(f"\nposts by class{when_held_out(fold)}")
        parts = next(iter(classes.values()))
        o.print_table(
            ["class", *parts], [[name, *(f"{n:,}" for n in counts.values())] for name, counts in classes.items()]
        )
    if found.missing:
        o.print_line(f"\n{found.missing:,} posts have a photo that is not there: nothing is known of its likeness")
    o.print_line("\non both sides of the split")
    _print_leaks(found.leaks, "nothing: no group, text or photo is")
    if found.across:
        o.print_line("\ntested by this task, trained on by another (for who trains on both)")
        _print_leaks(found.across, "")
    if found.conflicts:
        o.print_line("\nalike, but labelled differently")
        rows = [
            [one.kind, f"{one.keys:,}", f"{one.posts:,}", "; ".join(f"{k}: {v}" for k, v in one.examples[0].items())]
            for one in found.conflicts
        ]
        o.print_table(["alike in", "distinct", "posts", "for example"], rows)
    if found.shortcuts:
        o.print_line("\nwhat a column alone tells on test (* above the majority by more than three standard errors)")
        rows = [
            [
                one.column + when_held_out(one.fold),
                f"{one.accuracy:.1%}{'*' if one.tells else ''}",
                f"{one.majority:.1%}",
            ]
            for one in found.shortcuts
        ]
        o.print_table(["column", "accuracy", "majority"], rows)


def _print_leaks(leaks: Sequence[Leak], otherwise: str) -> None:
    from pipeline.protocols.protocol import when_held_out

    rows = [
        [
            one.kind,
            f"{one.first} and {one.second}{when_held_out(one.fold)}",
            f"{one.shared:,}",
            f"{one.posts:,}",
            f"{one.share:.1%}",
            " and ".join(one.examples[0]),
        ]
        for one in leaks
    ]
    if rows:
        o.print_table(["alike in", "between", "distinct", "posts", "of the part", "for example"], rows)
    else:
        o.print_line(otherwise)
