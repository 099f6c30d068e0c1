"""What each post of the sample says, shows and is labelled: decided here, drawn and written elsewhere.

The planted signal: a tweet is either clear or vague about its class, and its photographs are mostly clear
where the tweet is vague and vague where the tweet is clear, so that each modality alone leaves a different
part of the posts open. The labels of text and image are given independently: an image keeps its tweet's
class with probability `AGREEMENT`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone

import numpy as np

from pipeline.sample.events import EVENTS, Event, posts_per_event
from pipeline.sample.tweets import pick, token, write_tweet

HUMANITARIAN = (
    "not_humanitarian",
    "other_relevant_information",
    "rescue_volunteering_or_donation_effort",
    "infrastructure_and_utility_damage",
    "affected_individuals",
    "injured_or_dead_people",
    "vehicle_damage",
    "missing_or_found_people",
)
DAMAGE = ("severe_damage", "mild_damage", "little_or_no_damage", "dont_know_or_cant_judge")
NO_LABEL = "nan"

_AGREEMENT = 0.58
_NOT_HUMANITARIAN_SHARE = 0.6
_TEXT_PRIOR = (0.34, 0.23, 0.18, 0.14, 0.055, 0.025, 0.02, 0.01)
_OTHER_IMAGE_PRIOR = (0.0, 0.2, 0.2, 0.46, 0.06, 0.02, 0.05, 0.01)
_DAMAGE_PRIOR = (0.52, 0.25, 0.17, 0.06)
_IMAGES_PRIOR = (0.84, 0.09, 0.04, 0.03)

_CLEAR_TEXT = 0.6
_CLEAR_IMAGE_GIVEN_CLEAR_TEXT = 0.38
_CLEAR_IMAGE_GIVEN_VAGUE_TEXT = 0.94
_WRONG_LABEL = 0.06
_SAME_SEVERITY = 0.8
_REPEATED_TEXT = 0.03
_REPEATED_IMAGE = 0.03

_ID_EPOCH = datetime(2010, 11, 4, 1, 42, 54, 657000, tzinfo=timezone.utc)
_ID_LOW_BITS = 22


@dataclass(frozen=True)
class Post:
    """One row: a tweet with one of its images, its labels as annotated, and what it really shows.

    `shown` is the humanitarian class that the image's scene is taken from, `copy_of` the image id whose
    file this image repeats byte for byte, if any.
    """

    event: Event
    day: date
    tweet_id: str
    image_id: str
    text: str
    text_label: str
    text_confidence: float
    image_label: str
    image_confidence: float
    damage: str
    damage_confidence: float
    media: str
    shown: str
    image_clear: bool
    copy_of: str | None

    @property
    def image_path(self) -> str:
        """Path of the image relative to the folder of the dataset."""
        day = f"{self.day.day}_{self.day.month}_{self.day.year}"
        return f"data_image/{self.event.name}/{day}/{self.image_id}.jpg"


@dataclass(frozen=True)
class _Tweet:
    text: str
    label: str
    shown: str
    clear: bool
    severity: str
    confidence: float


def informative(humanitarian: str) -> str:
    """The informative class that goes with a humanitarian class."""
    return "not_informative" if humanitarian == "not_humanitarian" else "informative"


def plan_posts(posts: int, seed: int) -> list[Post]:
    """`posts` rows (>= 7) over all events, in the order of the events and, within one, of their tweet ids."""
    rng = np.random.default_rng([seed, 0])
    planned: list[Post] = []
    for event, rows in zip(EVENTS, posts_per_event(posts), strict=True):
        planned += _plan_event(rng, event, rows)
    return planned


def with_empty_text(posts: list[Post], tweet_id: str) -> list[Post]:
    """The same posts, the tweet `tweet_id` having lost its text."""
    return [replace(post, text="") if post.tweet_id == tweet_id else post for post in posts]


def _plan_event(rng: np.random.Generator, event: Event, rows: int) -> list[Post]:
    sizes: list[int] = []
    while sum(sizes) < rows:
        images = 1 + int(rng.choice(len(_IMAGES_PRIOR), p=_IMAGES_PRIOR))
        sizes.append(min(images, rows - sum(sizes)))
    tweets: list[_Tweet] = []
    posts: list[Post] = []
    for (tweet_id, day), images in zip(_tweet_ids(rng, event, len(sizes)), sizes, strict=True):
        repeats = tweets and rng.random() < _REPEATED_TEXT
        tweet = pick(rng, tweets) if repeats else _plan_tweet(rng, event)
        tweets.append(tweet)
        for k in range(images):
            posts.append(_plan_image(rng, event, day, tweet_id, k, tweet, posts))
    return posts


def _tweet_ids(rng: np.random.Generator, event: Event, count: int) -> list[tuple[str, date]]:
    """`count` distinct rising ids of 18 digits with their days: time in the high bits, chance in the low."""
    start = datetime(event.first_day.year, event.first_day.month, event.first_day.day, tzinfo=timezone.utc)
    span = event.days * 24 * 3600 * 1000
    moments = np.sort(rng.integers(0, span, count)).tolist()
    low_bits = rng.integers(0, 1 << _ID_LOW_BITS, count).tolist()
    ids: dict[int, date] = {}
    for moment, low in zip(moments, low_bits, strict=True):
        time = start + timedelta(milliseconds=moment)
        number = ((time - _ID_EPOCH) // timedelta(milliseconds=1) << _ID_LOW_BITS) + low
        while number in ids:
            number += 1
        ids[number] = time.date()
    return [(str(number), ids[number]) for number in sorted(ids)]


def _plan_tweet(rng: np.random.Generator, event: Event) -> _Tweet:
    label = _draw_class(rng)
    shown = _other_class(rng, label) if rng.random() < _WRONG_LABEL else label
    clear = bool(rng.random() < _CLEAR_TEXT)
    severity = str(rng.choice(DAMAGE, p=_DAMAGE_PRIOR))
    text = write_tweet(rng, event, shown, clear, severity)
    return _Tweet(text, label, shown, clear, severity, _confidence(rng))


def _plan_image(
    rng: np.random.Generator,
    event: Event,
    day: date,
    tweet_id: str,
    k: int,
    tweet: _Tweet,
    earlier: list[Post],
) -> Post:
    label = _image_class(rng, tweet.label)
    shown = tweet.shown if label == tweet.label else label
    clear = bool(rng.random() < (_CLEAR_IMAGE_GIVEN_CLEAR_TEXT if tweet.clear else _CLEAR_IMAGE_GIVEN_VAGUE_TEXT))
    damage = NO_LABEL
    if label == "infrastructure_and_utility_damage":
        same = rng.random() < _SAME_SEVERITY
        damage = tweet.severity if same else str(rng.choice(DAMAGE, p=_DAMAGE_PRIOR))
    post = Post(
        event=event,
        day=day,
        tweet_id=tweet_id,
        image_id=f"{tweet_id}_{k}",
        text=tweet.text,
        text_label=tweet.label,
        text_confidence=tweet.confidence,
        image_label=label,
        image_confidence=_confidence(rng),
        damage=damage,
        damage_confidence=_confidence(rng),
        media=token(rng, 15),
        shown=shown,
        image_clear=clear,
        copy_of=None,
    )
    return _repeat_image(rng, post, earlier) if rng.random() < _REPEATED_IMAGE else post


def _repeat_image(rng: np.random.Generator, post: Post, earlier: list[Post]) -> Post:
    """`post` showing the file of an earlier post with the same image label and damage, if there is one."""
    originals = [
        other
        for other in earlier
        if other.copy_of is None
        and other.tweet_id != post.tweet_id
        and (other.image_label, other.damage, other.image_clear) == (post.image_label, post.damage, post.image_clear)
    ]
    if not originals:
        return post
    original = pick(rng, originals)
    return replace(post, copy_of=original.image_id, shown=original.shown)


def _draw_class(rng: np.random.Generator, prior: tuple[float, ...] = _TEXT_PRIOR) -> str:
    return HUMANITARIAN[int(rng.choice(len(HUMANITARIAN), p=prior))]


def _other_class(rng: np.random.Generator, label: str) -> str:
    while (other := _draw_class(rng)) == label:
        pass
    return other


def _image_class(rng: np.random.Generator, text_label: str) -> str:
    if rng.random() < _AGREEMENT:
        return text_label
    if rng.random() < _NOT_HUMANITARIAN_SHARE:
        return HUMANITARIAN[0]
    return _draw_class(rng, _OTHER_IMAGE_PRIOR)


def _confidence(rng: np.random.Generator) -> float:
    """Share of annotators behind a label: mostly all of them, else around two thirds."""
    return 1.0 if rng.random() < 0.6 else round(float(rng.uniform(0.63, 0.8)), 4)
