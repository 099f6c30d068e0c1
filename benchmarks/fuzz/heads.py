"""Saved heads of a stranger, spoilt and under right checksums: loading and asking one is refused or answered, and never
ends or holds up the process, which is a child for each trial.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import HeadError, fit, load, save
from classifiers.storage import CONFIG, WEIGHTS

TORCH = ("mlp", "guided_ca", "cmb", "bottleneck_fusion")
HEADS = ("lightgbm", "lightgbm", "lightgbm", "logistic", "sklearn", "knn", *TORCH)
SECONDS = 15.0
ANSWERED, REFUSED, ODD = 0, 3, 4
VALUES = (0, -1, 2, 1000, 10**8, 10**12, 1e308, None, "", "other", [], {}, True, "pathlib:Path", [0] * 50)


class Trials:
    """Trains each head once; a trial spoils a copy of one."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, 160)
        self._views = {
            name: rng.normal(size=(160, 6)).astype(np.float32) + labels[:, None] for name in ("image", "text")
        }
        self._folder = folder
        for head in dict.fromkeys(HEADS):
            more: dict[str, Any] = {"max_epochs": 1} if head in TORCH else {}
            fitted = fit(head, self._views, labels, np.arange(120), np.arange(120, 160), 3, 0, **more)
            save(fitted, folder / head)

    def one(self, rng: random.Random) -> tuple[str, str]:
        head = rng.choice(HEADS)
        place = self._folder / "spoilt"
        shutil.copytree(self._folder / head, place)
        try:
            said = f"{head}: {spoil(place, rng)}"
            child = multiprocessing.get_context("fork").Process(target=self._asked, args=(place,))
            child.start()
            child.join(SECONDS)
            if child.exitcode is None:
                child.kill()
                child.join()
                return "FAILED: held up", said
        finally:
            shutil.rmtree(place, ignore_errors=True)
        outcomes = {ANSWERED: "answered", REFUSED: "refused", ODD: "FAILED: raised"}
        return outcomes.get(child.exitcode or 0, f"FAILED: ended by {child.exitcode}"), said

    def _asked(self, place: Path) -> None:
        try:
            answer = load(place).predict_proba({name: view[:20] for name, view in self._views.items()})
            os._exit(ANSWERED if answer.shape[0] == 20 else ODD)
        except HeadError:
            os._exit(REFUSED)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(ODD)


def spoil(place: Path, rng: random.Random) -> str:
    """One to three changes to the weights or the configuration, with the checksum made right again."""
    config = json.loads((place / CONFIG).read_text())
    weights = bytearray((place / WEIGHTS).read_bytes())
    said = []
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.4:
            owners = [config, *(config[name] for name in ("params", "views", "training"))]
            owner = rng.choice([one for one in owners if isinstance(one, dict) and one])
            name = rng.choice(list(owner))
            owner[name] = rng.choice(VALUES)
            said.append(f"{name} = {owner[name]!r}")
        else:
            at = rng.randrange(len(weights))
            how = rng.randrange(4)
            if how == 0:
                weights[at] ^= 1 << rng.randrange(8)
            elif how == 1:
                weights[at : at + 1] = rng.choice((b"9", b"-", b" ", b"\n", b"=", b"0", b"e"))
            elif how == 2:
                weights[at : at + rng.randint(1, 8)] = b"9" * rng.randint(1, 8)
            else:
                del weights[at : at + rng.randint(1, 20)]
            said.append(f"byte {at}, {how}")
    weights = _of_right_length(weights)
    (place / WEIGHTS).write_bytes(bytes(weights))
    config["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    (place / CONFIG).write_text(json.dumps(config))
    return "; ".join(said)


def _of_right_length(weights: bytearray) -> bytearray:
    """The same, with the header of safetensors made right where its last tensor is longer or shorter."""
    size = int.from_bytes(weights[:8], "little")
    try:
        header = json.loads(weights[8 : 8 + size])
        named = [one for name, one in header.items() if name != "__metadata__"]
        last = max(named, key=lambda one: one["data_offsets"][1])
        begin = last["data_offsets"][0]
        if len(last["shape"]) == 1 and last["dtype"] == "U8":
            last["data_offsets"][1] = len(weights) - 8 - size
            last["shape"] = [last["data_offsets"][1] - begin]
        text = json.dumps(header).encode()
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return weights
    return bytearray(len(text).to_bytes(8, "little") + text) + weights[8 + size :]
