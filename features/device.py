"""Where a model runs and in which number format; the one place that asks torch what the machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from features.card import FeatureError, UnknownChoice

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> str:
    """The device to run on: CUDA, then Apple's MPS, then the CPU for "auto"; else `name`, checked.

    Raises `FeatureError` when the device asked for is not there.
    """
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if name.split(":")[0] not in present:
        raise UnknownChoice(f"There is no device '{name}'; choose one of {', '.join(DEVICES)}.")
    if not present[name.split(":")[0]]:
        raise FeatureError(f"This machine has no usable '{name}' device; use --device cpu or auto.")
    return name


def torch_dtype(precision: str) -> torch.dtype:
    """ "fp32", "fp16" or "bf16" as torch's dtype."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def to_numpy(tensor: torch.Tensor) -> Any:
    """A model's output as a float32 numpy array on the CPU (bf16 has no numpy dtype)."""
    return tensor.detach().float().cpu().numpy()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an encoder failed for want of memory, on any device, in the words of any torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)


def free_memory() -> None:
    """Give back what a failed batch still holds, so that a smaller one finds room."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
