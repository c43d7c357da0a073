"""Solutions of the tasks of ``evals/``, run as programs without the seconds of their imports.

Of use in ``tests/evals``, whose ``conftest.py`` puts ``evals/`` on the path.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from kit import scripts

from harness import warm_start

EVALS = Path(scripts.__file__).parents[1]

PROGRAMS = """
import json, os, runpy, sys
sys.path.insert(0, sys.argv[2])
for folder, words, environment in json.loads(sys.argv[3]):
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
"""
"""Runs programs one after another, each in its folder: they share their imports."""


def run_programs(programs: Iterable[tuple[Path, list[str]]]) -> subprocess.CompletedProcess:
    """Run each in its workspace, all in one process; ends at the first that fails."""
    asked = [
        (str(folder), words, scripts.settings(folder).get("environment", {}))
        for folder, words in programs
    ]
    first = asked[0][2] if asked else {}
    return warm_start.run(
        str(EVALS), json.dumps(asked), script=PROGRAMS, env={**os.environ, **first}
    )


def start(folder: Path, words: list[str]) -> subprocess.CompletedProcess:
    """What ``scripts.start`` does."""
    return run_programs([(folder, words)])
