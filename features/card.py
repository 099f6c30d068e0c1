"""What every encoder declares about itself, so that it can be listed and chosen before a model library is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from importlib import import_module
from typing import Any

from crisis_registry import Parameter, did_you_mean
from features.errors import BadOption, FeatureError, UnknownOption
from features.weights import file_digest

PRECISIONS = ("fp32", "fp16", "bf16")
"""The number formats that an encoder may compute in."""


@dataclass(frozen=True)
class Plugin:
    """Where a card that is not one of ours was found: `spec` is what `--model` takes ("shout", of an installed package,
    or "my_file:Shout"), `module` the module of its code.
    """

    spec: str
    module: str

    def digest(self) -> str:
        """xxh3-128 (hex) of the module's source file, or of its compiled one where that is all there is."""
        file = import_module(self.module).__file__
        if file is None:
            raise FeatureError(f"The code of the model '{self.spec}' is not in a file, so it cannot be told apart.")
        return file_digest(file)


@dataclass(frozen=True)
class Card:
    """Declared metadata of one encoder or captioner.

    `views` are those it writes, with the shape of each under the default weights; `token_views` those it adds on
    request; `caption` says that it writes captions. `default_views` names, per modality, the view a head reads unless
    told otherwise; the modality "joint" is computed from both the photo and the text of a post. `pretrained` are the
    default weights (None: to be named), `revision` the commit they are pinned to (None: the latest), `hub` whether
    weights come from a hub and so have revisions at all. `extra` is the optional dependency group that `loader` needs.

    `loader` gives the loaded encoder: a function, or "module:function", that is called with `pretrained`, `revision`,
    `device`, `precision` and the options, all by name; or an `Encoder` class, whose `load` is called so. A plug-in's
    card may leave it out (see `features.registry`). `options` are its own options.

    `plugin` is None for ours, and set by the registry for the others.
    """

    name: str
    summary: str
    modalities: tuple[str, ...]
    default_views: Mapping[str, str]
    loader: str | Callable[..., Any] = ""
    licence: str = "not stated"
    pretrained: str | None = None
    revision: str | None = None
    hub: bool = True
    extra: str | None = None
    views: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    token_views: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    caption: bool = False
    options: tuple[Parameter, ...] = ()
    plugin: Plugin | None = None

    @property
    def spec(self) -> str:
        """What `--model` takes for this card: its name, or "my_file:Shout"."""
        return self.plugin.spec if self.plugin else self.name

    @property
    def defaults(self) -> dict[str, Any]:
        """The value of each option unless it is given."""
        return {option.name: option.default for option in self.options}

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every option, those `given` in the type of their default.

        Raises `UnknownOption` for one that this model does not have, `BadOption` for a value that is out of range.
        """
        declared = {option.name: option for option in self.options}
        for name in given:
            if name not in declared:
                known = f"it has {', '.join(declared)}" if declared else "it has none"
                near = did_you_mean(name, declared)
                raise UnknownOption(f"The model '{self.name}' has no option '{name}'{near}; {known}.")
        try:
            return self.defaults | {name: declared[name].checked(value) for name, value in given.items()}
        except ValueError as error:
            raise BadOption(str(error)) from None

    def as_json(self) -> dict[str, Any]:
        """All that is declared, as plain JSON values: `options` with their defaults, and `option_details`."""
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "plugin"}
        said["loader"] = self.loader if isinstance(self.loader, str) else _name_of(self.loader)
        said["options"] = self.defaults
        said["option_details"] = [option.as_json() for option in self.options]
        return said


def _name_of(loader: Callable[..., Any]) -> str:
    """ "module:function"."""
    function = loader.func if isinstance(loader, partial) else loader
    return f"{function.__module__}:{function.__qualname__}"
