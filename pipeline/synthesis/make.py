"""Making synthetic posts one by one: independent drafts of text and image, checked, committed, never twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cache import files
from features.images import BadImage
from pipeline.datasets.synthetic import TABLE, is_struck, read_table, write_table
from pipeline.interrupt import Interrupts
from pipeline.log import is_quiet
from pipeline.synthesis.answers import read_answer
from pipeline.synthesis.endpoint import BadAnswer, SourceDown, TextSource
from pipeline.synthesis.images import Drawn, ImageSource
from pipeline.synthesis.journal import Journal
from pipeline.synthesis.language import name_of
from pipeline.synthesis.near import PHOTO_LIMIT, TEXT_LIMIT, Photos, Texts, is_flat, photo_hash
from pipeline.synthesis.prompts import Template, draws_for

JOURNAL = "journal.jsonl"
IMAGES = "images"
BARREN = 25
"""A source whose drafts are dropped so many times in a row gives nothing any more."""


@dataclass(frozen=True)
class Recipe:
    """All that decides the drafts: prompts, seed, language, the events they speak of, and the label the posts get."""

    template: Template
    seed: int
    language: str
    events: Sequence[str]
    label: str
    max_chars: int

    def settings(self, dataset: str, text: str, image: str) -> dict[str, Any]:
        """What a folder was begun with; none of it may change on the way."""
        return {
            "dataset": dataset,
            "prompts": self.template.label,
            "seed": self.seed,
            "language": self.language,
            "events": list(self.events),
            "label": self.label,
            "max-chars": self.max_chars,
            "text model": text,
            "image model": image,
        }


@dataclass
class Known:
    """The texts and photos of the dataset, and apart from them those made so far."""

    texts: Texts
    photos: Photos
    own_texts: Texts = field(default_factory=Texts)
    own_photos: Photos = field(default_factory=Photos)

    def refuse_text(self, text: str) -> str:
        """Why a text may not be used: it, or nearly it, is there already; "" for a new one."""
        for texts, where in ((self.texts, "a text of the dataset"), (self.own_texts, "another synthetic text")):
            if texts.is_copy(text):
                return f"copy of {where}"
            if texts.nearest(text) >= TEXT_LIMIT:
                return f"near-copy of {where}"
        return ""

    def refuse_photo(self, drawn: Drawn) -> str:
        if is_flat(drawn.image):
            return "image shows nothing"
        one = photo_hash(drawn.image)
        for photos, where in ((self.photos, "a photo of the dataset"), (self.own_photos, "another synthetic image")):
            if photos.nearest(one) <= PHOTO_LIMIT:
                return f"copy or near-copy of {where}"
        return ""


@dataclass
class Made:
    """How a folder stands: posts per pattern that are not struck, struck ones, dropped drafts per reason (over all
    runs), failures of the text source (in this run), and why it stopped short of the goals, if it did.
    """

    posts: dict[str, int]
    new: int = 0
    struck: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    stopped: str = ""


class Maker:
    """Makes posts in `folder` until each pattern has as many as its goal; what is there already counts."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        journal: Journal,
        known: Known,
        text_source: TextSource,
        image_source: ImageSource,
    ) -> None:
        self._folder = folder
        self._recipe = recipe
        self._journal = journal
        self._known = known
        self._texts = text_source
        self._images = image_source
        settings = recipe.settings("", text_source.label, image_source.label)
        self._tag = draws_for(sorted(settings.items())).getrandbits(24)
        (folder / IMAGES).mkdir(exist_ok=True)
        _remove_orphans(folder, journal)

    def run(self, goals: Mapping[str, int], interrupts: Interrupts) -> Made:
        """Make what is missing. Also when a source gives up or a signal comes, the table is written and all counted."""
        struck = struck_posts(self._folder, self._journal)
        self._remember()
        made = Made(dict.fromkeys(goals, 0), struck=len(struck))
        for entry in self._journal.posts:
            if entry["row"]["post_id"] not in struck:
                made.posts[entry["pattern"]] = made.posts.get(entry["pattern"], 0) + 1
        short = {pattern: max(0, goal - made.posts[pattern]) for pattern, goal in goals.items()}
        try:
            with tqdm(
                total=sum(short.values()), unit="post", disable=is_quiet(), desc="synthesize", leave=False
            ) as bar:
                while any(short.values()) and not interrupts.asked:
                    pattern = max(short, key=lambda name: short[name])
                    self._journal.post(self._post(pattern, interrupts))
                    short[pattern] -= 1
                    made.posts[pattern] += 1
                    made.new += 1
                    bar.update()
        except SourceDown as error:
            made.stopped = str(error)
        except _Stopped:
            pass
        finally:
            write_posts(self._folder, self._journal)
        made.interrupted = interrupts.asked and any(short.values())
        made.dropped, made.failures = self._journal.dropped, self._texts.failures
        return made

    def _remember(self) -> None:
        """What earlier runs made; also struck posts, so that they do not come again."""
        for entry in self._journal.posts:
            self._known.own_texts.add(entry["row"]["text"])
            self._known.own_photos.add(entry["hash"])

    def _post(self, pattern: str, interrupts: Interrupts) -> dict[str, Any]:
        """One accepted post, its image written. Text and image are drawn from generators of their own, so that
        nothing but the pattern and the event joins them (Teng 2025, section 4.1).
        """
        recipe, number = self._recipe, len(self._journal.posts) + 1
        place = sum(entry["pattern"] == pattern for entry in self._journal.posts)
        event = draws_for(recipe.seed, pattern, "event", place).choice(list(recipe.events))
        text_at, text = self._text(pattern, event, interrupts)
        image_at, drawn = self._image(pattern, event, interrupts)
        chosen = recipe.template.patterns[pattern]
        post = f"synthetic-{self._tag:06x}-{number:04d}"
        image_path = f"{IMAGES}/{post}{drawn.suffix}"
        files.write_whole(self._folder / image_path, drawn.data)
        one = int(photo_hash(drawn.image))
        self._known.own_texts.add(text)
        self._known.own_photos.add(one)
        row = {
            "post_id": post,
            "text": text,
            "image_path": image_path,
            "text_label": chosen.text_label,
            "image_label": chosen.image_label,
            "label": recipe.label,
            "pattern": pattern,
            "event": event,
            "synthetic": "1",
            "accepted": "1",
            "prompt": recipe.template.label,
            "text_model": self._texts.label,
            "image_model": self._images.label,
            "seed": str(recipe.seed),
        }
        return {"pattern": pattern, "text_attempt": text_at, "image_attempt": image_at, "hash": one, "row": row}

    def _text(self, pattern: str, event: str, interrupts: Interrupts) -> tuple[int, str]:
        recipe = self._recipe
        reasons: Counter[str] = Counter()
        for attempt in self._attempts(pattern, "text", reasons, interrupts):
            draws = draws_for(recipe.seed, pattern, "text", attempt)
            prompt = recipe.template.text_prompt(pattern, draws, **self._given(event))
            try:
                raw, cut = self._texts.write(recipe.template.system, prompt, _seed(draws))
                answer = read_answer(raw, language=recipe.language, max_chars=recipe.max_chars, cut=cut)
                reason = answer.reason or self._known.refuse_text(answer.text)
            except BadAnswer as error:
                reason = str(error)
            if not reason:
                return attempt, answer.text
            self._journal.drop(pattern, "text", attempt, reason)
            reasons[reason] += 1
        raise _Stopped

    def _image(self, pattern: str, event: str, interrupts: Interrupts) -> tuple[int, Drawn]:
        recipe = self._recipe
        label = recipe.template.patterns[pattern].image_label
        reasons: Counter[str] = Counter()
        for attempt in self._attempts(pattern, "image", reasons, interrupts):
            draws = draws_for(recipe.seed, pattern, "image", attempt)
            prompt = recipe.template.image_prompt(pattern, draws, **self._given(event))
            try:
                drawn = self._images.draw(prompt, label, attempt, _seed(draws))
                reason = self._known.refuse_photo(drawn)
            except BadImage as error:
                reason = error.reason
            if not reason:
                return attempt, drawn
            self._journal.drop(pattern, "image", attempt, reason)
            reasons[reason] += 1
        raise _Stopped

    def _given(self, event: str) -> dict[str, str]:
        language = name_of(self._recipe.language)
        return {"event": event.replace("_", " "), "language": language, "max_chars": str(self._recipe.max_chars)}

    def _attempts(self, pattern: str, what: str, reasons: Counter[str], interrupts: Interrupts) -> Iterator[int]:
        """The numbers of the next drafts, until asked to stop. Raises `SourceDown` after `BARREN` dropped in a row."""
        while not interrupts.asked:
            if reasons.total() >= BARREN:
                counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
                raise SourceDown(
                    f"The last {BARREN} {what} drafts of the pattern '{pattern}' had to be dropped ({counted}); take "
                    f"another {what} source or other --prompts."
                )
            yield self._journal.attempts[pattern, what]


class _Stopped(Exception):
    """A signal came between two drafts of a post."""


def _remove_orphans(folder: Path, journal: Journal) -> None:
    """Remove images that were written just before a kill and that no post names."""
    named = {Path(entry["row"]["image_path"]).name for entry in journal.posts}
    for path in (folder / IMAGES).iterdir():
        if path.name.startswith(("synthetic-", ".synthetic-")) and path.name not in named:
            path.unlink()


def _seed(draws: random.Random) -> int:
    return draws.getrandbits(31)


def struck_posts(folder: Path, journal: Journal) -> set[str]:
    """The ids that a reader struck in the table, or took out of it."""
    if not (folder / TABLE).is_file():
        return set()
    rows = {row["post_id"]: row for row in read_table(folder / TABLE)}
    listed = [entry["row"]["post_id"] for entry in journal.posts[: journal.listed]]
    return {post for post, row in rows.items() if is_struck(row)} | {post for post in listed if post not in rows}


def write_posts(folder: Path, journal: Journal) -> None:
    """Bring the table up to the journal: rows in it stay as a reader left them, new ones follow, and one that was
    taken out stays out.
    """
    path = folder / TABLE
    there = read_table(path) if path.is_file() else []
    ids = {row["post_id"] for row in there}
    new = journal.posts[journal.listed if path.is_file() else 0 :]
    write_table(path, [*there, *(entry["row"] for entry in new if entry["row"]["post_id"] not in ids)])
    journal.table(len(journal.posts))
