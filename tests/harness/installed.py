"""What a client has installed: is it the whole skill, and does it work?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bundle
import skills_ref

from harness.links import broken_links

ROOT = Path(__file__).parents[2]
_NOT_CLONED = (".git", ".nox", ".venv", "__pycache__", ".*_cache", ".hypothesis")


def make_checkout(folder: Path) -> Path:
    """A fresh clone, in effect."""
    return Path(shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_CLONED)))


def check_skill(folder: Path, tmp_path: Path) -> None:
    """A working copy: all files, all links resolve, every script starts where it lies."""
    installed = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert installed == bundle.render(ROOT)
    assert skills_ref.validate(folder) == []
    documents = sorted(folder.rglob("*.md"))
    assert len(documents) > 3
    for document in documents:
        assert broken_links(document, folder) == [], document
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for script in sorted((folder / "scripts").glob("*.py")):
        if "__main__" not in script.read_text():
            continue  # a module that readers install
        done = subprocess.run(
            [sys.executable, script, "--help"],
            cwd=elsewhere,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout[:7]) == (0, "usage: "), done.stderr
