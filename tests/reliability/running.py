"""The tool in a process of its own, in surroundings that a test makes worse."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import warm_start

TOOL = warm_start.TOOL


def run(*arguments: str | Path | bytes, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the tool quietly; options as of ``warm_start.run``."""
    return warm_start.run(*arguments, "--quiet", errors="surrogateescape", **options)


def run_cold(
    *arguments: str | Path,
    before: Callable[[], None] | None = None,
    script: str | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """By a new interpreter: what it makes of the environment, and of limits at its own start."""
    begin = [str(TOOL)] if script is None else ["-c", script, str(TOOL.parent)]
    return subprocess.run(
        [sys.executable, *begin, *arguments, "--quiet"],
        capture_output=True,
        text=True,
        preexec_fn=before,
        env={**os.environ, **environment},
    )


def start(*arguments: str | Path, **options: Any) -> warm_start.Process:
    """As ``run``, without waiting for its end."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return warm_start.Process(*arguments, "--quiet", **pipes, **options)


def limited(what: int, amount: int) -> Callable[[], None]:
    """Set a limit of ``resource``."""
    import resource

    return partial(resource.setrlimit, what, (amount, amount))


def bound_by_permissions() -> None:
    """Take from root the right to read and write what is not its own: permissions bind it then.

    From the next ``exec`` on, so for ``run_cold`` only.
    """
    if os.geteuid() == 0:
        drop, library = 24, ctypes.CDLL(None, use_errno=True)  # PR_CAPBSET_DROP
        for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
            if library.prctl(drop, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def sentence(done: subprocess.CompletedProcess[str] | subprocess.Popen[str]) -> str:
    """What a command complained of, in one line."""
    complaint = done.stderr if isinstance(done.stderr, str) else done.stderr.read()
    lines = complaint.splitlines()
    assert len(lines) == 1, complaint
    assert lines[0].startswith("virtual_zarr.py: "), complaint
    return lines[0]
