"""A folder that has lost its tokenizer, or a part of it, is refused: the library would make one of it without words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.architectures_text import save
from features import CARDS, FeatureError, load
from features.vocabulary import check_words
from tests.features import tiny_captioners as made
from tests.features.tiny import generative_tokenizer, own_tokenizer, wordpiece_tokenizer

FAMILIES = ("bert", "multilingual bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert")


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "t5", "xlm-roberta", "xlnet", "albert", "clip", "bart"])
def test_folder_without_a_tokenizer_is_refused(kind: str, tmp_path: Path) -> None:
    save(kind, tmp_path)
    for file in tmp_path.glob("*token*"):
        file.unlink()
    with pytest.raises(FeatureError, match="has no words"):
        load(CARDS["bert"], pretrained=str(tmp_path))


def test_captioner_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    made.save_blip(tmp_path)
    for name in ("tokenizer.json", "vocab.txt"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(FeatureError, match="tokenizer"):
        load(CARDS["blip"], pretrained=str(tmp_path), options={"candidates": 1, "scorer": None})


@pytest.mark.parametrize("kind", FAMILIES)
def test_whole_tokenizer_is_taken(kind: str, tmp_path: Path) -> None:
    check_words(own_tokenizer(tmp_path, kind))


def test_tokenizer_of_letters_or_bytes_is_taken() -> None:
    check_words(generative_tokenizer())
    check_words(wordpiece_tokenizer())


def test_tokenizer_without_its_merges_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijkl"
    words = [f"{a}{b}{c}{a}" for a in letters for b in letters for c in letters[:4]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(words * 2, trainers.BpeTrainer(vocab_size=2000, show_progress=False))
    check_words(PreTrainedTokenizerFast(tokenizer_object=tokenizer))
    said = json.loads(tokenizer.to_str())
    said["model"]["merges"] = []
    with pytest.raises(FeatureError, match="merges are missing"):
        check_words(PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(said))))
