"""Model folders of every family, spoilt: tensors dropped, renamed, cut, filled with rubbish; configurations edited."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import architectures_open_clip, architectures_text, architectures_timm, architectures_vision
from benchmarks.architectures_photos import apart, encoded
from benchmarks.architectures_tiny import quietly

FAMILIES: tuple[tuple[str, Any, str], ...] = (
    ("bert", architectures_text, "bert"),
    ("bert", architectures_text, "roberta"),
    ("dinov2", architectures_vision, "vit"),
    ("dinov2", architectures_vision, "siglip"),
    ("clip", architectures_open_clip, "ViT-B-32"),
    ("timm", architectures_timm, "mobilenetv3_small_050"),
)
TEXTS = ("flood in the city", "help")
SAME = 1e-4


class Trials:
    """Loads a spoilt folder: it is refused in a sentence, or it has another fingerprint, or gives the same vectors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sound: list[tuple[str, Path, dict[str, Any], dict[str, np.ndarray]]] = []
        for model, module, kind in FAMILIES:
            place = folder / f"{model}-{kind}"
            place.mkdir()
            outcome, why = module.attempt(kind, place)
            if outcome == "works":
                self._sound.append((model, place, *loaded(model, place)))
            else:
                print(f"{model} {kind} is not tried: {why}")

    def one(self, rng: random.Random) -> tuple[str, str]:
        from features import FeatureError

        model, sound, identity, vectors = rng.choice(self._sound)
        place = self._folder / "spoilt"
        shutil.copytree(sound, place)
        try:
            said = spoil(place, rng)
            found, views = loaded(model, place)
        except FeatureError as error:
            return ("refused", "") if "\n" not in str(error).strip() else ("FAILED: several lines", str(error))
        except BaseException as error:
            return "FAILED: raised", f"{model}: {said}: {type(error).__name__}: {error}"
        finally:
            shutil.rmtree(place, ignore_errors=True)
        same = views.keys() == vectors.keys() and all(
            views[name].shape == vectors[name].shape and apart(views[name], vectors[name]) <= SAME for name in views
        )
        if found == identity and not same:
            return "FAILED: other vectors under one identity", f"{model}: {said}"
        return ("loaded, the same" if same else "loaded, another identity"), said


def loaded(model: str, place: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The identity and the vectors of a folder."""
    from features import CARDS, load

    with quietly():
        encoder = load(CARDS[model], pretrained=str(place))
        views: dict[str, np.ndarray] = {}
        if "image" in encoder.modalities:
            views |= encoded(encoder)
        if "text" in encoder.modalities:
            views |= encoder.encode_texts(TEXTS)
    return dict(encoder.identity), views


def spoil(place: Path, rng: random.Random) -> str:
    """One change to a folder; what it was, in words."""
    return rng.choice((flip, cut, drop_file, edit_json, edit_json, tensors, tensors, tensors))(place, rng)


def files(place: Path, *suffixes: str) -> list[Path]:
    return sorted(path for path in place.iterdir() if not suffixes or path.suffix in suffixes)


def flip(place: Path, rng: random.Random) -> str:
    path = rng.choice(files(place))
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 2000))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))
    return f"{path.name}: bit in byte {at}"


def cut(place: Path, rng: random.Random) -> str:
    path = rng.choice(files(place))
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    return f"{path.name} cut"


def drop_file(place: Path, rng: random.Random) -> str:
    path = rng.choice(files(place))
    path.unlink()
    return f"{path.name} deleted"


VALUES = (0, -1, 1, 2, 3, 7, 1 << 20, 0.5, None, "", "other", [], {}, True, 1e308)


def edit_json(place: Path, rng: random.Random) -> str:
    path = rng.choice(files(place, ".json"))
    content = json.loads(path.read_text())
    owner, said = content, path.name
    while isinstance(owner, dict) and owner:
        name = rng.choice(list(owner))
        said += f" {name}"
        if isinstance(owner[name], dict) and owner[name] and rng.random() < 0.8:
            owner = owner[name]
            continue
        if rng.random() < 0.3:
            del owner[name]
            said += " deleted"
        else:
            owner[name] = rng.choice(VALUES)
            said += f" = {owner[name]!r}"
        break
    path.write_text(json.dumps(content))
    return said


def tensors(place: Path, rng: random.Random) -> str:
    """One tensor of the weights changed."""
    path = rng.choice(files(place, ".safetensors", ".bin"))
    if path.suffix == ".bin":
        import torch

        held = torch.load(path, weights_only=True)
        said = change(held, rng)
        torch.save(held, path)
    else:
        from safetensors.torch import load_file, save_file

        held = load_file(path)
        said = change(held, rng)
        save_file({name: one.contiguous() for name, one in held.items()}, path, metadata={"format": "pt"})
    return f"{path.name}: {said}"


def change(held: dict[str, Any], rng: random.Random) -> str:
    name = rng.choice(list(held))
    how: Callable[[], None] = rng.choice(
        (
            lambda: held.pop(name),
            lambda: held.update({f"{name}_other": held.pop(name)}),
            lambda: held.update({name: held[name][..., :-1] if held[name].ndim else held[name]}),
            lambda: held.update({name: held[name] * float("nan")}) if held[name].is_floating_point() else None,
            lambda: held.update({f"further.{name}": held[name].clone()}),
            lambda: held.update({name: held[name] + 1}),
            lambda: held.update({name: held[name].double()}) if held[name].is_floating_point() else None,
        )
    )
    how()
    return name
