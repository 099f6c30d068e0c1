"""Weights by hub id or local folder: what they are, and one sentence when they cannot be had."""

from __future__ import annotations

import logging
import os
import socket
import textwrap
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import xxhash

from features.errors import FeatureError

T = TypeVar("T")


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
        return {"digest": folder_digest(pretrained)}
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
    """`load()`, with any failure of a library's loader turned into one `FeatureError` sentence."""
    check_path(pretrained)
    try:
        # the libraries log each failed try; the one sentence below says it once
        logging.disable(logging.CRITICAL)
        return load()
    except (ImportError, FeatureError):
        raise
    except Exception as error:
        cause = textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" ...")
        where = "folder" if is_local(pretrained) else "hub id"
        raise FeatureError(
            f"The weights of '{model}' could not be loaded from the {where} '{pretrained}' ({cause}); "
            "give a local folder or another id with --pretrained."
        ) from error
    finally:
        logging.disable(logging.NOTSET)


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
