"""Folders of a user's own that hold a `cache.py` or a `features/` do not break the command, and are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RAISES = "raise RuntimeError(f'{__name__} is not the one of crisis')\n"
CONSOLE = "import sys; from crisis import main; sys.exit(main())"
STARTS = {"-m crisis": ["-m", "crisis"], "the console script": ["-c", CONSOLE]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder whose modules have the names of ours, and raise when they are imported."""
    for name in ("features.py", "pipeline.py", "cache/__init__.py", "classifiers/__init__.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(RAISES)
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, which is in front of everything on its path."""
    environment = {**os.environ, "PYTHONPATH": f".{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_the_command_goes_on_and_says_in_one_sentence_what_is_not_used(folder: Path, start: list[str]) -> None:
    done = python(folder, *start, "models")
    assert done.returncode == 0, done.stderr
    assert "classic (image+text)" in done.stdout
    (sentence,) = done.stderr.splitlines()
    for name in ("cache", "classifiers", "features.py", "pipeline.py"):
        assert str(folder / name) in sentence


def test_quiet_keeps_the_sentence_back(folder: Path) -> None:
    done = python(folder, "-m", "crisis", "extract", "--quiet", "--data", "nowhere.csv")
    assert done.stderr.startswith("error: ")


def test_python_m_pipeline_is_guarded_where_the_folder_has_no_pipeline(folder: Path) -> None:
    (folder / "pipeline.py").unlink()
    done = python(folder, "-m", "pipeline", "models")
    assert done.returncode == 0, done.stderr
    assert str(folder / "cache") in done.stderr


def test_a_folder_that_holds_no_python_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    done = python(tmp_path, "-m", "crisis", "models")
    assert (done.returncode, done.stderr) == (0, "")


def test_modules_imported_before_are_forgotten_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "cache.py").write_text("mine = True\n")
    (tmp_path / "mine.py").write_text("import cache\n")
    code = "import mine, crisis_guard, cache; print(cache.FeatureFile.__module__, mine.cache.mine)"
    done = python(tmp_path, "-c", code)
    assert done.stdout.split() == ["cache.reader", "True"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_both_stages_run_there_and_so_do_worker_processes(folder: Path, start: list[str]) -> None:
    drawn = python(folder, *start, "data", "make", "--output", "sample", "--posts", "100")
    assert drawn.returncode == 0, drawn.stderr
    extracted = python(folder, *start, "extract", "--model", "classic", "--data", "sample")
    assert extracted.returncode == 3, extracted.stderr  # the sample has bad photos
    fitted = python(
        folder, *start, "fit-head", "--head", "mlp", "--data", "sample", "--seeds", "2", "--workers", "2", "--quiet"
    )
    assert fitted.returncode == 0, fitted.stderr
    assert "macro-F1" in fitted.stdout
    assert "not used" not in fitted.stderr
