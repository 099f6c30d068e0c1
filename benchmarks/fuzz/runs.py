"""Run folders with one bit flipped in one of their files: every command that reads them refuses, or is not touched."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.cli.app import app
from pipeline.log import set_quiet

READERS = ("fuse", "compare", "analyse")


class Trials:
    """Two runs of a drawn table; a trial flips a bit in a copy of one and has all `READERS` read both."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        lines = ["id,text,image,label"]
        for row in range(120):
            label = int(rng.integers(2))
            word = ("flood", "sun")[label if rng.random() < 0.8 else 1 - label]
            Image.new("RGB", (8, 8), (40 + label * 60 + row % 30, 50, row)).save(folder / f"{row}.png")
            lines.append(f"{row},{word} {row % 50},{row}.png,{'ab'[label]}")
        (folder / "t.csv").write_text("\n".join(lines))
        self._folder = folder
        self._named = ["--data", str(folder / "t.csv"), "--cache", str(folder / "cache"), "--quiet"]
        quietly(["extract", "--model", "classic", *self._named])
        for head in ("concat", "mlp"):
            asked = ["--head", head, "--model", "classic", "--seeds", "2", "--workers", "1", "--set", "max_epochs=2"]
            quietly(["fit-head", *asked, "--output", str(folder / "runs"), *self._named])
        self._runs = sorted(path for path in (folder / "runs").iterdir() if path.is_dir())
        self._sound = {reader: self._read(reader, self._runs) for reader in READERS}

    def one(self, rng: random.Random) -> tuple[str, str]:
        place = self._folder / "spoilt"
        copies = [place / run.name for run in self._runs]
        for run, copy in zip(self._runs, copies, strict=True):
            shutil.copytree(run, copy)
        try:
            file = rng.choice(sorted(path for path in copies[0].rglob("*") if path.is_file()))
            data = bytearray(file.read_bytes())
            at = rng.randrange(len(data))
            data[at] ^= 1 << rng.randrange(8)
            file.write_bytes(bytes(data))
            refused = 0
            for reader in READERS:
                try:
                    told = self._read(reader, copies)
                except Exception as error:
                    if not hasattr(error, "exit_code") and type(error).__name__ not in ("HeadError", "CacheError"):
                        return "FAILED: raised", f"{reader}: {file.name}: {type(error).__name__}: {error}"
                    refused += 1
                    continue
                if told != self._sound[reader]:
                    return "FAILED: other figures without a word", f"{reader}: {file.name} byte {at}"
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return f"refused by {refused} of {len(READERS)}", file.name

    def _read(self, reader: str, runs: list[Path]) -> Any:
        """What the command prints of the runs, without what names a folder or an hour."""
        arguments = {
            "fuse": ["fuse", "--rule", "mean", *map(str, runs), "--output", str(self._folder / "fused")],
            "compare": ["compare", *map(str, runs)],
            "analyse": ["analyse", str(runs[0]), "--cache", str(self._folder / "cache")],
        }[reader]
        return without_places(json.loads(quietly([*arguments, "--json"])))


def quietly(arguments: list[str]) -> str:
    """Run a command; what it prints as JSON."""
    from pipeline.cli import output

    set_quiet(True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        app(arguments, standalone_mode=False)
        output.flush("--json" in arguments)
    return printed.getvalue()


def without_places(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: without_places(one) for name, one in told.items() if name not in ("run", "file", "folder")}
    return [without_places(one) for one in told] if isinstance(told, list) else told
