"""LightGBM's text model from a stranger: its own parser trusts what it reads, so it is checked before it sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

MOST_LEAVES = 1 << 17
_ONE_EACH = ("Tree", "num_leaves", "num_cat", "is_linear", "shrinkage")
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_PER_SPLIT = (
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "internal_value",
    "internal_weight",
    "internal_count",
)
_SAID_OF_ALL = {
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
}


def check_text(text: str, features: int, outputs: int) -> None:
    """`ValueError` unless `text` is a model over so many features with `outputs` trees a round, each of them a tree:
    sizes that agree, numbers that are finite, children that exist and are each somebody's once.
    """
    head, found, rest = text.partition("\n\nTree=0\n")
    header = _fields(head.removeprefix("tree\n"))
    if not found or not text.startswith("tree\n"):
        raise ValueError("it holds no tree")
    sizes = {"num_class": outputs, "num_tree_per_iteration": outputs, "max_feature_idx": features - 1}
    for name, wanted in sizes.items():
        if _whole(header, name) != wanted:
            raise ValueError(f"{name} is not {wanted}")
    body, found, _ = f"Tree=0\n{rest}".partition("\nend of trees\n")
    if unknown := header.keys() - _SAID_OF_ALL:
        raise ValueError(f"it has a field '{min(unknown)}'")
    _whole(header, "label_index")
    if not re.fullmatch(r"binary sigmoid:1|multiclass num_class:\d{1,6}", header.get("objective", "")):
        raise ValueError("its objective is another")
    ranges = header.get("feature_infos", "").split(" ")
    if len(ranges) != features or not all(re.fullmatch(r"none|\[[^\s:\[\]]+:[^\s:\[\]]+\]", one) for one in ranges):
        raise ValueError("feature_infos are not those of the features")
    if len(header.get("feature_names", "").split(" ")) != features:
        raise ValueError("feature_names are not as many as the features")
    trees = re.split(r"(?=^Tree=)", body, flags=re.MULTILINE)[1:]
    said = _numbers(header, "tree_sizes", None, np.int64)
    # where a tree begins is told beforehand, and jumped to
    if not found or [len(tree.encode()) for tree in trees][:-1] != said[:-1].tolist() or len(said) != len(trees):
        raise ValueError("tree_sizes are others than those of the trees")
    if abs(len(trees[-1].encode()) + 1 - int(said[-1])) > 2:
        raise ValueError("tree_sizes are others than those of the trees")
    if len(trees) % outputs:
        raise ValueError("a round lacks trees")
    for number, tree in enumerate(trees):
        _check_tree(tree, number, features)


def _check_tree(text: str, number: int, features: int) -> None:
    fields = _fields(text)
    if _whole(fields, "Tree") != number:
        raise ValueError(f"tree {number} is called otherwise")
    leaves = _whole(fields, "num_leaves")
    if not 1 <= leaves <= MOST_LEAVES or _whole(fields, "num_cat") != 0 or fields.get("is_linear", "0").strip() != "0":
        raise ValueError(f"tree {number} is of a kind that no head grows")
    inner = leaves - 1
    if unknown := fields.keys() - {*_ONE_EACH, *_PER_LEAF, *_PER_SPLIT}:
        raise ValueError(f"tree {number} has a field '{min(unknown)}'")
    for names, count in ((_PER_LEAF, leaves), (_PER_SPLIT, inner), (("shrinkage",), 1)):
        # a tree of one leaf leaves most of them empty
        for name in names if leaves > 1 else ("leaf_value",):
            _numbers(fields, name, count, np.float64)
    if not np.isfinite(_numbers(fields, "leaf_value", leaves, np.float64)).all():
        raise ValueError(f"tree {number} has leaves that are not finite")
    if leaves == 1:
        return
    split = _numbers(fields, "split_feature", inner, np.int64)
    if split.min() < 0 or split.max() >= features:
        raise ValueError(f"tree {number} asks for features that there are not")
    if np.isnan(_numbers(fields, "threshold", inner, np.float64)).any():
        raise ValueError(f"tree {number} has thresholds that are no numbers")
    kinds = _numbers(fields, "decision_type", inner, np.int64)
    if kinds.min() < 0 or kinds.max() > 15 or (kinds & 1).any():
        raise ValueError(f"tree {number} decides in a way that no head does")
    _check_children(
        _numbers(fields, "left_child", inner, np.int64), _numbers(fields, "right_child", inner, np.int64), number
    )


def _check_children(left: np.ndarray, right: np.ndarray, number: int) -> None:
    """Every node but the root, and every leaf (-1 - leaf), is a child once; a child stands behind its parent."""
    inner = len(left)
    children = np.sort(np.concatenate([left, right]))
    if not np.array_equal(children, np.concatenate([np.arange(-1 - inner, 0), np.arange(1, inner)])):
        raise ValueError(f"tree {number} has children that are not its own")
    for side in (left, right):
        if ((side >= 0) & (side <= np.arange(inner))).any():
            raise ValueError(f"tree {number} goes round in a circle")


def _fields(text: str) -> dict[str, str]:
    """The lines "name=value"; `ValueError` for a name twice."""
    fields: dict[str, str] = {}
    for name, value in _pairs(text):
        if name in fields:
            raise ValueError(f"{name} is said twice")
        fields[name] = value
    return fields


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n"):
        name, found, value = line.partition("=")
        if line and not found:
            raise ValueError("a line says nothing")
        if found:
            yield name, value


def _whole(fields: dict[str, str], name: str) -> int:
    value = fields.get(name, "").strip()
    if not re.fullmatch(r"\d{1,9}", value):
        raise ValueError(f"{name} is no whole number")
    return int(value)


def _numbers(fields: dict[str, str], name: str, count: int | None, kind: type[np.generic]) -> np.ndarray:
    """The numbers of a field, as many as they must be."""
    words: Sequence[str] = fields.get(name, "").split(" ")
    plain = r"-?\d{1,18}" if kind is np.int64 else r"-?(\d+(\.\d*)?([eE][+-]?\d{1,4})?|inf|nan)"
    if not all(re.fullmatch(plain, word) for word in words):
        raise ValueError(f"{name} holds something else than numbers")
    if count is not None and len(words) != count:
        raise ValueError(f"{name} has {len(words)} numbers for {count}")
    return np.array(words).astype(kind)
