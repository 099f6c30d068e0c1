"""What was fetched and what could not be, one line of JSON each, so that a second run asks for nothing twice."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from pipeline.download.photo import Failure

NAME = "downloads.jsonl"


class State:
    """`files`: address to the name of its photo in the folder, which is there. `failed`: address to why there is none.

    Safe to use from several threads; a context manager. A torn last line, which a kill leaves, counts as none; its
    photo is asked for again.
    """

    def __init__(self, folder: Path, photos: Path) -> None:
        self.files: dict[str, str] = {}
        self.failed: dict[str, Failure] = {}
        self._photos = photos
        path = folder / NAME
        for line in path.read_bytes().splitlines() if path.exists() else ():
            self._take(line)
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        self._stream = path.open("ab")
        if torn:
            self._stream.write(b"\n")
        self._lock = threading.Lock()

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def fetched(self, address: str, name: str) -> None:
        self._write({"address": address, "file": name})
        self.files[address] = name
        self.failed.pop(address, None)

    def could_not(self, address: str, failure: Failure) -> None:
        self._write({"address": address, "failed": failure.reason, "lasting": failure.lasting})
        self.failed[address] = failure

    def _write(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._stream.write(json.dumps(entry, ensure_ascii=True).encode() + b"\n")
            self._stream.flush()

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            address = str(entry["address"])
            if "file" in entry:
                name = str(entry["file"])
                # somebody may have deleted photos, or written names of their own
                if Path(name).name == name and (self._photos / name).is_file():
                    self.files[address] = name
                    self.failed.pop(address, None)
            else:
                self.failed[address] = Failure(str(entry["failed"]), bool(entry["lasting"]))
        except (ValueError, KeyError, TypeError):
            return
