"""The tool in a process of its own, in surroundings that a test makes worse."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TOOL = Path(__file__).parents[2] / "scripts" / "virtual_zarr.py"


def run(
    *arguments: str | Path | bytes,
    before: Callable[[], None] | None = None,
    script: str | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run the tool quietly; ``before`` its start in the new process. ``script`` runs it instead."""
    start = [str(TOOL)] if script is None else ["-c", script, str(TOOL.parent)]
    return subprocess.run(
        [sys.executable, *start, *arguments, "--quiet"],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        preexec_fn=before,
        env={**os.environ, **environment},
    )


def start(*arguments: str | Path, script: str | None = None) -> subprocess.Popen[str]:
    """As ``run``, without waiting for its end."""
    begin = [str(TOOL)] if script is None else ["-c", script, str(TOOL.parent)]
    command = [sys.executable, *begin, *map(str, arguments), "--quiet"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **pipes)


def limited(what: int, amount: int) -> Callable[[], None]:
    """Set a limit of ``resource``."""
    import resource

    return lambda: resource.setrlimit(what, (amount, amount))


def bound_by_permissions() -> None:
    """Take from root the right to read and write what is not its own: permissions bind it then."""
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
