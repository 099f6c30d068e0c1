"""Labels as people type them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.labels import settled


def test_a_number_in_two_spellings_is_one_label() -> None:
    labels, notes = settled(["1", "1.0", "0.0", "2"], clean=False)
    assert labels == ["1", "1", "0.0", "2"]
    assert notes == ["labels: '1.0' for '1'"]


def test_classes_that_look_alike_are_named_and_made_one_when_asked() -> None:
    raw = ["Flood", "Flood", "flood ", "Cafe\u0301", "Caf\u00e9", "fire"]
    kept, notes = settled(raw, clean=False)
    assert kept == raw
    assert "'flood ' for 'Flood'" in notes[0]
    assert "--clean-labels" in notes[0]
    folded, notes = settled(raw, clean=True)
    assert folded == ["Flood", "Flood", "Flood", "Caf\u00e9", "Caf\u00e9", "fire"]
    assert "--clean-labels" not in notes[0]


def test_rows_without_a_label_are_counted() -> None:
    assert settled(["a", "", "  "], clean=False) == (
        ["a", "", ""],
        ["2 of 3 rows have no label and take no part in training or testing"],
    )
    assert settled(["a", "b"], clean=True) == (["a", "b"], [])


@given(st.lists(st.sampled_from(["a", "A", " a", "b", "B  c", "b c", "1", "1.0", "", " "]), max_size=12))
def test_cleaning_twice_is_cleaning_once(raw: list[str]) -> None:
    once, _ = settled(raw, clean=True)
    again, notes = settled(once, clean=True)
    assert again == once
    assert not any("labels:" in note for note in notes)
    assert [bool(one) for one in once] == [bool(one.strip()) for one in raw]
