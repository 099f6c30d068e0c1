"""The tasks: which annotation they read, their classes in order, and how raw classes are merged.

Everything here is data; no other file knows a class by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Task:
    """`source` is the annotation a label is read from; `merge` maps raw classes onto `classes`.

    A raw class that is neither in `merge` nor in `classes` takes no part in the task.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    summary: str
    merge: Mapping[str, str] = field(default_factory=dict)

    def label(self, raw: str) -> str:
        """The class of a raw label, or "" when the post takes no part."""
        merged = self.merge.get(raw, raw)
        return merged if merged in self.classes else ""

    def labels(self, raw: Sequence[str]) -> list[str]:
        return [self.label(value) for value in raw]


_PEOPLE = {
    "injured_or_dead_people": "affected_individuals",
    "missing_or_found_people": "affected_individuals",
}

_DECLARED = (
    Task(
        name="informative",
        source="informative",
        classes=("informative", "not_informative"),
        summary="is the post of use to responders (2 classes)",
    ),
    Task(
        name="humanitarian",
        source="humanitarian",
        classes=(
            "affected_individuals",
            "infrastructure_and_utility_damage",
            "not_humanitarian",
            "other_relevant_information",
            "rescue_volunteering_or_donation_effort",
        ),
        merge={**_PEOPLE, "vehicle_damage": "infrastructure_and_utility_damage"},
        summary="5 classes with not_humanitarian, vehicles and people merged (Farah 2025, 3.2.2)",
    ),
    Task(
        name="humanitarian-abavisani",
        source="humanitarian",
        classes=(
            "affected_individuals",
            "infrastructure_and_utility_damage",
            "other_relevant_information",
            "rescue_volunteering_or_donation_effort",
            "vehicle_damage",
        ),
        merge=_PEOPLE,
        summary="5 classes without not_humanitarian, vehicles apart (Abavisani et al. 2020, 4.1)",
    ),
    Task(
        name="humanitarian-8",
        source="humanitarian",
        classes=(
            "affected_individuals",
            "infrastructure_and_utility_damage",
            "injured_or_dead_people",
            "missing_or_found_people",
            "not_humanitarian",
            "other_relevant_information",
            "rescue_volunteering_or_donation_effort",
            "vehicle_damage",
        ),
        summary="the 8 classes as annotated",
    ),
    Task(
        name="damage",
        source="damage",
        classes=("little_or_no_damage", "mild_damage", "severe_damage"),
        summary="how severe the damage in the photo is (3 classes; dont_know_or_cant_judge is left out)",
    ),
)

_ALIASES = {"humanitarian-002": "humanitarian-abavisani"}


class _Tasks(Mapping[str, Task]):
    """The declared tasks by name; former names find them, too, but are not listed."""

    _by_name = {task.name: task for task in _DECLARED}

    def __getitem__(self, name: str) -> Task:
        return self._by_name[_ALIASES.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


TASKS = _Tasks()


def label_task(column: str, labels: Sequence[str]) -> Task:
    """The task of a column of labels: its classes are the labels that occur, sorted."""
    classes = tuple(sorted({label for label in labels if label}))
    return Task(name=column, source=column, classes=classes, summary="a table's own labels")
