"""CSV files for people: a cell from data is a text in a spreadsheet, never a formula."""

from __future__ import annotations

import pytest

from pipeline.sheets import shown


@pytest.mark.parametrize("cell", ["=1+1", "+49", "-x", "@SUM(A1)", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_run_is_a_text(cell: str) -> None:
    assert shown({"task": cell}) == {"task": f"'{cell}"}


@pytest.mark.parametrize("cell", ["label", "", "a=b", -0.5, 3, None, True])
def test_all_else_stays(cell: object) -> None:
    assert shown({"task": cell}) == {"task": cell}
