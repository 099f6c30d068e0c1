"""The seam of stage one: what an engine must give for a worklist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureWriter, Status, ViewSpec
from pipeline.extraction.engine import local_engine
from pipeline.extraction.options import STORED, Options
from pipeline.extraction.vectors import VectorStore
from pipeline.extraction.work import Work
from pipeline.extraction.worklist import Plan
from pipeline.inputs.inputs import inputs_of
from tests.pipeline.support import Counting, make_posts

PROVENANCE = {"fingerprint": "0" * 16}


@contextmanager
def work(tmp_path: Path) -> Iterator[Work]:
    posts = make_posts(tmp_path / "data", count=40, photos=8)
    (tmp_path / "data" / posts.images[7]).write_bytes(b"broken")
    encoder, options = Counting(), Options(batch_size=3)
    views = {name: ViewSpec(tuple(shape), STORED["fp32"]) for name, shape in encoder.views.items()}
    inputs = [inputs_of(posts, modality, str) for modality in encoder.modalities]
    with (
        FeatureWriter(tmp_path / "f.h5", views=views, modalities=encoder.modalities, provenance=PROVENANCE) as writer,
        VectorStore(writer, encoder.modalities, ignore=np.empty(0, np.int64)) as store,
    ):
        yield Work(posts, encoder, inputs, store, options)


def plan(count: int, gap: int | None = None) -> Plan:
    rows = np.array([row for row in range(count) if row != gap], dtype=np.int64)
    return Plan(rows, rows, np.ones(len(rows), dtype=bool), 0, 0)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.extraction.engine.WINDOW_ROWS", (7, 7))


def test_every_row_of_the_worklist_comes_once_and_in_order(tmp_path: Path) -> None:
    with work(tmp_path) as given, local_engine(given) as engine:
        parts = []
        for part in engine.parts(plan(40, gap=20), lambda: False):
            given.store.add(part.start, part.rows)
            parts.append(part)
    assert [row for part in parts for row in range(part.start, part.start + len(part.rows.ids))] == [
        row for row in range(40) if row != 20
    ]
    assert [part.start + len(part.rows.ids) for part in parts if part.ends_run] == [20, 40]
    assert [post for part in parts for post in part.rows.ids] == [p for p in given.posts.ids if p != "post-20"]
    assert sum(part.fresh for part in parts) == 39
    bad = {
        post for part in parts for post, state in zip(part.rows.ids, part.rows.status["image"], strict=True) if state
    }
    broken = {
        post for post, image in zip(given.posts.ids, given.posts.images, strict=True) if image == given.posts.images[7]
    }
    assert bad == broken - {"post-20"}
    good = [part.rows.status["image"] == Status.OK for part in parts]
    vectors = [part.rows.views["image/statistics"] for part in parts]
    assert all(np.isfinite(views[ok]).all() for views, ok in zip(vectors, good, strict=True))


def test_each_distinct_input_is_encoded_once(tmp_path: Path) -> None:
    with work(tmp_path) as given, local_engine(given) as engine:
        for part in engine.parts(plan(40), lambda: False):
            given.store.add(part.start, part.rows)
    photos = set(given.posts.images) - {given.posts.images[7]}
    assert engine.encoded == {"image": len(photos), "text": len(set(given.posts.texts))}
    assert isinstance(given.encoder, Counting)
    assert given.encoder.images == len(photos)


def test_asked_to_stop_it_gives_what_is_under_way(tmp_path: Path) -> None:
    with work(tmp_path) as given, local_engine(given) as engine:
        taken: list[int] = []
        for part in engine.parts(plan(40), lambda: bool(taken)):
            given.store.add(part.start, part.rows)
            taken.append(part.start)
    assert taken == [0, 7, 14][: len(taken)]
    assert len(taken) < 6


def test_left_early_it_ends(tmp_path: Path) -> None:
    with work(tmp_path) as given, local_engine(given) as engine:
        parts = engine.parts(plan(40), lambda: False)
        assert next(parts).start == 0
        parts.close()
        assert list(parts) == []
