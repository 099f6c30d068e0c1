"""What a notebook needs, and the command `crisis`.

    posts = crisis.open_dataset("posts.csv", text_column="text", image_column="photo", label_column="label")
    features = crisis.extract(posts, model="classic")
    run = crisis.fit(posts, head="concat", seeds=5)

Importing this module is cheap: what is heavy arrives on first use. docs/python.md shows each name at work. Every error
of ours is a `crisis.CrisisError` whose message is one sentence.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crisis_guard  # noqa: F401  before anything of ours
from crisis_errors import CrisisError

if TYPE_CHECKING:
    from cache import FeatureFile
    from classifiers import Balance
    from classifiers.estimator import HeadClassifier
    from pipeline.datasets.posts import Posts
    from pipeline.protocols.choose import Protocol
    from pipeline.runs.material import Material
    from pipeline.runs.run import Run

__all__ = [
    "Balance",
    "CrisisError",
    "FeatureFile",
    "HeadClassifier",
    "Run",
    "extract",
    "fit",
    "open_dataset",
    "sweep",
]

_CACHE, _RUNS = "artifacts/cache", "artifacts/runs"
_ON_USE = {
    "FeatureFile": "cache",
    "Balance": "classifiers",
    "HeadClassifier": "classifiers.estimator",
    "Run": "pipeline.runs.run",
}


def __getattr__(name: str) -> Any:
    if name in _ON_USE:
        return getattr(importlib.import_module(_ON_USE[name]), name)
    raise AttributeError(f"module 'crisis' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__


def open_dataset(
    data: str | Path | None = None,
    *,
    dataset: str | None = None,
    name: str | None = None,
    cache: str | Path = _CACHE,
    synthetic: str | Path | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    event_column: str | None = None,
    id_column: str | None = None,
    split_column: str | None = None,
    knowledge_column: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    image_root: str | Path | None = None,
    image_separator: str | None = None,
    clean_labels: bool = False,
) -> Posts:
    """The posts of a table or of a CrisisMMD folder; the embedded sample where neither is given or lies in `data/`.

    The columns are those of a table; posts with an equal value in `group_column` are never split apart, and photos are
    looked for in `image_root`, or else beside the file. `name` is the dataset's in the cache. The accepted posts of the
    folder `synthetic` join train.

        posts = crisis.open_dataset("posts.csv", text_column="text", image_column="photo", label_column="label")
    """
    from pipeline import datasets
    from pipeline.datasets.tabular import Columns

    columns = Columns(
        text=text_column,
        image=image_column,
        label=label_column,
        group=group_column,
        event=event_column,
        id=id_column,
        split=split_column,
        knowledge=knowledge_column,
        encoding=encoding,
        delimiter=delimiter,
        image_root=_path(image_root),
        image_separator=image_separator,
        clean_labels=clean_labels,
    )
    return datasets.open_dataset(
        dataset, _path(data), columns, name=name, cache=Path(cache), synthetic=_path(synthetic)
    )


def extract(
    posts: Posts,
    model: str = "clip",
    *,
    cache: str | Path = _CACHE,
    pretrained: str | None = None,
    revision: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    options: Mapping[str, Any] | None = None,
    **how: Any,
) -> FeatureFile:
    """Run a frozen encoder over the posts and open what it wrote; only what is missing or changed is computed.

    `pretrained` and `revision` name other weights than the encoder's own, `options` its options, such as
    `{"tokens": True}`. `how` may say `cleaner`, `text`, `batch_size`, `num_workers`, `overwrite`, `on_error` and
    `recheck`, as the flags of `crisis extract` do. A bad photo costs its own row, which says why in
    `status_of("image")`.

        features = crisis.extract(posts, model="classic")
        vectors = features.read("image/statistics")
    """
    from cache import FeatureFile
    from features import card, load
    from features.device import choose_device
    from pipeline.extraction import extract as stage

    declared = card(model)
    where = "cpu" if declared.extra is None else choose_device(device)
    chosen = stage.Options(precision=precision, pretrained=pretrained, revision=revision, device=where, **how)
    encoder = load(
        declared, pretrained=pretrained, revision=revision, device=where, precision=precision, options=options
    )
    done = stage.extract(posts, declared, encoder, Path(cache), chosen, f"crisis.extract(model={model!r})")
    if done.interrupted:
        raise KeyboardInterrupt
    return FeatureFile.open(done.file)


def fit(
    posts: Posts,
    head: str = "guided_ca",
    *,
    model: str | None = None,
    image: str | None = None,
    text: str | None = None,
    caption: str | None = None,
    task: str | None = None,
    seeds: int | Sequence[int] = 5,
    preset: str = "fast",
    params: Mapping[str, Any] | None = None,
    balance: Balance | None = None,
    missing: str = "skip",
    cache: str | Path = _CACHE,
    runs: str | Path = _RUNS,
    workers: int | None = None,
    **protocol: Any,
) -> Run:
    """Train a head on cached features over several seeds, evaluate it, and write the run.

    `model`, `image`, `text` and `caption` name whose vectors (`"bert"`, `"bert:text/cls"`); what is cached, where none
    is named. `seeds`: how many, or which. `params` are the head's and the trainer's. `missing`: a post that
    lacks a view is left out ("skip"), or has it "absent". `protocol` may say `split_set`, `setting`, `split`,
    `split_seed`, `test_event`, `split_file` and `target`, as the flags of `crisis fit-head` do.

        run = crisis.fit(posts, head="guided_ca", image="classic", text="classic", seeds=3)
    """
    from classifiers import Balance, HeadSpec
    from pipeline.runs.fit import fit_head

    spec = HeadSpec(head, {"preset": preset, **(params or {})}, balance or Balance())
    spec.split()
    named = {"model": model, "image": image, "text": text, "caption": caption}
    material, (asked,) = _material(posts, [task], protocol, head, Path(cache), named, missing)
    return fit_head(material, asked, spec, _seeds(seeds), Path(runs), workers=workers)


def sweep(
    posts: Posts,
    heads: Iterable[str],
    *,
    tasks: Iterable[str | None] = (None,),
    model: str | None = None,
    image: str | None = None,
    text: str | None = None,
    caption: str | None = None,
    seeds: int | Sequence[int] = 5,
    preset: str = "fast",
    params: Mapping[str, Any] | None = None,
    balances: Sequence[Balance] | None = None,
    missing: str = "skip",
    cache: str | Path = _CACHE,
    runs: str | Path = _RUNS,
    workers: int | None = None,
    **protocol: Any,
) -> Iterator[Run]:
    """Train every head on every task with every balance; each run is given as soon as it is written.

    The other arguments are those of `fit`. A run that is in the folder `runs` already, equal in everything, is given
    from there, so that a sweep that was stopped goes on. A head that cannot be trained raises its error.

        for run in crisis.sweep(posts, ["logistic", "concat"], seeds=2):
            print(run.test("macro_f1"))
    """
    from classifiers import Balance, HeadSpec
    from pipeline.runs.fit import fit_matrix

    own = {"preset": preset, **(params or {})}
    specs = [HeadSpec(head, own, balance) for head in heads for balance in balances or [Balance()]]
    for spec in specs:
        spec.split()
    named = {"model": model, "image": image, "text": text, "caption": caption}
    material, asked = _material(posts, list(tasks), protocol, specs[0].head, Path(cache), named, missing)
    found = fit_matrix(material, asked, specs, _seeds(seeds), Path(runs), workers=workers, keep=True)
    for run in found:
        if isinstance(run, Exception):
            raise run
        yield run


def _material(
    posts: Posts,
    tasks: Sequence[str | None],
    protocol: Mapping[str, Any],
    head: str,
    cache: Path,
    named: Mapping[str, str | None],
    missing: str,
) -> tuple[Material, list[Protocol]]:
    """The views that are named, and the protocol of each task for them."""
    from pipeline.protocols.choose import choose_protocol
    from pipeline.runs.material import load_material
    from pipeline.runs.sources import choose_sources
    from pipeline.runs.visibility import Visibility

    sources = choose_sources(posts, cache, head, **named)
    modalities = {source.modality for source in sources}
    asked = [choose_protocol(posts, task=task, modalities=modalities, **protocol) for task in tasks]
    return load_material(posts, asked, sources, Visibility(missing=missing)), asked


def _seeds(seeds: int | Sequence[int]) -> Sequence[int]:
    return range(seeds) if isinstance(seeds, int) else seeds


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def main() -> None:
    """The command line."""
    from pipeline.__main__ import main as run

    run()


if __name__ == "__main__":
    main()
