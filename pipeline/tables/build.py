"""Filling a table: what is not in the cache is named, what is not among the runs is trained, all else is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.dataset import PARTS
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError
from pipeline.runs.fuse import fuse_runs
from pipeline.runs.run import Run
from pipeline.runs.zero_shot import Prompted, zero_shot_run
from pipeline.tables.encoder import Missing, commands_of, find_encoder
from pipeline.tables.layout import (
    Asked,
    Counted,
    Fused,
    NotOurs,
    OneRight,
    Panel,
    PaperTable,
    Row,
    ZeroShot,
    trained_of,
)
from pipeline.tables.measure import Figure, figures, one_right
from pipeline.tables.training import Training, Wishes, protocol_of


@dataclass(frozen=True)
class Cell:
    """A row under a panel. `figures` has one per measure where it was filled; else `why` says why not, and `commands`
    make what is missing. `runs` are those that the figures come from, the row's own last.
    """

    panel: Panel
    row: Row
    figures: Sequence[Figure | None] = ()
    why: str = ""
    runs: Sequence[Run] = ()
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Filled:
    """A table with its cells, panel by panel; `trained` counts the runs that were not there before."""

    table: PaperTable
    cells: Sequence[Cell]
    wishes: Wishes
    trained: int

    @property
    def commands(self) -> list[str]:
        """What makes all that is missing, each command once."""
        return list(dict.fromkeys(command for cell in self.cells for command in cell.commands))

    @property
    def whole(self) -> bool:
        """Whether every cell that is ours has its figures."""
        return not any(cell.why and not cell.why.startswith("not ours") for cell in self.cells)


def build(table: PaperTable, posts: Posts, cache: Path, wishes: Wishes) -> Filled:
    """Fill the table. Each set of views is loaded once; runs are kept in `wishes.runs`, where the next call finds them.

    Raises `UsageError` for models and parameters that do not exist, `CrisisError` for features that are stale.
    """
    training = Training(posts, cache, wishes)
    for panel, row in table.places:
        for trained in () if panel.not_ours else trained_of(row.system):
            training.want(trained, row.asked.over(panel.asked))
    training.check()
    training.train()
    filling = _Filling(table, training, cache)
    cells = [filling.cell(panel, row) for panel, row in table.places]
    return Filled(table, cells, wishes, training.count)


@dataclass(frozen=True)
class _Filling:
    """Cells from what was trained."""

    table: PaperTable
    training: Training
    cache: Path

    def cell(self, panel: Panel, row: Row) -> Cell:
        """The row under the panel, or why it has no figures."""
        system, asked = row.system, row.asked.over(panel.asked)
        if isinstance(system, NotOurs):
            return Cell(panel, row, why=f"not ours: {system.why}")
        if panel.not_ours:
            return Cell(panel, row, why=f"not ours: {panel.not_ours}")
        try:
            if isinstance(system, Counted):
                return self._counted(panel, row, asked)
            if isinstance(system, ZeroShot):
                return self._prompted(panel, row, system, asked)
            return self._trained(panel, row, asked)
        except CrisisError as error:
            return Cell(panel, row, why=f"failed: {error}")

    def _trained(self, panel: Panel, row: Row, asked: Asked) -> Cell:
        results = [self.training.result(trained, asked) for trained in trained_of(row.system)]
        missing: list[Missing] = [one for found in results if isinstance(found, list) for one in found]
        if missing:
            return _missing(panel, row, missing)
        runs = [found for found in results if isinstance(found, Run)]
        if len(runs) < len(results):
            return Cell(panel, row, why=f"failed: {next(found for found in results if isinstance(found, str))}")
        if isinstance(row.system, OneRight):
            return Cell(panel, row, one_right(runs[0], runs[1:], self.table.measures), runs=runs)
        if isinstance(row.system, Fused):
            runs.append(fuse_runs(runs, row.system.rule, None, self.training.wishes.runs, keep=True))
        return Cell(panel, row, figures(runs[-1], self.table.measures, self.cache), runs=runs)

    def _prompted(self, panel: Panel, row: Row, system: ZeroShot, asked: Asked) -> Cell:
        posts, wishes = self.training.posts, self.training.wishes
        found = find_encoder(posts, self.cache, "image", system.encoder)
        if isinstance(found, Missing):
            return _missing(panel, row, [found])
        protocol = protocol_of(posts, asked)
        prompted = Prompted(found.path.stem, "image", protocol.task.name)
        run = zero_shot_run(posts, protocol, self.cache, prompted, wishes.seeds, wishes.runs, keep=True)
        return Cell(panel, row, figures(run, self.table.measures, self.cache), runs=[run])

    def _counted(self, panel: Panel, row: Row, asked: Asked) -> Cell:
        """The posts of each part; where each seed draws its own, those of the first."""
        fold = protocol_of(self.training.posts, asked).folds(self.training.wishes.seeds[0])[0]
        sizes = {part: len(getattr(fold, part)) for part in PARTS}
        sizes["total"] = sum(sizes.values())
        return Cell(panel, row, [Figure(float(sizes[measure.part])) for measure in self.table.measures])


def _missing(panel: Panel, row: Row, missing: Sequence[Missing]) -> Cell:
    names = ", ".join(dict.fromkeys(one.encoder.title for one in missing))
    return Cell(panel, row, why=f"not in the cache: {names}", commands=commands_of(missing))
