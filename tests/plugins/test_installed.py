"""What an ordinary installation holds, and that it works in a folder whose modules have the names of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from install_support import ROOT, install_crisis, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    install_crisis(folder / "crisis", folder / "site")
    return folder / "site"


def test_every_module_and_every_file_beside_them_is_installed(installed: Path) -> None:
    rooms = ("cache", "classifiers", "features", "pipeline")
    ours = [file for room in rooms for kind in ("*.py", "*.json", "py.typed") for file in (ROOT / room).rglob(kind)]
    wanted = {file.relative_to(ROOT) for file in [*ours, *ROOT.glob("crisis*.py")]}
    assert not {file for file in wanted if not (installed / file).is_file()}
    assert {room for room in rooms if (installed / room / "py.typed").is_file()} == set(rooms)


def test_the_installed_command_works_where_its_names_are_taken(installed: Path, tmp_path: Path) -> None:
    for name in ("cache.py", "features.py", "classifiers.py", "pipeline.py"):
        (tmp_path / name).write_text("raise RuntimeError('not the one of crisis')\n")
    done = run(installed, tmp_path, "models", "--json", first=".")
    assert done.returncode == 0, done.stderr
    assert "classic" in json.dumps(json.loads(done.stdout))
    assert str(tmp_path / "classifiers.py") in done.stderr
