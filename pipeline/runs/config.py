"""What decides a run's result, as its `config.json` says it: by the digest of this a run is known again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from classifiers.spec import called
from features.fingerprint import digest_of
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError
from pipeline.protocols.choose import Protocol


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All that decides the result of a run, be it trained, fused from others or answered by prompts.

    dataset, posts: the dataset's name in the cache and how many posts it has.
    task, classes, setting, split: what is asked, and in words which posts train and which test.
    target: whose labels they are, the "pair"'s (which the JSON leaves unsaid) or the "text"'s or "image"'s own.
    head, preset, parameters: the head, with every parameter of its own and of its trainer.
    balance: how train was balanced, as `classifiers.Balance.as_dict` says it, and its short name as "label".
    views, fingerprints: per view its label (model, short fingerprint, view) and its encoder's full fingerprint.
    identity: a digest of what these words leave open: labels, folds, vectors; None where nothing was trained.
    eval_setting, mix_share, missing: which views were visible, see `pipeline.runs.visibility.Visibility`; the JSON
    leaves it unsaid that posts without a view were skipped.
    seeds: those of the fits, or of the drawn splits where nothing is trained.
    test_to_train: test posts per train post where every seed draws test posts of its own, else 0.
    fused: the runs that were put together, as {"run": folder name, "head": name}; None in any other run.
    left_out, notes: labelled posts that took no part, per reason, and what a reader of the figures must know.
    unsaid: the fields that stay out of the JSON and the digest: a run by prompts says nothing of some, and runs of
    earlier versions nothing of others.
    """

    dataset: str
    posts: int
    task: str
    classes: tuple[str, ...]
    setting: str
    split: str
    target: str = "pair"
    head: str
    preset: str
    parameters: Mapping[str, Any]
    balance: Mapping[str, Any] = field(default_factory=lambda: {"label": "none"})
    views: Mapping[str, str]
    fingerprints: Mapping[str, str]
    identity: str | None = None
    eval_setting: str | None = None
    mix_share: float | None = None
    missing: str = "skip"
    seeds: tuple[int, ...]
    test_to_train: float = 0.0
    fused: tuple[Mapping[str, str], ...] | None = None
    left_out: Mapping[str, int]
    notes: tuple[str, ...]
    unsaid: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # as JSON keeps them, so that a configuration equals the one that is read back
        for name in ("parameters", "balance"):
            object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` takes them back."""
        said: dict[str, Any] = {}
        for name in _FIELDS:
            value = getattr(self, name)
            if name in self.unsaid or (name in _USUAL and value == _USUAL[name]):
                continue
            if isinstance(value, Mapping):
                value = dict(value)
            said[name] = [dict(one) if isinstance(one, Mapping) else one for one in value] if _many(value) else value
        return said

    @classmethod
    def from_json(cls, said: Any) -> RunConfig:
        """What `to_json` gave, or a configuration of an earlier version. Raises `DataError` for anything else."""
        if not isinstance(said, dict) or (unknown := said.keys() - _FIELDS.keys()):
            what = f"'{min(unknown)}' is not a part of one" if isinstance(said, dict) else "it is not an object"
            raise DataError(f"This is not the configuration of a run that this version reads: {what}.")
        for name, kinds in _FIELDS.items():
            if name in said:
                fits = isinstance(said[name], kinds)
            else:
                fits = name in _OPTIONAL
            if not fits:
                raise DataError(f"The configuration of a run says something else than it should as '{name}'.")
        given: dict[str, Any] = {name: tuple(value) if _many(value) else value for name, value in said.items()}
        return cls(**given, unsaid=_OPTIONAL - said.keys() - _USUAL.keys())

    @property
    def digest(self) -> str:
        """SHA-256, 64 hex digits, of the canonical JSON."""
        return digest_of(self.to_json())

    @property
    def probability_columns(self) -> list[str]:
        """What stored predictions call the probability of each class."""
        return [f"p({name})" for name in self.classes]

    @property
    def balance_label(self) -> str:
        """The short name of the balance, "none" where train stayed as it was."""
        return str(self.balance.get("label", "none"))

    @property
    def called(self) -> str:
        """The head and its balance in a sentence."""
        return called(self.head, self.balance_label)


def asked_config(posts: Posts, protocol: Protocol) -> dict[str, Any]:
    """What every configuration says of the posts, the task and the way of splitting."""
    return {
        "dataset": posts.name,
        "posts": len(posts),
        "task": protocol.task.name,
        "classes": protocol.task.classes,
        "setting": protocol.setting,
        "split": protocol.split,
        "target": protocol.target,
    }


_NONE = type(None)
# per field, the JSON types it may have
_FIELDS: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "posts": (int,),
    "task": (str,),
    "classes": (list,),
    "setting": (str,),
    "split": (str,),
    "target": (str,),
    "head": (str,),
    "preset": (str,),
    "parameters": (dict,),
    "balance": (dict,),
    "views": (dict,),
    "fingerprints": (dict,),
    "identity": (str, _NONE),
    "eval_setting": (str, _NONE),
    "mix_share": (int, float, _NONE),
    "missing": (str,),
    "seeds": (list,),
    "test_to_train": (int, float),
    "fused": (list,),
    "left_out": (dict,),
    "notes": (list,),
}
_USUAL: dict[str, Any] = {"fused": None, "target": "pair", "missing": "skip"}
"""What goes without saying."""
_OPTIONAL = frozenset({"balance", "identity", "eval_setting", "mix_share", "test_to_train", *_USUAL})


def _many(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
