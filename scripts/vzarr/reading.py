"""How to read a remote file: whole, in parts at once, or by blocks, as its size and layout ask for.

One request costs as much as megabytes. A small file is one request; a larger one is fetched whole,
in parts at a time, for the index of its chunks may lie anywhere; only a file with paged space,
which keeps its metadata together, is read by blocks (``benchmarks``, parsing).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import obstore
from obspec_utils.readers import BlockStoreReader

ONE_REQUEST = 8 * 1024**2
"""Bytes up to which a file is fetched in one request, and of a part of a larger one."""
PARTS_AT_A_TIME = 8
IN_MEMORY_LIMIT = 256 * 1024**2
"""Bytes up to which a file is held in memory."""
BLOCK = 1024**2
BLOCKS = 256
"""Blocks of a file that are kept in memory."""
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class _KnownSize:
    """A store for a reader that would ask for the size of its file, which is known."""

    def __init__(self, store: Any, size: int) -> None:
        self._store, self._size = store, size

    def head(self, path: str) -> dict[str, Any]:
        return {"path": path, "size": self._size}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def read_remote(store: Any, path: str, size: int) -> bytes | BlockStoreReader:
    """The content of an object of ``size`` bytes, or a seekable file that fetches blocks of it."""
    if size <= ONE_REQUEST:
        return bytes(obstore.get(store, path).bytes())
    blocks = BlockStoreReader(_KnownSize(store, size), path, BLOCK, BLOCKS)
    if size > IN_MEMORY_LIMIT or is_paged(blocks):
        blocks.seek(0)
        return blocks
    return read_parts(store, path, size)


def is_paged(file: Any) -> bool:
    """Whether a seekable file is HDF5 with its metadata in pages (``h5repack -S PAGE``)."""
    file.seek(0)
    if bytes(file.read(len(HDF5_SIGNATURE))) != HDF5_SIGNATURE:
        return False
    try:
        with h5py.File(file, "r") as opened:
            strategy = opened.id.get_create_plist().get_file_space_strategy()[0]
    except (OSError, RuntimeError):  # the parser will say what is wrong with it
        return False
    return strategy == h5py.h5f.FSPACE_STRATEGY_PAGE


def read_parts(store: Any, path: str, size: int) -> bytes:
    """An object's bytes, fetched in several requests at once."""

    def part(start: int) -> bytes:
        end = min(start + ONE_REQUEST, size)
        return bytes(obstore.get_range(store, path, start=start, end=end))

    with ThreadPoolExecutor(PARTS_AT_A_TIME) as pool:
        return b"".join(pool.map(part, range(0, size, ONE_REQUEST)))
