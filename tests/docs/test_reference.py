"""docs/cli.md says what the help texts say."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.reference import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert page() == PAGE.read_text(), "run: python -m pipeline.cli.reference > docs/cli.md"
