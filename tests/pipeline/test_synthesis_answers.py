"""What a language model answers becomes one clean post, or a reason why not; near-copies are found."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pipeline.datasets.crisismmd import read_posts
from pipeline.errors import UsageError
from pipeline.synthesis import answers
from pipeline.synthesis.answers import read_answer
from pipeline.synthesis.language import WORDS, check_language, speaks
from pipeline.synthesis.near import PHOTO_LIMIT, TEXT_LIMIT, Photos, Texts, is_flat, normalised, photo_hash
from pipeline.synthesis.prompts import draws_for, read_template
from tests.pipeline.synthesis_support import blobs, tweet

POST = "It smells like smoke everywhere and the sky is orange"


def read(raw: str, language: str = "en", max_chars: int = 280, cut: bool = False) -> answers.Answer:
    return read_answer(raw, language=language, max_chars=max_chars, cut=cut)


@pytest.mark.parametrize(
    "raw",
    [
        POST,
        f'"{POST}"',
        f"“{POST}”",
        f"'{POST}'",
        f"**{POST}**",
        f"```\n{POST}\n```",
        f"Sure! Here is a post:\n\n{POST}",
        f'Sure, here\'s a tweet for you:\n"{POST}"',
        f"Here is one short post about the fire: {POST}",
        f"Certainly!\n\n{POST}",
        f"Tweet: {POST}",
        f"**Post:** {POST}",
        f"1. {POST}\n2. Another one that is not the first\n3. And a third",
        f"Here are three posts:\n- {POST}\n- Another one",
        f"{POST}\n\nLet me know if you want another one!",
        f"<think>The user wants a post.\nI write one.</think>\n{POST}",
        POST.replace(" and", "\nand"),
        f"\ufeff  {POST}\x00 ",
    ],
)
def test_wrappings_of_every_kind_come_off(raw: str) -> None:
    assert read(raw) == answers.Answer(POST)


@pytest.mark.parametrize(
    "post",
    [
        "This is crazy: the whole street is under water and nobody told us",
        "Here is what I know: the road to the school is closed",
        "It's odd that 'normal' and 'safe' are the same word to them",
        "Sure hope everyone is okay out there tonight",
        "Okay but why is the sky this colour? #wildfire #smoke",
        "I'm sorry for everyone who has lost their home in this fire",
        "@friend have you seen this? https://t.co/abc",
    ],
)
def test_posts_that_look_like_wrappings_stay_whole(post: str) -> None:
    assert read(post) == answers.Answer(post)


def test_lines_of_one_post_are_one_line() -> None:
    assert read("This is insane.\nThe sky is so dark at noon").text == "This is insane. The sky is so dark at noon"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", answers.EMPTY),
        (" \n\t ", answers.EMPTY),
        ("<think>I must think about this for a long", answers.EMPTY),
        ('""', answers.EMPTY),
        ("Sure! Here is a post:", answers.EMPTY),
        ("I'm sorry, but I can't help with that request.", answers.REFUSAL),
        ("As an AI language model, I do not live anywhere.", answers.REFUSAL),
        ("The smoke in [city name] is so thick that we cannot breathe", answers.PLACEHOLDER),
        ("#fire #smoke https://t.co/x @you", answers.NO_WORDS),
        ("🔥🔥🔥", answers.NO_WORDS),
        ("the smoke " * 40, answers.TOO_LONG),
        ("Il fumo è ovunque e non so che cosa fare per la casa", answers.WRONG_LANGUAGE),
        ("Es riecht überall nach Rauch und ich weiß nicht, was wir tun", answers.WRONG_LANGUAGE),
        ("Дым повсюду, и мы не знаем, что делать дальше", answers.WRONG_LANGUAGE),
        ("xq zzkw prrt vlm ggth brrs ffk qqp lln", answers.WRONG_LANGUAGE),
    ],
)
def test_what_cannot_be_used_says_why(raw: str, reason: str) -> None:
    assert read(raw) == answers.Answer("", reason)


def test_an_answer_cut_by_the_length_limit_is_not_used() -> None:
    assert read(POST, cut=True).reason == answers.CUT_OFF


@given(st.text(max_size=300))
@example('"' * 7)
@example("1. 1. 1. a")
@example("\ud800 half a pair")
@example("** ** __ __")
def test_any_answer_gives_one_storable_line_that_reads_as_itself(raw: str) -> None:
    found = read(raw, language="any")
    assert bool(found.text) != bool(found.reason)
    assert "\n" not in found.text
    assert "\r" not in found.text
    assert found.text == found.text.strip()
    assert len(found.text) <= 280
    found.text.encode()
    if found.text:
        assert read(found.text, language="any") == found


PLAIN = st.lists(st.sampled_from([*POST.split(), "we", "they", "home", "night"]), min_size=3, max_size=12).map(" ".join)
INNER = st.lists(st.sampled_from(['"{}"', "“{}”", "'{}'", "**{}**"]), max_size=3, unique=True)
OUTER = st.tuples(
    st.sampled_from(["{}", "Tweet: {}", "**Post:** {}"]),
    st.sampled_from(["{}", "1. {}\n2. other", "- {}\n- other", "{}\n\nEnjoy!"]),
    st.sampled_from(["{}", "Sure! Here is a post:\n{}", "Okay.\n\n{}", "Here you go:\n\n{}"]),
    st.sampled_from(["{}", "```\n{}\n```", "<think>Hm:\n\nfine.</think>\n{}", "\n\n{}\n"]),
)


@given(PLAIN, INNER, OUTER)
def test_a_post_comes_back_from_any_nesting_of_wrappings(post: str, inner: list[str], outer: tuple[str, ...]) -> None:
    raw = post
    for wrapping in (*inner, *outer):
        raw = wrapping.format(raw)
    assert read(raw, language="any").text == post


def test_each_language_has_words_of_its_own() -> None:
    names = list(WORDS)
    for one in names:
        for other in names[names.index(one) + 1 :]:
            assert len(WORDS[one] & WORDS[other]) <= 4, (one, other, WORDS[one] & WORDS[other])
    check_language("any")
    with pytest.raises(UsageError, match="no check for the language 'xx'; choose en, es"):
        check_language("xx")


def test_real_english_tweets_pass_the_language_check(crisismmd) -> None:
    texts = read_posts(crisismmd).texts
    passed = sum(speaks(text, "en") for text in texts)
    assert passed / len(texts) > 0.85


def test_prompts_are_drawn_from_their_lists_and_leave_no_slot() -> None:
    template = read_template("conflict_posts")
    given = {"event": "the flood", "language": "English", "max_chars": "280"}
    assert {(p.text_label, p.image_label) for p in template.patterns.values()} == {
        ("informative", "not_informative"),
        ("not_informative", "informative"),
    }
    for name in template.patterns:
        texts = {template.text_prompt(name, draws_for(seed), **given) for seed in range(40)}
        images = {template.image_prompt(name, draws_for(seed), **given) for seed in range(40)}
        assert min(len(texts), len(images)) > 20
        assert not any("{" in prompt for prompt in texts | images)
        assert all("the flood" in prompt and "English" in prompt for prompt in texts)
        assert template.text_prompt(name, draws_for(1), **given) == template.text_prompt(name, draws_for(1), **given)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "There are no prompts"),
        ('{"patterns": {}}', "has no patterns"),
        ('{"patterns": {"a": {"text": "x"}}}', "lack 'text_label'"),
        (
            '{"name": "n", "version": 1, "system": "", "patterns": {"a": {"text_label": "i", "image_label": "n", '
            '"text": "{topic}", "image": "x"}}}',
            r"a slot \{topic\} and nothing to draw",
        ),
        (
            '{"name": "n", "version": 1, "system": "", "patterns": {"a": {"text_label": "i", "image_label": "n", '
            '"text": "{event.__class__}", "image": "x"}}}',
            "nothing to draw",
        ),
        ("[]", "cannot be used"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused_in_one_sentence(content: str, match: str, tmp_path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=match):
        read_template(str(path))


def jaccard(one: str, other: str) -> float:
    """Straight from the definition, on sets of substrings."""
    a, b = ({n[i : i + 5] for i in range(max(1, len(n) - 4))} for n in map(normalised, (one, other)))
    return len(a & b) / len(a | b)


@given(
    st.lists(st.text("ab cd", min_size=1, max_size=20).filter(normalised), min_size=1, max_size=6), st.integers(0, 6)
)
def test_nearest_text_is_the_greatest_jaccard_of_all(texts: list[str], split: int) -> None:
    known = Texts(texts[1 : split + 1])
    for text in texts[split + 1 :]:
        known.add(text)
    expected = max((jaccard(texts[0], other) for other in texts[1:]), default=0.0)
    assert known.nearest(texts[0]) == pytest.approx(expected)


def test_copies_and_near_copies_of_a_text_are_told_from_new_ones() -> None:
    known = Texts([tweet(seed) for seed in range(50)] + ["RT @someone: The fire is near! https://t.co/1"])
    assert known.is_copy("rt @other the FIRE is near https://t.co/2")
    assert known.nearest(tweet(7) + " tonight") >= TEXT_LIMIT
    assert max(known.nearest(tweet(seed)) for seed in range(100, 150)) < TEXT_LIMIT


def test_a_photo_is_recognised_scaled_and_recompressed_and_no_other_is() -> None:
    photos = [blobs(seed, (200, 150)) for seed in range(60)]
    known = Photos([photo_hash(photo) for photo in photos])
    for photo in photos[:20]:
        buffer = io.BytesIO()
        photo.resize((90, 70)).save(buffer, "JPEG", quality=40)
        assert known.nearest(photo_hash(Image.open(buffer))) <= PHOTO_LIMIT
    assert min(known.nearest(photo_hash(blobs(seed, (200, 150)))) for seed in range(100, 160)) > PHOTO_LIMIT
    assert Photos().nearest(photo_hash(photos[0])) == 65


def test_hash_distance_counts_differing_bits() -> None:
    known = Photos(np.array([0b1011, 2**63], dtype=np.uint64))
    known.add(np.uint64(0xFF))
    assert known.nearest(np.uint64(0b1000)) == 2
    assert known.nearest(np.uint64(0xFE)) == 1


def test_an_image_that_shows_nothing_is_known_as_such() -> None:
    assert is_flat(Image.new("RGB", (64, 64), (3, 3, 3)))
    assert not is_flat(blobs(0))


@pytest.mark.parametrize(
    "piece",
    [
        "\n",
        "<think>",
        '"',
        "**a",
        "- ",
        "** ",
        "```\n",
        "Here is a post: ",
        "“",
        "x",
        "\t\n ",
        "<think></think>",
        "[a",
        "sure: ",
    ],
)
def test_reading_an_answer_takes_time_in_proportion_to_its_length(piece: str) -> None:
    def seconds(size: int) -> float:
        raw = (piece * (size // len(piece)))[:size] + " the end"
        started = time.perf_counter()
        read_answer(raw, language="en", max_chars=280)
        return time.perf_counter() - started

    seconds(1 << 16)
    small, large = min(seconds(1 << 18) for _ in range(3)), seconds(1 << 22)
    assert large < 16 * 4 * small + 0.5, "sixteen times the length"
