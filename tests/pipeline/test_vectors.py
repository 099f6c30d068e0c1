"""The index of inputs: what is there is found, what is not is not, whatever the hashes share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction import vectors
from pipeline.extraction.vectors import Claims, HashIndex

HALF = st.sampled_from([b"\0" * 8, b"\1" * 8, b"\xff" * 8])


@given(
    hashes=st.lists(st.builds(bytes.__add__, HALF, HALF), min_size=1, max_size=12),
    wanted=st.builds(bytes.__add__, HALF, HALF),
    data=st.data(),
)
def test_index_finds_exactly_the_good_rows_with_that_hash(
    hashes: list[bytes], wanted: bytes, data: st.DataObject
) -> None:
    good = np.array(data.draw(st.lists(st.booleans(), min_size=len(hashes), max_size=len(hashes))))
    array = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16)
    expected = {row for row, digest in enumerate(hashes) if digest == wanted and good[row]}
    found = HashIndex(array, good).find(wanted)
    assert found in expected if expected else found is None


@given(hashes=st.lists(st.builds(bytes.__add__, HALF, HALF), unique=True, max_size=9), limit=st.integers(1, 4))
def test_claims_are_found_whether_latest_or_folded_away(hashes: list[bytes], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "LATEST", limit)
        claims, rows = Claims(), {}
        for number, digest in enumerate(hashes):
            assert claims.find(digest) is None
            rows[digest] = 7 * number + 3
            claims.add(digest, rows[digest])
            assert {one: claims.find(one) for one in rows} == rows
