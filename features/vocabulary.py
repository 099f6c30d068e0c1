"""Whether a tokenizer has words at all, and whether they are its model's."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from features.errors import FeatureError

_LETTERS = re.compile("[a-z]{4,}")
_TRIED = 100
"""Words of a tokenizer that are tried."""


def check_words(tokenizer: Any) -> None:
    """Refuse a tokenizer without words, which is what the library makes of a folder that lacks its tokenizer's files,
    and one that never puts the letters of its words together, as it lacks their merges.
    """
    marks = {str(one) for one in getattr(tokenizer, "added_tokens_decoder", {}).values()}
    marks |= set(getattr(tokenizer, "all_special_tokens", ()))
    words = [word for word in tokenizer.get_vocab() if word not in marks]
    if not any(letter.isalnum() for word in words for letter in word):
        raise FeatureError(
            "The tokenizer has no words, as where its files are missing from the folder; put them beside the weights "
            "(--pretrained)."
        )
    tried = list(islice(filter(None, map(_LETTERS.search, words)), _TRIED))
    lengths = [len(tokenizer(one[0], add_special_tokens=False, verbose=False)["input_ids"]) for one in tried]
    if len(tried) == _TRIED and all(length >= len(one[0]) for length, one in zip(lengths, tried, strict=True)):
        raise FeatureError(
            "The tokenizer splits all its words into letters, as where its merges are missing from the folder; put "
            "them beside the weights (--pretrained)."
        )


def check_vocabulary(tokenizer: Any, rows: int, substitute: int | None) -> None:
    """Refuse a tokenizer whose words a model of `rows` words does not have, unless they were added to it and can be
    read as unknown ones.
    """
    added = set(getattr(tokenizer, "added_tokens_decoder", {}))
    words = tokenizer.get_vocab().values()
    if any(one >= rows for one in words if one not in added):
        raise FeatureError(
            f"The tokenizer has {max(words) + 1:,} words and the model {rows:,}, so they do not belong together; "
            "mend the folder (--pretrained)."
        )
    pad = getattr(tokenizer, "pad_token_id", None)
    if substitute is None and any(one >= rows and one != pad for one in added):
        raise FeatureError(
            f"The tokenizer has words beyond the model's {rows:,} and none for what is unknown; mend the folder "
            "(--pretrained)."
        )
