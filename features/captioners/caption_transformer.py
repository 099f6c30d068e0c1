"""CLIP-reward captions over CLIP's grid, and Transformer captions over detector regions: one published layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crisis_registry import Parameter, anything
from features.captioners.beams import search
from features.captioners.caption_net import CaptionNet
from features.captioners.captioner import (
    SCORED_VIEWS,
    Candidate,
    Captioner,
    Decoding,
    check_room,
    decoding_options,
    load_scorer,
)
from features.captioners.checkpoint import load_plain, load_tensors
from features.card import Card
from features.errors import FeatureError
from features.regions.load import REGIONS, load_regions
from features.regions.region import pack, unpack
from features.text import Text
from features.weights import describe, is_local, loading

SIDE = 448
"""CLIP-reward captioners read the 14 x 14 cells that CLIP's ResNet makes of a photo squeezed to this side."""

GRID = Parameter(
    "grid", "RN50/openai", anything("the name of CLIP weights"), "the CLIP ResNet whose feature map is read"
)

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_SUFFIXES = (".ckpt", ".pth", ".pt", ".bin", ".safetensors")
_HEADS = 8


@dataclass(frozen=True)
class _Published:
    """A checkpoint: its network, its words by id ("1" is the first), and the settings it was trained with."""

    net: CaptionNet
    words: Mapping[str, str]
    settings: Mapping[str, Any]


def load_grid(
    *,
    pretrained: str | None,
    revision: str | None,
    device: str,
    precision: str,
    candidates: int,
    max_new_tokens: int,
    grid: str,
    scorer: str | None,
) -> Captioner:
    """CLIP-reward captions (Cho et al. 2022). `pretrained`: a folder with a published checkpoint; `grid`: the CLIP
    ResNet whose last feature map it reads, as `--pretrained` of the model `clip`.
    """
    from features.encoders.clip import identify, open_weights

    published = _published("clip_reward", pretrained, device, precision)
    model, _, _ = open_weights(grid, None, device, precision)
    visual = model.eval().visual
    if not hasattr(visual, "layer4"):
        raise FeatureError(f"'{grid}' is not a CLIP with a ResNet image tower; name one with --set grid=...")

    def read(batch: np.ndarray) -> tuple[Any, Any]:
        import torch

        hidden = torch.from_numpy(np.ascontiguousarray(batch)).to(device, visual.conv1.weight.dtype)
        for stage in (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            hidden = stage(hidden)
        cells = hidden.flatten(2).transpose(1, 2)
        return cells, torch.ones(cells.shape[:2], device=device)

    _check_width(published, 32 * visual.conv3.weight.shape[0])
    seen = {"grid": identify(grid, None), "side": SIDE}
    chooser = load_scorer(scorer, device, precision)
    decoding = Decoding(candidates, max_new_tokens)
    return _captioner("clip_reward", published, _squeeze, read, decoding, chooser, _identity(pretrained, seen))


def load_regional(
    *,
    pretrained: str | None,
    revision: str | None,
    device: str,
    precision: str,
    candidates: int,
    max_new_tokens: int,
    regions: str | None,
    scorer: str | None,
) -> Captioner:
    """Transformer captions over regions. `regions`: as `features.regions.load.load_regions` reads it."""
    published = _published("region_captions", pretrained, device, precision)
    source = load_regions("region_captions", regions, device)
    boxed = bool(published.settings.get("use_box"))
    if boxed and not source.boxed:
        raise FeatureError("This captioner reads the box of every region, and these have none (--set regions=).")
    _check_width(published, source.width + (5 if boxed else 0))

    def prepare(image: Any) -> np.ndarray:
        return pack(source.find(image), source.count)

    def read(batch: np.ndarray) -> tuple[Any, Any]:
        import torch

        features, boxes, mask = unpack(batch)
        if published.settings.get("norm_att_feat"):
            features = _unit(features)
        if boxed:
            area = (boxes[..., 2:3] - boxes[..., :1]) * (boxes[..., 3:] - boxes[..., 1:2])
            places = np.concatenate([boxes, area], axis=2)
            features = np.concatenate(
                [features, _unit(places) if published.settings.get("norm_box_feat") else places], axis=2
            )
        return torch.from_numpy(features.astype(np.float32)).to(device), torch.from_numpy(mask).to(device)

    chooser = load_scorer(scorer, device, precision)
    decoding = Decoding(candidates, max_new_tokens)
    identity = _identity(pretrained, {"regions": dict(source.identity)})
    return _captioner("region_captions", published, prepare, read, decoding, chooser, identity)


CLIP_REWARD = Card(
    name="clip_reward",
    summary="captions by a Transformer over CLIP's grid, trained with CLIP as the reward (published checkpoints)",
    modalities=("image",),
    default_views={},
    loader=load_grid,
    licence="CC BY-NC-SA 4.0 (published checkpoints)",
    hub=False,
    extra="encoders",
    views=SCORED_VIEWS,
    caption=True,
    options=(*decoding_options(5, 20), GRID),
)

REGION_CAPTIONS = Card(
    name="region_captions",
    summary="captions by a Transformer over regions (published self-critical checkpoints)",
    modalities=("image",),
    default_views={},
    loader=load_regional,
    licence="MIT (published code; weights: see their page)",
    hub=False,
    extra="encoders",
    views=SCORED_VIEWS,
    caption=True,
    options=(*decoding_options(5, 20), REGIONS),
)


def _captioner(
    name: str,
    published: _Published,
    prepare: Callable[[Any], np.ndarray],
    read: Callable[[np.ndarray], tuple[Any, Any]],
    decoding: Decoding,
    scorer: Any,
    identity: Mapping[str, Any],
) -> Captioner:
    words, net = published.words, published.net
    check_room(net.positions, 0, decoding)
    net.check()
    never = [int(number) for number, word in words.items() if word == "UNK" and int(number) < net.vocabulary]

    def generate(batch: np.ndarray, texts: Sequence[Text]) -> list[list[Candidate]]:
        import torch

        with torch.inference_mode():
            memory = net.encode(*read(batch))
            found = search(net, memory, beams=decoding.candidates, limit=decoding.max_new_tokens, never=never)
        return [[Candidate(_spoken(beam.words, words), not beam.ended) for beam in row] for row in found]

    return Captioner(name, "image", prepare, generate, decoding, scorer, identity)


def _spoken(ids: Sequence[int], words: Mapping[str, str]) -> str:
    """Words by id, pieces of one word put together again ("@@ " marks a piece that goes on)."""
    return " ".join(words.get(str(number), "") for number in ids).replace("@@ ", "")


def _identity(pretrained: str | None, seen: Mapping[str, Any]) -> dict[str, Any]:
    return {"weights": describe(str(pretrained), None), **seen, "prompt": ""}


def _check_width(published: _Published, width: int) -> None:
    if published.net.width != width:
        raise FeatureError(
            f"The captioner was trained on features {published.net.width} wide, and these are {width} wide; "
            "name its own kind with --set regions=... or --set grid=..."
        )


def _squeeze(image: Any) -> np.ndarray:
    """[3, 448, 448] float32: both sides resized by bicubic interpolation, CLIP's normalisation."""
    from PIL import Image

    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 255.0
    return ((pixels - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)).transpose(2, 0, 1)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def _published(model: str, pretrained: str | None, device: str, precision: str) -> _Published:
    """The one checkpoint in the folder `pretrained`, with the words it carries or that lie beside it."""
    if pretrained is None or not is_local(pretrained):
        raise FeatureError(f"The model '{model}' needs a folder with a published checkpoint; name it: --pretrained.")
    folder = Path(pretrained)
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES]
    if len(files) != 1:
        raise FeatureError(f"'{folder}' must hold exactly one checkpoint ({', '.join(_SUFFIXES)}), not {len(files)}.")
    state = loading(model, pretrained, lambda: load_tensors(files[0]))
    weights = state.get("state_dict", state)
    words, settings = loading(model, pretrained, lambda: _words(folder, weights))
    kind = settings.get("caption_model", "transformer")
    if kind != "transformer":
        raise FeatureError(f"The checkpoint in '{folder}' is a '{kind}' captioner, not a Transformer.")
    heads = int(settings.get("num_att_heads", _HEADS))
    return _Published(CaptionNet(weights, heads, device, precision), words, settings)


def _words(folder: Path, weights: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """Words by id, and the training settings: inside the checkpoint, in `infos_*.pkl`, or (words alone) in a JSON file
    with `ix_to_word`.
    """
    if "_vocab" in weights:
        stored = {n: load_plain(weights[n].cpu().numpy().tobytes()) for n in ("_vocab", "_opt") if n in weights}
        return _by_id(stored["_vocab"]), vars(stored["_opt"]) if "_opt" in stored else {}
    for path in sorted(folder.glob("infos*.pkl")):
        infos = load_plain(path.read_bytes())
        return _by_id(infos["vocab"]), vars(infos["opt"]) if "opt" in infos else {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and "ix_to_word" in found:
            return _by_id(found["ix_to_word"]), found.get("opt", {})
    raise FeatureError(f"'{folder}' has no words: neither in the checkpoint, nor infos_*.pkl, nor JSON (ix_to_word).")


def _by_id(words: Mapping[Any, Any]) -> dict[str, str]:
    return {str(number): str(word) for number, word in words.items()}
