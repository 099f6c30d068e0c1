"""What can be named on the command line, and what each can be given: the same code for encoders, heads, balancers and
datasets.

All four rooms may import this module, which imports nothing but the standard library. A `Registry` holds a room's own
entries, those of installed packages (entry points) and, as "module:Attribute", those of a file that is no package. A
`Parameter` is declared, with its default, range and meaning, beside the thing that takes it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Which values are good: `holds` decides, `words` say so ("at least 1"). What is pickled with it must be picklable:
    a function of a module, not a lambda.
    """

    words: str
    holds: Callable[[Any], bool]


def at_least(least: float) -> Range:
    return Range(f"at least {least:g}" if least else "0 or more", partial(operator.le, least))


def above(least: float) -> Range:
    return Range(f"above {least:g}", partial(operator.lt, least))


def between(least: float, greatest: float) -> Range:
    """Both ends are good."""
    return Range(f"from {least:g} to {greatest:g}", partial(_between, least, greatest))


def below(least: float, end: float) -> Range:
    """From `least` up to, but not, `end`."""
    return Range(f"from {least:g} up to, but not, {end:g}", partial(_from_up_to, least, end))


def one_of(*choices: str) -> Range:
    """One of a few words."""
    return Range(f"one of {', '.join(choices)}", choices.__contains__)


def each(range_: Range, words: str) -> Range:
    """A list that is not empty, every number of it within `range_`."""
    return Range(words, partial(_each, range_.holds))


def anything(words: str = "any value") -> Range:
    return Range(words, _anything)


def _anything(value: Any) -> bool:
    return True


def _between(least: float, greatest: float, value: Any) -> bool:
    return bool(least <= value <= greatest)


def _from_up_to(least: float, end: float, value: Any) -> bool:
    return bool(least <= value < end)


def _each(holds: Callable[[Any], bool], values: Sequence[Any]) -> bool:
    return len(values) > 0 and all(map(holds, values))


@dataclass(frozen=True)
class Parameter:
    """Something that can be set: its `default` decides the type (int, float, bool, str, a tuple of numbers, or None for
    a text that may be left out), `range` the values that are good, `meaning` is for people.
    """

    name: str
    default: Any
    range: Range
    meaning: str

    def checked(self, value: Any) -> Any:
        """`value` as the type of the default; `ValueError` with one sentence for a wrong type or one out of range."""
        try:
            typed = _as_type_of(self.default, value)
        except (TypeError, ValueError, OverflowError):
            typed = None
        if typed is None and not (self.default is None and value is None):
            raise ValueError(self._refusal(value))
        if typed is not None and not self.range.holds(typed):
            raise ValueError(self._refusal(value))
        return typed

    def _refusal(self, value: Any) -> str:
        return f"The parameter '{self.name}' must be {self.range.words}, but is {value!r}."

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, for `--json`."""
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        return {"name": self.name, "default": default, "range": self.range.words, "meaning": self.meaning}


def _as_type_of(default: Any, value: Any) -> Any:
    if isinstance(default, bool):
        return _as_bool(value)
    if isinstance(default, str) or default is None:
        if not isinstance(value, str):
            raise TypeError
        return value
    if isinstance(default, tuple):
        if isinstance(value, str):
            raise TypeError
        # one number is a list of one
        return tuple(sorted(map(_finite, value if isinstance(value, Iterable) else (value,))))
    if isinstance(default, int):
        if value != int(value):
            raise ValueError
        return int(value)
    return _finite(value)


def _as_bool(value: Any) -> bool:
    if isinstance(value, str):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise ValueError
        return value.lower() in ("true", "yes", "1")
    if value not in (0, 1):
        raise ValueError
    return bool(value)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


class Registry(Mapping[str, T], Generic[T]):
    """Entries by name: those of this project, then those that installed packages declare under the entry point `group`.

    `kind` is what an entry is called in a sentence ("model"), `command` the command that lists them, `error` the class
    of what is raised for an unknown name. `adopt(name, found)` makes an entry of what an entry point or
    "module:Attribute" names, or raises `TypeError` in a sentence. Packages are looked up on first use; one that cannot
    be imported, or that takes the name of an entry there is, is left out, and `problems` says so.
    """

    def __init__(
        self,
        kind: str,
        entries: Iterable[tuple[str, T]],
        *,
        group: str,
        command: str,
        error: type[Exception],
        adopt: Callable[[str, Any], T],
    ) -> None:
        self.kind = kind
        self.group = group
        self.problems: list[str] = []
        self._own = dict(entries)
        self._command = command
        self._error = error
        self._adopt = adopt
        self._merged: dict[str, T] | None = None
        self._named: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        """The entry `name`; the registry's error, with the nearest names, where there is none."""
        if name in self._own:
            return self._own[name]
        if name in self._entries:
            return self._entries[name]
        if ":" in name:
            if name not in self._named:
                self._named[name] = self._of_file(name)
            return self._named[name]
        near, known = did_you_mean(name, self), ", ".join(self)
        raise self._error(f"There is no {self.kind} '{name}'{near}; `{self._command}` lists them: {known}.")

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def own(self) -> Mapping[str, T]:
        """The entries of this project alone."""
        return self._own

    @property
    def _entries(self) -> dict[str, T]:
        if self._merged is None:
            self._merged = {**self._own, **dict(self._of_packages())}
        return self._merged

    def _of_packages(self) -> Iterator[tuple[str, T]]:
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            if point.name in self._own:
                self.problems.append(f"The {self.kind} '{point.name}' of {point.value} has the name of one of ours.")
                continue
            try:
                yield point.name, self._adopt(point.name, point.load())
            except (Exception, SystemExit) as error:
                cause = str(error) or type(error).__name__
                self.problems.append(f"The {self.kind} '{point.name}' cannot be loaded from {point.value}: {cause}.")

    def _of_file(self, name: str) -> T:
        try:
            return self._adopt(name, load_object(name))
        except (Exception, SystemExit) as error:
            known = isinstance(error, ImportError | AttributeError | TypeError | SyntaxError)
            cause = f"{error}" if known else f"{type(error).__name__}: {error}"
            raise self._error(f"The {self.kind} '{name}' cannot be loaded: {cause.rstrip('.: ')}.") from error


def load_object(name: str) -> Any:
    """What "module:Attribute" names; the module is an installed one or a file of the working folder, in this order.

    Raises `ImportError` or `AttributeError`.
    """
    module, _, attribute = name.partition(":")
    return getattr(_import(module), attribute)


def _import(module: str) -> ModuleType:
    """The working folder is looked into last, and is not left on the path: its files shadow nothing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        file = Path.cwd() / f"{module}.py"
        if error.name != module or not file.is_file():
            raise
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{file.name}' is not a Python file")
    found = importlib.util.module_from_spec(spec)
    sys.modules[module] = found
    try:
        spec.loader.exec_module(found)
    except BaseException:
        del sys.modules[module]
        raise
    return found


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """ " (did you mean 'guided_ca'?)", or "" where nothing is near; case, "-" and "_" do not count."""
    near = nearest(name, names)
    return f" (did you mean {' or '.join(repr(one) for one in near)}?)" if near else ""


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """At most three of `names` that `name` may have meant, the nearest first."""
    plain: dict[str, str] = {}
    for one in names:
        plain.setdefault(_plain(one), one)
    if _plain(name) in plain:
        return [plain[_plain(name)]]
    return [plain[one] for one in difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.7)]


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
