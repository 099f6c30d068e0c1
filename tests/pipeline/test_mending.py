"""The command that a refusal prints works: run as it stands, what was refused before goes through."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache import FeatureFile
from cache.header import unpack

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table whose name and columns need quoting."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, 60)
    return tmp_path


def write(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    with (folder / "my posts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["nr", "what was said", "image", "is it bad?"])
        for row in range(count):
            label = "ab"[row * 7 % 5 % 2]
            image = folder / f"{row}.png"
            if not image.exists():
                Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(image)
            writer.writerow([f"n{row}", f"{label} {row}", image.name, label])


NAMED = ["--data", "my posts.csv", "--text-column", "what was said", "--label-column", "is it bad?"]
FIT = ["fit-head", "--head", "prototype", "--seeds", "1", "--model", "classic"]


def mended(run: Run, *arguments: str) -> str:
    """The refusal of `crisis ARGUMENTS`; what it says is done, after which the command must go through."""
    code, _, refused = run(*arguments)
    assert code == 1, refused
    command = re.search(r": (crisis extract .*)$", refused.strip())
    assert command, refused
    code, _, error = run(*shlex.split(command[1])[1:])
    assert code == 0, error
    code, _, error = run(*arguments)
    assert code == 0, error
    return refused


def test_ids_of_another_column(run: Run, place: Path) -> None:
    assert run("extract", "--model", "classic", *NAMED)[0] == 0
    refused = mended(run, *FIT, *NAMED, "--id-column", "nr")
    assert "lacks 60 of the 60 posts needed (it knows none of the ids: another --id-column?)" in refused
    (file,) = (place / "artifacts/cache").rglob("*.h5")
    with FeatureFile.open(file) as opened:
        assert opened.n == 120
        for view in opened.views:
            vectors = opened.read(view)
            assert np.array_equal(vectors[:60], vectors[60:])
    assert run(*FIT, *NAMED)[0] == 0, "the former ids are known as before"


def test_another_table_of_that_name_is_still_refused(run: Run, place: Path) -> None:
    assert run("extract", "--model", "classic", *NAMED)[0] == 0
    for row in range(60):
        (place / f"{row}.png").unlink()
    rng = np.random.default_rng(7)
    text = (place / "my posts.csv").read_text()
    for row in range(60):
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(place / f"{row}.png")
    (place / "my posts.csv").write_text(text.replace("a ", "other a ").replace("b ", "other b "))
    code, _, error = run("extract", "--model", "classic", *NAMED, "--id-column", "nr")
    assert (code, "holds none of these posts" in error) == (1, True)


def test_posts_that_were_added(run: Run, place: Path) -> None:
    assert run("extract", "--model", "classic", *NAMED, "--id-column", "nr")[0] == 0
    write(place, 70)
    assert "lacks 10 of the 70 posts needed; add" in mended(run, *FIT, *NAMED, "--id-column", "nr")


def test_a_photo_that_was_changed(run: Run, place: Path) -> None:
    assert run("extract", "--model", "classic", *NAMED, "--id-column", "nr")[0] == 0
    Image.new("RGB", (9, 9), "red").save(place / "3.png")
    assert "1 posts have another image now" in mended(run, *FIT, *NAMED, "--id-column", "nr")


def test_a_text_that_was_changed(run: Run, place: Path) -> None:
    assert run("extract", "--model", "classic", *NAMED, "--id-column", "nr", "--cleaner", "002")[0] == 0
    path = place / "my posts.csv"
    path.write_text(path.read_text().replace(" 7,", " seven,"))
    assert "1 posts have another text now" in mended(run, *FIT, *NAMED, "--id-column", "nr")


def _regions(file: Path) -> dict[str, tuple[int, int]]:
    """First byte and length of a file's header, of the words about what made it, and of each of its tables."""
    raw = file.read_bytes()
    header = unpack(raw, len(raw), file.name)
    tables = {path: (header.offsets[path], table.nbytes) for path, table in header.tables.items()}
    return {"header": (0, 4096), "words": (raw.rindex(b'{"card"'), 1000), **tables}


@pytest.mark.parametrize("region", ["header", "words", "posts/id", "status", "inputs/text/hash", "views/text/hashed"])
def test_rot_anywhere_is_mended_by_the_commands_that_are_named(run: Run, place: Path, region: str) -> None:
    assert run("extract", "--model", "classic", *NAMED)[0] == 0
    (file,) = (place / "artifacts/cache").rglob("*.h5")
    begin, size = _regions(file)[region]
    raw = bytearray(file.read_bytes())
    raw[begin + size // 2 : begin + size // 2 + 64] = bytes(byte ^ 0x55 for byte in raw[begin + size // 2 :][:64])
    file.write_bytes(raw)
    for refusing in ([*FIT, *NAMED], ["cache", "verify", str(file)]):
        code, out, error = run(*refusing)
        assert code == 1
        command = re.search(r"mend it with: (crisis cache salvage .*?)\.?$", (out + error).strip(), re.MULTILINE)
        assert command, out + error
    if not region.startswith("views"):
        code, _, error = run("extract", "--model", "classic", *NAMED)
        assert code == 1
        assert command[1] in error
    code, out, error = run(*shlex.split(command[1])[1:], "--json")
    assert code == 0, error
    told = json.loads(out)
    assert told["rows"] in (60, 0)
    assert Path(told["aside"][0]).read_bytes() == bytes(raw)
    extract = told["command"] or f"crisis extract --model classic {shlex.join(NAMED)}"
    assert run(*shlex.split(extract)[1:])[0] == 0
    assert run("cache", "verify", str(file))[0] == 0
    assert run(*FIT, *NAMED)[0] == 0


def test_rot_is_not_copied_into_new_rows(run: Run, place: Path) -> None:
    assert run("extract", "--model", "classic", *NAMED)[0] == 0
    (file,) = (place / "artifacts/cache").rglob("*.h5")
    with FeatureFile.open(file) as opened:
        sound = opened.read("text/hashed")
    begin, _ = _regions(file)["views/text/hashed"]
    raw = bytearray(file.read_bytes())
    raw[begin + sound[0].nbytes * 7 + 3] ^= 4
    file.write_bytes(raw)
    again = ["extract", "--model", "classic", *NAMED, "--id-column", "nr"]
    code, _, error = run(*again)
    assert code == 1
    command = re.search(r"mend it with: (crisis cache salvage .*?)\.?$", error.strip(), re.MULTILINE)
    assert command, error
    assert run(*shlex.split(command[1])[1:])[0] == 0
    assert run(*again)[0] == 0
    with FeatureFile.open(file) as opened:
        rows = opened.rows_of([f"n{row}" for row in range(60)])
        assert np.array_equal(opened.take("text/hashed", rows, verify=True), sound)
