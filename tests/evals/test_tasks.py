"""Each task: its reference solution passes, its wrong one fails at the check it is made for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import solutions
from kit import scripts, tasks
from kit.grading import Grade

NAMES = tasks.names()
KINDS = {
    "routine": 3,
    "growth": 3,
    "silent trap": 3,
    "irregular archive": 2,
    "format": 2,
    "cloud": 2,
    "operation": 2,
    "scale": 1,
    "not possible": 1,
}
NAMES_OF_LIBRARIES = re.compile(
    r"virtualizarr|open_virtual|vzarr|to_icechunk|\w+Parser|concat|registry|loadable", re.IGNORECASE
)


@pytest.fixture
def grade(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], Grade]:
    """Grade a workspace in this process, with the variables that ``run.py`` gives a fresh one."""

    def call(name: str, folder: Path) -> Grade:
        for variable, value in scripts.settings(folder)["environment"].items():
            monkeypatch.setenv(variable, value)
        return tasks.find(name).grade(folder, 1)

    return call


@pytest.mark.parametrize("name", NAMES)
def test_reference_passes_and_wrong_one_fails(
    name: str, prepare: Callable[..., Path], grade: Callable[[str, Path], Grade]
) -> None:
    task = tasks.find(name)
    for solution in ("reference", "wrong"):
        folder = prepare(task, solution)
        program = task.folder / f"{solution}.py"
        done = solutions.run_programs([(folder, [str(program)])])
        assert done.returncode == 0, done.stderr[-3000:]
        result = grade(name, folder)
        if solution == "reference":
            assert result.passed, [check for check in result.checks if not check.passed]
        else:
            assert tasks.load(program).FAILS in result.failed, result.failed
            if task.kind == "silent trap":
                assert result.outcome == "wrong values shipped"


@pytest.mark.parametrize("name", NAMES)
def test_grade_of_an_untouched_workspace_fails_and_is_no_silent_fault(
    name: str, prepare: Callable[..., Path], grade: Callable[[str, Path], Grade]
) -> None:
    result = grade(name, prepare(tasks.find(name), "untouched"))
    assert not result.passed
    assert result.outcome == "incomplete, refused or told"


@pytest.mark.parametrize("name", NAMES)
def test_prompt_is_a_users_and_names_no_library_call(name: str) -> None:
    prompt = tasks.find(name).prompt
    assert not NAMES_OF_LIBRARIES.findall(prompt)
    assert re.search(r"`[\w./:-]+\.(icechunk|py)`|`s3://", prompt), "where the result is to be"
    assert 40 < len(prompt.split()) < 160


def test_there_are_tasks_of_every_kind() -> None:
    assert Counter(tasks.find(name).kind for name in NAMES) == KINDS
