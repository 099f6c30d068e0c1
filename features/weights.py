"""Weights by hub id or local folder: what they are, and one sentence when they cannot be had or do not fit.

Every load goes through `loading`: a library's failure becomes one sentence, no code that comes with weights is run, and
no question is asked. `part_of` and `model_of` are transformers' `from_pretrained` with every tensor accounted for.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import textwrap
import urllib.parse
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import xxhash

from features.errors import FeatureError
from features.vocabulary import check_words

T = TypeVar("T")

UNUSED = (
    # buffers that older versions saved and newer ones compute
    r"(^|\.)(position_ids|token_type_ids|masked_bias|attn\.bias|inv_freq|relative_position_index|relative_coords_table)$",
    # the heads of pretraining and of tasks, which no view reads
    r"^(cls|lm_head|generator_lm_head|mlm_head|mask_lm_head|classifier|distillation_classifier|cls_classifier|score)\b",
    r"^(qa_outputs|logits_proj|pre_classifier|predictions|sop_classifier|lm_loss|sequence_summary|generator_predictions)\b",
    r"^(discriminator_predictions|vocab_transform|vocab_layer_norm|vocab_projector|mask_predictions|pred_layer)\b",
    r"^(answer_head|obj_predict_head|itm_score|mlm_score|rank_output|nsp|seq_relationship|final_logits_bias)\b",
    r"^(masked_lm|multi_choice|dense|out_proj|transform|lm_predictions|mlm_predictions|embedding_hidden_mapping)\b",
    # the reconstructing half of masked image models
    r"^decoder\b(?!.*\bencoder\b)",
)
"""Tensors of a checkpoint that may go unread, by name."""

UNTRAINED = (
    r"(^|\.)pooler\.",
    r"(^|\.)(position_ids|token_type_ids|masked_bias|inv_freq)$",
    r"(^|\.)mask_token$",
)
"""Tensors of a model that a checkpoint may lack because no view of ours reads them, by name."""

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".th", ".model", ".tar")
_SHOWN = 4


def is_local(pretrained: str) -> bool:
    """Whether `pretrained` names a folder on this machine rather than a hub id."""
    return Path(pretrained).is_dir()


def check_path(pretrained: str) -> None:
    """Refuse what looks like a path but is not a folder, before a hub is asked for it."""
    looks_local = pretrained.startswith((".", "/", "~")) or "\\" in pretrained or pretrained.count("/") > 1
    if looks_local and not is_local(pretrained):
        raise FeatureError(f"There is no folder '{pretrained}' to load weights from (--pretrained).")


def file_digest(path: str | Path) -> str:
    """xxh3-128 (hex) over the content of one file."""
    digest = xxhash.xxh3_128()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def folder_digest(folder: str | Path) -> str:
    """xxh3-128 (hex) over names and contents of the model files in a folder, wherever the folder lies.

    Files that cannot change a vector (documentation, hidden files) are left out.
    """
    digest = xxhash.xxh3_128()
    root = Path(folder)
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        relative = path.relative_to(root)
        if path.suffix.lower() == ".md" or any(part.startswith((".", "__pycache__")) for part in relative.parts):
            continue
        digest.update(relative.as_posix().encode() + b"\0")
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def describe(pretrained: str, revision: str | None, repository: str | None = None) -> dict[str, Any]:
    """What goes into an encoder's identity: a content digest for a folder, id and commit for a hub.

    To be called after loading, when the local copy of the `repository` (`pretrained`, if not given) says which commit
    a branch or the latest revision was.
    """
    if is_local(pretrained):
        digest = folder_digest(pretrained)
        before = _BEFORE.get(os.path.realpath(pretrained))
        if before is not None and before != _state_of(pretrained):
            raise FeatureError(f"The folder '{pretrained}' was changed while its weights were loaded; try again.")
        return {"digest": digest}
    return {"id": pretrained, "revision": _commit(repository or pretrained, revision)}


def _commit(repository: str, revision: str | None) -> str | None:
    """The commit behind `revision` (None: the latest) in the hub libraries' local copies, else `revision` itself."""
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return revision
    copy = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    reference = copy / "refs" / (revision or "main")
    try:
        return reference.read_text(encoding="utf-8").strip()
    except OSError:
        return revision


def quiet_transformers() -> str:
    """Keep transformers' own loading bars off standard error; returns its major version.

    The major version belongs into an image encoder's identity: between 4 and 5 the processors of the same
    name changed how they resize.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers.__version__.split(".")[0]


def loading(model: str, pretrained: str, load: Callable[[], T]) -> T:
    """`load()`, with any failure of a library's loader turned into one `FeatureError` sentence.

    While it runs no code that comes with the weights can be imported, and no TorchScript archive opened.
    """
    check_path(pretrained)
    where = "folder" if is_local(pretrained) else "hub id"
    if is_local(pretrained):
        check_folder(pretrained)
        _BEFORE[os.path.realpath(pretrained)] = _state_of(pretrained)
    try:
        # the libraries log each failed try; the one sentence below says it once
        logging.disable(logging.CRITICAL)
        with nothing_foreign():
            return load()
    except (ModuleNotFoundError, FeatureError):
        raise
    except Exception as error:
        cause = _one_line(error)
        if _wants_code(error) or (is_local(pretrained) and _names_code(pretrained)):
            raise FeatureError(
                f"The weights in the {where} '{pretrained}' need code of their own, which is never run here; "
                "use weights of an architecture that the library itself has (--pretrained)."
            ) from error
        raise FeatureError(
            f"The weights of '{model}' could not be loaded from the {where} '{pretrained}' ({cause}); "
            "give a local folder or another id with --pretrained."
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def _one_line(error: BaseException) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return textwrap.shorten(words or type(error).__name__, 160, placeholder=" ...")


def _wants_code(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _ForeignCode) or "trust_remote_code" in str(error) or "custom code" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _names_code(folder: str) -> bool:
    """Whether a configuration in the folder names code that lies beside it."""
    for path in Path(folder).glob("*.json"):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("auto_map"):
            return True
    return False


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
            raise FeatureError(f"The checkpoint '{path}' is a damaged archive ({_one_line(error)}).") from error
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
        raise FeatureError(f"The index of weights '{path}' cannot be read ({_one_line(error)}).") from error
    for shard in sorted(shards):
        if Path(shard).name != shard or shard.startswith(".") or not shard.endswith((".safetensors", ".bin")):
            raise FeatureError(f"The index of weights '{path}' names a file that is not beside it ('{shard}').")
        if not (path.parent / shard).is_file():
            raise FeatureError(f"The weights in '{path.parent}' are not whole: the file '{shard}' is missing.")


_BEFORE: dict[str, Any] = {}
"""The files of each folder that was loaded, as they were before."""


def _state_of(folder: str | Path) -> list[tuple[str, int, int, int]]:
    root = Path(folder)
    found = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts):
            continue
        stat = path.stat()
        found.append((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return found


def part_of(kind: Any, pretrained: str, revision: str | None = None, **more: Any) -> Any:
    """A configuration, tokenizer or processor: `kind.from_pretrained`, without code of its own.

    Raises `FeatureError` for a tokenizer that has lost its words.
    """
    found = kind.from_pretrained(pretrained, revision=revision or "main", trust_remote_code=False, **more)
    tokenizer = getattr(found, "tokenizer", found)
    if hasattr(tokenizer, "get_vocab"):
        check_words(tokenizer)
    return found


def model_of(
    kind: Any, pretrained: str, revision: str | None = None, *, unused: Iterable[str] = (), **more: Any
) -> Any:
    """A model of transformers, every tensor of which was read: `kind.from_pretrained`, without code of its own.

    Raises `FeatureError` with the names of tensors that are missing, left over or of another shape, except those in
    `UNTRAINED`, in `UNUSED` and in `unused` (left over as well). `untrained_tensors` of the model are the names of the
    missing ones, which no view may read.
    """
    model, found = kind.from_pretrained(
        pretrained,
        revision=revision or "main",
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **more,
    )
    missing, unexpected = set(found["missing_keys"]), set(found["unexpected_keys"])
    mismatched = {one[0] if isinstance(one, tuple) else str(one) for one in found["mismatched_keys"]}
    untrained = matching(missing, UNTRAINED)
    check_tensors(missing - untrained, unexpected - matching(unexpected, (*UNUSED, *unused)), mismatched)
    if found.get("error_msgs"):
        raise FeatureError(f"The weights could not all be read ({_one_line(Exception(found['error_msgs'][0]))}).")
    model.untrained_tensors = frozenset(untrained)
    return model


def matching(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """Those of `names` in which one of the regular expressions is found."""
    wanted = [re.compile(pattern) for pattern in patterns]
    return {name for name in names if any(pattern.search(name) for pattern in wanted)}


def check_tensors(missing: Collection[str], unexpected: Collection[str], mismatched: Collection[str] = ()) -> None:
    """Refuse weights whose tensors are not those of the architecture, with their names."""
    said = [
        f"{len(names)} {words} ({_names(names)})"
        for names, words in (
            (missing, "missing"),
            (unexpected, "that the architecture does not have"),
            (mismatched, "of another shape"),
        )
        if names
    ]
    if said:
        raise FeatureError(f"The weights do not fit the architecture; tensors: {', '.join(said)}.")


def _names(names: Collection[str]) -> str:
    shown = ["".join(c for c in name if c.isprintable())[:80] for name in sorted(names)[:_SHOWN]]
    return ", ".join(shown + (["..."] if len(names) > _SHOWN else []))


@contextmanager
def state_dicts() -> Iterator[list[tuple[Any, Any]]]:
    """What `load_state_dict` was given and answered meanwhile, call by call, for libraries that keep it to themselves:
    (module, its answer with `missing_keys` and `unexpected_keys`).
    """
    import torch

    calls: list[tuple[Any, Any]] = []
    inner = torch.nn.Module.load_state_dict

    def recorded(self: Any, *args: Any, **options: Any) -> Any:
        answer = inner(self, *args, **options)
        calls.append((self, answer))
        return answer

    with mock.patch.object(torch.nn.Module, "load_state_dict", recorded):
        yield calls


def load_tensor_file(path: Path) -> Any:
    """What `torch.save` or safetensors wrote, on the CPU: tensors and plain data, nothing that could run."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    refuse_script(path)
    with nothing_foreign():
        return torch.load(path, map_location="cpu", weights_only=True)


def go_offline_without_hub(pretrained: str | None) -> None:
    """Before a hub library is imported: where no hub can be reached, ask it for downloaded files only.

    Otherwise each file would be asked for again and again, for a minute, before the same answer.
    """
    if pretrained is None or is_local(pretrained) or "HF_HUB_OFFLINE" in os.environ:
        return
    host = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    if any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"
