"""What a folder or repository in the layout of sentence-transformers says of how its authors use the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import FeatureError
from features.weights import load_tensor_file

_VIEWS = {"cls": "text/cls", "mean": "text/mean", "lasttoken": "text/last"}
_OLDER = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Tanh": np.tanh,
    "Identity": lambda values: values,
    "ReLU": lambda values: np.maximum(values, 0),
}


@dataclass(frozen=True)
class Dense:
    """One layer behind the pooled vector: `weight` float32 [D', D], `bias` [D'], and an activation."""

    weight: np.ndarray
    bias: np.ndarray
    activation: Callable[[np.ndarray], np.ndarray]

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """[n, D] to [n, D']."""
        return self.activation(vectors @ self.weight.T + self.bias)


@dataclass(frozen=True)
class SentenceSettings:
    """`view`: the one that the authors pool (None: not stated, or one that is not written here); `max_tokens`: where
    they cut a text; `lowered`: whether they write it in small letters first; `prompt`: what they put in front of it;
    `dense`: the layers through which they send the pooled vector.
    """

    view: str | None = None
    max_tokens: int | None = None
    lowered: bool = False
    prompt: str = ""
    dense: tuple[Dense, ...] = ()


def settings_of(pretrained: str, revision: str | None) -> SentenceSettings:
    """Read from `modules.json` and what it names; all unset where there is none.

    Raises `FeatureError` for a file that cannot be read.
    """
    modules = _read(pretrained, revision, "modules.json")
    if not isinstance(modules, list):
        return SentenceSettings()
    paths = dict(_kinds(modules))
    own = paths.get("Transformer", "")
    said = _read(pretrained, revision, f"{own}/sentence_bert_config.json".lstrip("/"))
    pooling = _read(pretrained, revision, f"{paths['Pooling']}/config.json") if "Pooling" in paths else None
    said = said if isinstance(said, dict) else {}
    most = said.get("max_seq_length")
    whole = _read(pretrained, revision, "config_sentence_transformers.json")
    prompts = whole.get("prompts") if isinstance(whole, dict) else None
    named = prompts.get(whole.get("default_prompt_name")) if isinstance(prompts, dict) else None
    return SentenceSettings(
        view=_VIEWS.get(_mode(pooling)) if isinstance(pooling, dict) else None,
        max_tokens=most if isinstance(most, int) and most > 0 else None,
        lowered=said.get("do_lower_case") is True,
        prompt=named if isinstance(named, str) else "",
        dense=tuple(_dense(pretrained, revision, path) for kind, path in _kinds(modules) if kind == "Dense"),
    )


def _kinds(modules: list[Any]) -> list[tuple[str, str]]:
    """The kind of each module, and the folder that its files are in."""
    return [(str(one.get("type", "")).rpartition(".")[2], one.get("path", "")) for one in modules if _is_plain(one)]


def _dense(pretrained: str, revision: str | None, path: str) -> Dense:
    """Raises `FeatureError` for a layer of another kind than is known here."""
    said = _read(pretrained, revision, f"{path}/config.json")
    said = said if isinstance(said, dict) else {}
    activation = _ACTIVATIONS.get(str(said.get("activation_function", "Tanh")).rpartition(".")[2])
    odd = said.get("use_residual") or said.get("module_input_name", "sentence_embedding") != "sentence_embedding"
    files = (_file(pretrained, revision, f"{path}/{name}") for name in ("model.safetensors", "pytorch_model.bin"))
    file = next(filter(None, files), None)
    if activation is None or odd or file is None:
        raise FeatureError(
            f"The layer '{path}' behind the vectors of '{pretrained}' is of a kind that is not known here."
        )
    tensors = {name: tensor.float().numpy() for name, tensor in load_tensor_file(Path(file)).items()}
    weight = tensors.get("linear.weight")
    if weight is None or weight.ndim != 2:
        raise FeatureError(f"The layer '{path}' behind the vectors of '{pretrained}' lacks the tensor 'linear.weight'.")
    return Dense(weight, tensors.get("linear.bias", np.zeros(len(weight), np.float32)), activation)


def _is_plain(module: Any) -> bool:
    path = module.get("path", "") if isinstance(module, dict) else None
    return isinstance(path, str) and ".." not in path and not path.startswith(("/", "\\"))


def _mode(pooling: dict[str, Any]) -> str:
    """The name of the one way of pooling; "" for several at once."""
    named = pooling.get("pooling_mode")
    modes = [named] if isinstance(named, str) else named if isinstance(named, list) else None
    if modes is None:
        modes = [mode for name, mode in _OLDER.items() if pooling.get(name) is True] or ["mean"]
    return str(modes[0]) if len(modes) == 1 else ""


def _file(pretrained: str, revision: str | None, name: str) -> str | None:
    from transformers.utils.hub import cached_file

    path: str | None = cached_file(
        pretrained,
        name,
        revision=revision or "main",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return path


def _read(pretrained: str, revision: str | None, name: str) -> Any:
    path = _file(pretrained, revision, name)
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        raise FeatureError(
            f"The file '{name}' of '{pretrained}' cannot be read as JSON ({type(error).__name__})."
        ) from error
