"""A synthesis that is killed before any fsync or rename goes on as if nothing had happened."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets import open_dataset
from pipeline.synthesis.images import Drawn, FolderImages
from pipeline.synthesis.make import JOURNAL, Recipe
from pipeline.synthesis.prompts import read_template
from pipeline.synthesis.run import synthesize
from tests.pipeline.synthesis_support import everything, make_photo_folder, rows_of, tweet

GOALS = {"informative_text": 2, "informative_image": 1}


class Killed(BaseException):
    """Stands for the end of the process: nothing reaches the disk after it."""


class Writer:
    """A text source that also says the same thing twice, so that drafts are dropped."""

    label = "writer"

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self.asked = 0
        self.seeds: set[int] = set()

    def write(self, system: str, user: str, seed: int) -> tuple[str, bool]:
        self.asked += 1
        self.seeds.add(seed)
        return ("" if seed % 3 == 0 else tweet(seed)), False


def run(tmp_path: Path, folder: Path) -> Writer:
    table = tmp_path / "posts.csv"
    table.write_text("text,label\na b c,informative\n", encoding="utf-8")
    recipe = Recipe(read_template("conflict_posts"), 4, "en", ["the flood"], "not_informative", 280)
    writer = Writer()
    labels = ["informative", "not_informative"]
    synthesize(
        open_dataset("table", table),
        folder,
        recipe,
        GOALS,
        lambda: writer,
        lambda: FolderImages(tmp_path / "photos", labels, 4),
    )
    return writer


def test_text_and_image_are_drawn_from_generators_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photo_folder(tmp_path / "photos", each=6)
    seeds: set[int] = set()
    draw = FolderImages.draw

    def recorded(self: FolderImages, prompt: str, label: str, attempt: int, seed: int) -> Drawn:
        seeds.add(seed)
        return draw(self, prompt, label, attempt, seed)

    monkeypatch.setattr(FolderImages, "draw", recorded)
    writer = run(tmp_path, tmp_path / "out")
    assert len(seeds) == 3
    assert not seeds & writer.seeds


def die_before(change: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `change` calls of fsync and rename happen, and none after them."""
    done = 0

    def counted(call: Callable[..., None]) -> Callable[..., None]:
        def instead(*arguments: Any, **named: Any) -> None:
            nonlocal done
            if done == change:
                raise Killed
            done += 1
            call(*arguments, **named)

        return instead

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(os, "replace", counted(os.replace))


def drafts_used(folder: Path) -> int:
    """How many text drafts the journal has committed, as posts or as dropped."""
    journal = folder / JOURNAL
    lines = journal.read_bytes().splitlines() if journal.exists() else []
    return sum(b'"kind": "post"' in line or b'"what": "text"' in line for line in lines)


# what is "killed" here closes nothing
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_a_kill_before_any_fsync_or_rename_loses_at_most_one_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo_folder(tmp_path / "photos", each=6)
    drafts = run(tmp_path, tmp_path / "whole").asked
    whole = everything(tmp_path / "whole")
    assert len(rows_of(tmp_path / "whole")) == 3
    for change in itertools.count():
        folder = tmp_path / f"killed-{change}"
        die_before(change, monkeypatch)
        try:
            run(tmp_path, folder)
            break
        except Killed:
            monkeypatch.undo()
        used = drafts_used(folder)
        assert run(tmp_path, folder).asked == drafts - used, f"killed before change {change}"
        assert everything(folder) == whole, f"killed before change {change}"
    assert change > 20
