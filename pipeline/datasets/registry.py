"""The datasets by name: ours, those of installed packages, and "module:Class" for a file of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from crisis_registry import Registry
from pipeline.datasets.crisismmd import CrisisMMD
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.folder import Folder
from pipeline.datasets.sample import Sample
from pipeline.datasets.tabular import Tabular
from pipeline.errors import UsageError

_OURS: tuple[tuple[str, Dataset], ...] = (
    ("crisismmd", CrisisMMD()),
    ("table", Tabular()),
    ("folder", Folder()),
    ("sample", Sample()),
)

GOOD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What a dataset may be called in the cache."""


def _adopt(spec: str, found: Any) -> Dataset:
    """The dataset that `spec` names by a class or an instance of one. `TypeError` says what is wrong."""
    if isinstance(found, type) and issubclass(found, Dataset):
        found = found()
    if not isinstance(found, Dataset):
        raise TypeError("it is not derived from pipeline.datasets.Dataset")
    if not GOOD_NAME.fullmatch(found.name):
        raise TypeError(f"its name '{found.name}' cannot be that of a folder (letters, digits, '.', '_', '-')")
    if found.name in DATASETS.own:
        raise TypeError(f"it has the name of one of ours, '{found.name}'")
    return found


DATASETS = Registry("dataset", _OURS, group="crisis.datasets", command="crisis data ls", error=UsageError, adopt=_adopt)


def recognised(path: Path) -> str:
    """The dataset that `path` looks like; what installed packages know comes before our own."""
    others = [name for name in DATASETS if name not in DATASETS.own]
    return next((name for name in (*others, *DATASETS.own) if DATASETS[name].recognises(path)), "crisismmd")
