"""Knowledge texts in a file beside the dataset reach their own posts, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import FeatureFile
from features import CARDS, load
from pipeline.datasets.knowledge import with_knowledge
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.inputs.texts import text_source
from tests.pipeline.support import classic_card, make_posts

Run = Callable[..., tuple[int, str, str]]
KNOWN = {"post-1": "Napa is a county.", "post-3": 'Fire, "wild"\tand hot', "post-9": "nobody asked"}


def save(path: Path, rows: list[dict[str, str]]) -> Path:
    frame = pd.DataFrame(rows)
    writers: dict[str, Callable[[], None]] = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".jsonl": lambda: path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8") and None,
        ".parquet": lambda: frame.to_parquet(path),
    }
    writers[path.suffix]()
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("column", ["knowledge", "wiki"])
def test_texts_reach_the_posts_they_name_and_the_others_stay_empty(suffix: str, column: str, tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=5, photos=3)
    path = save(tmp_path / f"known{suffix}", [{"post_id": i, column: text} for i, text in KNOWN.items()])
    known = with_knowledge(posts, path)
    assert known.knowledge == ["", KNOWN["post-1"], "", KNOWN["post-3"], ""]
    assert f"--knowledge {path}" in known.flags
    assert text_source(known, "tweet+knowledge", tmp_path).companions == known.knowledge


def test_tsv_keyed_by_the_tweet_itself(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=2)
    (tmp_path / "known.tsv").write_text(f"text\tknowledge\n{posts.texts[0]}\tabout it\n", encoding="utf-8")
    known = with_knowledge(posts, tmp_path / "known.tsv").knowledge
    assert list(known) == ["about it" if text == posts.texts[0] else "" for text in posts.texts]


@given(st.lists(st.tuples(st.integers(0, 9), st.text(min_size=1)), unique_by=lambda row: row[0], min_size=1))
@settings(max_examples=25, deadline=None)
def test_any_text_survives_json_lines(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]) -> None:
    posts = make_posts(tmp_path_factory.getbasetemp() / "knowledge-data", count=10, photos=2)
    path = save(tmp_path_factory.getbasetemp() / "k.jsonl", [{"id": f"post-{i}", "knowledge": t} for i, t in rows])
    assert with_knowledge(posts, path).knowledge == [dict(rows).get(i, "") for i in range(10)]


@pytest.mark.parametrize(
    ("rows", "error", "sentence"),
    [
        ([{"post_id": "post-1", "knowledge": "a"}] * 2, DataError, "two rows for the post_id 'post-1'"),
        ([{"post_id": "other", "knowledge": "a"}], UsageError, "names none of the posts of 'small' by post_id"),
        ([{"post_id": "post-1", "a": "x", "b": "y"}], UsageError, "needs a column post_id or text, and a column"),
        ([{"title": "post-1", "knowledge": "x"}], UsageError, "needs a column post_id or text"),
    ],
)
def test_file_that_could_mislead_is_refused(
    rows: list[dict[str, str]], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    posts: Posts = make_posts(tmp_path / "data", count=5, photos=3)
    with pytest.raises(error, match="--knowledge") as caught:
        with_knowledge(posts, save(tmp_path / "known.csv", rows))
    assert sentence in str(caught.value)


def test_file_that_is_not_there_is_named_by_its_flag(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no table .*--knowledge"):
        with_knowledge(make_posts(tmp_path / "data", count=2, photos=1), tmp_path / "nothing.csv")


def test_knowledge_is_encoded_and_a_changed_file_recomputes_its_rows_only(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=5, photos=3)
    rows = [{"post_id": i, "knowledge": text} for i, text in KNOWN.items()]
    encoder = load(CARDS["classic"])

    def encode(rows: list[dict[str, str]]) -> np.ndarray:
        known = with_knowledge(posts, save(tmp_path / "known.csv", rows))
        result = extract(known, classic_card(), encoder, tmp_path / "cache", Options(text="tweet+knowledge"), "crisis")
        assert result.bad == {}
        with FeatureFile.open(result.file) as file:
            return file.take("text/hashed", file.rows_of(posts.ids))

    found = encode(rows)
    for row, post in enumerate(posts.ids):
        text = (posts.texts[row], KNOWN.get(post, ""))
        np.testing.assert_array_equal(found[row], encoder.encode_texts([text])["text/hashed"][0])
    changed = encode([{**rows[0], "knowledge": "Napa burns."}, *rows[1:]])
    assert np.flatnonzero((found != changed).any(axis=1)).tolist() == [1]


def test_command_line_takes_the_file_for_extract_and_for_fit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{i},flood number {i},{'a' if i % 2 else 'b'}" for i in range(60)]
    (tmp_path / "posts.csv").write_text("\n".join(["id,text,label", *lines]), encoding="utf-8")
    (tmp_path / "known.csv").write_text(
        "\n".join(["id,wiki", *(f"{i},{'red' if i % 2 else 'blue'} thing" for i in range(60))]), encoding="utf-8"
    )
    given = ["--data", "posts.csv", "--knowledge", "known.csv", "--quiet", "--json"]
    code, out, err = run("extract", "--model", "classic", "--text", "tweet+knowledge", *given)
    assert code == 0, err
    assert json.loads(out)["ok"] == 60
    fit = ("fit-head", "--head", "mlp", "--text", "classic", "--split", "random", "--seeds", "1", "--workers", "1")
    code, out, err = run(*fit, *given)
    assert code == 0, err
    (tmp_path / "known.csv").write_text("\n".join(["id,wiki", "3,something else"]), encoding="utf-8")
    code, out, err = run(*fit, *given)
    assert code == 1
    assert "have another text now" in err
    assert "--knowledge known.csv" in err
