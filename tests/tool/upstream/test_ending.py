"""A process ends before Python takes itself apart, with what it owes: its text and its status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
PROGRAM = """\
import atexit

from vzarr.upstream.ending import Ending


class Watch:
    def __del__(self):
        print("taken apart", flush=True)


ending = Ending()
watch = Watch()
atexit.register(print, "a handler")
print("done")
{end}
"""


def run(end: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM.format(end=end)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("status", [0, 3])
def test_leaves_before_python_takes_itself_apart(status: int) -> None:
    done = run(f"ending.leave({status})")
    assert (done.returncode, done.stdout, done.stderr) == (status, "done\na handler\n", "")


def test_an_error_ends_as_ever() -> None:
    done = run("raise RuntimeError('unknown')")
    assert done.returncode == 1
    assert done.stdout == "done\na handler\ntaken apart\n"
    assert "RuntimeError: unknown" in done.stderr
