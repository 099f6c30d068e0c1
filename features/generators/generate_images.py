"""Images painted by a local text-to-image pipeline through diffusers (for synthetic posts)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from features.device import torch_dtype
from features.errors import FeatureError
from features.weights import folder_digest, is_local, loading, quiet_transformers


class LocalPainter:
    """Paints a prompt; a seed decides the image on one machine. `label` is the folder's name and its digest."""

    def __init__(self, pipeline: Any, label: str, steps: int, size: int | None) -> None:
        self._pipeline = pipeline
        self._steps = steps
        self._size = size
        self.label = label

    def paint(self, prompt: str, seed: int) -> Image.Image | None:
        """An 8-bit RGB image; None where the pipeline's own safety checker held it back."""
        import torch

        shape = {} if self._size is None else {"width": self._size, "height": self._size}
        found = self._pipeline(
            prompt,
            num_inference_steps=self._steps,
            # on the CPU, so that a seed gives the same start on every device
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            **shape,
        )
        if any(getattr(found, "nsfw_content_detected", None) or [False]):
            return None
        pixels = np.nan_to_num(np.asarray(found.images[0], dtype=np.float32))
        return Image.fromarray((pixels.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)).convert("RGB")


def load_painter(
    folder: str, *, device: str, precision: str = "fp32", steps: int = 30, size: int | None = None
) -> LocalPainter:
    """The text-to-image pipeline in a local folder in diffusers' layout (model_index.json, safetensors).

    `size` is the side of the square image in pixels, the pipeline's own if None. Raises `FeatureError` where the
    folder is not there or holds something else, and where diffusers is not installed.
    """
    if not is_local(folder):
        raise FeatureError(f"There is no folder '{folder}' with a text-to-image pipeline (--image-model).")
    try:
        import diffusers
    except ImportError as error:
        raise FeatureError("Painting images needs diffusers: pip install 'crisis[synthesize]'.") from error

    quiet_transformers()
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()

    def read() -> Any:
        return diffusers.AutoPipelineForText2Image.from_pretrained(folder, local_files_only=True, use_safetensors=True)

    pipeline = loading("the text-to-image pipeline", folder, read)
    # the keyword for a number format has another name in every few versions of diffusers
    pipeline = pipeline.to(device, torch_dtype(precision))
    pipeline.set_progress_bar_config(disable=True)
    return LocalPainter(pipeline, f"{Path(folder).resolve().name}@{folder_digest(folder)[:8]}", steps, size)
