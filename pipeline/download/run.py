"""Fetching many photos: hosts side by side, and of each host one photo at a time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cache import files
from pipeline.download.links import host_of
from pipeline.download.photo import Failure, Photo, fetch
from pipeline.download.state import State
from pipeline.interrupt import Interrupts
from pipeline.log import is_quiet
from pipeline.web.client import Client

HOSTS = 8
"""Hosts that are asked side by side."""


@dataclass(frozen=True)
class Limits:
    """timeout: seconds for a whole photo. most: bytes of one; total: bytes of all of a run. delay: seconds between two
    requests to one host. private: whether addresses of this machine and its network may be asked.
    """

    timeout: float = 30.0
    most: int = 32 << 20
    total: int = 100 << 30
    delay: float = 0.2
    private: bool = False


def download(
    addresses: Iterable[str], photos: Path, state: State, limits: Limits, interrupts: Interrupts, again: bool = False
) -> None:
    """Fetch the photos of distinct `addresses` into the folder `photos` and note each in `state`.

    Those that are there are not asked for, nor those that failed for a lasting reason, unless `again`. Asked to stop,
    it ends after the photos under way.
    """
    wanted = [one for one in addresses if one not in state.files and (again or not _lasting(state, one))]
    by_host: dict[str, list[str]] = {}
    for address in wanted:
        by_host.setdefault(host_of(address), []).append(address)
    job = _Job(photos, state, limits, interrupts)
    files.make_folders(photos)
    with tqdm(total=len(wanted), unit="photo", desc="download", disable=is_quiet() or not wanted, leave=False) as bar:
        with ThreadPoolExecutor(HOSTS) as pool:
            done = [pool.submit(job.host, theirs, bar) for theirs in by_host.values()]
        for one in done:
            one.result()


def _lasting(state: State, address: str) -> bool:
    failure = state.failed.get(address)
    return failure is not None and failure.lasting


@dataclass
class _Job:
    photos: Path
    state: State
    limits: Limits
    interrupts: Interrupts

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._left = self.limits.total

    def host(self, addresses: Sequence[str], bar: tqdm[Any]) -> None:
        """One host's photos, one after the other."""
        limits = self.limits
        with Client(timeout=limits.timeout, most=limits.most, private=limits.private, proxies=limits.private) as client:
            for number, address in enumerate(addresses):
                if number:
                    self._wait(limits.delay)
                if self.interrupts.asked or self._left <= 0:
                    return
                self._one(client, address)
                with self._lock:
                    bar.update()

    def _one(self, client: Client, address: str) -> None:
        found = fetch(client, address, self._wait)
        if isinstance(found, Failure):
            if not self.interrupts.asked:
                self.state.could_not(address, found)
            return
        self._keep(address, found)

    def _keep(self, address: str, photo: Photo) -> None:
        # named by its address: nothing that a server says becomes a name
        name = hashlib.sha256(address.encode()).hexdigest()[:24] + photo.suffix
        files.write_whole(self.photos / name, photo.data)
        self.state.fetched(address, name)
        with self._lock:
            self._left -= len(photo.data)

    def _wait(self, seconds: float) -> None:
        """Sleep, but not on when asked to stop."""
        until = time.monotonic() + seconds
        while not self.interrupts.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
