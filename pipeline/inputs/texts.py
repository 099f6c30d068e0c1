"""What the text of a post is made of: the tweet, its photo's caption, knowledge text, or a tweet with one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache import FeatureFile, Status
from features import card
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.inputs.commands import extract_command

FORMS = "tweet, caption:NAME, tweet+caption:NAME, knowledge or tweet+knowledge"


@dataclass(frozen=True)
class TextSource:
    """Texts by post. `label` ("tweet", "tweet+caption:git@<fingerprint>") goes into the fingerprint.

    `tweets` are cleaned before use; `companions` (captions or knowledge text) are not, and follow the tweet as a
    segment of their own. `status` uint8 says per post why there is no caption.
    """

    label: str
    tweets: Sequence[str] | None
    companions: Sequence[str] | None = None
    status: np.ndarray | None = None

    def status_of(self, post: int) -> Status:
        return Status.OK if self.status is None else Status(int(self.status[post]))


def text_source(posts: Posts, spec: str, cache: Path) -> TextSource:
    """The texts that `--text` asks for; `spec` is one of `FORMS`, or the label of a source.

    Raises `UsageError` for another spec and where captions or knowledge texts are not there, with the command or
    flag that brings them; `CrisisError` for captions that lack posts.
    """
    words = spec.split("+")
    if words == ["tweet"]:
        return TextSource("tweet", posts.texts)
    kind, _, name = words[-1].partition(":")
    if len(words) > 2 or (len(words) == 2 and words[0] != "tweet") or (kind == "caption") != bool(name):
        raise UsageError(f"'{spec}' is no text that can be encoded; choose one of {FORMS} (--text).")
    tweets = posts.texts if len(words) == 2 else None
    if kind == "knowledge":
        if not posts.knowledge:
            raise UsageError(
                "This dataset has no knowledge texts; name the table's column with --knowledge-column, or a file of "
                "them with --knowledge."
            )
        return TextSource(spec, tweets, posts.knowledge)
    if kind != "caption":
        raise UsageError(f"'{spec}' is no text that can be encoded; choose one of {FORMS} (--text).")
    return _captions(posts, name, tweets, cache)


def _captions(posts: Posts, name: str, tweets: Sequence[str] | None, cache: Path) -> TextSource:
    """The captions that `crisis extract --model NAME` wrote."""
    model, _, mark = name.partition("@")
    command = extract_command(f"--model {model}", posts.flags, cache)
    if ":" in model:
        model = card(model).name
    files = sorted((cache / posts.name).glob(f"{model}@{mark[:8]}*.h5"))
    if not files:
        raise UsageError(f"There are no captions '{name}' of '{posts.name}' in {cache}; run: {command}")
    if len(files) > 1:
        known = ", ".join(path.stem for path in files)
        raise UsageError(f"There are several captions '{model}' of '{posts.name}': {known}; name one of them.")
    with FeatureFile.open(files[0]) as file:
        if not file.caption_names:
            raise UsageError(f"{files[0].name} holds no captions; '{model}' is no captioner.")
        rows = np.asarray(file.rows_of(posts.ids), dtype=np.int64)
        if (rows < 0).any():
            raise CrisisError(f"{files[0].name} lacks {int((rows < 0).sum())} posts; add them with: {command}")
        every = file.captions(file.caption_names[0], verify=True).to_list()
        status = np.where(file.status[rows] == Status.BLANK, np.uint8(Status.OK), file.status[rows])
        label = f"{'tweet+' if tweets is not None else ''}caption:{model}@{file.fingerprint}"
    return TextSource(label, tweets, [every[row] for row in rows.tolist()], status)
