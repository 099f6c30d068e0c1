"""The example of docs/adding-an-encoder.md is an encoder, and its commands do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-an-encoder.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_page_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(block("python"), encoding="utf-8")
    crisis = f'crisis() {{ "{sys.executable}" -m pipeline "$@"; }}'
    done = subprocess.run(
        ["bash", "-e", "-c", f"{crisis}\n{block('sh')}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CRISIS_DATA": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "logistic on shout@" in done.stdout
    assert len(list((tmp_path / "artifacts/cache/crisismmd").glob("shout@*.h5"))) == 1
