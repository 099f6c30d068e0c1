"""Where a model runs and in which number format; the one place that asks torch what the machine has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from features.errors import FeatureError, UnknownChoice

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
MOST_LANES = 8


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


def place(model: Any, device: str) -> Any:
    """The model on `device`, ready to answer. On CPU and CUDA a convolutional network lays its pixels out channel by
    channel, which its kernels are written for: DenseNet-121 and ResNet-152 take 0.89 times the CPU time, VGG-16 0.70.
    """
    import torch

    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    channels_last = convolutions > 1 and device.split(":")[0] in ("cpu", "cuda")
    return model.eval().to(device, memory_format=torch.channels_last if channels_last else torch.preserve_format)


def first_weight(model: Any) -> torch.Tensor:
    """The weight that pixels meet first, a convolution's: the others may have another number format."""
    convolution = next((weight for weight in model.parameters() if weight.ndim == 4), None)
    return next(model.parameters()) if convolution is None else convolution


def layout(model: Any) -> torch.memory_format:
    """The memory format of the model's convolutions, for the pixels it is given."""
    import torch

    kernel = first_weight(model)
    if kernel.is_contiguous() or not kernel.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last


def lanes(device: str) -> tuple[int, int | None]:
    """How many forward passes run side by side on `device`, and with how many threads each (None: torch's own number).

    On the CPU a pass per core, of one thread each, needs no two threads to wait for each other: the forward of
    DINOv2-small takes 0.96 times as long on two cores as with both on one batch, and does not suffer where another
    program takes a share of them. On CUDA a second lane prepares its batch and reads out its answers while the first
    one's computes; that is untimed.
    """
    import torch

    kind = device.split(":")[0]
    if kind != "cpu":
        return (2 if kind == "cuda" else 1), None
    cores = torch.get_num_threads()
    count = min(cores, MOST_LANES)
    return count, cores // count


def use_threads(count: int) -> None:
    """Let the calling thread, and threads that begin to compute later, use `count` threads for one operation."""
    import torch

    torch.set_num_threads(count)


@contextmanager
def threads_restored() -> Iterator[None]:
    """Give torch its number of threads back afterwards."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
