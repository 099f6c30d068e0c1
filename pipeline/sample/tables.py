"""The tables of CrisisMMD v2.0, written for the sample's posts: annotations and every split folder.

Fields are separated by tabs and never quoted, lines end in a line feed, a label that was not given is the
text "nan". Both annotated labels of a post stand in its split rows; where they differ the row's own label
is the more confident one, the text's on a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.sample.events import EVENTS
from pipeline.sample.plan import NO_LABEL, Post, informative

SPLITS = ("train", "dev", "test")
_DEALT = ("train", "dev", "test", "train", "train", "train", "train")

_ANNOTATION_COLUMNS = (
    "tweet_id",
    "image_id",
    "text_info",
    "text_info_conf",
    "image_info",
    "image_info_conf",
    "text_human",
    "text_human_conf",
    "image_human",
    "image_human_conf",
    "image_damage",
    "image_damage_conf",
    "tweet_text",
    "image_url",
    "image_path",
)
_POST_COLUMNS = ("event_name", "tweet_id", "image_id", "tweet_text", "image", "label")
_PAIR_COLUMNS = (*_POST_COLUMNS, "label_text", "label_image", "label_text_image")
_DAMAGE_COLUMNS = ("Event_name", "Image_id", "Image", "Label")

Row = tuple[str, ...]
Name = Callable[[str], str]


def deal_splits(posts: Sequence[Post], seed: int) -> dict[str, str]:
    """The split of each tweet id for all tasks: about 5 : 1 : 1, dealt out among like tweets."""
    rng = np.random.default_rng([seed, 1])
    first: dict[str, Post] = {}
    for post in posts:
        first.setdefault(post.tweet_id, post)
    shuffled = [list(first.values())[i] for i in rng.permutation(len(first)).tolist()]
    shuffled.sort(key=lambda post: (post.text_label != post.image_label, post.text_label, post.damage))
    return {post.tweet_id: _DEALT[i % len(_DEALT)] for i, post in enumerate(shuffled)}


def write_tables(root: Path, posts: Sequence[Post], splits: dict[str, str]) -> None:
    """Write all tables below `root`; `splits` is what `deal_splits` returned."""
    for event in EVENTS:
        rows = [_annotation(post) for post in posts if post.event is event]
        _write(
            root / "CrisisMMD_v2.0" / "annotations" / f"{event.name}_final_data.tsv",
            _ANNOTATION_COLUMNS,
            rows,
        )
    for split in SPLITS:
        chosen = [post for post in posts if splits[post.tweet_id] == split]
        _write_agreed_and_all(root, chosen, split)
        _write_settings(root, chosen, split)
        _write_damage(root, chosen, split)


def _write_agreed_and_all(root: Path, posts: Sequence[Post], split: str) -> None:
    for task, name in (("informative", informative), ("humanitarian", str)):
        pairs = [(post, _pair(post, name)) for post in posts]
        agreed = [row for post, row in pairs if name(post.text_label) == name(post.image_label)]
        stem = f"task_{task}_text_img"
        _write(
            root / "crisismmd_datasplit_agreed_label" / f"{stem}_agreed_lab_{split}.tsv",
            _PAIR_COLUMNS,
            agreed,
        )
        _write(root / "crisismmd_datasplit_all" / f"{stem}_{split}.tsv", _PAIR_COLUMNS, (row for _, row in pairs))


def _write_settings(root: Path, posts: Sequence[Post], split: str) -> None:
    """A: concordant pairs only; B: all pairs in train. Humanitarian rows have no not_humanitarian label."""
    for task, name in (("informative", informative), ("humanitarian", str)):
        for setting in ("A", "B"):
            discordant_too = setting == "B" and split == "train"
            kept = [post for post in posts if discordant_too or name(post.text_label) == name(post.image_label)]
            if task == "humanitarian":
                kept = [post for post in kept if (post.text_label, post.image_label) != ("not_humanitarian",) * 2]
            rows = [_pair(post, name, prefer_humanitarian=task == "humanitarian") for post in kept]
            _write(
                root / f"crisismmd_datasplit_setting{setting}" / f"task_{task}_text_img_{split}.tsv",
                _PAIR_COLUMNS,
                rows,
            )


def _write_damage(root: Path, posts: Sequence[Post], split: str) -> None:
    judged = [post for post in posts if post.damage not in (NO_LABEL, "dont_know_or_cant_judge")]
    short = [(post.event.name, post.image_id, post.image_path, post.damage) for post in judged]
    _write(root / "crisismmd_datasplit_damage" / f"task_damage_{split}.tsv", _DAMAGE_COLUMNS, short)
    for setting in ("A", "B"):
        rows = [(*_who(post), post.damage) for post in judged]
        _write(
            root / f"crisismmd_datasplit_setting{setting}" / f"task_damage_text_img_{split}.tsv",
            _POST_COLUMNS,
            rows,
        )


def _who(post: Post) -> Row:
    return post.event.name, post.tweet_id, post.image_id, post.text, post.image_path


def _pair(post: Post, name: Name, prefer_humanitarian: bool = False) -> Row:
    """One split row; with `prefer_humanitarian` any other class wins over not_humanitarian."""
    labels = {"text": post.text_label, "image": post.image_label}
    chosen = "image" if post.image_confidence > post.text_confidence else "text"
    if prefer_humanitarian and labels[chosen] == "not_humanitarian":
        chosen = "text" if chosen == "image" else "image"
    text, image = name(post.text_label), name(post.image_label)
    return *_who(post), name(labels[chosen]), text, image, "Positive" if text == image else "Negative"


def _annotation(post: Post) -> Row:
    text, image = str(post.text_confidence), str(post.image_confidence)
    damage = NO_LABEL if post.damage == NO_LABEL else str(post.damage_confidence)
    return (
        post.tweet_id,
        post.image_id,
        informative(post.text_label),
        text,
        informative(post.image_label),
        image,
        post.text_label,
        text,
        post.image_label,
        image,
        post.damage,
        damage,
        post.text,
        f"http://media.example/{post.media}.jpg",
        post.image_path,
    )


def _write(path: Path, header: Row, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row) for row in (header, *rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))
