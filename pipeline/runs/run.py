"""A run: one configuration with its seeds, what they answered, and how good that is. Trained, fused and by prompts."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifiers import FittedHead, HeadError, load, save
from pipeline.errors import DataError
from pipeline.log import warn
from pipeline.runs.config import RunConfig
from pipeline.runs.evaluation import METRICS, Evaluation
from pipeline.runs.folder import not_whole, plain_name, read_file, read_sums, write_folder

if TYPE_CHECKING:
    import pandas

PARTS = ("dev", "test")
ANSWERS = ("post_id", "seed", "fold", "split", "label", "predicted")
ABOUT_POSTS = ("majority", "event", "concordant")

_CONFIG, _METRICS, _PREDICTIONS, _HISTORY = "config.json", "metrics.json", "predictions.parquet", "history.parquet"


@dataclass(frozen=True)
class Run:
    """A finished run in its folder. Make one with `Run.open`, or have one written with `Run.write`.

    `summary` has per part ("dev", "test") rows, each metric's mean, sd and values over seeds, and the majority
    baseline, as `Evaluation.summary` gives them. The rest is read when it is asked for. Each file is checked against
    the digest it was written with; a run of an earlier version, which has no digests, is read without that.
    """

    folder: Path
    config: RunConfig
    summary: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in `folder`. Raises `DataError` where there is none, or not a whole one."""
        sums = read_sums(folder)
        said = _json(folder, _CONFIG, sums)
        try:
            config = RunConfig.from_json(said)
        except DataError as error:
            raise not_whole(folder, f"{_CONFIG}: {str(error).rstrip('.')}") from error
        metrics = _json(folder, _METRICS, sums)
        try:
            summary = metrics["summary"]
            for part in PARTS:
                float(summary[part]["majority_macro_f1"])
                for metric in METRICS:
                    float(summary[part][metric]["mean"])
        except (KeyError, TypeError, ValueError) as error:
            raise not_whole(folder, f"{_METRICS} is damaged") from error
        return cls(folder.resolve(), config, summary)

    @classmethod
    def find(cls, runs: Path, config: RunConfig) -> Run | None:
        """The newest whole run in the folder `runs` with that configuration; None where there is none.

        A damaged one is passed over, with a sentence on standard error.
        """
        for folder in sorted(runs.glob(f"*-{config.digest[:8]}*"), reverse=True):
            if folder.name.startswith(".") or not folder.is_dir():
                continue
            try:
                run = cls.open(folder)
                if run.config.digest == config.digest:
                    run.check()
                    return run
            except DataError as error:
                warn(f"{str(error).rstrip('.')}; it is passed over")
        return None

    @classmethod
    def write(
        cls, runs: Path, config: RunConfig, evaluation: Evaluation, fitted: Sequence[tuple[str, FittedHead]] = ()
    ) -> Run:
        """Write a run's folder into `runs`, whole and durable or not at all, under a name of its own.

        `fitted` has the trained head of each fit beside `fit_name`. A head that cannot be saved without pickle is
        left out; its predictions are not. Raises OSError as the system does.
        """
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{plain_name(config.task, config.head)}-{config.digest[:8]}"
        summary = evaluation.summary()

        def fill(folder: Path) -> None:
            _write_json(folder / _CONFIG, config.to_json())
            _write_json(folder / _METRICS, {"summary": summary, **evaluation.details()})
            evaluation.frame().to_parquet(folder / _PREDICTIONS, index=False)
            _history(fitted).to_parquet(folder / _HISTORY, index=False)
            for label, head in fitted:
                if head.savable:
                    save(replace(head, class_names=config.classes), head_folder(folder, label))

        return cls(write_folder(runs, name, fill).resolve(), config, summary)

    def dev(self, metric: str) -> Mapping[str, Any]:
        """Mean, sd and values over seeds of "accuracy", "macro_f1" or "weighted_f1" on dev."""
        found: Mapping[str, Any] = self.summary["dev"][metric]
        return found

    def test(self, metric: str) -> Mapping[str, Any]:
        """The same on test."""
        found: Mapping[str, Any] = self.summary["test"][metric]
        return found

    @cached_property
    def details(self) -> Mapping[str, Any]:
        """Per part the figures per class and per subset of posts; see `Evaluation.details`."""
        metrics = _json(self.folder, _METRICS, self._sums)
        return {part: metrics[part] for part in PARTS}

    @property
    def predictions(self) -> pandas.DataFrame:
        """One row per post and fit: `ANSWERS`, each class's probability as "p(class)", float32, and `ABOUT_POSTS`.

        Read at each access, so that many runs do not fill the memory. Raises `DataError` where the file is damaged.
        """
        return self.read_predictions([*ANSWERS, *self.config.probability_columns, *ABOUT_POSTS])

    def read_predictions(self, columns: Sequence[str]) -> pandas.DataFrame:
        """Some columns of `predictions`."""
        frame = self._frame(_PREDICTIONS, columns)
        absent = set(columns) - set(frame.columns)
        if absent:
            raise not_whole(self.folder, f"{_PREDICTIONS} has no column {min(absent)}")
        return frame

    @property
    def history(self) -> pandas.DataFrame:
        """One row per epoch of each fit, named in "fit". Raises `DataError` where the file is damaged."""
        return self._frame(_HISTORY)

    @cached_property
    def heads(self) -> Mapping[str, Callable[[], FittedHead]]:
        """By `fit_name` what loads each fit's trained head; empty where nothing was trained or could be saved.

        A loader raises `DataError` where the head is damaged.
        """
        fits = self.read_predictions(["seed", "fold"]).drop_duplicates().itertuples(index=False)
        names = [fit_name(int(seed), str(fold)) for seed, fold in fits]
        return {name: partial(self._head, name) for name in names if head_folder(self.folder, name).is_dir()}

    def check(self) -> None:
        """Read every file once. Raises `DataError` for the first that is not what was written."""
        names = self._sums or (_CONFIG, _METRICS, _HISTORY)
        for name in names:
            read_file(self.folder, name, self._sums)
        if self._sums is None:
            _ = self.predictions

    def warnings(self) -> list[str]:
        """What a reader of the figures must know: posts left out, and what the protocol cannot promise."""
        left_out = self.config.left_out
        said = [f"{sum(left_out.values())} labelled posts are left out: {counted(left_out)}{self._keeping()}"]
        said = said if left_out else []
        said += self.config.notes
        seeds = self.config.seeds
        shared = len(seeds) > 1 and not self.config.test_to_train
        if shared and not any(self.summary[part][metric]["sd"] for part in PARTS for metric in METRICS):
            said.append(f"{self.config.called} says the same for all {len(seeds)} seeds: they are one fit")
        if self.test("macro_f1")["mean"] <= self.summary["test"]["majority_macro_f1"]:
            said.append(
                f"on test {self.config.called} is no better than always answering the majority class (macro-F1)"
            )
        return said

    def _keeping(self) -> str:
        """What would keep posts that lack one of several views."""
        several = len(self.config.views) > 1 and self.config.missing == "skip" and self.config.identity is not None
        return "; those that have one of the views can stay, with --missing absent" if several else ""

    def as_json(self) -> dict[str, Any]:
        """What a command prints of a run with --json."""
        config = self.config.to_json()
        keys = ("task", "setting", "split", "head", "preset", "views", "seeds", "left_out", "notes")
        maybe = ("target", "balance", "eval_setting", "mix_share", "missing")
        further = [key for key in maybe if config.get(key) is not None]
        return {"run": str(self.folder), **{key: config[key] for key in (*keys, *further)}, **self.summary}

    @cached_property
    def _sums(self) -> Mapping[str, str] | None:
        return read_sums(self.folder)

    def _frame(self, name: str, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        import pandas

        data = read_file(self.folder, name, self._sums)
        try:
            return pandas.read_parquet(io.BytesIO(data), columns=None if columns is None else list(columns))
        except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise not_whole(self.folder, f"{name}: {type(error).__name__}") from error

    def _head(self, name: str) -> FittedHead:
        saved = head_folder(self.folder, name)
        for path in saved.iterdir():
            read_file(self.folder, path.relative_to(self.folder).as_posix(), self._sums)
        try:
            return load(saved)
        except HeadError as error:
            raise DataError(str(error)) from error


def fit_name(seed: int, fold: str) -> str:
    """What a run calls one of its fits: "seed-0", or "seed-0-EVENT" where an event was held out."""
    return f"seed-{seed}" + (f"-{fold}" if fold else "")


def head_folder(run: Path, name: str) -> Path:
    """Where a run keeps the head of the fit `name`: a folder of that name, or, where file systems may not take it or
    tell it from another, of what is plain in it and a digest of the whole.
    """
    plain = re.sub(r"[^a-z0-9._-]+", "_", name.lower())[:100]
    mark = "" if plain == name else f"+{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return run / "heads" / (plain + mark)


def counted(counts: Mapping[str, int]) -> str:
    """ "3 image missing, 1 text empty": posts left out, by reason."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def _json(folder: Path, name: str, sums: Mapping[str, str] | None) -> Any:
    try:
        return json.loads(read_file(folder, name, sums))
    except (ValueError, RecursionError) as error:
        raise not_whole(folder, f"{name}: {type(error).__name__}") from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _history(fitted: Sequence[tuple[str, FittedHead]]) -> pandas.DataFrame:
    import pandas

    rows = [{"fit": label, **epoch} for label, head in fitted for epoch in head.history]
    return pandas.DataFrame(rows or {"fit": [label for label, _ in fitted]})
