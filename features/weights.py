"""Weights by hub id or local folder: what they are, and one sentence when they cannot be had or do not fit.

Every load goes through `loading`: a library's failure becomes one sentence, no code that comes with weights is run, and
no question is asked. `part_of` and `model_of` are transformers' `from_pretrained` with every tensor accounted for.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import xxhash

from features.errors import FeatureError, one_line
from features.foreign import check_folder, names_code, nothing_foreign, refuse_script, wants_code
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
    _update(digest, Path(path))
    return digest.hexdigest()


def folder_digest(folder: str | Path) -> str:
    """xxh3-128 (hex) over names and contents of the model files in a folder, wherever the folder lies.

    Files that cannot change a vector (documentation, hidden files) are left out.
    """
    digest = xxhash.xxh3_128()
    for path in _files(folder):
        if path.suffix.lower() != ".md":
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            _update(digest, path)
    return digest.hexdigest()


def _update(digest: Any, path: Path) -> None:
    """Take the content of a file into a digest."""
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)


def _files(folder: str | Path) -> Iterator[Path]:
    """The files of a folder and of those in it, in their order, hidden ones and compiled code left out."""
    root = Path(folder)
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
        if path.is_file() and not hidden:
            yield path


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
        cause = one_line(error)
        if wants_code(error) or (is_local(pretrained) and names_code(pretrained)):
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


_BEFORE: dict[str, Any] = {}
"""The files of each folder that was loaded, as they were before."""


def _state_of(folder: str | Path) -> list[tuple[str, int, int, int]]:
    found = [(str(path), path.stat()) for path in _files(folder)]
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in found]


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
        raise FeatureError(f"The weights could not all be read ({one_line(Exception(found['error_msgs'][0]))}).")
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
