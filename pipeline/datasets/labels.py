"""The labels of a table as people type them: one class is often spelled in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def settled(raw: Sequence[str], clean: bool) -> tuple[list[str], list[str]]:
    """The labels, and what a user should know of them.

    A number that is spelled both 1 and 1.0 is one label, 1; a cell of nothing but spaces is unlabelled. Classes that
    differ only in case, spaces or the composition of characters are named, and made one if `clean`: the spelling that
    occurs most.
    """
    notes = []
    labels = [label if label.strip() else "" for label in raw]
    distinct = set(labels)
    numbers = {label: whole[1] for label in distinct if (whole := _WHOLE.fullmatch(label)) and whole[1] in distinct}
    if numbers:
        labels = [numbers.get(label, label) for label in labels]
        notes.append(f"labels: {_pairs(numbers)}")
    alike = _alike(Counter(label for label in labels if label))
    if alike and clean:
        labels = [alike.get(label, label) for label in labels]
        notes.append(f"labels: {_pairs(alike)}")
    elif alike:
        notes.append(f"some classes differ only in case or spaces, as {_pairs(alike)}; --clean-labels makes them one")
    without = sum(label == "" for label in labels)
    if without:
        notes.append(f"{without:,} of {len(labels):,} rows have no label and take no part in training or testing")
    return labels, notes


def _alike(counts: Counter[str]) -> dict[str, str]:
    """Each spelling that is not the usual one of its class, with that one."""
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts):
        spellings.setdefault(_plain(label), []).append(label)
    # of those that occur as often, one that nobody would have to tidy
    usual = {plain: max(some, key=lambda one: (counts[one], one == _tidy(one))) for plain, some in spellings.items()}
    return {one: usual[plain] for plain, some in spellings.items() for one in some if one != usual[plain]}


def _tidy(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).split())


def _plain(label: str) -> str:
    return _tidy(unicodedata.normalize("NFC", label).casefold())


def _pairs(spellings: dict[str, str], most: int = 5) -> str:
    shown = [f"'{one}' for '{other}'" for one, other in sorted(spellings.items())[:most]]
    left = len(spellings) - len(shown)
    return ", ".join([*shown, *([f"and {left} more"] if left else [])])
