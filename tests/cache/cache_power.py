"""A model of a disk that loses power: only what was fsynced is sure to survive.

It records every operation of ``cache.files`` and can then lay out, in a real folder, a state the disk may be in after
power was lost at some moment: fsynced bytes and names, and any subset of what was done since, writes also torn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cache import files


class Trace:
    """Events in order: what was done to which inode or name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[tuple] = []

    def _inode(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_ino

    @contextmanager
    def recording(self, monkeypatch) -> Iterator[None]:
        """Record until the end of the block."""
        note, real = self.events.append, {name: getattr(files, name) for name in dir(files)}

        def create(path):
            descriptor = real["create"](path)
            self._serial = getattr(self, "_serial", 0) + 1
            self._open = {**getattr(self, "_open", {}), descriptor: self._serial}
            note(("name", path, self._serial))
            return descriptor

        def write_at(descriptor, offset, data):
            real["write_at"](descriptor, offset, data)
            note(("write", self._open[descriptor], offset, bytes(data)))

        def set_length(descriptor, length):
            real["set_length"](descriptor, length)
            note(("length", self._open[descriptor], length))

        def sync(descriptor):
            real["sync"](descriptor)
            note(("sync", self._open[descriptor]))

        def rename(source, target):
            real["rename"](source, target)
            note(("rename", source, target))

        def unlink(path):
            existed = path.exists()
            real["unlink"](path)
            if existed:
                note(("unlink", path))

        def make_folder(path):
            existed = path.is_dir()
            real["make_folder"](path)
            if not existed:
                note(("name", path, "folder"))

        def remove_folder(path):
            real["remove_folder"](path)
            if not path.exists():
                note(("unlink", path))

        def sync_folder(path):
            real["sync_folder"](path)
            note(("sync folder", path))

        with monkeypatch.context() as patch:
            for operation in (
                create,
                write_at,
                set_length,
                sync,
                rename,
                unlink,
                make_folder,
                remove_folder,
                sync_folder,
            ):
                patch.setattr(files, operation.__name__, operation)
            yield

    def lay_out(self, count: int, chance: float, rng: np.random.Generator, target: Path) -> None:
        """Power goes after ``count`` events; each unsynced change survives with this chance."""
        events = self.events[:count]
        contents = _contents(events, chance, rng)
        names = _names(events, chance, rng)
        for path in sorted(names, key=lambda path: len(path.parts)):
            place = target / path.relative_to(self.root)
            if not place.parent.is_dir():
                continue
            if names[path] == "folder":
                place.mkdir()
            else:
                place.write_bytes(contents.get(names[path], b""))


def _contents(events: list[tuple], chance: float, rng: np.random.Generator) -> dict[int, bytes]:
    """Bytes of each file: all that a later sync of that file covers, and some of the rest."""
    synced: dict[int, int] = {event[1]: number for number, event in enumerate(events) if event[0] == "sync"}
    contents: dict[int, bytearray] = {}
    for number, event in enumerate(events):
        if event[0] not in ("write", "length"):
            continue
        sure = number < synced.get(event[1], -1)
        if not sure and rng.random() >= chance:
            continue
        content = contents.setdefault(event[1], bytearray())
        if event[0] == "length":
            content.extend(bytes(max(0, event[2] - len(content))))
            continue
        data = event[3] if sure else event[3][: rng.integers(len(event[3]) + 1)]
        content.extend(bytes(max(0, event[2] + len(data) - len(content))))
        content[event[2] : event[2] + len(data)] = data
    return {inode: bytes(content) for inode, content in contents.items()}


def _names(events: list[tuple], chance: float, rng: np.random.Generator) -> dict[Path, int | str]:
    """Names in each folder: all changes that a later sync of the folder covers, and some of the rest."""
    synced: dict[Path, int] = {event[1]: number for number, event in enumerate(events) if event[0] == "sync folder"}
    durable: dict[Path, int | str] = {}
    current: dict[Path, int | str] = {}
    for number, event in enumerate(events):
        if event[0] not in ("name", "rename", "unlink"):
            continue
        survives = number < synced.get(event[-1 if event[0] == "rename" else 1].parent, -1) or rng.random() < chance
        if event[0] == "name":
            current[event[1]] = event[2]
            if survives:
                durable[event[1]] = event[2]
        elif event[0] == "rename":
            current[event[2]] = current.pop(event[1])
            if survives:
                durable.pop(event[1], None)
                durable[event[2]] = current[event[2]]
        else:
            current.pop(event[1], None)
            if survives:
                durable.pop(event[1], None)
    return durable
