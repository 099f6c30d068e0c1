"""A saved head is the same head, and a damaged one is refused."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from head_support import ALL_HEADS, QUICK, draw
from safetensors.numpy import load_file, save_file

from classifiers import FittedHead, HeadError, fit, load, save

POSTS = draw(160, "sum")
ROOT = Path(__file__).resolve().parents[2]


def fitted(name: str, seed: int = 0) -> FittedHead:
    return fit(name, POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 4, seed, **QUICK[name])


@pytest.mark.parametrize("name", ALL_HEADS)
def test_loaded_head_gives_equal_bits(name: str, tmp_path: Path) -> None:
    before = fitted(name)
    save(before, tmp_path / "head")
    state = torch.random.get_rng_state()
    after = load(tmp_path / "head")
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(after.predict_proba(POSTS.views), before.predict_proba(POSTS.views))
    for field in ("card", "params", "training", "dims", "n_classes", "seed", "history", "best_epoch"):
        assert getattr(after, field) == getattr(before, field), field
    np.testing.assert_array_equal(after.classes, before.classes)


def test_class_names_are_kept_and_must_be_as_many_as_the_classes(tmp_path: Path) -> None:
    names = ("fire", "flood", "none", "other")
    save(replace(fitted("mlp"), class_names=names), tmp_path)
    assert load(tmp_path).class_names == names
    assert "- 1: flood" in (tmp_path / "README.md").read_text()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "class_names": ["fire"]}))
    with pytest.raises(HeadError, match="1 class names for 4 classes"):
        load(tmp_path)


@pytest.mark.parametrize("name", ALL_HEADS)
def test_folder_holds_three_files_that_depend_on_the_fit_alone(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        save(fitted(name), tmp_path / folder)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert sorted(files) == ["README.md", "config.json", "head.safetensors"]
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert name in files["README.md"].decode()


def test_a_head_is_never_overwritten(tmp_path: Path) -> None:
    save(fitted("mlp"), tmp_path)
    before = (tmp_path / "head.safetensors").read_bytes()
    with pytest.raises(HeadError, match="already holds a head"):
        save(fitted("mlp", seed=1), tmp_path)
    assert (tmp_path / "head.safetensors").read_bytes() == before


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    head = fitted("mlp")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(HeadError, match="already holds a head, or something else"):
            save(head, taken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "notes.txt"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    save(head, tmp_path / "link")
    save(head, tmp_path / "made" / "on" / "the" / "way")
    for folder in ("empty", "link", "made/on/the/way"):
        np.testing.assert_array_equal(
            load(tmp_path / folder).predict_proba(POSTS.views), head.predict_proba(POSTS.views)
        )


@pytest.mark.parametrize("calls", range(6))
def test_a_save_that_fails_leaves_nothing(calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The medium is full at the first, second, ... call that waits for it; the last one comes when all is there."""
    head, left, sync = fitted("mlp"), [calls], os.fsync

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    if calls < 5:
        with pytest.raises(OSError, match="No space left"):
            save(head, tmp_path / "head")
    else:
        save(head, tmp_path / "head")
    left_behind = [path.name for path in tmp_path.iterdir()]
    assert left_behind == ([] if calls < 4 else ["head"])
    if left_behind:
        load(tmp_path / "head")


def test_a_killed_save_leaves_no_head(tmp_path: Path) -> None:
    """Killed as soon as the first file is there, a writer has left nothing under the head's name."""
    script = """
        import os, signal
        import numpy as np
        from pathlib import Path
        from classifiers import fit, save

        head = fit("prototype", {"text": np.eye(8)}, np.arange(8) % 2, np.arange(6), np.arange(6, 8), 2, 0)
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
        save(head, Path("head"))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "head").exists()
    save(fitted("mlp"), tmp_path / "head")
    load(tmp_path / "head")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    save(fitted("concat"), tmp_path)
    path = tmp_path / "head.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(damaged)
        with pytest.raises(HeadError, match="not those that were saved"):
            load(tmp_path)


@pytest.mark.parametrize("name", ["guided_ca", "logistic"])
def test_weights_of_another_shape_are_refused(name: str, tmp_path: Path) -> None:
    import hashlib

    save(fitted(name), tmp_path)
    path = tmp_path / "head.safetensors"
    tensors = load_file(path)
    first = sorted(tensors)[0]
    tensors[first] = np.concatenate([tensors[first], tensors[first]])
    save_file(tensors, path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(HeadError, match=f"'{first}'"):
        load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"head": "nothing"},
        {"views": {"image/projected": -4, "text/projected": 16}},
        {"views": 3},
        {"classes": [0, 9]},
        {"classes": None},
        {"params": {"width": "wide"}},
        {"history": 1},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    save(fitted("mlp"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(HeadError):
        load(tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", "{", '"text"', "\udcff"])
def test_a_folder_without_a_readable_head_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        save(fitted("mlp"), tmp_path)
        (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(HeadError):
        load(tmp_path)
