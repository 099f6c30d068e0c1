"""A package of somebody else, installed beside this one, adds to what the command line knows; nothing here names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from install_support import install, install_crisis, run

FOREIGN = Path(__file__).parent / "foreign"

pytestmark = pytest.mark.slow


class Bench:
    """A working folder with a drawn dataset, and the command with the foreign package installed beside it."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.site = site
        self.folder = folder

    def crisis(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        """What `crisis ARGUMENTS --json` answers."""
        done = run(self.site, self.folder, *arguments, "--json")
        assert done.returncode in codes, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("foreign")
    install_crisis(folder / "crisis", folder / "site")
    (folder / "package").mkdir()
    for file in FOREIGN.iterdir():
        if file.is_file():
            (folder / "package" / file.name).write_bytes(file.read_bytes())
    install(folder / "package", folder / "site")
    bench = Bench(folder / "site", folder)
    bench.crisis("data", "make", "--output", "data", "--posts", "300")
    return bench


@pytest.mark.xfail(strict=True, reason="encoders of installed packages are not read yet")
def test_its_encoder_is_listed_and_extracts_and_a_head_trains_on_it(bench: Bench) -> None:
    assert "loudness" in json.dumps(bench.crisis("models"))
    done = bench.crisis("extract", "--model", "loudness", "--quiet", codes=(3,))  # the drawn dataset has bad photos
    assert Path(done["file"]).name.startswith("loudness@")
    run = bench.crisis("fit-head", "--head", "logistic", "--model", "loudness", "--seeds", "1", "--quiet")
    assert set(run["views"]) == {"image", "text"}
    assert all("loudness" in view for view in run["views"].values())
    assert run["test"]["accuracy"]["mean"] > 0.5
