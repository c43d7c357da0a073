"""The tool as a process of its own, without the seconds that its imports take.

One process imports its libraries and forks for each command. What the fork runs is a process like
any other: it has its arguments, environment, folder and streams, is signalled and killed, and ends
with a status. Cold starts remain for tests of the start itself: what Python makes of variables
like PYTHONIOENCODING, and limits under which nothing can be imported.
"""

from __future__ import annotations

import atexit
import importlib
import io
import os
import pickle
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "scripts" / "virtual_zarr.py"
PATHS = [str(ROOT / name) for name in ("scripts", "tests", "tests/tool")]
LIBRARIES = (
    *("numpy", "zarr", "pandas", "xarray", "obstore", "obspec_utils.registry", "virtualizarr"),
    *("virtualizarr.parsers", "h5py", "h5netcdf", "netCDF4", "distributed"),
)
"""All but Icechunk, whose import starts threads: after a fork they are missing, and it hangs."""
LENGTH, STATUS = struct.Struct("!I"), struct.Struct("!i")


class Process(subprocess.Popen):
    """A ``Popen`` whose process is a fork of the one that has imported the libraries.

    ``before`` is called in it, before the streams of Python are made, and must be picklable.
    ``script`` is run instead of the tool, with the folder of the tool as its first argument, or
    the file ``program``, as `python -W ignore` does.
    """

    def __init__(
        self,
        *arguments: str | Path | bytes,
        script: str | None = None,
        program: Path | None = None,
        before: Callable[[], object] | None = None,
        **options: Any,
    ) -> None:
        self._asked = {"script": script, "program": program, "before": before}
        super().__init__([os.fsdecode(word) for word in arguments], **options)

    def _execute_child(  # of subprocess since Python 3.11; remove when it can be told how to start
        self, args: list[str], executable: object, preexec_fn: object, close_fds: bool,
        pass_fds: object, cwd: Any, env: Any, startupinfo: object, creationflags: object,
        shell: bool, *streams_and_rest: Any,
    ) -> None:  # fmt: skip
        streams = streams_and_rest[:6]
        stdin, _, _, stdout, _, stderr = streams
        read, write = os.pipe()
        try:
            asked = self._asked | {
                "arguments": args,
                "cwd": os.fspath(cwd or Path.cwd()),
                "environment": dict(os.environ if env is None else env),
            }
            inherited = enumerate((stdin, stdout, stderr))
            handles = [given if given != -1 else own for own, given in inherited]
            self.pid = _forking().start(asked, [*handles, write])
            self._status, self._child_created = read, True
        finally:
            os.close(write)
            self._close_pipe_fds(*streams)

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if flags & os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        (status,) = STATUS.unpack(os.read(self._status, STATUS.size))
        os.close(self._status)
        return self.pid, status

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                process, status = self._try_wait(os.WNOHANG)
                if process:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


def run(*arguments: str | Path | bytes, **options: Any) -> subprocess.CompletedProcess:
    """Run the tool to its end, as ``subprocess.run`` with ``capture_output`` and ``text`` does."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    timeout = options.pop("timeout", 180)
    with Process(*arguments, **{**pipes, **options}) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


class _Forking:
    """The process that forks; ended with this one, or when its socket is closed."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        start = (
            "import sys; sys.path[:0] = sys.argv[2:]; from harness import warm_start; "
            "warm_start.serve(int(sys.argv[1]))()"
        )
        self._process = subprocess.Popen(
            # What serve returns is run below nothing of the harness, as a script is.
            [sys.executable, "-c", start, str(theirs.fileno()), *PATHS],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            # Threads of a library would not be there after a fork.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "ICECHUNK_LOG": "error"},
        )
        theirs.close()
        atexit.register(self.stop)

    def start(self, asked: dict[str, Any], handles: list[int]) -> int:
        message = pickle.dumps(asked)
        socket.send_fds(self._socket, [LENGTH.pack(len(message))], handles)
        self._socket.sendall(message)
        answer = self._socket.recv(LENGTH.size, socket.MSG_WAITALL)
        if not answer:
            raise RuntimeError("the process that starts the tool has ended")
        return LENGTH.unpack(answer)[0]

    def stop(self) -> None:
        self._socket.close()
        self._process.wait(30)


_running: _Forking | None = None


def _forking() -> _Forking:
    global _running
    if _running is None:
        _running = _Forking()
    return _running


def serve(handle: int) -> Callable[[], None]:
    """Fork for each request until nobody asks; returns, in a fork, what it is to run."""
    for name in LIBRARIES:
        importlib.import_module(name)
    importlib.import_module("xarray").backends.list_engines()  # imports a dozen more
    asking = socket.socket(fileno=handle)
    ended, writer = os.pipe()
    for end in (ended, writer):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([asking, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _report_ends(running)
        if asking not in ready:
            continue
        head, handles, _, _ = socket.recv_fds(asking, LENGTH.size, 4)
        if not head:
            for process in running:
                os.kill(process, signal.SIGKILL)
            return lambda: None
        message = asking.recv(LENGTH.unpack(head)[0], socket.MSG_WAITALL)
        _check_alone()
        process = os.fork()
        if not process:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in (ended, writer, handles[3], *running.values()):
                os.close(other)
            asking.close()
            # Only here: what it names is imported, perhaps with Icechunk.
            return lambda: _become(pickle.loads(message), handles[:3])
        for other in handles[:3]:
            os.close(other)
        running[process] = handles[3]
        asking.sendall(LENGTH.pack(process))


def _check_alone() -> None:
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.exists() else 1
    assert threads == 1, f"{threads} threads: a fork would lose all but one"


def _report_ends(running: dict[int, int]) -> None:
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        handle = running.pop(process)
        os.write(handle, STATUS.pack(status))
        os.close(handle)


def _become(asked: dict[str, Any], handles: list[int]) -> None:
    """Be the process that was asked for."""
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
    for handle in handles:
        if handle > 2:
            os.close(handle)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    if multiprocessing := sys.modules.get("multiprocessing.process"):
        multiprocessing.ORIGINAL_DIR = asked["cwd"]
    if asked["before"] is not None:
        asked["before"]()
    sys.stdin, sys.stdout, sys.stderr = (_stream(number, mode) for number, mode in enumerate("rww"))
    if asked["program"] is not None:
        _run_program(asked["program"])
    elif asked["script"] is None:
        sys.argv = [str(TOOL), *asked["arguments"]]
        sys.path[0] = str(TOOL.parent)
        runpy.run_path(str(TOOL), run_name="__main__")
    else:
        sys.argv = ["-c", str(TOOL.parent), *asked["arguments"]]
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        exec(compile(asked["script"], "<string>", "exec"), vars(module))


def _run_program(path: Path) -> None:
    sys.argv = [str(path)]
    sys.warnoptions = ["ignore"]
    warnings.simplefilter("ignore")
    sys.path[:] = [str(path.absolute().parent), *(each for each in sys.path if each not in PATHS)]
    site = os.environ.get("PYTHONPATH", "")
    if site:
        sys.path.insert(1, site)
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")
    runpy.run_path(str(path), run_name="__main__")


def _stream(number: int, mode: str) -> io.TextIOBase | None:
    """What Python makes of a handle when it starts; nothing of one that is closed."""
    try:
        os.fstat(number)
    except OSError:
        return None
    errors = "backslashreplace" if number == 2 else "strict"
    stream = open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
    if number:
        stream.reconfigure(line_buffering=number == 2 or stream.isatty())
    return stream
