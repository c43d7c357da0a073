"""Readers whose library can end the process, or never come back: in a process of their own.

A damaged HDF4 file can make the C library overwrite its own stack. The process that reads is
started once and asked again and again; if it ends, the file that did it is not asked for again, and
whoever wanted it gets an exception.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

PATIENCE = 120.0
"""Seconds after which a reader that does not answer is given up."""


LENGTH = struct.Struct("<Q")


class ReaderEnded(Exception):
    """The process that read a file ended, or never answered."""


class Reader:
    """Functions of one module, run in another process. The first argument of each is a path.

    The module imports what it needs only, so that the process starts in a fraction of a second.
    ``title`` names the library in sentences.
    """

    def __init__(self, module: str, title: str, patience: float = PATIENCE) -> None:
        self._module, self._title, self._patience = module, title, patience
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._lock = threading.RLock()
        self._fatal: dict[tuple, str] = {}
        atexit.register(self.close)

    def close(self) -> None:
        """End the process; it is started again when it is asked again."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def call(self, function: str, path: Path, *arguments: Any) -> Any:
        """What a function of the module returns.

        Raises
        ------
        ReaderEnded
            If the process ended over this file, now or before.
        Exception
            Whatever the function raises.
        """
        state = path.stat()
        file = (str(path), state.st_size, state.st_mtime_ns)
        with self._lock:
            if file in self._fatal:
                raise ReaderEnded(self._fatal[file])
            process = self._running()
            late = threading.Event()
            watch = threading.Timer(self._patience, _give_up, (process, late))
            watch.daemon = True
            watch.start()
            try:
                _send(process.stdin, (function, file, arguments))
                outcome, value = _receive(process.stdout)
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                self.close()
                self._fatal[file] = self._how_it_ended(process.returncode, late.is_set())
                raise ReaderEnded(self._fatal[file]) from error
            finally:
                watch.cancel()
        if outcome == "raised":
            raise value
        return value

    def _how_it_ended(self, status: int, was_late: bool) -> str:
        if was_late:
            return f"the {self._title} library did not answer within {self._patience:g} s"
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"the {self._title} library ended the process that read it ({how})"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._folder != os.getcwd():  # from which relative names in files count
            self.close()
        if self._process is None or self._process.poll() is not None:
            self._folder = os.getcwd()
            code = (
                "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
                "from vzarr.formats.hdf4.isolated import serve; serve(sys.argv[2])"
            )
            here = str(Path(__file__).parents[3])
            paths = json.dumps([here, *(path or os.getcwd() for path in sys.path)])
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, paths, self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if os.environ.get("VZARR_DEBUG") else subprocess.DEVNULL,
            )
        return self._process


def _give_up(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def serve(module: str) -> None:
    """What the other process does: answer until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    functions = importlib.import_module(module)
    while True:
        try:
            name, file, arguments = _receive(sys.stdin.buffer)
        except EOFError:
            return
        _send(answers, _answer(getattr(functions, name), file, arguments))


def _answer(function: Callable[..., Any], file: tuple, arguments: tuple) -> tuple[str, Any]:
    try:
        return "returned", function(file, *arguments)
    except (OSError, MemoryError) as error:  # perhaps of this machine
        return "raised", error
    except Exception as error:
        return "raised", ValueError(str(error))


def _send(stream: IO[bytes] | None, message: Any) -> None:
    assert stream is not None, "a pipe"
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> Any:
    assert stream is not None, "a pipe"
    (length,) = LENGTH.unpack(_read(stream, LENGTH.size))
    return pickle.loads(_read(stream, length))


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data
