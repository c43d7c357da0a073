"""Scripts that an agent left, run as its user would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PATIENCE = 180.0


def settings(folder: Path) -> dict[str, Any]:
    """What ``prepare`` wrote down of a workspace."""
    path = folder / ".log" / "workspace.json"
    return json.loads(path.read_text()) if path.exists() else {}


def python(folder: Path) -> str:
    """The interpreter that a workspace was given."""
    path = folder / "bin" / "interpreter"
    return path.read_text(encoding="utf-8").strip() if path.exists() else sys.executable


def environment(folder: Path) -> dict[str, str]:
    """The environment in which a workspace's programs run."""
    return {**os.environ, "ICECHUNK_LOG": "error", **settings(folder).get("environment", {})}


def start(folder: Path, words: list[str]) -> subprocess.CompletedProcess:
    """Run Python in the workspace; tests put a faster start in its place."""
    return subprocess.run(
        [python(folder), *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def run(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run the script ``name`` of the workspace to its end; status 127 where there is none."""
    words = [name, *arguments]
    if not (folder / name).is_file():
        return subprocess.CompletedProcess(words, 127, "", f"no {name}")
    try:
        return start(folder, words)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"{name} did not end")


def last_line(done: subprocess.CompletedProcess) -> str:
    """The end of what a script said on standard error."""
    lines = (done.stderr or "").strip().splitlines()
    return lines[-1] if lines else ""
