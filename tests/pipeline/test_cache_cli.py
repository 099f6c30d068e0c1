"""`crisis cache`: damage is named, unfinished work can be sealed, files merged and dropped, nothing else touched."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cache import FeatureFile, FeatureWriter
from pipeline.extraction.extract import Options, extract
from tests.pipeline.support import Counting, classic_card, make_posts

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    posts = make_posts(tmp_path / "data")
    return extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract").file


def test_verify_names_the_rows_of_a_flipped_bit(run: Run, file: Path) -> None:
    code, out, _ = run("cache", "verify", str(file))
    assert (code, "60 rows are sound" in out) == (0, True)
    with FeatureFile.open(file) as opened:
        row = opened.read("text/hashed")[17].tobytes()
    data = bytearray(file.read_bytes())
    data[data.index(row) + 5] ^= 4
    file.write_bytes(bytes(data))
    code, out, _ = run("cache", "verify", str(file), "--json")
    (report,) = json.loads(out)["files"]
    assert code == 1
    assert not report["ok"]
    (damage,) = report["damage"]
    assert damage["table"] == "views/text/hashed"
    assert damage["rows"][0] <= 17 <= damage["rows"][1]


def test_damaged_rows_are_refused_in_training_and_mended_by_extracting_anew(file: Path, tmp_path: Path) -> None:
    from cache import CacheError
    from pipeline.protocols.choose import choose_protocol
    from pipeline.runs.sources import find_sources
    from pipeline.runs.views import load_views

    posts = make_posts(tmp_path / "data")
    whole = file.read_bytes()
    data = bytearray(whole)
    with FeatureFile.open(file) as opened:
        data[data.index(opened.read("image/statistics")[3].tobytes())] ^= 1
    file.write_bytes(bytes(data))
    sources = find_sources(posts, tmp_path / "cache", "classic", None)
    wanted = choose_protocol(posts).folds(0)[0].train
    with pytest.raises(CacheError, match="damaged"):
        load_views(posts, sources, wanted)
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(overwrite="always"), "crisis extract")
    load_views(posts, sources, wanted)


def test_seal_makes_one_file_of_committed_parts(run: Run, file: Path) -> None:
    with FeatureFile.open(file) as opened:
        settings = {
            "views": opened.views,
            "modalities": opened.modalities,
            "provenance": opened.provenance,
        }
        ids = opened.id_list()
    from cache import Rows

    with FeatureFile.open(file) as opened:
        rows = Rows(
            ids=ids[:5],
            groups=opened.group_list()[:5],
            views={name: opened.take(name, range(5)) for name in opened.views},
            status={m: opened.status_of(m)[:5].copy() for m in opened.modalities},
            hashes={m: opened.hashes(m)[:5].copy() for m in opened.modalities},
            stamps={m: opened.stamps(m)[:5].copy() for m in opened.modalities},
        )
    other = file.with_name("classic@part0000.h5")
    with FeatureWriter(other, **settings) as writer:
        writer.commit(0, rows)
    assert not other.exists()
    assert "unfinished" in run("cache", "ls", "--cache", str(file.parents[1]))[1]
    code, _, _ = run("cache", "seal", str(other))
    assert code == 0
    with FeatureFile.open(other) as opened:
        assert opened.sealed
        assert opened.id_list() == ids[:5]


def test_merge_joins_files_of_one_encoder(run: Run, file: Path, tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    more = replace(posts, name="more", ids=[f"more-{i}" for i in range(60)])
    second = extract(more, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract").file
    code, out, _ = run("cache", "merge", str(file), str(second), "--output", "joined.h5", "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 120
    code, _, err = run("cache", "merge", str(file), str(file), "--output", "twice.h5")
    assert code == 1
    assert "both hold the post" in err


def test_drop_deletes_only_when_told(run: Run, file: Path) -> None:
    code, _, _ = run("cache", "drop", str(file), "--yes")
    assert code == 0
    assert not file.exists()
    code, _, err = run("cache", "drop", str(file), "--yes")
    assert code == 1
    assert "no feature cache" in err


@pytest.mark.parametrize("content", [b"", b"# what I have to do", b"\x89HDF\r\n\x1a\n" * 9000])
def test_drop_and_salvage_leave_what_is_no_cache(run: Run, tmp_path: Path, content: bytes) -> None:
    notes = tmp_path / "notes.md"
    notes.write_bytes(content)
    for command in (["drop", "--yes"], ["drop", "--yes", "--json"], ["salvage"]):
        code, _, err = run("cache", command[0], str(notes), *command[1:])
        assert code == 1
        if "--json" not in command:
            assert "not a feature cache" in err
        assert notes.read_bytes() == content
    for other in (tmp_path, tmp_path / "missing.h5"):
        assert run("cache", "drop", str(other), "--yes")[0] == 1
    assert notes.exists()


@pytest.mark.parametrize("damage", ["header", "empty", "parts alone"])
def test_drop_deletes_what_is_left_of_a_cache(run: Run, file: Path, damage: str) -> None:
    if damage == "header":
        file.write_bytes(bytes(4096) + file.read_bytes()[4096:])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        parts = file.with_name(file.name + ".parts")
        parts.mkdir()
        file.rename(parts / "000001-0000000000-0000000060.h5")
    code, _, err = run("cache", "drop", str(file), "--yes")
    assert code == 0, err
    assert not file.exists()
    assert not file.with_name(file.name + ".parts").exists()


def test_seal_and_drop_print_one_object(run: Run, file: Path) -> None:
    code, out, _ = run("cache", "seal", str(file), "--json")
    assert (code, json.loads(out)) == (0, {"file": str(file)})
    assert run("cache", "drop", str(file), "--json")[0] == 2
    code, out, _ = run("cache", "drop", str(file), "--yes", "--json")
    assert code == 0
    assert set(json.loads(out)) == {"file", "rows", "bytes"}
    assert json.loads(out)["rows"] == 60
    code, out, _ = run("cache", "drop", str(file), "--yes", "--json")
    assert code == 1
    assert json.loads(out)["exit_code"] == 1


def test_drop_asks_and_deletes_nothing_when_the_answer_is_no(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, err = run("cache", "drop", str(file))
    assert (code, out.strip()) == (1, "")
    assert err.endswith("error: Stopped; nothing was done.\n")
    assert file.exists()
