"""A sample of each campaign of `benchmarks.fuzz`: nothing spoilt crashes, is lost without a word or made up."""

from __future__ import annotations

import warnings

import pytest

from benchmarks.fuzz.__main__ import campaign


@pytest.mark.parametrize(
    ("kind", "count"), [("photos", 250), ("tables", 300), ("weights", 15), ("heads", 60), ("runs", 25)]
)
def test_nothing_spoilt_gets_through(kind: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(action="ignore"):
        counted = campaign(kind, count, seed=9)
    assert sum(counted.values()) == count
    assert not [outcome for outcome in counted if outcome.startswith("FAILED")], capsys.readouterr().out
