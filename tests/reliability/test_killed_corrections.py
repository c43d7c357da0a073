"""An insertion or a removal that is killed at any step leaves main as it was, or is done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import zarr
from killing import Kill, Killed, run_killed
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands import remove as command
from vzarr.commands.append import append
from vzarr.commands.remove import remove
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [str(Recipe(start=2 * n).write(tmp_path / f"f{n}.nc")) for n in range(4)]


@pytest.fixture
def repository(tmp_path: Path, files: list[str]) -> str:
    build([files[0], files[1], files[3]], str(tmp_path / "repo"), Access())
    return str(tmp_path / "repo")


def sources(repository: str) -> int:
    report = verify_repository(repository, Access(), sample=None)
    assert report.passed, report.failures
    return report.sources


@pytest.mark.parametrize("in_process", [False, True])
@pytest.mark.parametrize("what", ["insert", "remove", "gap"])
def test_killed_at_any_step(what: str, in_process: bool, files: list[str], repository: str) -> None:
    def run(call: Callable[..., Any]) -> Any:
        if what == "insert":
            return call(append, files, repository, Access(), insert=True)
        return call(remove, repository, Access(), [files[1]], leave_gap=what == "gap")

    tip = _tip(repository)
    count = {"insert": 4, "remove": 2, "gap": 3}[what]
    for step in range(0, 40, 4 if in_process else 1):
        for after in (False, True):
            kill = Kill(step, after, in_process)
            try:
                run(partial(run_killed, kill))
            except Killed:
                if _tip(repository) == tip:
                    assert sources(repository) == 3
                    continue
            assert sources(repository) == count
            assert run(_called).snapshot is None
            return
    raise AssertionError("it never ended")


def test_another_writer_between_reading_and_removing(files: list[str], repository: str) -> None:
    """The one that commits second refuses, and loses nothing."""
    compare = command.compare_store

    def interrupted(*arguments: Any, **options: Any) -> Any:
        report = compare(*arguments, **options)
        with open_any_repository(repository, Access()).transaction("main", message="x") as store:
            zarr.open_group(store, mode="r+").attrs["note"] = "of another writer"
        return report

    with (
        mock.patch.object(command, "compare_store", interrupted),
        pytest.raises(Refused, match="Another commit was made to main in the meantime"),
    ):
        remove(repository, Access(), [files[1]])
    assert remove(repository, Access(), [files[1]]).files == [f"file://{files[1]}"]


def _called(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return function(*arguments, **options)


def _tip(repository: str) -> str:
    return open_any_repository(repository, Access()).lookup_branch("main")
