"""Published checkpoints that were written by pickle: their tensors, words and settings, and nothing of their code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

from features.foreign import nothing_foreign, refuse_script

# what rebuilds a tensor from its bytes; torch resolves its storage types by itself
_ALLOWED = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}


class Inert:
    """Stands in for every class and function that a pickle names: it takes anything and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    extend = append


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name) if (module, name) in _ALLOWED else Inert


def load_tensors(path: Path) -> Any:
    """What `torch.save` or safetensors wrote, on the CPU; what is neither a tensor nor plain data is `Inert`."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    refuse_script(path)
    # torch unpickles by whatever module it is given; the older of its two formats asks for `load` as well
    module = ModuleType("pickle")
    vars(module).update(Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load())
    with nothing_foreign():
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=module)


def load_plain(data: bytes) -> Any:
    """A pickle of plain data (dicts, lists, strings, numbers); the attributes of any object in it are kept as well."""
    return _Unpickler(io.BytesIO(data), encoding="latin-1").load()
