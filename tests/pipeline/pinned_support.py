"""A small made-up table and the runs over it whose figures are pinned, all through the command line.

`python -m tests.pipeline.pinned_support` writes `pinned/expected.json` anew, from what today's code gives; with
`--artefacts` also the cache file and the runs in `pinned/`, which stand for those of earlier versions.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from safetensors.numpy import load_file

from cache import FeatureFile, FeatureWriter, Rows, ViewSpec
from classifiers import load
from pipeline.__main__ import main

PINNED = Path(__file__).parent / "pinned"
EXPECTED = PINNED / "expected.json"

POSTS = 60
CLASSES = ("damage", "help", "other")
WORDS = ("bridge broken", "needs water", "sunny beach")
WIDTHS = {"image/statistics": 8, "text/hashed": 6}
MODALITY = {"image/statistics": "image", "text/hashed": "text"}

TABLE = ("--data", "posts.csv", "--id-column", "post_id", "--text-column", "text", "--image-column", "image")
COLUMNS = (*TABLE, "--label-column", "label", "--group-column", "group", "--event-column", "event")
TRAINED = (*COLUMNS, "--cache", "store", "--output", "made", "--workers", "1", "--json")
BRIEF = ("--set", "max_epochs=3", "--set", "batch_size=8")
SHORT = ("--set", "width=4", "--set", "lr=0.02", *BRIEF)

EXTRACTIONS: dict[str, tuple[str, ...]] = {
    "default": (),
    "fp16": ("--precision", "fp16"),
    "cleaner 002": ("--cleaner", "002"),
}
"""Name -> the flags of `crisis extract --model classic`."""

FITS: dict[str, tuple[str, ...]] = {
    "logistic": ("--head", "logistic", "--seeds", "2"),
    "concat": ("--head", "concat", "--seeds", "2", *SHORT),
    "guided_ca": ("--head", "guided_ca", "--seeds", "2", *SHORT),
    "knn": ("--head", "knn", "--seeds", "2"),
    "d_sse": ("--head", "concat", "--seeds", "2", "--balance", "d_sse", "--set", "p_c=0.5", *SHORT),
    "ogm_ge": ("--head", "concat", "--seeds", "1", "--balance", "ogm_ge", *SHORT),
    "smote": ("--head", "mlp", "--seeds", "1", "--sampling", "smote", "--set", "lr=0.002", *BRIEF),
    "paper": ("--head", "guided_ca", "--seeds", "1", "--preset", "paper", *SHORT),
    "classes": ("--head", "concat", "--seeds", "2", "--class-weight", "balanced", "--sampling", "over", *SHORT),
    "events": ("--head", "logistic", "--seeds", "1", "--split", "event"),
    "image": ("--head", "concat", "--seeds", "2", "--image", "classic", *SHORT),
    "one_split": ("--head", "concat", "--seeds", "4", "--split-seed", "3", *SHORT),
}
"""Name -> the flags of `crisis fit-head`."""

FUSIONS: dict[str, tuple[str, ...]] = {
    "fused": ("runs/logistic", "runs/concat"),
    "members": ("runs/one_split", "--members", "2"),
}
"""Name -> the arguments of `crisis fuse`."""

LISTS: dict[str, tuple[str, ...]] = {
    "heads": ("heads",),
    "balancers": ("heads", "--balancers"),
    "models": ("models",),
}

OLD = ("logistic", "concat")
"""The runs that are kept in `pinned/runs`."""


def crisis(folder: Path, *arguments: str) -> str:
    """The standard output of `crisis ARGUMENTS`, run in `folder`; raises where it does not end well."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("CRISIS_DATA", raising=False)
        patch.setattr(sys, "argv", ["crisis", *arguments])
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as stop:
                code = stop.code
    if code:
        raise AssertionError(f"crisis {' '.join(arguments)} ended with {code}:\n{err.getvalue()}")
    return out.getvalue()


def write_table(folder: Path) -> None:
    """`posts.csv` and its photos, the same bytes everywhere."""
    (folder / "photos").mkdir(parents=True)
    lines = ["post_id,text,image,label,event,group"]
    for post in range(POSTS):
        label, photo = label_of(post), f"photos/{post:02d}.png"
        (folder / photo).write_bytes(_png(post))
        text = (
            f"Post {post} @user{post} says {WORDS[label]} near street {post * 7 % 13} http://t.co/{post} #tag{post % 5}"
        )
        group = f"pair{post // 2}" if post % 4 < 2 else f"single{post}"
        lines.append(f"p{post:02d},{text},{photo},{CLASSES[label]},{('quake', 'storm', 'flood')[post % 7 % 3]},{group}")
    (folder / "posts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def label_of(post: int) -> int:
    """Class 0 for a half of the posts, 1 for a third, 2 for a sixth."""
    return (0, 1, 0, 1, 0, 2)[post % 6]


def _png(post: int, width: int = 12, height: int = 10) -> bytes:
    """A photo of whole numbers in one stored block: no compressor decides its bytes."""
    lines = bytearray()
    for y in range(height):
        lines.append(0)
        for x in range(width):
            lines += bytes(((x * 7 + post * 11) % 256, (y * 13 + post * 5) % 256, (x * y + post * 3) % 256))
    stored = struct.pack("<BHH", 1, len(lines), len(lines) ^ 0xFFFF) + lines
    pixels = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(lines))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", pixels), (b"IEND", b""))
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def vector_of(post: int, view: str) -> list[int]:
    """Whole numbers that follow from the post's label and number; some posts look like another class than theirs."""
    label, image = label_of(post), view == "image/statistics"
    shown = (label + 1) % 3 if post % 10 == 7 or (post % 12 == 5 and image) else label
    return [
        (9 if column % 3 == shown else 0) + (post * (3 + column) + column * column * (5 if image else 7)) % 5
        for column in range(WIDTHS[view])
    ]


def make_whole(file: Path) -> None:
    """Replace a cache file by one that differs in its vectors only: narrow, and of whole numbers."""
    with FeatureFile.open(file) as old:
        rows = Rows(
            ids=old.id_list(),
            groups=old.group_list(),
            views={
                view: np.array([vector_of(post, view) for post in range(old.n)], dtype=np.float32) for view in old.views
            },
            status={name: np.array(old.status_of(name)) for name in old.modalities},
            hashes={name: np.array(old.hashes(name)) for name in old.modalities},
            stamps={name: np.array(old.stamps(name)) for name in old.modalities},
        )
        modalities, provenance = old.modalities, old.provenance
    file.unlink()
    views = {view: ViewSpec((width,), "float32") for view, width in WIDTHS.items()}
    with FeatureWriter(file, views=views, modalities=modalities, provenance=provenance) as writer:
        writer.commit(0, rows)
        writer.seal()


class Built:
    """What today's code makes of the table, in a folder of its own.

    `extracted`: name -> what is pinned of an extraction. `runs/<name>`: the run folders, without the time in their
    names; `called`: name -> the name that the command gave the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pinned"
        write_table(self.folder)
        self.extracted: dict[str, Any] = {}
        self.called: dict[str, str] = {}
        self.printed: dict[str, Any] = {}
        for number, (name, flags) in enumerate(EXTRACTIONS.items()):
            store = f"store-{number}" if number else "store"
            told = self.json("extract", "--model", "classic", *TABLE, *flags, "--cache", store, "--json")
            self.extracted[name] = extraction(self.folder, told)
        make_whole(self.file)
        (self.folder / "runs").mkdir()
        for name, flags in FITS.items():
            self._keep(name, self.json("fit-head", *flags, *TRAINED))
        for name, flags in FUSIONS.items():
            self._keep(name, self.json("fuse", *flags, "--output", "made", "--json"))

    @property
    def file(self) -> Path:
        (found,) = (self.folder / "store").glob("*/*.h5")
        return found

    def json(self, *arguments: str) -> Any:
        return json.loads(crisis(self.folder, *arguments))

    def _keep(self, name: str, told: Any) -> None:
        made = Path(told.pop("run"))
        self.called[name], self.printed[name] = made.name, told
        made.rename(self.folder / "runs" / name)

    def run(self, name: str) -> Path:
        return self.folder / "runs" / name


def extraction(folder: Path, told: Any) -> dict[str, Any]:
    """What is pinned of an extraction: its names and digests, and what it printed but the place and the time."""
    file = Path(told.pop("file"))
    told.pop("seconds")
    with FeatureFile.open(file) as opened:
        provenance = {key: value for key, value in opened.provenance.items() if key != "versions"}
        vectors = {view: opened.read(view).astype(np.float64) for view in opened.views}
        return {
            "file": file.relative_to(folder.resolve()).as_posix(),
            "told": told,
            "fingerprint": opened.fingerprint,
            "provenance": provenance,
            "views": {view: [list(spec.shape), spec.dtype] for view, spec in opened.views.items()},
            "groups": opened.group_list()[:4],
            "hashes": {name: [bytes(row).hex() for row in opened.hashes(name)[:3]] for name in opened.modalities},
            "means": {view: float(array.mean()) for view, array in vectors.items()},
            "first": {view: array[0][np.flatnonzero(array[0])[:4]].tolist() for view, array in vectors.items()},
        }


def run_facts(folder: Path) -> dict[str, Any]:
    """What is pinned of a run folder."""
    frame = pandas.read_parquet(folder / "predictions.parquet")
    heads = sorted(path.parent for path in folder.glob("heads/*/config.json"))
    return {
        "config": read_json(folder / "config.json"),
        "metrics": read_json(folder / "metrics.json"),
        "files": files_of(folder),
        "columns": {name: str(frame[name].to_numpy().dtype) for name in frame.columns},
        "rows": len(frame),
        "answers": answers_of(frame, range(0, len(frame), max(1, len(frame) // 6))),
        "heads": {path.name: head_facts(path) for path in heads[:1]},
    }


def answers_of(frame: pandas.DataFrame, rows: Iterable[int]) -> list[dict[str, Any]]:
    """Some rows of `predictions.parquet`, with the probabilities apart as "p"."""
    own = [name for name in frame.columns if not name.startswith("p(")]
    chances = frame[[name for name in frame.columns if name.startswith("p(")]].to_numpy()
    plain = json.loads(frame[own].to_json(orient="records"))
    return [{**plain[row], "p": [round(float(p), 5) for p in chances[row]]} for row in rows]


def head_facts(folder: Path) -> dict[str, Any]:
    """What is pinned of a saved head: its settings, and the names, shapes and types of its tensors."""
    config = read_json(folder / "config.json")
    measured = {"history", "best_epoch", "weights_sha256", "versions"}
    return {
        "config": {key: value for key, value in config.items() if key not in measured},
        "measured": sorted(measured & set(config)),
        "history": [{key: round(value, 6) for key, value in epoch.items()} for epoch in config["history"]],
        "tensors": {
            name: [list(array.shape), str(array.dtype)]
            for name, array in sorted(load_file(folder / "head.safetensors").items())
        },
    }


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def listed(folder: Path, name: str) -> dict[str, Any]:
    """What a command lists, but for the names of our modules, which may change."""
    entries = json.loads(crisis(folder, *LISTS[name], "--json"))
    return {entry: {k: k == "loader" or v for k, v in facts.items()} for entry, facts in entries.items()}


class Old:
    """The cache file and the runs in `pinned/`, copied beside the table they came from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pinned"
        write_table(self.folder)
        for part in ("store", "runs"):
            shutil.copytree(PINNED / part, self.folder / part)
        (found,) = (self.folder / "store").glob("*/*.h5")
        self.file = found.relative_to(self.folder).as_posix()
        self.runs = {name: next((self.folder / "runs").glob(f"*-{name}-*")) for name in OLD}

    def json(self, *arguments: str) -> Any:
        return json.loads(crisis(self.folder, *arguments))

    def info(self) -> Any:
        return _without(self.json("cache", "info", self.file, "--json"), "file")

    def verified(self) -> Any:
        return self.json("cache", "verify", self.file, "--json")

    def answers(self) -> dict[str, Any]:
        """Of each head of each run: its probabilities for the first vectors of the file."""
        with FeatureFile.open(self.folder / self.file) as file:
            views = {MODALITY[view]: file.read(view)[:8] for view in file.views}
        return {
            f"{name} {head.name}": load(head).predict_proba(views).astype(np.float64).round(7).tolist()
            for name, run in self.runs.items()
            for head in sorted((run / "heads").iterdir())
        }

    def fused(self) -> dict[str, Any]:
        """The run that `crisis fuse` makes of the two runs."""
        runs = [path.relative_to(self.folder).as_posix() for path in self.runs.values()]
        made = Path(self.json("fuse", *runs, "--output", "fused", "--json")["run"])
        return {"called": without_time(made.name), **run_facts(made)}

    def analysed(self) -> Any:
        run = self.runs["concat"].relative_to(self.folder).as_posix()
        told = self.json("analyse", run, "--cache", "store", "--neighbours", "5", "--json")
        return _without(told, "run")

    def swept(self) -> list[str]:
        """The runs of a sweep with the settings of an old one: none is trained if that one is known again."""
        out = self.json(
            "sweep",
            "--heads",
            "logistic",
            "--seeds",
            "2",
            *COLUMNS,
            "--cache",
            "store",
            "--output",
            "runs",
            "--workers",
            "1",
            "--json",
        )
        return [Path(run["run"]).name for run in out["runs"]]


def _without(told: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key not in keys}


def expectations(built: Built) -> dict[str, Any]:
    return {
        "extracted": built.extracted,
        "runs": {
            name: {
                "called": without_time(called),
                "printed": _without(built.printed[name], "dev", "test"),
                **run_facts(built.run(name)),
            }
            for name, called in built.called.items()
        },
        "lists": {name: listed(built.folder, name) for name in LISTS},
    }


def old_expectations(old: Old) -> dict[str, Any]:
    fused = old.fused()
    return {
        "info": old.info(),
        "verified": old.verified(),
        "answers": old.answers(),
        "fused": fused,
        "analysed": old.analysed(),
    }


def without_time(called: str) -> str:
    return re.sub(r"^\d{8}T\d{6}-", "", called)


def _regenerate(artefacts: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        built = Built(Path(place) / "built")
        if artefacts:
            _replace(PINNED / "store" / built.file.parent.name, lambda to: _copy(built.file, to / built.file.name))
            _replace(PINNED / "runs", lambda to: [shutil.copytree(built.run(n), to / built.called[n]) for n in OLD])
        content = {**expectations(built), "old": old_expectations(Old(Path(place) / "old"))}
    EXPECTED.write_text(_lines(content) + "\n", encoding="utf-8")


def _lines(content: Any, depth: int = 4) -> str:
    """JSON with sorted keys, a line to each entry of the upper `depth` levels."""
    if not isinstance(content, dict) or not depth:
        return json.dumps(content, sort_keys=True, ensure_ascii=False)
    entries = (f"{json.dumps(key)}: {_lines(content[key], depth - 1)}" for key in sorted(content))
    return "{\n" + ",\n".join(entries) + "\n}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _replace(folder: Path, write: Callable[[Path], object]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    write(folder)


if __name__ == "__main__":
    _regenerate("--artefacts" in sys.argv[1:])
