"""CLIP through open_clip: any architecture/pretrained pair, `hf-hub:` id or local folder."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.card import Card
from features.device import place, to_numpy
from features.encoders.clip_tokens import ClipTokenizer, ClipTokens
from features.encoders.encoder import Encoder
from features.encoders.tokens import TOKENS, token_views
from features.encoders.transforms import of_torchvision
from features.errors import FeatureError
from features.text import Text, TextRead
from features.vocabulary import check_words
from features.weights import check_path, describe, is_local, loading

_WEIGHTS = (".safetensors", ".bin", ".pth")
"""The files of a folder that open_clip takes for weights, by their endings."""


def load(*, pretrained: str, revision: str | None, device: str, precision: str, tokens: bool = False) -> ClipEncoder:
    """`pretrained`: "ARCHITECTURE/TAG" (as `open_clip.list_pretrained()` has them) or "hf-hub:ORG/NAME", either with
    "@REVISION" behind it in place of `revision`; or a local folder in open_clip's own layout (`open_clip_config.json`
    and weights). `tokens` adds the token views.
    """
    model, transform, tokenizer = open_weights(pretrained, revision, device, precision)
    weights = identify(pretrained, revision)
    encoder = ClipEncoder(place(model, device), transform, tokenizer, weights, device, tokens)
    name, _ = _split(pretrained, revision)
    with warnings.catch_warnings(action="ignore"):
        activation = {} if is_local(name) else _activation(name.split("/")[0], name)
    # older caches of such weights ran with the other activation
    encoder.identity = {**encoder.identity, **activation}
    return encoder


CARD = Card(
    name="clip",
    summary="CLIP through open_clip: image and text towers",
    modalities=("image", "text"),
    default_views={"image": "image/projected", "text": "text/projected"},
    loader=load,
    pretrained="ViT-B-32/laion2b_s34b_b79k",
    revision="1a25a446712ba5ee05982a381eed697ef9b435cf",
    licence="MIT",
    extra="encoders",
    views={
        "image/projected": (512,),
        "image/pooled": (768,),
        "text/projected": (512,),
        "text/pooled": (512,),
    },
    token_views={"image/tokens": (49, 768), "text/tokens": (77, 512), "text/mask": (77,)},
    options=(TOKENS,),
)


def identify(pretrained: str, revision: str | None) -> dict[str, Any]:
    """What goes into an identity: as `features.weights.describe`, a revision behind an "@" told apart."""
    import open_clip

    name, revision = _split(pretrained, revision)
    if name.startswith("hf-hub:") or is_local(name):
        return describe(name, revision, name.removeprefix("hf-hub:"))
    known = open_clip.get_pretrained_cfg(*name.split("/")) or {}
    return describe(name, revision, os.path.split(known.get("hf_hub", ""))[0])


def open_weights(pretrained: str, revision: str | None, device: str, precision: str) -> tuple[Any, Any, Any]:
    """open_clip's model, evaluation transform and tokenizer of `pretrained`, as `load` names it."""
    import open_clip

    pretrained, revision = _split(pretrained, revision)

    def read() -> tuple[Any, Any, Any]:
        name, arguments = _source(pretrained, revision)
        _check_config(name)
        arguments |= _activation(name, pretrained)
        # the checkpoint holds both towers, and open_clip itself refuses tensors that do not fit
        model, _, transform = open_clip.create_model_and_transforms(
            name, device=device, precision=precision, pretrained_text=False, **arguments
        )
        tokenizer = open_clip.get_tokenizer(name)
        if hasattr(tokenizer, "tokenizer"):
            check_words(tokenizer.tokenizer)
        return model, transform, tokenizer

    return loading("clip", pretrained, read)


def _activation(name: str, pretrained: str) -> dict[str, Any]:
    """`quick_gelu` of the weights of a tag, where the architecture declares the other activation.

    open_clip warns of that and runs with the activation of the architecture; with a revision it does not even warn.
    """
    import open_clip

    if pretrained.count("/") != 1 or ":" in name:
        return {}
    known = open_clip.get_pretrained_cfg(*pretrained.split("/"))
    declared = open_clip.get_model_config(name)
    if not known or not declared:
        return {}
    trained, declares = bool(known.get("quick_gelu", False)), bool(declared.get("quick_gelu", False))
    if trained == declares:
        return {}
    warnings.warn(
        f"QuickGELU mismatch: the architecture '{name}' is declared with quick_gelu={declares}, and the weights "
        f"'{pretrained}' were trained with quick_gelu={trained}, which is what they run with.",
        UserWarning,
        stacklevel=2,
    )
    return {"quick_gelu": trained}


def _check_config(name: str) -> None:
    """Refuse what a folder or repository says of its CLIP where it has no weights, or asks for code to be run."""
    kind, _, place = name.partition(":")
    if kind == "local-dir":
        folder = Path(place)
        if not any(file.suffix in _WEIGHTS for file in folder.iterdir()):
            raise FeatureError(f"The folder '{folder}' holds no weights ({', '.join(_WEIGHTS)}).")
        said = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    elif kind == "hf-hub":
        from open_clip.factory import download_pretrained_from_hf

        # open_clip goes on with random weights where these cannot be had
        download_pretrained_from_hf(place)
        said = _get_config(place)
    else:
        return
    if _asks_for_code(said):
        raise FeatureError(
            f"'{place}' wants code that comes with it to be run (trust_remote_code in open_clip_config.json), "
            "which is never done here; use other weights (--pretrained)."
        )


def _get_config(repository: str) -> Any:
    from open_clip.factory import _get_hf_config

    return _get_hf_config(repository)


def _asks_for_code(said: Any) -> bool:
    """Whether `trust_remote_code` or `auto_map` is set anywhere in a configuration."""
    if isinstance(said, dict):
        return any(
            (str(key) in ("trust_remote_code", "auto_map", "code_revision") and bool(value)) or _asks_for_code(value)
            for key, value in said.items()
        )
    return isinstance(said, list) and any(map(_asks_for_code, said))


def _split(pretrained: str, revision: str | None) -> tuple[str, str | None]:
    """The weights' name, and the revision that stands behind its "@" or beside it."""
    pretrained = pretrained.removeprefix("local-dir:")
    if is_local(pretrained):
        return pretrained, revision
    name, _, behind = pretrained.partition("@")
    return name, behind or revision


def _source(pretrained: str, revision: str | None) -> tuple[str, dict[str, Any]]:
    """What open_clip is asked for: its name of the model, and further arguments."""
    if is_local(pretrained):
        return f"local-dir:{pretrained}", {}
    if pretrained.startswith("hf-hub:"):
        return (_snapshot(pretrained.removeprefix("hf-hub:"), revision) if revision else pretrained), {}
    if pretrained.count("/") == 1:
        name, tag = pretrained.split("/")
        return name, _pinned(name, tag, revision) if revision else {"pretrained": tag}
    check_path(pretrained)
    raise FeatureError(
        f"'{pretrained}' names no CLIP weights; give a folder, 'hf-hub:ORG/NAME' or 'ARCHITECTURE/TAG' "
        "such as ViT-B-32/laion2b_s34b_b79k (--pretrained)."
    )


def _snapshot(repository: str, revision: str) -> str:
    """open_clip itself takes no revision of a hub repository, but the folder that the revision was fetched into."""
    import huggingface_hub
    from open_clip.pretrained import download_pretrained_from_hf

    small = ["*.json", "*.txt", "*.model"]
    folder = huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=small)
    download_pretrained_from_hf(repository, revision=revision)
    return f"local-dir:{folder}"


def _pinned(name: str, tag: str, revision: str) -> dict[str, Any]:
    """Arguments that make open_clip read the weights of a tag at a commit of the repository behind it."""
    import open_clip
    from open_clip.pretrained import download_pretrained_from_hf

    known = open_clip.get_pretrained_cfg(name, tag)
    if not known:
        return {"pretrained": tag}
    if not known.get("hf_hub"):
        raise FeatureError(f"'{name}/{tag}' comes from no hub repository, so it takes no revision.")
    repository, file = os.path.split(known["hf_hub"])
    weights = download_pretrained_from_hf(repository, filename=file or None, revision=revision)
    images = {f"image_{key}": known.get(key) for key in ("mean", "std", "interpolation", "resize_mode")}
    return {"pretrained": weights, **images}


class ClipEncoder(Encoder):
    """`image/projected`, `text/projected` [D]: the vectors of the shared space, of unit length.

    `image/pooled`, `text/pooled` [W]: what the projection reads, after the tower's last norm; of towers that have
    such a vector (the Transformer towers). On request `image/tokens` [T, W], the patches behind `image/pooled`, and
    `text/tokens` [77, W] with `text/mask` [77]. CLIP is fed its own normalisation and its own tokenizer (77 tokens;
    longer texts are cut; a second segment follows the first after a space).
    """

    modalities = ("image", "text")
    parallel = True

    def __init__(
        self, model: Any, transform: Any, tokenizer: Any, weights: dict[str, Any], device: str, tokens: bool
    ) -> None:
        self._model = model
        self._pixels = of_torchvision(transform, str(transform))
        self._tokenizer = ClipTokenizer(tokenizer)
        self._device = device
        self._tokens = tokens
        self._caught = threading.local()
        self._watch("image", getattr(model, "visual", None))
        self._watch("text", model if hasattr(model, "ln_final") else getattr(model, "text", None))
        self.context_length: int = tokenizer.context_length
        self.text_limit = self.context_length
        self.views = self._probe_views()
        self.identity = {
            "weights": weights,
            "transform": dict(self._pixels.identity),
            "context": tokenizer.context_length,
            "unit_length": True,
        }

    def prepare(self, image: Any) -> np.ndarray:
        return self._pixels.prepare(image)

    def decode_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        return self._pixels.decode_size(size)

    def pixels(self, batch: np.ndarray) -> Any:
        """Prepared photos to what the image tower reads: [n, 3, height, width], the same as its own transform makes."""
        return self._pixels.tensor(batch, self._model)

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            projected = self._model.encode_image(self.pixels(batch))
            views = {"image/projected": _unit(projected)}
            if (hidden := self._caught.__dict__.pop("image", None)) is not None:
                pooled, patches = (hidden, None) if hidden.ndim == 2 else self._model.visual._global_pool(hidden)
                views["image/pooled"] = to_numpy(pooled)
                if self._tokens and patches is not None:
                    views["image/tokens"] = to_numpy(patches)
        return views

    def project_images(self, batch: np.ndarray) -> Any:
        """Projected vectors [n, D] as a tensor, of CLIP's own length (captioners that were trained on them need it)."""
        import torch

        with torch.inference_mode():
            return self._model.encode_image(self.pixels(batch))

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        return self.encode_tokens(self.tokenize(texts))

    def tokenize(self, texts: Sequence[Text]) -> list[ClipTokens]:
        return self._tokenizer(texts)

    def encode_tokens(self, tokens: Sequence[ClipTokens]) -> dict[str, np.ndarray]:
        import torch

        ids = torch.stack([one.ids for one in tokens]).to(self._device)
        with torch.inference_mode():
            projected = self._model.encode_text(ids)
            views = {"text/projected": _unit(projected)}
            if (hidden := self._caught.__dict__.pop("text", None)) is not None:
                last = self._last_token(ids)
                views["text/pooled"] = to_numpy(hidden[torch.arange(len(hidden), device=last.device), last])
                if self._tokens:
                    mask = torch.arange(hidden.shape[1], device=last.device) <= last.unsqueeze(1)
                    views |= token_views("text", hidden.float(), mask, self.context_length)
        return views

    def text_read(self, tokens: ClipTokens) -> TextRead:
        return tokens.read

    def text_length(self, tokens: ClipTokens) -> int:
        # every text is padded to the same 77 tokens, so none costs more than another
        return 0

    def _watch(self, modality: str, tower: Any) -> None:
        """Keep what leaves the last norm of a Transformer tower during a pass; other towers have no such place."""
        norm = getattr(tower, "ln_post" if modality == "image" else "ln_final", None)
        if norm is None or getattr(tower, "attn_pool", None) is not None or getattr(tower, "cls_emb", None) is not None:
            return
        if modality == "text":
            holder = "text_pool_type" if hasattr(tower, "text_pool_type") else "pool_type"
            self._pool_type = getattr(tower, holder)
            self._end = getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))
            if self._pool_type not in ("argmax", "eos", "last"):
                return

        def keep(module: Any, given: Any, output: Any) -> None:
            setattr(self._caught, modality, output)

        norm.register_forward_hook(keep)

    def _last_token(self, tokens: Any) -> Any:
        """int64 [n]: the position that the text tower pools at."""
        import torch

        if self._pool_type == "argmax":
            return tokens.argmax(dim=-1)
        if self._pool_type == "eos":
            return (tokens == self._end).int().argmax(dim=-1)
        return torch.full((len(tokens),), tokens.shape[1] - 1, device=tokens.device)

    def _probe_views(self) -> dict[str, tuple[int, ...]]:
        """The views and their shapes, from one pass over an empty text and a white image."""
        from features.images import blank

        found = {**self.encode_images(self.prepare(blank())[None]), **self.encode_texts([""])}
        return {name: values.shape[1:] for name, values in found.items()}


def _unit(projected: Any) -> np.ndarray:
    import torch

    return to_numpy(torch.nn.functional.normalize(projected.float(), dim=-1))
