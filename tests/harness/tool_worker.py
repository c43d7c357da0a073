"""A process that runs the tool many times, whose imports take seconds, and is measured at it.

What crashes or hangs ends this process, never the tests: the next call starts another.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import warm_start

ROOT = Path(__file__).parents[2]
MEMORY = 6 * 1024**3
"""Bytes of addresses that the process may have: what asks for more fails, and harms nobody."""


@dataclass
class Run:
    """What a call returned and took, ``megabytes`` beside what the process had before.

    ``died`` says how the process ended, if it did.
    """

    value: Any = None
    seconds: float = 0.0
    megabytes: int = 0
    died: str = ""


class ToolWorker:
    """Calls functions of test modules, by name, with what JSON can hold."""

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> ToolWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def call(self, function: str, *arguments: Any) -> Run:
        """``function`` is ``module:name``."""
        if self._process is None:
            self._start()
        process = self._process
        late = threading.Event()
        watch = threading.Timer(self._patience, lambda: (late.set(), process.kill()))
        watch.daemon = True
        watch.start()
        try:
            process.stdin.write(json.dumps([function, *arguments]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            self.close()
            how = f"did not end within {self._patience} s" if late.is_set() else "crashed"
            return Run(died=f"{how} (status {process.returncode})")
        return Run(**json.loads(line))

    def tool(self, *arguments: str | Path) -> Run:
        """One command; ``value`` is its exit status, stdout and stderr."""
        return self.call("harness.tool_worker:run_tool", [str(word) for word in arguments])

    def _start(self) -> None:
        self._process = warm_start.Process(
            script="from harness.tool_worker import serve; serve()",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )


def run_tool(arguments: list[str]) -> dict[str, Any]:
    import virtual_zarr

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = virtual_zarr.main(arguments)
        except SystemExit as error:
            status = error.code
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def serve() -> None:
    """What the process does: a line with a call, a line with what became of it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    importlib.import_module("virtual_zarr")
    importlib.import_module("vzarr.process").prepare_streams(is_silent=True)
    for line in sys.stdin:
        function, *arguments = json.loads(line)
        module, _, name = function.partition(":")
        call = getattr(importlib.import_module(module), name)
        gc.collect()
        before = _forget_peak()
        begun = _seconds()
        value = call(*arguments)
        taken = {"seconds": _seconds() - begun, "megabytes": _peak() - before}
        answers.write(json.dumps({"value": value, **taken}) + "\n")
        answers.flush()


def _seconds() -> float:
    """Of the processor, which other processes do not lengthen."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _forget_peak() -> int:
    """Begin to measure anew (proc(5), clear_refs); the megabytes that are resident."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """The most megabytes that were resident since then, or ever where nothing can be forgotten."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) // 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024**2 if sys.platform == "darwin" else 1024)
