"""Texts as ids: cut in the same place however long they are, in the model's own vocabulary, and counted."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import CARDS, FeatureError, load
from features.encoders.tokenizer import TextTokenizer, beginning, limit_of
from features.text import TextRead
from tests.features.tiny import SMALL, generative_tokenizer, own_tokenizer, spread, wordpiece_tokenizer

LIMIT = 8
WORDS = st.lists(st.text("abcdefgh#. wäö漢🌊\n\t", min_size=1, max_size=30), min_size=20, max_size=300)
FAMILIES = ("bert", "multilingual bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = {kind: own_tokenizer(tmp_path_factory.mktemp(kind), kind) for kind in FAMILIES}
    return {**made, "bytes": generative_tokenizer()}


def read(tokenizer: Any, **more: Any) -> TextTokenizer:
    return TextTokenizer(tokenizer, LIMIT, len(tokenizer), frozenset({"input_ids"}), **more)


@given(words=WORDS, space=st.sampled_from([" ", "  ", " \n", ""]))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("kind", [*FAMILIES, "bytes"])
def test_long_text_has_the_ids_that_the_tokenizer_gives_it_whole(
    tokenizers: dict[str, Any], kind: str, words: list[str], space: str
) -> None:
    text = space.join(words * 3) or "a"
    tokenizer = tokenizers[kind]
    (found,) = read(tokenizer)([text])
    whole = tokenizer(text)["input_ids"]
    assert found.inputs["input_ids"] == tokenizer(text, truncation=True, max_length=LIMIT)["input_ids"]
    assert found.read.cut == (len(whole) > LIMIT)


@given(words=WORDS, other=WORDS)
@settings(max_examples=40, deadline=None)
def test_long_pair_has_the_ids_that_the_tokenizer_gives_it_whole(words: list[str], other: list[str]) -> None:
    tokenizer = wordpiece_tokenizer()
    pair = (" ".join(words * 4), " ".join(other))
    (found,) = read(tokenizer)([pair])
    assert len(found.inputs["input_ids"]) <= LIMIT
    assert found.inputs["input_ids"] == tokenizer(*pair, truncation=True, max_length=LIMIT)["input_ids"]


def test_beginning_ends_at_a_space_and_is_long_enough() -> None:
    text = "ab " * 5000
    begun = beginning(text, lambda part: len(part.split()), 100)
    assert text.startswith(begun)
    assert text[len(begun)] == " "
    assert 164 <= len(begun.split()) < 1000
    # words that are no tokens do not count
    assert beginning("\u200b " * 5000 + "help", lambda part: part.count("help"), 100).endswith("help")


@pytest.mark.parametrize("length", [20_000, 200_000])
def test_one_long_word_costs_no_more_than_its_beginning(length: int) -> None:
    looked_at: list[int] = []

    def count(part: str) -> int:
        looked_at.append(len(part))
        return len(part)

    word = "x" * length
    assert len(beginning(word, count, 77)) < 3000
    assert sum(looked_at) < 3000


@pytest.mark.parametrize("length", [20_000, 200_000])
def test_clip_is_not_held_up_by_one_long_word(length: int) -> None:
    import open_clip

    from features.encoders.clip_tokens import ClipTokenizer

    rng = random.Random(length)
    word = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=length))
    tokenizer = ClipTokenizer(open_clip.SimpleTokenizer())
    started = time.perf_counter()
    (long,) = tokenizer([word])
    assert time.perf_counter() - started < 5
    assert long.read == TextRead(75, 0, True)
    # the first tokens are those of a beginning a few times as long as what is read
    np.testing.assert_array_equal(long.ids.numpy(), open_clip.SimpleTokenizer()([word[:3000]])[0].numpy())


def test_clip_ids_are_open_clips_own() -> None:
    import open_clip

    from features.encoders.clip_tokens import ClipTokenizer

    own = open_clip.SimpleTokenizer()
    texts = [
        "flood",
        "",
        "Help &amp; water  now",
        "water " * 74,
        "water " * 75,
        "water " * 76,
        "fire " * 4000,
        "âš¡ 🌊",
    ]
    found = ClipTokenizer(own)(texts)
    np.testing.assert_array_equal(np.stack([one.ids.numpy() for one in found]), own(texts).numpy())
    assert [one.read.cut for one in found] == [False] * 5 + [True, True, False]
    assert [one.read.tokens for one in found][3:7] == [74, 75, 75, 75]


def test_unknown_words_are_counted() -> None:
    tokenizer = wordpiece_tokenizer()
    (found,) = read(tokenizer)(["flood 漢 water 漢"])
    assert found.read == TextRead(4, 2, False)


def test_word_that_only_the_tokenizer_has_is_read_as_unknown() -> None:
    tokenizer = wordpiece_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["<photo>"])
    (found,) = TextTokenizer(tokenizer, 32, rows, frozenset({"input_ids"}))(["flood <photo> water"])
    assert max(found.inputs["input_ids"]) < rows
    assert found.read == TextRead(3, 1, False)


def test_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(FeatureError, match="do not belong together"):
        TextTokenizer(wordpiece_tokenizer(), 32, 10, frozenset({"input_ids"}))
    tokenizer = generative_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["<photo>"])
    with pytest.raises(FeatureError, match="none for what is unknown"):
        TextTokenizer(tokenizer, 32, rows, frozenset({"input_ids"}))


def test_token_types_that_the_model_lacks_are_none() -> None:
    names = frozenset({"input_ids", "token_type_ids"})
    tokenizer = wordpiece_tokenizer()
    (two,) = TextTokenizer(tokenizer, 32, len(tokenizer), names, types=2)([("flood", "help")])
    (one,) = TextTokenizer(tokenizer, 32, len(tokenizer), names, types=1)([("flood", "help")])
    assert two.inputs["token_type_ids"] == [0, 0, 0, 1, 1]
    assert one.inputs["token_type_ids"] == [0] * 5


@pytest.mark.parametrize(
    ("stated", "positions", "limit"),
    [
        (None, None, 512),
        (10**30, None, 512),
        (-1, None, 512),
        (0, None, 512),
        (64, None, 64),
        (512, 40, 40),
        (77, 512, 77),
    ],
)
def test_limit_is_the_smallest_that_somebody_states(stated: Any, positions: int | None, limit: int) -> None:
    class Stated:
        model_max_length = stated

    assert limit_of(Stated(), 512, positions) == limit


def gpt2(folder: Path, prepare: Callable[[Any], Any]) -> Any:
    import transformers as t

    tokenizer = generative_tokenizer()
    config = t.GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=128)
    spread(t.GPT2Model(config)).save_pretrained(folder)
    prepare(tokenizer)
    tokenizer.save_pretrained(folder)
    return load(CARDS["bert"], pretrained=str(folder))


def test_tokenizer_without_padding_needs_none(tmp_path: Path) -> None:
    def without(tokenizer: Any) -> None:
        tokenizer.pad_token = None

    encoder = gpt2(tmp_path, without)
    together = encoder.encode_texts(["flood", "flood in the city"])
    alone = encoder.encode_texts(["flood"])
    for view in ("text/last", "text/mean"):
        np.testing.assert_allclose(together[view][0], alone[view][0], atol=1e-4)
        assert np.abs(together[view][0] - together[view][1]).max() > 1e-2


def test_text_of_which_nothing_is_left_is_not_a_number(tmp_path: Path) -> None:
    encoder = gpt2(tmp_path, lambda tokenizer: None)
    found = encoder.encode_texts(["", "flood"])["text/last"]
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert np.isnan(encoder.encode_texts([""])["text/mean"]).all()


def test_padding_beyond_the_table_is_not_looked_up(tmp_path: Path) -> None:
    import transformers as t

    tokenizer = wordpiece_tokenizer()
    spread(t.BertModel(t.BertConfig(vocab_size=len(tokenizer), **SMALL))).save_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "[FILL]"})
    tokenizer.save_pretrained(tmp_path)
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    together, alone = encoder.encode_texts(["help", "help in the city"]), encoder.encode_texts(["help"])
    np.testing.assert_allclose(together["text/mean"][0], alone["text/mean"][0], atol=1e-4)


def test_all_that_the_tokenizer_makes_for_the_model_is_read(tmp_path: Path) -> None:
    """RoCBert's tokenizer says how a character looks and sounds as well."""
    import torch
    import transformers as t

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "flood", "help", "water", "city"]
    for name, of in (("word_shape", 5), ("word_pronunciation", 7)):
        (tmp_path / f"{name}.json").write_text(json.dumps({word: at % of for at, word in enumerate(words)}))
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    files = [str(tmp_path / name) for name in ("vocab.txt", "word_shape.json", "word_pronunciation.json")]
    tokenizer = t.RoCBertTokenizer(*files)
    more = {"pronunciation_vocab_size": 8, "shape_vocab_size": 8, "pronunciation_embed_dim": 8, "shape_embed_dim": 8}
    model = spread(t.RoCBertModel(t.RoCBertConfig(vocab_size=len(words), **more, **SMALL)))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    found = encoder.encode_texts(["help", "flood city water"])["text/mean"]
    for row, text in enumerate(("help", "flood city water")):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(found[row], hidden.mean(dim=0).numpy(), atol=1e-4)


@pytest.mark.parametrize("limit", [1, 2])
def test_limit_that_leaves_nothing_of_a_text_is_refused(limit: int) -> None:
    tokenizer = wordpiece_tokenizer()
    with pytest.raises(FeatureError, match="nothing of the text is left"):
        TextTokenizer(tokenizer, limit, len(tokenizer), frozenset({"input_ids"}))


def test_tokenizer_that_cuts_on_the_left_reads_the_end() -> None:
    tokenizer = wordpiece_tokenizer()
    tokenizer.truncation_side = "left"
    text = "help " * 4000 + "flood in the city"
    (found,) = read(tokenizer)([text])
    assert found.inputs["input_ids"] == tokenizer(text, truncation=True, max_length=LIMIT)["input_ids"]
    assert tokenizer.decode(found.inputs["input_ids"][1:-1]) == "help help flood in the city"


def test_threads_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer of transformers keeps how it last cut: here it is asked, and waits, between that and the cutting."""
    tokenizer = wordpiece_tokenizer()
    settle = type(tokenizer).set_truncation_and_padding

    def slowly(self: Any, *args: Any, **options: Any) -> None:
        settle(self, *args, **options)
        time.sleep(0.002)

    monkeypatch.setattr(type(tokenizer), "set_truncation_and_padding", slowly)
    reads = read(tokenizer)
    texts = ["flood in the city", "water " * 50, "help"]
    wanted = [one.inputs["input_ids"] for one in reads(texts)]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(reads, [texts] * 20):
            assert [one.inputs["input_ids"] for one in found] == wanted
