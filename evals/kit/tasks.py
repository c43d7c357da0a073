"""The tasks: a folder each under ``tasks/``."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from kit.grading import Grade

FOLDER = Path(__file__).parents[1] / "tasks"


@dataclass(frozen=True)
class Task:
    """``make.py`` says its ``KIND``, the ``EMULATOR`` it needs, and ``MAKES``: what is left."""

    name: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def prompt(self) -> str:
        return (self.folder / "prompt.md").read_text(encoding="utf-8")

    @property
    def maker(self) -> ModuleType:
        return load(self.folder / "make.py")

    @property
    def kind(self) -> str:
        return self.maker.KIND

    @property
    def emulator(self) -> str:
        """Of a cloud or server; nothing where files lie on disk."""
        return getattr(self.maker, "EMULATOR", "")

    @property
    def expects(self) -> list[str]:
        """Sentences on what a right result is."""
        return list(self.maker.EXPECTS)

    def make(self, folder: Path, seed: int) -> None:
        self.maker.make(folder, seed)

    def grade(self, folder: Path, seed: int) -> Grade:
        return load(self.folder / "grade.py").grade(folder, seed)


def names() -> list[str]:
    return sorted(path.parent.name for path in FOLDER.glob("*/prompt.md"))


def find(name: str) -> Task:
    if name not in names():
        raise LookupError(f"no task {name}: there are {', '.join(names())}")
    return Task(name)


@cache
def load(path: Path) -> ModuleType:
    """Import a file of a task."""
    title = f"{path.parent.name}_{path.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(title, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def maker_of(grader: str) -> ModuleType:
    """The ``make.py`` that lies next to a grader."""
    return load(Path(grader).with_name("make.py"))
