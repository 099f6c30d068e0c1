"""`make_sample`: the whole embedded sample, in the folders of CrisisMMD v2.0, at once or not at all."""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from crisis_errors import CrisisError
from pipeline.sample import damage
from pipeline.sample.events import EVENTS
from pipeline.sample.photos import jpeg_bytes, photograph
from pipeline.sample.plan import Post, plan_posts, with_empty_text
from pipeline.sample.tables import deal_splits, write_tables

SAMPLE_VERSION = 1
MARKER = "SAMPLE.json"
DATASET_FOLDER = "CrisisMMD_v2.0"
MIN_POSTS = 20
_EMPTY_TEXT_FROM = 50


class SampleError(CrisisError, ValueError):
    """The sample cannot be made as asked; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Summary:
    """What a sample holds. `post id` is the image id, as in CrisisMMD.

    `damaged` maps the post ids whose image cannot be read to what was done to it, `unusual` those whose
    image is readable but odd; `empty_text` lists the post ids without text. `tweets`, `images` (distinct
    files by content) and `texts` (distinct) are counts, `repeated_images` and `repeated_texts` count the
    posts and tweets that repeat an earlier one.
    """

    output: Path
    posts: int
    seed: int
    tweets: int
    images: int
    texts: int
    repeated_images: int
    repeated_texts: int
    events: dict[str, int]
    splits: dict[str, int]
    damaged: dict[str, str]
    unusual: dict[str, str]
    empty_text: tuple[str, ...]
    reused: bool = False

    @property
    def dataset(self) -> Path:
        """The folder with `annotations/` and `data_image/`; the split folders lie beside it."""
        return self.output / DATASET_FOLDER


def make_sample(output: Path, posts: int = 1200, seed: int = 0) -> Summary:
    """Draw the sample of `posts` rows (>= 20) for `seed` (>= 0) into the folder `output`, new or empty.

    The same `posts` and `seed` give the same bytes on one machine. The folder appears under its name when
    it is whole; one that already holds this very sample is left as it is and described again. Texts and
    images repeat across tweets, so they also repeat across splits, which are disjoint by tweet id only, as
    in the real dataset.

    Raises SampleError when `posts` or `seed` is out of range or `output` holds something else.
    """
    if posts < MIN_POSTS:
        raise SampleError(f"A sample needs at least {MIN_POSTS} posts, not {posts}: ask for more.")
    if seed < 0:
        raise SampleError(f"The seed must be 0 or more, not {seed}: choose another.")
    output = Path(output).absolute()
    if _is_taken(output):
        return _reuse(output, posts, seed)
    try:
        return _publish(output, posts, seed)
    except OSError as error:
        raise SampleError(
            f"The sample could not be written to {output} ({error.strerror}): "
            "choose a folder that may be written and has room."
        ) from error


def _publish(output: Path, posts: int, seed: int) -> Summary:
    """Fill a folder beside `output`, then give it that name; another process may have been faster."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.parent / f".{output.name}.{uuid.uuid4().hex}.partial"
    partial.mkdir()
    try:
        summary = _fill(partial, posts, seed)
        try:
            if output.is_dir():
                output.rmdir()
            partial.rename(output)
        except OSError:
            if not _is_taken(output):
                raise
            return _reuse(output, posts, seed)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(summary, output=output)


def _is_taken(output: Path) -> bool:
    return output.is_file() or (output.is_dir() and any(output.iterdir()))


def _reuse(output: Path, posts: int, seed: int) -> Summary:
    """The summary of the sample at `output`, if it was made with these parameters by this version."""
    wanted = {"posts": posts, "seed": seed, "version": SAMPLE_VERSION}
    try:
        kept = json.loads((output / MARKER).read_text(encoding="utf-8"))
        if {key: kept[key] for key in wanted} == wanted:
            summary = kept["summary"]
            return Summary(
                output=output,
                posts=posts,
                seed=seed,
                reused=True,
                **{**summary, "empty_text": tuple(summary["empty_text"])},
            )
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise SampleError(
        f"{output} is in use and is not the sample of {posts} posts with seed {seed}: "
        "choose another folder or remove it."
    )


def _fill(root: Path, posts: int, seed: int) -> Summary:
    planned = plan_posts(posts, seed)
    odd = _choose_odd(planned, seed)
    empty = _choose_empty(planned, set(odd), seed)
    if empty is not None:
        planned = with_empty_text(planned, empty)
    splits = deal_splits(planned, seed)
    write_tables(root, planned, splits)
    images = _write_images(root / DATASET_FOLDER, planned, odd, seed)
    summary = _summarise(root, planned, splits, odd, images, seed)
    facts = {key: value for key, value in asdict(summary).items() if key not in ("output", "posts", "seed", "reused")}
    marker = {"posts": posts, "seed": seed, "version": SAMPLE_VERSION, "summary": facts}
    (root / MARKER).write_text(json.dumps(marker, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return summary


def _choose_odd(posts: Sequence[Post], seed: int) -> dict[str, str]:
    """Post id -> kind of damage or oddity, for posts whose file stands alone."""
    copied = {post.copy_of for post in posts}
    alone = [post.image_id for post in posts if post.copy_of is None and post.image_id not in copied]
    kinds = damage.kinds_for(len(posts))
    chosen = np.random.default_rng([seed, 2]).choice(len(alone), size=len(kinds), replace=False).tolist()
    return {alone[i]: kind for i, kind in zip(chosen, kinds, strict=True)}


def _choose_empty(posts: Sequence[Post], odd: set[str], seed: int) -> str | None:
    """A tweet with one sound image and a text of its own, to lose that text; None in a small sample."""
    if len(posts) < _EMPTY_TEXT_FROM:
        return None
    rows_with_text = Counter(post.text for post in posts)
    fit = [post.tweet_id for post in posts if rows_with_text[post.text] == 1 and post.image_id not in odd]
    return fit[int(np.random.default_rng([seed, 3]).integers(len(fit)))]


def _write_images(dataset: Path, posts: Sequence[Post], odd: dict[str, str], seed: int) -> int:
    """Draw every image; returns how many distinct contents there are among the files."""
    makers = {**damage.UNREADABLE, **damage.UNUSUAL}
    written: dict[str, bytes] = {}
    for index, post in enumerate(posts):
        if post.copy_of is not None:
            data = written[post.copy_of]
        else:
            rng = np.random.default_rng([seed, 4, index])
            image = photograph(rng, post.event.hazard, post.shown, post.image_clear, post.damage)
            make = makers[odd[post.image_id]] if post.image_id in odd else jpeg_bytes
            if make is None:
                continue
            data = make(image)
        written[post.image_id] = data
        path = dataset / post.image_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return len(set(written.values()))


def _summarise(
    root: Path, posts: Sequence[Post], splits: dict[str, str], odd: dict[str, str], images: int, seed: int
) -> Summary:
    text_of = {post.tweet_id: post.text for post in posts}
    per_event = Counter(post.event.name for post in posts)
    per_split = Counter(splits[post.tweet_id] for post in posts)
    return Summary(
        output=root,
        posts=len(posts),
        seed=seed,
        tweets=len(text_of),
        images=images,
        texts=len(set(text_of.values())),
        repeated_images=sum(post.copy_of is not None for post in posts),
        repeated_texts=len(text_of) - len(set(text_of.values())),
        events={event.name: per_event[event.name] for event in EVENTS},
        splits=dict(sorted(per_split.items())),
        damaged={post_id: kind for post_id, kind in odd.items() if kind in damage.UNREADABLE},
        unusual={post_id: kind for post_id, kind in odd.items() if kind in damage.UNUSUAL},
        empty_text=tuple(post.image_id for post in posts if post.text == ""),
    )
