"""What a command owes whoever started it: streams that may be closed or end, and a quick end.

Of the standard library only, so that it works where nothing else can be imported any more.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Buffer, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from vzarr.errors import EnvironmentFault

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

GRACE = 8.0
"""Seconds that a command has to end after the first signal: Docker waits for ten."""


NOBODY_READS = (errno.EPIPE, errno.EBADF, errno.EIO)


ADDRESS_SPACE = 2048 * 1024**2
"""Bytes. An append of six small files took 1,570 MB on two cores, and failed with 1,536."""


SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Those that ask a process to end; Windows has no SIGHUP."""


STOPPED = 3
"""Exit status after a signal."""


class Stopped(KeyboardInterrupt):
    """A signal asks this process to end. Its text is the name of the signal."""


class _Outlet(io.FileIO):
    """A stream whose reader may go away: the status of a command is that of its work.

    What is written to stderr may be lost for any reason.
    """

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self.fileno() == 1 and error.errno not in NOBODY_READS:
                raise OSError(error.errno, error.strerror, "standard output") from error
            return memoryview(data).nbytes


def prepare_streams(is_silent: bool) -> None:
    """Make sure that there are three streams, which take any text.

    ``is_silent``: leave stderr to Python's own. HDF5, ecCodes and panics of Rust write into it past
    Python.
    """
    while (
        handle := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # was closed: a file would get its number
        os.set_inheritable(handle, True)
    os.close(handle)
    sys.stdout = _outlet(sys.stdout, 1)
    if not is_silent:
        sys.stderr = _outlet(sys.stderr, 2)
        return
    sys.stderr = _outlet(sys.stderr, os.dup(2))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda _: None  # what h5netcdf says when it drops a damaged file


def _outlet(stream: TextIO | None, handle: int) -> io.TextIOWrapper:
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    raw = _Outlet(handle, "w", closefd=False)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding,
        errors="backslashreplace",
        line_buffering=handle != 1 or raw.isatty(),
    )


def finish_output() -> None:
    """Write what is left, or give it up: Python would end with a status of its own.

    Signals that still come find nothing to stop.
    """
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        sys.stdout.flush()


def check_memory(place: str) -> None:
    """With less, libraries abort, or wait for ever for a thread that could not be started.

    Raises
    ------
    EnvironmentFault
        If this process may not have ``ADDRESS_SPACE``.
    """
    with suppress(ImportError):  # Windows
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY and limit < ADDRESS_SPACE:
            raise EnvironmentFault(
                f"{place}: this process may have {limit // 1024**2} MB of memory (ulimit -v), and "
                f"its libraries take {ADDRESS_SPACE // 1024**2}: raise the limit."
            )


def end_on_signals(say: Callable[[str], None]) -> None:
    """Raise ``Stopped`` in the main thread on the first SIGINT, SIGTERM or SIGHUP.

    A main thread that waits for storage does not notice: ``GRACE`` seconds later, or on the second
    signal, the process ends without it, as if it were killed. ``say`` is then told the signal.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_end_soon, args=(reader, writer, say), daemon=True)
    watch.start()


def _stop(number: int, frame: object) -> None:
    signal.signal(number, lambda *_: None)
    raise Stopped(signal.Signals(number).name)


def _end_soon(reader: socket.socket, writer: socket.socket, say: Callable[[str], None]) -> None:
    # The other end is held here, too, or it would be closed.
    name = signal.Signals(reader.recv(1)[0]).name
    reader.settimeout(GRACE)
    with suppress(TimeoutError):
        reader.recv(1)
    with suppress(Exception):
        say(name)
        sys.stderr.flush()
    os._exit(STOPPED)


def end_with_parent() -> None:
    """In a worker process: leave it to the parent to be interrupted, and do not outlive it."""
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(STOPPED)
