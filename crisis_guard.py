"""Our packages are ours, whatever the working folder holds: importing this module is enough.

`cache`, `features`, `classifiers` and `pipeline` are plain names, so a user's own `cache.py` would be imported in their
place wherever the working folder comes first on the path. From the import of this module on, these names mean the
packages beside it; another order of the path, or other modules, are not touched. All rooms may import it, also in a
process of its own; it imports nothing but the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

NAMES = ("cache", "classifiers", "crisis_errors", "crisis_registry", "features", "pipeline")
ROOT = Path(__file__).resolve().parent


class _Guard(MetaPathFinder):
    """Finds the modules called `NAMES` beside this file, and no others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(ROOT)]) if name in NAMES else None


def shadowing() -> str | None:
    """One sentence that names the files that would be imported in the place of ours; None where there are none."""
    found = ((name, PathFinder.find_spec(name)) for name in NAMES)
    files = [Path(spec.origin) for name, spec in found if spec and spec.origin and not _is_ours(name, spec.origin)]
    if not files:
        return None
    named = ", ".join(str(file.parent if file.name == "__init__.py" else file) for file in files)
    return f"not used, because they have the names of crisis's own packages: {named}"


def _stand_guard() -> None:
    """From now on `NAMES` are ours; what was imported under them from elsewhere is forgotten."""
    for name in NAMES:
        module = sys.modules.get(name)
        if module is not None and not _is_ours(name, getattr(module, "__file__", None)):
            for one in [one for one in sys.modules if one.partition(".")[0] == name]:
                del sys.modules[one]
    sys.meta_path.insert(0, _Guard())


def _is_ours(name: str, file: str | None) -> bool:
    return file is not None and Path(file).resolve() in (ROOT / name / "__init__.py", ROOT / f"{name}.py")


_stand_guard()
