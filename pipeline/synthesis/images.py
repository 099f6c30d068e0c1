"""Where the images of synthetic posts come from: a local text-to-image pipeline, or a folder of photos."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import xxhash
from PIL import Image

from features.images import BadImage, decode
from pipeline.errors import UsageError
from pipeline.synthesis.endpoint import SourceDown

HELD_BACK = "held back by the safety checker"


@dataclass(frozen=True)
class Drawn:
    """One image as its file's bytes, and decoded (8-bit RGB)."""

    data: bytes
    suffix: str
    image: Image.Image


class ImageSource(Protocol):
    """Gives images. `label` names it in every row."""

    label: str

    def draw(self, prompt: str, label: str, attempt: int, seed: int) -> Drawn:
        """Draft number `attempt` (from 0) of an image that alone would have `label`.

        Raises `BadImage` for a draft that cannot be used, `SourceDown` when there are no more.
        """


class Painted:
    """Images that `painter` (a `features.generators.generate_images.LocalPainter`) paints, as PNG."""

    def __init__(self, painter: Any) -> None:
        self._painter = painter
        self.label = painter.label

    def draw(self, prompt: str, label: str, attempt: int, seed: int) -> Drawn:
        image = self._painter.paint(prompt, seed)
        if image is None:
            raise BadImage(HELD_BACK)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return Drawn(buffer.getvalue(), ".png", image)


class FolderImages:
    """The photos in the sub-folders of `folder` that are named after image labels, each used at most once, in an order
    that the seed decides. Raises `UsageError` where a label has no sub-folder with photos.
    """

    SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")

    def __init__(self, folder: Path, labels: Sequence[str], seed: int) -> None:
        self._folder = folder
        self._files: dict[str, list[Path]] = {}
        listed = []
        for label in dict.fromkeys(labels):
            inside = folder / label
            found = sorted(p for p in inside.rglob("*") if p.suffix.lower() in self.SUFFIXES and p.is_file())
            if not found:
                raise UsageError(
                    f"'{folder}' needs a sub-folder '{label}' with photos that alone would be labelled so "
                    "(--image-folder)."
                )
            listed += [f"{label}/{path.relative_to(inside).as_posix()}" for path in found]
            random.Random(f"{seed}/folder/{label}").shuffle(found)
            self._files[label] = found
        # the order depends on what is there, so another content is another source
        self.label = f"{folder.resolve().name}@{xxhash.xxh3_64_hexdigest(chr(0).join(listed).encode())[:8]}"

    def draw(self, prompt: str, label: str, attempt: int, seed: int) -> Drawn:
        files = self._files[label]
        if attempt >= len(files):
            raise SourceDown(
                f"All {len(files)} photos in '{self._folder / label}' are used up; put more into a new folder, and "
                "make the other posts from it in another --output."
            )
        path = files[attempt]
        try:
            data = path.read_bytes()
        except OSError:
            raise BadImage("image undecodable") from None
        return Drawn(data, path.suffix.lower(), decode(data))
