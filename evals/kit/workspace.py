"""Workspaces: what an agent finds, and nothing of graders, truth or this checkout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit import emulators
from kit.tasks import Task

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skills" / "virtual-zarr"
INDEX = ROOT / "evals" / "agents-index.md"
ARMS = ("none", "skill", "skill-without-tool")
TOOL = "scripts/"
OWN = (".log", "bin", ".agents", ".claude")
"""Folders that are no work of the agent."""
FIRST_TRY = """
You cannot run anything here. Leave one script `solution.py` in this folder that does all of the
above when I run it once, as `python solution.py`, from this folder; it writes any other file that I
asked for, too.
"""
Starter = Callable[[str, Path, Path], dict[str, Any]]


def prepare(
    task: Task,
    arm: str,
    folder: Path,
    seed: int = 1,
    *,
    python: str = sys.executable,
    first_try: bool = False,
    start_emulator: Starter = emulators.start_detached,
) -> Path:
    """Write a workspace into the new or empty ``folder``; starts the task's emulator.

    ``arm``: ``none``, ``skill``, ``skill-without-tool``, or the folder of another skill.
    """
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    log = folder / ".log"
    log.mkdir(parents=True)
    variables: dict[str, str] = {}
    hidden: dict[str, str] = {}
    if task.emulator:
        served = Path(tempfile.mkdtemp(prefix="served-"))
        task.make(served, seed)
        started = start_emulator(task.emulator, served, log)
        variables, hidden = started["variables"], started["hidden"]
    else:
        task.make(folder, seed)
    prompt = task.prompt + (FIRST_TRY if first_try else "")
    (folder / "prompt.md").write_text(prompt, encoding="utf-8")
    give_skill(folder, arm)
    _write_programs(folder, os.path.abspath(python))
    _write_environment(folder, variables)
    settings = {
        "task": task.name,
        "arm": arm if arm in ARMS else Path(arm).name,
        "seed": seed,
        "protocol": "first try" if first_try else "free",
        "environment": {**variables, **hidden, "ICECHUNK_LOG": "error"},
    }
    (log / "workspace.json").write_text(json.dumps(settings, indent=1))
    (log / "prepared.json").write_text(json.dumps(fingerprints(folder)))
    return folder


def give_skill(folder: Path, arm: str) -> None:
    """Copy the arm's skill to where agents look for it, and say so in ``AGENTS.md``."""
    if arm == "none":
        return
    source = SKILL if arm in ARMS else Path(arm)
    if not (source / "SKILL.md").is_file():
        raise FileNotFoundError(
            f"{source}: no SKILL.md; an arm is one of {ARMS} or a skill's folder"
        )
    without = shutil.ignore_patterns("scripts", "__pycache__")
    target = folder / ".agents" / "skills" / source.name
    cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, target, ignore=without if arm == "skill-without-tool" else cache)
    (folder / ".claude" / "skills").mkdir(parents=True)
    link = folder / ".claude" / "skills" / source.name
    link.symlink_to(Path("..", "..", ".agents", "skills", source.name), target_is_directory=True)
    (folder / "AGENTS.md").write_text(index(arm, source.name), encoding="utf-8")


def index(arm: str, name: str) -> str:
    """The text of ``AGENTS.md``."""
    if arm not in ARMS:
        return f"Before you begin, read `.agents/skills/{name}/SKILL.md`.\n"
    lines = INDEX.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if arm == "skill" or TOOL not in line)


def fingerprints(folder: Path) -> dict[str, str]:
    """What each Python file holds, by path; without those that are no work of the agent."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.py"))
        if path.is_file() and path.relative_to(folder).parts[0] not in OWN
    }


def _write_programs(folder: Path, python: str) -> None:
    """``python`` and ``uv`` that log what they run with the interpreter that is given."""
    source = Path(__file__).with_name("wrapper.py").read_text(encoding="utf-8")
    (folder / "bin").mkdir()
    (folder / "bin" / "interpreter").write_text(python + "\n", encoding="utf-8")
    for name in ("python", "python3", "uv", "pip"):
        program = folder / "bin" / name
        program.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{source}", encoding="utf-8")
        program.chmod(0o755)


def _write_environment(folder: Path, variables: dict[str, str]) -> None:
    lines = [f'export {name}="{value}"' for name, value in variables.items()]
    here = '$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)'
    lines = [f'export PATH="{here}/bin:$PATH"', "export ICECHUNK_LOG=error", *lines, ""]
    (folder / "env.sh").write_text("\n".join(lines), encoding="utf-8")
