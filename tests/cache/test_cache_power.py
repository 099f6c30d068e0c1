"""A pulled plug: whatever the disk kept of what was not fsynced, every committed row is there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cache_faults import COMMITS, Killed, check_final, check_state, faulty, run_all
from cache_power import Trace

SHARDS, STATES = 6, 51


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


@pytest.mark.parametrize("first", [2, 4, 6])
def test_power_loss_after_a_kill_and_a_resume_keeps_what_the_resume_found(
    tmp_path: Path, monkeypatch, first: int
) -> None:
    """What a killed writer named may not be durable yet; the next one sees to that before it relies on it."""
    rng = np.random.default_rng(first)
    for at in range(first, 150, 6):
        root = tmp_path / f"disk{at}"
        root.mkdir()
        trace = Trace(root)
        path = root / "cache" / "set" / "clip.h5"
        acknowledged = _Acknowledged(trace)
        with trace.recording(monkeypatch):
            with faulty(monkeypatch, at), suppress(Killed):
                run_all(path, [])
            run_all(path, acknowledged)
        for state, moment in enumerate(acknowledged.moments[:-1]):
            target = tmp_path / f"state{at}.{state}"
            target.mkdir()
            trace.lay_out(moment, 0.3 * (state % 2), rng, target)
            check_state(target / "cache" / "set" / "clip.h5", acknowledged[: state + 1])
