"""The door: what `import crisis` gives, and what it costs. Each name at work: docs/python.md, run by tests/docs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import crisis
from cache import CacheError, FeatureFile
from classifiers import HeadError
from classifiers.estimator import HeadClassifier
from features import FeatureError
from pipeline.errors import UsageError
from pipeline.sample import SampleError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


def test_importing_it_imports_nothing_heavy_and_nothing_of_ours() -> None:
    code = "import sys, crisis; print(*sorted(m for m in sys.modules if '.' not in m))"
    found = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not found & {"torch", "numpy", "h5py", "pandas", "typer", "cache", "features", "classifiers", "pipeline"}


def test_every_name_is_there_and_on_the_page() -> None:
    page = PAGE.read_text()
    for name in crisis.__all__:
        assert getattr(crisis, name).__doc__
        assert re.search(rf"\bcrisis\.{name}\b", page), name
    assert set(crisis.__all__) <= set(dir(crisis))
    assert crisis.FeatureFile is FeatureFile
    assert crisis.HeadClassifier is HeadClassifier
    with pytest.raises(AttributeError, match="extrakt"):
        _ = crisis.extrakt


@pytest.mark.parametrize("error", [CacheError, HeadError, FeatureError, UsageError, SampleError])
def test_every_error_of_ours_is_a_crisis_error(error: type[Exception]) -> None:
    assert issubclass(error, crisis.CrisisError)


def test_a_name_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    table = tmp_path / "posts.csv"
    table.write_text("text,label\n" + "".join(f"{word},{label}\n" for word in "abcdefgh" for label in "xy"))
    posts = crisis.open_dataset(table, text_column="text", label_column="label")
    assert posts.texts[:3] == ["a", "a", "b"]
    with pytest.raises(crisis.CrisisError, match="conact"):
        crisis.fit(posts, head="conact", model="classic", cache=tmp_path)
    with pytest.raises(crisis.CrisisError, match="klip"):
        crisis.extract(posts, model="klip", cache=tmp_path)
