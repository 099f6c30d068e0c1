"""The rooms of the house, read from the sources' own import statements: who may import whom, and who may use what."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cache", "features", "classifiers", "pipeline")
ROOTS = ("crisis", "crisis_errors", "crisis_guard", "crisis_registry")

MAY_IMPORT: dict[str, set[str]] = {
    "cache": set(),
    "features": set(),
    "classifiers": set(),
    "pipeline": {"cache", "features", "classifiers"},
    "crisis": {"pipeline", "cache", "features", "classifiers"},
    "crisis_errors": set(),
    "crisis_guard": set(),
    "crisis_registry": set(),
}
FOR_ALL = {"crisis_errors", "crisis_guard", "crisis_registry"}
LIBRARIES: dict[str, set[str]] = {
    "cache": {"numpy", "h5py", "xxhash"},
    "features": {
        "numpy", "torch", "PIL", "transformers", "open_clip", "timm", "lavis", "torchvision", "diffusers", "ftfy",
        "huggingface_hub", "safetensors", "sklearn", "xxhash", "h5py", "pillow_heif",
    },
    "classifiers": {"numpy", "scipy", "torch", "sklearn", "lightgbm", "imblearn", "safetensors", "threadpoolctl"},
    "pipeline": {
        "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "PIL", "sklearn", "tqdm", "typer", "xxhash", "openpyxl",
        "httpcore2",
    },
    "crisis": set(),
    "crisis_errors": set(),
    "crisis_guard": set(),
    "crisis_registry": set(),
}  # fmt: skip
ON_USE = {"transformers", "open_clip", "timm", "lavis", "torchvision", "diffusers", "ftfy", "huggingface_hub"} | {
    "pillow_heif",
    "openpyxl",
}
IN_ONE_FILE = {"open_clip", "timm", "lavis", "diffusers", "torchvision", "ftfy", "lightgbm", "imblearn"}


@dataclass(frozen=True)
class Import:
    """`module` imports `name`. on_use: inside a function. for_types: only for type checkers."""

    module: str
    name: str
    on_use: bool
    for_types: bool

    @property
    def room(self) -> str:
        return self.module.partition(".")[0]

    @property
    def of(self) -> str:
        """What is imported from: a room, one of the root modules, or a library."""
        return self.name.partition(".")[0]


def sources() -> dict[str, Path]:
    """Every module of the project by its name."""
    files = [*(file for room in ROOMS for file in (ROOT / room).rglob("*.py")), *(ROOT / f"{one}.py" for one in ROOTS)]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = sources()


def imports_of(module: str) -> Iterator[Import]:
    yield from _imports(ast.parse(MODULES[module].read_text()), module, on_use=False, for_types=False)


def _imports(node: ast.AST, module: str, *, on_use: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.module is not None
            assert child.level == 0, f"{module} imports by dots; name the module in full"
            pairs = [(child.module, f"{child.module}.{alias.name}") for alias in child.names]
            names = [whole if whole in MODULES else source for source, whole in pairs]
        else:
            typed = isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, module, on_use=on_use or inside, for_types=for_types or typed)
            continue
        yield from (Import(module, name, on_use, for_types) for name in names)


IMPORTS = [one for module in MODULES for one in imports_of(module)]


def ours(imports: Iterable[Import]) -> Iterator[Import]:
    return (one for one in imports if one.name in MODULES)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The members of a circle in the graph, in order; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT[room] | FOR_ALL | {room}
    wrong = [f"{one.module} imports {one.name}" for one in ours(IMPORTS) if one.room == room and one.of not in allowed]
    assert not wrong


@pytest.mark.parametrize("room", LIBRARIES)
def test_a_room_uses_only_its_libraries(room: str) -> None:
    known = {*LIBRARIES[room], *sys.stdlib_module_names, *ROOMS, *ROOTS, "_typeshed"}
    wrong = [f"{one.module} imports {one.name}" for one in IMPORTS if one.room == room and one.of not in known]
    assert not wrong


def test_typer_stays_in_the_command_line() -> None:
    users = {one.module for one in IMPORTS if one.of == "typer"}
    assert all(module.startswith("pipeline.cli.") for module in users)


def test_model_libraries_are_imported_on_use() -> None:
    early = [one for one in IMPORTS if one.of in ON_USE and not (one.on_use or one.for_types)]
    assert not [f"{one.module} imports {one.name}" for one in early]


@pytest.mark.parametrize("library", sorted(IN_ONE_FILE))
def test_a_library_of_one_family_is_used_in_one_file(library: str) -> None:
    assert len({one.module for one in IMPORTS if one.of == library}) <= 1


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Also inside functions: an import on use hides a circle from Python, not from a reader."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in ours(IMPORTS):
        if not one.for_types and one.name != one.module:
            graph[one.module].add(one.name)
    assert not circle(graph)


def test_no_part_of_pipeline_imports_itself_by_way_of_others() -> None:
    graph: dict[str, set[str]] = {}
    for one in ours(IMPORTS):
        part, other = part_of(one.module), part_of(one.name)
        if part != other and not one.for_types:
            graph.setdefault(part, set()).add(other)
    assert not circle(graph)


def part_of(module: str) -> str:
    """The sub-package of pipeline that a module is in, or its room; a module right in pipeline stands for itself."""
    pieces = module.split(".")
    return ".".join(pieces[:2]) if pieces[0] == "pipeline" else pieces[0]


def test_a_circle_would_be_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
    assert circle({"a": {"b"}, "b": {"c"}}) == []
