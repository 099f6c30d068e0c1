"""Batches: memory that runs out halves them and loses nothing; the search ends at a size that pays."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import FeatureError
from features.device import lanes
from pipeline.extraction.ahead import Ahead
from pipeline.extraction.batching import BatchSize, of_like_length
from pipeline.extraction.extract import Options, extract
from tests.pipeline.support import Counting, classic_card, make_posts


class Small(Counting):
    """Has memory for three inputs at a time."""

    largest = 0

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        if len(batch) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.largest = max(self.largest, len(batch))
        return super().encode_images(batch)


def test_out_of_memory_halves_the_batch_and_loses_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posts = make_posts(tmp_path / "data", photos=30)
    small = Small()
    found = extract(posts, classic_card(), small, tmp_path / "small", Options(batch_size=16), "")
    whole = extract(posts, classic_card(), Counting(), tmp_path / "whole", Options(batch_size=16), "")
    assert (found.ok, small.largest) == (60, 2)
    assert "memory ran out; going on with batches of 2" in capsys.readouterr().err
    with h5py.File(found.file) as one, h5py.File(whole.file) as other:
        np.testing.assert_array_equal(one["views/image/statistics"][()], other["views/image/statistics"][()])


def test_one_input_too_large_for_memory_is_one_sentence() -> None:
    def never(batch: Sequence[int]) -> dict[str, np.ndarray]:
        raise MemoryError

    with pytest.raises(FeatureError, match="not enough memory for even one input"):
        BatchSize(8, "cpu").run(never, list(range(8)))


def test_other_failures_are_not_taken_for_memory() -> None:
    def broken(batch: Sequence[int]) -> dict[str, np.ndarray]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        BatchSize(8, "cpu").run(broken, [1, 2])


@pytest.mark.parametrize("best", [8, 32])
def test_search_settles_on_the_size_that_is_fastest(best: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def encode(batch: Sequence[int]) -> dict[str, np.ndarray]:
        # inputs get cheaper up to the best size and dearer beyond it
        clock[0] += len(batch) * (2.0 if len(batch) > best else 1.0 + best / len(batch))
        return {"view": np.zeros((len(batch), 1))}

    size = BatchSize(None, "cpu")
    for _ in range(40):
        size.run(encode, list(range(size.size)))
    assert size.size == best


def test_working_ahead_is_bounded_and_in_order() -> None:
    started: list[int] = []
    gate = threading.Event()

    def work(item: int) -> int:
        started.append(item)
        gate.wait(5)
        return item * 10

    with ThreadPoolExecutor(2) as pool:
        ahead = Ahead(pool, work, range(50), depth=4)
        time.sleep(0.05)
        assert len(started) <= 4
        gate.set()
        assert [future.result() for future in ahead] == [item * 10 for item in range(50)]


def test_vectors_do_not_depend_on_window_or_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posts = make_posts(tmp_path / "data", count=300, photos=40)
    (tmp_path / "data" / posts.images[3]).write_bytes(b"broken")
    posts = replace(posts, texts=["", *posts.texts[1:]])
    found = []
    for window, batch in ((7, 1), (64, 5), (8192, None)):
        monkeypatch.setattr("pipeline.extraction.engine.WINDOW_ROWS", (window, window))
        result = extract(posts, classic_card(), Counting(), tmp_path / f"{window}", Options(batch_size=batch), "")
        with h5py.File(result.file) as opened:
            tables = ("views/image/statistics", "views/text/hashed", "status", "inputs/image/hash", "posts/id")
            found.append({name: opened[name][()] for name in tables})
        assert result.encoded == {"image": 39, "text": len(set(posts.texts)) - 1}
    for other in found[1:]:
        for name, values in found[0].items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)


@given(lengths=st.lists(st.integers(1, 60), max_size=80), size=st.integers(1, 300))
def test_batches_of_texts_hold_each_once_within_the_tokens_and_pad_only_small_ones(
    lengths: list[int], size: int
) -> None:
    found = list(of_like_length(lengths, BatchSize(size, "cpu")))
    assert sorted(slot for slots, _ in found for slot in slots) == list(range(len(lengths)))
    longest_first = [lengths[slot] for slots, _ in found for slot in slots]
    assert longest_first == sorted(lengths, reverse=True)
    for slots, cost in found:
        assert cost == len(slots) * lengths[slots[0]]
        assert cost <= size or len(slots) == 1
        padded = [slot for slot in slots if lengths[slot] < lengths[slots[0]]]
        # a padded text was taken in while the batch was not half full
        assert not padded or (len(slots) - len(padded)) * lengths[slots[0]] <= size / 2


class Wide(Counting):
    """Says that it may encode in several threads at once, and keeps which ones did."""

    parallel = True

    def __init__(self) -> None:
        super().__init__()
        self.threads: dict[int, int] = {}
        self.together = self.most = 0
        self.lock = threading.Lock()

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        with self.lock:
            self.together += 1
            self.most = max(self.most, self.together)
        self.threads[threading.get_ident()] = torch.get_num_threads()
        time.sleep(0.01)
        views = super().encode_images(batch)
        with self.lock:
            self.together -= 1
        return views


def test_passes_run_side_by_side_and_give_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr("pipeline.extraction.lanes.lanes", lambda device: (3, 1))
    posts = make_posts(tmp_path / "data", photos=40)
    before = torch.get_num_threads()
    wide = Wide()
    found = extract(posts, classic_card(), wide, tmp_path / "wide", Options(batch_size=2), "")
    assert (wide.most, set(wide.threads.values())) == (3, {1})
    assert torch.get_num_threads() == before
    alone = extract(posts, classic_card(), Counting(), tmp_path / "alone", Options(batch_size=2), "")
    assert (found.ok, found.encoded) == (alone.ok, alone.encoded)
    with h5py.File(found.file) as one, h5py.File(alone.file) as other:
        for name in ("image/statistics", "text/hashed"):
            np.testing.assert_array_equal(one[f"views/{name}"][()], other[f"views/{name}"][()])


class Failing(Wide):
    """Breaks down in the middle of a run."""

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        if self.images >= 20:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return super().encode_images(batch)


def test_failure_in_one_lane_ends_the_run_and_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.extraction.lanes.lanes", lambda device: (2, 1))
    monkeypatch.setattr("pipeline.extraction.engine.WINDOW_ROWS", (10, 10))
    posts = make_posts(tmp_path / "data", photos=60)
    posts = replace(posts, images=[f"images/{i}.png" for i in range(60)])
    with pytest.raises(RuntimeError, match="mat1"):
        extract(posts, classic_card(), Failing(), tmp_path / "cache", Options(batch_size=2), "")
    assert extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "").reused >= 10


def test_lanes_share_the_cores_that_torch_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for cores, expected in ((1, (1, 1)), (2, (2, 1)), (6, (6, 1)), (64, (8, 8))):
        monkeypatch.setattr(torch, "get_num_threads", lambda cores=cores: cores)
        assert lanes("cpu") == expected
    assert lanes("mps") == (1, None)
