"""A small dataset on disk and an encoder that counts what it is asked, for tests of both stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classifiers import Balance, HeadError, HeadSpec
from features import CARDS, Card
from features.encoders.classic import Classic
from pipeline.datasets.posts import Posts
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import Protocol
from pipeline.runs.fit import fit_head, fit_matrix
from pipeline.runs.material import load_material
from pipeline.runs.run import Run
from pipeline.runs.sources import Source
from pipeline.runs.visibility import ALL_VISIBLE, Visibility


class Counting(Classic):
    """The weights-free encoder, counting the inputs that really go through it."""

    def __init__(self) -> None:
        self.images = 0
        self.texts = 0

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self.images += len(batch)
        return super().encode_images(batch)

    def encode_texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        self.texts += len(texts)
        return super().encode_texts(texts)


def classic_card() -> Card:
    return CARDS["classic"]


def make_posts(folder: Path, count: int = 60, photos: int = 12, seed: int = 0) -> Posts:
    """`count` posts sharing `photos` photos and a third as many texts, with a label that both modalities carry."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    classes = rng.integers(0, 2, photos)
    for photo in range(photos):
        colour = (200, 40, 40) if classes[photo] else (40, 40, 200)
        noise = rng.integers(0, 40, (24, 32, 3), dtype=np.uint8)
        Image.fromarray((np.array(colour, np.uint8) + noise).astype(np.uint8)).save(folder / f"images/{photo}.png")
    which = rng.integers(0, photos, count)
    words = ("flood water rising", "sunny holiday beach")
    return Posts(
        name="small",
        root=folder,
        ids=[f"post-{i}" for i in range(count)],
        groups=[f"g{photo}" for photo in which],
        texts=[f"{words[classes[photo]]} number {i // 3}" for i, photo in enumerate(which)],
        images=[f"images/{photo}.png" for photo in which],
        events=[("one", "two", "three")[photo % 3] for photo in which],
        labels={"label": {"pair": [("a", "b")[classes[photo]] for photo in which]}},
        origin="a small dataset",
        flags="--dataset table --data small.csv",
    )


def noisy_and_cached(folder: Path) -> tuple[Posts, Path]:
    """Posts whose weights-free features lie in `folder`/cache, and `folder`; some labels are noise, so that heads of
    one modality err in different places.
    """
    posts = make_posts(folder / "data", count=160, photos=30)
    rng = np.random.default_rng(0)
    labels = [str(rng.choice(["a", "b"])) if rng.random() < 0.6 else one for one in posts.labels["label"]["pair"]]
    posts = replace(posts, labels={"label": {"pair": labels}})
    extract(posts, classic_card(), Counting(), folder / "cache", Options(), "crisis extract")
    return posts, folder


def fit_run(
    posts: Posts,
    protocol: Protocol,
    head: str,
    sources: Sequence[Source],
    seeds: Sequence[int],
    runs: Path,
    *,
    params: dict[str, Any] | None = None,
    balance: Balance | None = None,
    workers: int | None = None,
    visibility: Visibility = ALL_VISIBLE,
) -> Run:
    """One head trained on views that are loaded for it alone."""
    material = load_material(posts, [protocol], sources, visibility)
    spec = HeadSpec(head, params or {}, balance or Balance())
    return fit_head(material, protocol, spec, seeds, runs, workers=workers)


def fit_runs(
    posts: Posts,
    protocols: Sequence[Protocol],
    heads: Sequence[str],
    sources: Sequence[Source],
    seeds: Sequence[int],
    runs: Path,
    *,
    params: dict[str, Any] | None = None,
    balances: Sequence[Balance] = (Balance(),),
    workers: int | None = None,
    keep: bool = False,
) -> list[Run | HeadError]:
    """Every head with every balance on every protocol."""
    material = load_material(posts, protocols, sources)
    specs = [HeadSpec(head, params or {}, balance) for head in heads for balance in balances]
    return list(fit_matrix(material, protocols, specs, seeds, runs, workers=workers, keep=keep))
