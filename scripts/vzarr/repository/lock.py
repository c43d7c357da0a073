"""One process at a time in a folder."""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vzarr.sources.schemes import as_url

HAS_LOCKS = importlib.util.find_spec("fcntl") is not None
"""Windows has none."""


NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What network file systems say that cannot lock, or no folders."""


@contextmanager
def exclusive_lock(location: str) -> Iterator[bool]:
    """Wait until no other process of this machine writes to a local repository.

    Folders have no conditional writes, so two commits at once could both succeed. The lock is the
    folder itself, which is made for it and goes away if nothing was put into it. Gives False where
    nothing is locked: in object stores, and where the file system has no locks.
    """
    url = as_url(location)
    folder = Path(url.removeprefix("file://"))
    if not url.startswith("file://") or not HAS_LOCKS or folder.is_file():
        yield False
        return
    made = not folder.exists()
    handle, is_locked = _lock(folder)
    try:
        yield is_locked
    finally:
        if made:
            with suppress(OSError):  # holds a repository
                folder.rmdir()
        os.close(handle)


def _lock(folder: Path) -> tuple[int, bool]:
    import fcntl

    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # removed by another process in between
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(handle)
                raise
            return handle, False
        with suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == folder.stat().st_ino:
                return handle, True
        os.close(handle)
