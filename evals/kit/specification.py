"""The tasks as ``evals.json`` of Agent Skills, for tools that know that form."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from kit import tasks
from kit.workspace import ROOT

PATH = ROOT / "evals" / "evals.json"
FILES = "evals/files"
"""Where ``run.py files`` writes the inputs, from the skill's folder."""


def specification() -> dict[str, Any]:
    """All tasks but those that need a server: their inputs are no files."""
    evals = []
    for number, name in enumerate(tasks.names(), 1):
        task = tasks.find(name)
        if task.emulator:
            continue
        evals.append(
            {
                "id": number,
                "name": name,
                "prompt": " ".join(task.prompt.split())
                if "    " not in task.prompt
                else task.prompt,
                "expected_output": task.expects[0],
                "files": [f"{FILES}/{name}/{entry}" for entry in inputs(name)],
                "assertions": task.expects,
            }
        )
    return {"skill_name": "virtual-zarr", "evals": evals}


def inputs(name: str) -> list[str]:
    """Names of the files and folders that a workspace of the task begins with."""
    with tempfile.TemporaryDirectory() as folder:
        tasks.find(name).make(Path(folder).resolve(), 1)
        return sorted(entry.name for entry in Path(folder).iterdir())


def text() -> str:
    return json.dumps(specification(), indent=2, ensure_ascii=False) + "\n"


def write_files(folder: Path, seed: int) -> None:
    """Write the inputs of every task of the specification into ``folder/NAME``."""
    for name in tasks.names():
        task = tasks.find(name)
        if not task.emulator:
            target = folder.absolute() / name
            target.mkdir(parents=True)
            task.make(target, seed)
