"""Names, digests, configurations and figures are today those of `pinned/expected.json`, and old files are read as ever.

Everything goes through the command line, the files it writes and `cache` and `classifiers`: however the modules behind
them are cut, whoever has caches and runs finds them again. Where a change is meant, `pinned_support` writes the
expectations anew; the files in `pinned/` stay as an earlier version wrote them.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.pipeline.pinned_support import (
    EXPECTED,
    EXTRACTIONS,
    FITS,
    FUSIONS,
    LISTS,
    OLD,
    PINNED,
    Built,
    Old,
    listed,
    read_json,
    run_facts,
    without_time,
)

pytestmark = pytest.mark.xdist_group("pinned")

PIN = read_json(EXPECTED)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Old:
    return Old(tmp_path_factory.mktemp("old"))


def assert_holds(found: Any, pinned: Any, where: str = "", tolerance: float | None = None) -> None:
    """`found` has every key of `pinned` with its value, and may have others; floats within `tolerance`, if given."""
    if isinstance(pinned, dict):
        assert isinstance(found, dict), where
        assert set(pinned) <= set(found), f"{where}: {sorted(set(pinned) - set(found))} is gone"
        for key, value in pinned.items():
            assert_holds(found[key], value, f"{where}/{key}", tolerance)
    elif isinstance(pinned, list) and tolerance is not None:
        assert isinstance(found, list), where
        assert len(found) == len(pinned), where
        for place, (one, other) in enumerate(zip(found, pinned, strict=True)):
            assert_holds(one, other, f"{where}/{place}", tolerance)
    elif isinstance(pinned, float) and tolerance is not None:
        assert found == pytest.approx(pinned, abs=tolerance), where
    else:
        assert found == pinned, where


def assert_same_run(found: dict[str, Any], pinned: dict[str, Any]) -> None:
    """The whole configuration, the digest and the posts exactly; figures to 1e-6, probabilities to 2e-3."""
    assert found["config"] == pinned["config"]
    assert found["called"] == pinned["called"]
    assert set(pinned["files"]) <= set(found["files"])
    assert found["columns"] == pinned["columns"]
    assert found["rows"] == pinned["rows"]
    for one, other in zip(found["answers"], pinned["answers"], strict=True):
        np.testing.assert_allclose(one.pop("p"), other["p"], atol=2e-3)
        assert one == {key: value for key, value in other.items() if key != "p"}
    assert_holds(found["metrics"], pinned["metrics"], "metrics", 1e-6)
    assert set(pinned["heads"]) <= set(found["heads"])
    for name, head in pinned["heads"].items():
        assert_holds(found["heads"][name].pop("history"), head["history"], f"{name}/history", 2e-3)
        assert_holds(found["heads"][name], {key: head[key] for key in head if key != "history"}, name)


@pytest.mark.parametrize("name", EXTRACTIONS)
def test_an_extraction_has_the_name_the_fingerprint_and_the_hashes_it_had(built: Built, name: str) -> None:
    found, pinned = built.extracted[name], PIN["extracted"][name]
    measured = {"means", "first"}
    for key in sorted(set(pinned) - measured - {"provenance"}):
        assert found[key] == pinned[key], key
    assert re.fullmatch(r"store(-\d)?/pinned-posts/classic@[0-9a-f]{8}\.h5", found["file"])
    assert found["provenance"]["content"] == pinned["provenance"]["content"]
    assert_holds(found["provenance"], pinned["provenance"], "provenance")
    assert_holds({key: found[key] for key in measured}, {key: pinned[key] for key in measured}, "views", 2e-3)


@pytest.mark.parametrize("name", [*FITS, *FUSIONS])
def test_a_run_has_the_configuration_the_digest_and_the_figures_it_had(built: Built, name: str) -> None:
    called = built.called[name]
    assert re.match(r"\d{8}T\d{6}-label-\w+-[0-9a-f]{8}$", called)
    found = {"called": without_time(called), **run_facts(built.run(name))}
    assert_same_run(found, PIN["runs"][name])
    told = built.printed[name]
    assert_holds(told, PIN["runs"][name]["printed"], "--json")
    assert {part: told[part] for part in ("dev", "test")} == found["metrics"]["summary"]


@pytest.mark.parametrize("name", LISTS)
def test_what_is_listed_is_all_there_still(built: Built, name: str) -> None:
    assert_holds(listed(built.folder, name), PIN["lists"][name], name)


def test_an_old_cache_file_is_read_and_sound(old: Old) -> None:
    assert_holds(old.info(), PIN["old"]["info"], "info")
    assert_holds(old.verified(), PIN["old"]["verified"], "verify")


def test_old_heads_say_what_they_said(old: Old) -> None:
    found = old.answers()
    assert set(found) == set(PIN["old"]["answers"])
    for head, answers in PIN["old"]["answers"].items():
        np.testing.assert_allclose(found[head], answers, atol=1e-5, err_msg=head)


def test_old_runs_are_fused(old: Old) -> None:
    assert_same_run(old.fused(), PIN["old"]["fused"])


def test_an_old_run_is_analysed_over_an_old_cache_file(old: Old) -> None:
    assert_holds(old.analysed(), PIN["old"]["analysed"], "analyse", 1e-6)


def test_a_sweep_knows_an_old_run_again(old: Old) -> None:
    before = sorted(path.name for path in (old.folder / "runs").iterdir())
    assert old.swept() == [old.runs["logistic"].name]
    assert [path.name for path in sorted((old.folder / "runs").iterdir()) if path.is_dir()] == before


def test_an_old_head_is_fitted_again_as_it_was(old: Old, built: Built) -> None:
    """But for its views: photos are decoded otherwise since, so the same encoder has another fingerprint."""
    for name in OLD:
        fresh, before = run_facts(built.run(name))["config"], read_json(old.runs[name] / "config.json")
        changed = {key for key in before if fresh[key] != before[key]}
        assert changed == {"views", "fingerprints"}


def test_what_is_kept_is_small_and_names_no_place() -> None:
    files = [path for path in PINNED.rglob("*") if path.is_file()]
    sizes = [path.stat().st_size for path in files]
    assert max(sizes) < 200_000
    assert sum(sizes) < 300_000
    for path in files:
        assert not re.search(rb"/(home|root|tmp|work|Users)/", path.read_bytes()), path
