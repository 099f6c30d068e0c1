"""A pulled plug: whatever the disk kept of what was not fsynced, every committed row is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cache_faults import COMMITS, check_final, check_state, run_all
from cache_power import Trace

SHARDS, STATES = 3, 102


class _Acknowledged(list):
    """Notes how many events had happened when each commit returned."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace, self.moments = trace, []

    def append(self, commit: tuple[int, int, int]) -> None:
        super().append(commit)
        self.moments.append(len(self.trace.events))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_power_loss_keeps_committed_rows(tmp_path: Path, monkeypatch, shard: int) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    trace = Trace(root)
    acknowledged = _Acknowledged(trace)
    with trace.recording(monkeypatch):
        run_all(root / "cache" / "set" / "clip.h5", acknowledged)
    assert len(acknowledged) == len(COMMITS)
    rng = np.random.default_rng(shard)
    for state in range(STATES):
        count = int(rng.integers(len(trace.events) + 1))
        target = tmp_path / f"state{state}"
        target.mkdir()
        trace.lay_out(count, (0.0, 0.5, 0.9)[state % 3], rng, target)
        path = target / "cache" / "set" / "clip.h5"
        sure = [commit for commit, moment in zip(acknowledged, acknowledged.moments, strict=True) if moment <= count]
        check_state(path, sure)
        run_all(path, [])
        check_final(path)
