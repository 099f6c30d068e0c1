"""What every file object has that this package makes for the HDF5 library: a length and a place in it."""

from __future__ import annotations

import io


class SeekableFile(io.RawIOBase):
    """A file of `length` bytes, read at `position`; a subclass says what its bytes are (`readinto`)."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.length}[whence] + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
