"""Cleaners: what each promises, on made-up and on real tweets."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.text import CLEANERS, joined

WORDS = st.lists(st.text("abcdefgXYZ0189'-", min_size=1, max_size=8).map(lambda w: f"w{w}w"), min_size=1, max_size=6)
LINKS = st.sampled_from(
    [
        "https://t.co/a1B2c3D4e5",
        "http://t.co/xyz",
        "HTTPS://T.CO/ABC",
        "https://example.org/a/b?c=d&e=f#g",
        "www.x.org/y",
    ]
)
ENDS = st.sampled_from([" ", "\n", "\t", "… ", ") ", "\u3000", '" '])


def tweets(folder: Path) -> list[str]:
    found = []
    for path in sorted((folder / "annotations").glob("*.tsv")):
        with path.open(encoding="utf-8") as stream:
            rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
            found += [row["tweet_text"] for row in rows]
    return found


@given(st.text())
def test_raw_is_the_text(text: str) -> None:
    assert CLEANERS["raw"](text) == text


@given(before=WORDS, link=LINKS, end=ENDS, after=WORDS)
@pytest.mark.parametrize("name", ["abavisani", "crisis"])
def test_nothing_that_follows_a_link_is_deleted(
    name: str, before: list[str], link: str, end: str, after: list[str]
) -> None:
    cleaned = CLEANERS[name](f"{' '.join(before)} {link}{end}{' '.join(after)} {link}{end}{' '.join(after)}")
    wanted = [w.lower() if name == "abavisani" else w for w in [*before, "link", *after, "link", *after]]
    assert re.findall(r"[\w'-]+", cleaned) == wanted


@given(st.text())
@settings(max_examples=200)
def test_abavisani_leaves_no_upper_case_double_space_or_link(text: str) -> None:
    cleaned = CLEANERS["abavisani"](f"{text}  https://t.co/Ab1 {text}")
    assert cleaned == cleaned.lower()
    assert "  " not in cleaned
    assert "t.co" not in cleaned
    assert CLEANERS["abavisani"](cleaned) == cleaned


@pytest.mark.parametrize(
    ("tweet", "expected"),
    [
        ("RT @Gizmodo: Fires  raging https://t.co/dI73RFzX2i", "Fires raging link"),
        ("RT @a: RT @b_1: help", "help"),
        ("PORT @ sea: RT now", "PORT @ sea: RT now"),
        ("Weâ€™re here â€” now", "We're here — now"),
        ("ask @FEMA, or mail me@fema.gov", "ask @user, or mail me@fema.gov"),
        ("see https://t.co/ab12#flood now", "see link #flood now"),
        ("(https://t.co/ab12) stay safe", "( link ) stay safe"),
        ("Fish &amp; chips", "Fish & chips"),
        ("go to www.redcross.org/help. Now", "go to link . Now"),
        ("", ""),
    ],
)
def test_crisis_cleaner_by_example(tweet: str, expected: str) -> None:
    assert CLEANERS["crisis"](tweet) == expected


def test_abavisani_by_example() -> None:
    assert CLEANERS["abavisani"]("RT @A: Big  FIRE https://t.co/dI73RFzX2i,  stay") == "rt @a: big fire link, stay"


def test_real_tweets_lose_only_links_headers_and_handles(crisismmd: Path) -> None:
    for tweet in tweets(crisismmd)[::7]:
        for name in ("abavisani", "crisis"):
            cleaned = CLEANERS[name](tweet)
            assert "://t.co/" not in cleaned
            assert CLEANERS[name](cleaned) == cleaned, tweet
        tags = re.findall(r"#[A-Za-z0-9]+", tweet)
        assert re.findall(r"#[A-Za-z0-9]+", CLEANERS["crisis"](tweet)) == tags, tweet
        last = tweet.split()[-1]
        if last.isascii() and last.isalpha():
            assert CLEANERS["crisis"](tweet).split()[-1] == last


def test_real_mojibake_is_repaired(crisismmd: Path) -> None:
    spoilt = [tweet for tweet in tweets(crisismmd) if "â€™" in tweet]
    assert len(spoilt) > 100
    assert sum("â€™" in CLEANERS["crisis"](tweet) for tweet in spoilt) <= 0.01 * len(spoilt)


def test_every_cleaner_has_a_version_in_its_mark() -> None:
    assert CLEANERS["002"] is CLEANERS["abavisani"]
    assert {cleaner.mark for cleaner in CLEANERS.values()} == {"raw-1", "002-1", "crisis-1"}


def test_segments_are_joined_with_one_space_and_none_is_invented() -> None:
    assert joined("tweet") == "tweet"
    assert joined(("tweet", "caption")) == "tweet caption"
    assert joined(("", "caption")) == "caption"
