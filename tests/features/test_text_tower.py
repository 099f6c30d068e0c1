"""The text half of an encoder says of a text what the whole encoder says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features import CARDS, load
from features.encoders.text_tower import TextTower
from features.text import TextRead
from tests.features.tiny import save_clip


def test_text_tower_reads_counts_and_encodes_as_its_encoder(tmp_path: Path) -> None:
    encoder = load(CARDS["clip"], pretrained=str(save_clip(tmp_path)))
    tower = TextTower(encoder)
    texts = ["a photo of a flood", "water " * 100]
    tokens = tower.tokenize(texts)
    assert tower.text_limit == 77
    assert [tower.text_read(one) for one in tokens] == [TextRead(5, 0, False), TextRead(75, 0, True)]
    assert (tower.modalities, tower.parallel, set(tower.views)) == (("text",), True, {"text/projected", "text/pooled"})
    whole = encoder.encode_texts(texts)
    for found in (tower.encode_tokens(tokens), tower.encode_texts(texts)):
        for view in tower.views:
            np.testing.assert_array_equal(found[view], whole[view])
