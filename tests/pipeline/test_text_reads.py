"""What was not read of the texts is counted, said, kept in the cache file and shown by `crisis cache info`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cache import FeatureFile
from pipeline.cli.extract import percent, text_lines
from pipeline.extraction.extract import texts_read
from tests.features.tiny import save_clip, save_text_model

Run = Callable[..., tuple[int, str, str]]
LONG, UNKNOWN = "water " * 100, "flood 漢 help"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_text_model(tmp_path_factory.mktemp("bert"), "bert"))


def table(path: Path, texts: Sequence[str], start: int = 0) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["id", "text"], *((start + at, text) for at, text in enumerate(texts))])
    return str(path)


def extracted(run: Run, model: str, weights: str, data: str, cache: Path, *more: str) -> dict[str, Any]:
    flags = ("--model", model, "--pretrained", weights, "--data", data, "--cache", str(cache), "--name", "posts")
    code, out, err = run("extract", *flags, "--json", "-q", *more)
    assert code in (0, 3), err
    found: dict[str, Any] = json.loads(out)
    return found


def test_cut_and_unknown_are_counted_by_row_and_said(run: Run, bert: str, tmp_path: Path) -> None:
    data = table(tmp_path / "posts.csv", ["help", LONG, LONG, UNKNOWN, "", "water"])
    result = extracted(run, "bert", bert, data, tmp_path / "cache")
    counts = {
        "limit": 64,
        "rows": 5,
        "cut": 2,
        "cut_share": 0.4,
        "tokens": 129,
        "unknown": 1,
        "unknown_share": 0.007752,
    }
    assert result["texts"] == counts
    _, out, _ = run("cache", "info", result["file"], "--json")
    assert json.loads(out)["texts"] == counts
    _, out, _ = run("extract", "--model", "bert", "--pretrained", bert, "--data", data, "--cache", str(tmp_path / "c"))
    assert "2 of 5 texts (40.0 %) are longer than 64 tokens and were cut" in out
    assert "1 of 129 tokens (0.8 %) are unknown to the tokenizer" in out


def test_rows_of_an_earlier_run_count_as_well(run: Run, bert: str, tmp_path: Path) -> None:
    texts = ["help", LONG, UNKNOWN]
    extracted(run, "bert", bert, table(tmp_path / "posts.csv", texts), tmp_path / "cache")
    data = table(tmp_path / "posts.csv", [*texts, "fire " * 200, LONG])
    longer = extracted(run, "bert", bert, data, tmp_path / "cache")
    whole = extracted(run, "bert", bert, data, tmp_path / "other")
    assert longer["encoded"]["text"] == 1
    assert longer["texts"] == whole["texts"]
    assert whole["texts"]["cut"] == 3
    again = extracted(run, "bert", bert, data, tmp_path / "cache")
    assert (again["encoded"]["text"], again["texts"]) == (0, whole["texts"])


def test_changed_text_no_longer_counts(run: Run, bert: str, tmp_path: Path) -> None:
    data = table(tmp_path / "posts.csv", ["help", LONG, "fire"])
    assert extracted(run, "bert", bert, data, tmp_path / "cache")["texts"]["cut"] == 1
    table(tmp_path / "posts.csv", ["help", "water", "fire"])
    assert extracted(run, "bert", bert, data, tmp_path / "cache")["texts"]["cut"] == 0


def test_clip_counts_beyond_its_context(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    weights = str(save_clip(tmp_path / "clip"))
    data = table(tmp_path / "posts.csv", ["help", "water " * 76, "x" * 20_000])
    texts = extracted(run, "clip", weights, data, tmp_path / "cache")["texts"]
    assert (texts["limit"], texts["rows"], texts["cut"], texts["unknown"]) == (77, 3, 2, 0)


def test_merged_files_add_up(run: Run, bert: str, tmp_path: Path) -> None:
    files = []
    for at, texts in enumerate((["help", LONG], [LONG, UNKNOWN, "city"])):
        data = table(tmp_path / f"{at}.csv", texts, start=10 * at)
        flags = ("--id-column", "id")
        files.append(extracted(run, "bert", bert, data, tmp_path / f"cache{at}", *flags)["file"])
    code, _, err = run("cache", "merge", *files, "--output", str(tmp_path / "merged.h5"))
    assert code == 0, err
    with FeatureFile.open(tmp_path / "merged.h5") as merged:
        texts = texts_read(merged.provenance)
    assert texts is not None
    assert (texts["rows"], texts["cut"], texts["unknown"]) == (5, 2, 1)


def test_encoder_without_tokens_says_nothing(run: Run, tmp_path: Path) -> None:
    data = table(tmp_path / "posts.csv", ["help", LONG])
    flags = ("--model", "classic", "--data", data, "--cache", str(tmp_path / "cache"))
    _, out, _ = run("extract", *flags, "--json", "-q")
    assert "texts" not in json.loads(out)


@pytest.mark.parametrize("counts", [None, [], {"texts": 3}, {"texts": {"rows": "x"}}, {"texts": {"rows": 1}}, "texts"])
def test_counts_of_a_strange_file_are_none(counts: Any) -> None:
    assert texts_read({"counts": counts}) is None
    assert list(text_lines(texts_read({"counts": counts}) or {})) == []


def test_small_shares_are_not_nothing() -> None:
    assert [percent(share) for share in (0.0, 0.0004, 0.004, 1.0)] == ["0.0 %", "less than 0.1 %", "0.4 %", "100.0 %"]
