"""How to read a remote file: whole, or by blocks and, where these do not end, the rest at once.

One request costs as much as megabytes, and the index of a file's chunks may lie in one place or all
over it. So a small file is one request; of a larger HDF5 file large blocks are fetched, and the
whole in parallel as soon as too many were needed (``benchmarks``, parsing).
"""

from __future__ import annotations

import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import RLock
from typing import Any

import obstore

ONE_REQUEST = 8 * 1024**2
"""Bytes up to which a file is fetched in one request, and of a part of a larger one."""


PARTS_AT_A_TIME = 16


IN_MEMORY_LIMIT = 256 * 1024**2
"""Bytes up to which a file is held in memory."""


BLOCK = 6 * 1024**2


BLOCKS = 64
"""Blocks of a file that are kept in memory."""


PATIENCE = 2
"""Blocks after which the index counts as scattered, and the whole file is fetched."""


CLOSE = 64 * 1024
"""Bytes between two parts up to which they are fetched in one request."""


HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class RemoteFile(io.RawIOBase):
    """A seekable file over an object of ``size`` bytes, which fetches what is read of it once."""

    def __init__(self, store: Any, path: str, size: int) -> None:
        self._store, self._path, self.size = store, path, size
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._misses = 0
        self._whole: bytes | None = None
        self._lock = RLock()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        """The byte that is read next."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte; return its number."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        """The next ``size`` bytes, or all that are left; fewer at the end of the file."""
        end = self.size if size is None or size < 0 else self._position + size
        data = self.range(self._position, end)
        self._position += len(data)
        return data

    def range(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``, fewer at the end of the file."""
        end = min(end, self.size)
        if start >= end:
            return b""
        with self._lock:
            if self._whole is None:
                numbers = range(start // BLOCK, (end - 1) // BLOCK + 1)
                blocks = [self._block(number) for number in numbers]
            if self._whole is not None:
                return self._whole[start:end]
            first = numbers[0] * BLOCK
            return b"".join(blocks)[start - first : end - first]

    def samples(self, starts: list[int], length: int) -> list[bytes]:
        """Small parts, which are not kept."""
        if self._whole is not None:
            return [self._whole[start : start + length] for start in starts]
        lengths = [min(length, self.size - start) for start in starts]
        parts = obstore.get_ranges(self._store, self._path, starts=starts, lengths=lengths)
        return [bytes(part) for part in parts]

    def _block(self, number: int) -> bytes:
        if self._whole is not None:
            return b""
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        if self._misses >= PATIENCE and self.size <= IN_MEMORY_LIMIT:
            self._whole = read_parts(self._store, self._path, self.size)
            self._blocks.clear()
            return b""
        self._misses += 1
        start = number * BLOCK
        end = min(start + BLOCK, self.size)
        self._blocks[number] = bytes(
            obstore.get_range(self._store, self._path, start=start, end=end)
        )
        if len(self._blocks) > BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]


class RangedFile:
    """An object of ``size`` bytes of which only what is asked for is fetched."""

    def __init__(self, store: Any, path: str, size: int) -> None:
        self._store, self._path, self.size = store, path, size

    def ranges(self, places: list[tuple[int, int]]) -> list[bytes]:
        """Parts, each by its start and its length; those close to each other in one request."""
        starts, lengths = zip(*places, strict=True)
        parts = obstore.get_ranges(
            self._store, self._path, starts=starts, lengths=lengths, coalesce=CLOSE
        )
        return [bytes(part) for part in parts]

    def seek(self, offset: int) -> int:
        """Nothing is to be moved: parts are asked for by their place."""
        return offset

    def range(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``; a whole file in several requests at once."""
        if start == 0 and end >= self.size:
            return read_parts(self._store, self._path, self.size)
        (part,) = self.ranges([(start, min(end, self.size) - start)])
        return part


class FileStore:
    """Answers what VirtualiZarr asks a registry's store for, from a file that has it."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file

    async def get_range_async(self, path: str, *, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end`` of the file, whatever its path."""
        return self._file.range(start, end)


def read_remote(store: Any, path: str, size: int) -> bytes | RemoteFile:
    """The content of an object of ``size`` bytes, or a file that fetches blocks of it."""
    if size <= ONE_REQUEST:
        return bytes(obstore.get(store, path).bytes())
    file = RemoteFile(store, path, size)
    is_hdf5 = file.range(0, len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    if is_hdf5 or size > IN_MEMORY_LIMIT:
        return file
    return read_parts(store, path, size)


def read_parts(store: Any, path: str, size: int) -> bytes:
    """An object's bytes, in several requests at once.

    ``obstore.get_ranges`` would merge ranges that touch into one request.
    """

    def part(start: int) -> bytes:
        end = min(start + ONE_REQUEST, size)
        return bytes(obstore.get_range(store, path, start=start, end=end))

    with ThreadPoolExecutor(PARTS_AT_A_TIME) as pool:
        return b"".join(pool.map(part, range(0, size, ONE_REQUEST)))
