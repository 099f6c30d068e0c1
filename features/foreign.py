"""Keeping the code of strangers out: what comes with weights is read as tensors and plain data, and never run.

`nothing_foreign` closes the ways by which a library would run it; `check_folder` and `refuse_script` look at the files
before any library does.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from features.errors import FeatureError, one_line

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".th", ".model", ".tar")


class _ForeignCode(Exception):
    """Code that comes with weights was about to be run."""


def _refuse_code(*_: Any, **__: Any) -> Any:
    raise _ForeignCode("the weights name code of their own (trust_remote_code)")


def _refuse_script(*_: Any, **__: Any) -> Any:
    raise FeatureError("The checkpoint is a TorchScript archive, which holds code and is never loaded here.")


@contextmanager
def nothing_foreign() -> Iterator[None]:
    """Whatever a configuration says: no module of a weights folder is imported, nothing is asked, TorchScript refused.

    Configurations reach transformers by ways of their own (open_clip's text towers and tokenizers), which pass no
    `trust_remote_code`, or one from the folder itself; so the place where code would be fetched is closed as well.
    """
    import torch

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch.jit, "load", _refuse_script))
        stack.enter_context(mock.patch.object(torch, "load", _checked_load(torch.load)))
        if "transformers" in sys.modules:
            from transformers import dynamic_module_utils

            # with no time to answer the question is not asked
            for name, value in (
                ("TIME_OUT_REMOTE_CODE", 0),
                ("get_cached_module_file", _refuse_code),
                ("get_class_in_module", _refuse_code),
            ):
                stack.enter_context(mock.patch.object(dynamic_module_utils, name, value))
        yield


def _checked_load(load: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.load` of tensors alone, from a file that is no TorchScript archive."""

    def checked(file: Any, *args: Any, **options: Any) -> Any:
        if isinstance(file, (str, os.PathLike)):
            refuse_script(file)
        if options.get("pickle_module") is None:
            options["weights_only"] = True
        return load(file, *args, **options)

    return checked


def refuse_script(path: str | os.PathLike[str]) -> None:
    """Refuse a TorchScript archive (a zip file with code in it) before torch sees it."""
    with Path(path).open("rb") as stream:
        begins_as_zip = stream.read(2) == b"PK"
        if not begins_as_zip and not zipfile.is_zipfile(stream):
            return
        try:
            with zipfile.ZipFile(stream) as archive:
                names = [name.replace("\\", "/").lower().split("/") for name in archive.namelist()]
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise FeatureError(f"The checkpoint '{path}' is a damaged archive ({one_line(error)}).") from error
    if any(name[-1] == "constants.pkl" or "code" in name[:-1] or name[-1].endswith(".py") for name in names):
        raise FeatureError(
            f"The checkpoint '{path}' is a TorchScript archive, which holds code and is never loaded here; "
            "save its tensors (its state dict) instead."
        )


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that holds a TorchScript archive, or whose weights are elsewhere, before a library reads it."""
    root = Path(folder)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in _PICKLED and path.is_file():
            refuse_script(path)
        elif path.name.endswith((".safetensors.index.json", ".bin.index.json")) and path.is_file() and _is_read(path):
            _check_index(path)
    if (root / "adapter_config.json").is_file():
        raise FeatureError(f"The folder '{folder}' holds an adapter of other weights; merge it into them first.")


def _is_read(index: Path) -> bool:
    """Whether the libraries would read the shards of this index: a whole file, and safetensors, go before it."""
    if (index.parent / index.name.removesuffix(".index.json")).is_file():
        return False
    return index.name.endswith(".safetensors.index.json") or not any(index.parent.glob("*.safetensors"))


def _check_index(path: Path) -> None:
    """Every shard that an index names lies beside it: neither lost, nor where no digest would see it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        shards = {str(name) for name in found.get("weight_map", {}).values()}
    except (ValueError, AttributeError) as error:
        raise FeatureError(f"The index of weights '{path}' cannot be read ({one_line(error)}).") from error
    for shard in sorted(shards):
        if Path(shard).name != shard or shard.startswith(".") or not shard.endswith((".safetensors", ".bin")):
            raise FeatureError(f"The index of weights '{path}' names a file that is not beside it ('{shard}').")
        if not (path.parent / shard).is_file():
            raise FeatureError(f"The weights in '{path.parent}' are not whole: the file '{shard}' is missing.")


def wants_code(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _ForeignCode) or "trust_remote_code" in str(error) or "custom code" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def names_code(folder: str) -> bool:
    """Whether a configuration in the folder names code that lies beside it."""
    for path in Path(folder).glob("*.json"):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("auto_map"):
            return True
    return False
