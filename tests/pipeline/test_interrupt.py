"""A Ctrl-C that a library's callback swallows is heard of all the same."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

import pytest

from pipeline.interrupt import LostInterrupts


def test_a_ctrl_c_that_is_lost_in_a_callback_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[type[BaseException] | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: lost.append(found.exc_type))

    @ctypes.CFUNCTYPE(None)
    def called_back() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    before = signal.getsignal(signal.SIGINT)
    with LostInterrupts() as interrupts:
        interrupts.raise_lost()
        called_back()
        assert lost == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            interrupts.raise_lost()
    assert signal.getsignal(signal.SIGINT) is before


def test_any_other_ctrl_c_is_raised_where_it_comes() -> None:
    with LostInterrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
