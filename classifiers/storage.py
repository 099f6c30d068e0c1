"""Trained heads on disk: safetensors, one JSON file and a model card; no pickle is written or read."""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.balance import Balance
from classifiers.errors import HeadError
from classifiers.fitted import FittedHead, Head
from classifiers.heads.card import HeadCard
from classifiers.heads.registry import check_view_count, head_card
from classifiers.params import split_params, training_dict

FORMAT = 1
WEIGHTS, CONFIG, MODEL_CARD = "head.safetensors", "config.json", "README.md"

MOST_LAYERS = 1000
"""No head that can be trained has more."""

# what a system answers where a folder cannot take a name because something is there
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
# and where it cannot sync a folder at all
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


def save(fitted: FittedHead, folder: Path) -> None:
    """Write `fitted` as `folder`, which is whole and on the medium afterwards, or as it was before.

    Folders above it are made. `HeadError` when it holds a head, or anything else, already.
    """
    from safetensors.numpy import save as to_bytes

    tensors = {name: np.ascontiguousarray(array) for name, array in sorted(fitted.head.tensors().items())}
    weights = to_bytes(tensors)
    config = _config(fitted, hashlib.sha256(weights).hexdigest())
    contents = {
        WEIGHTS: weights,
        MODEL_CARD: _model_card(config, fitted).encode(),
        CONFIG: (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
    }
    _write_folder(Path(os.path.realpath(folder)), contents)


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files beside `folder`, under a name that nobody reads, and give them its name at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".head-{secrets.token_hex(8)}")
    building.mkdir()
    try:
        for name, data in contents.items():
            with (building / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_names(building)
        # an empty folder gives way to it, one that is not empty does not
        building.replace(folder)
    except BaseException as error:
        shutil.rmtree(building, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in _TAKEN:
            raise HeadError(f"{folder} already holds a head, or something else; choose another folder.") from None
        raise
    _sync_names(folder.parent)


def _sync_names(folder: Path) -> None:
    """Return once the names in `folder` are on the medium, where the file system can say so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def load(folder: Path) -> FittedHead:
    """Read what `save` wrote; its probabilities equal those of the saved head bit for bit.

    Raises `HeadError` when a file is absent, damaged or of another format.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError) as error:
        raise HeadError(f"The folder {folder} holds no readable head ({type(error).__name__}).") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise HeadError(f"The head in {folder} is not of format {FORMAT}, the one this version reads.")
    if hashlib.sha256(weights).hexdigest() != config.get("weights_sha256"):
        raise HeadError(f"The weights in {folder} are not those that were saved; train the head again.")
    try:
        return _restored(config, weights)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise HeadError(f"The {CONFIG} in {folder} is damaged ({type(error).__name__}: {error}).") from error


def _config(fitted: FittedHead, weights_sha256: str) -> dict[str, Any]:
    """All that is needed to rebuild the head, as plain JSON values."""
    packages = ["numpy", "torch" if fitted.training else "scikit-learn"]
    return {
        "format": FORMAT,
        "head": fitted.card.name,
        "params": fitted.params,
        "training": training_dict(fitted.training),
        "balance": fitted.balance.as_dict(),
        "views": fitted.dims,
        "classes": fitted.classes.tolist(),
        "n_classes": fitted.n_classes,
        "class_names": list(fitted.class_names),
        "encoders": {name: dict(encoder) for name, encoder in fitted.encoders.items()},
        "seed": fitted.seed,
        "best_epoch": fitted.best_epoch,
        "history": fitted.history,
        "weights_sha256": weights_sha256,
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def _restored(config: dict[str, Any], weights: bytes) -> FittedHead:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    card = head_card(config["head"])
    own, training = split_params(card, {**config["params"], **config["training"]})
    dims = {str(name): int(dim) for name, dim in config["views"].items()}
    check_view_count(card, sorted(dims))
    if min(dims.values()) < 1:
        raise ValueError("a view without features")
    _refuse_larger_than_its_weights({**dims, "width": own.get("width", 0)}, own.get("layers", 0), len(weights))
    classes, n_classes = np.array(config["classes"], dtype=np.int64), int(config["n_classes"])
    if classes.ndim != 1 or len(classes) < 2 or classes.min() < 0 or classes.max() >= n_classes:
        raise ValueError("classes outside 0..n_classes-1")
    try:
        tensors = from_bytes(weights)
    except SafetensorError as error:
        raise ValueError("weights are not safetensors") from error
    head = empty_head(card, dims, len(classes), own)
    head.load_tensors(tensors)
    history, best_epoch = list(config["history"]), int(config["best_epoch"])
    seed = int(config["seed"])
    names = tuple(str(name) for name in config.get("class_names", ()))
    if names and len(names) != n_classes:
        raise ValueError(f"{len(names)} class names for {n_classes} classes")
    # heads of earlier versions were trained without balance, and do not know their encoders
    balance = Balance.of_dict(config.get("balance", {}))
    encoders = {str(name): dict(encoder) for name, encoder in config.get("encoders", {}).items()}
    return FittedHead(
        card, head, own, training, classes, n_classes, seed, history, best_epoch, 0.0, names, balance, encoders
    )


def _refuse_larger_than_its_weights(widths: Mapping[str, int], layers: int, size: int) -> None:
    """`ValueError` for widths and numbers of layers that weights of `size` bytes cannot have: to build such a head
    would take for ever, and only then are its weights compared.
    """
    for name, width in widths.items():
        if width > size:
            raise ValueError(f"{name} is {width:,}, and there are {size:,} bytes of weights")
    if layers > MOST_LAYERS:
        raise ValueError(f"{layers:,} layers")


def empty_head(card: HeadCard, dims: dict[str, int], n_outputs: int, params: dict[str, Any]) -> Head:
    """The head before its weights; a torch one takes neither memory nor random numbers."""
    head: Head
    if card.family != "torch":
        head = card.build(dims, n_outputs, params)
        return head
    import torch

    with torch.device("meta"):
        head = card.build(dims, n_outputs, params).eval()
    return head


def _model_card(config: dict[str, Any], fitted: FittedHead) -> str:
    """A short page for a person: what the head is, what it was trained on, how to use it."""
    best = fitted.history[fitted.best_epoch - 1]
    views = "\n".join(f"- `{name}`: {dim} features{_of_encoder(fitted, name)}" for name, dim in fitted.dims.items())
    params = {**config["params"], **config["training"]}
    settings = "\n".join(f"- {name}: {value}" for name, value in sorted(params.items()))
    names = "".join(f"- {label}: {name}\n" for label, name in enumerate(fitted.class_names))
    return f"""# {fitted.card.name}

{fitted.card.summary.capitalize()}.
Source: {fitted.card.source}.

## Takes
{views}

Raw features as the encoder gives them; the head standardises them itself.

## Gives
Probabilities over {fitted.n_classes} classes; train showed {len(fitted.classes)} of them
(labels {", ".join(str(label) for label in fitted.classes)}), any other has probability 0.
{names}
## Training
{settings}
- seed: {fitted.seed}
- kept: row {fitted.best_epoch} of {len(fitted.history)}, dev macro-F1 {best["dev_macro_f1"]:.4f}, \
dev loss {best["dev_loss"]:.4f}

## Use
```python
from classifiers import load

probabilities = load("this/folder").predict_proba({{{", ".join(f'"{name}": ...' for name in fitted.dims)}}})
```
"""


def _of_encoder(fitted: FittedHead, view: str) -> str:
    """ " of bert@1a2b3c4d:text/mean", where the head knows."""
    label = fitted.encoders.get(view, {}).get("label")
    return f" of {label}" if label else ""
