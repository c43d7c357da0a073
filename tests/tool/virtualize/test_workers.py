"""The same result from this process, from several, and from the workers of a Dask cluster."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import vzarr
from distributed import Client, LocalCluster
from harness import warm_start
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError
from vzarr.sources.discover import find_sources
from vzarr.sources.schemes import Access
from vzarr.virtualize import pool as workers
from vzarr.virtualize.model import ParsedFile, Unreadable
from vzarr.virtualize.pool import Options, Parsing, parse_files


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Twelve days, one of them no file of any format."""
    folder = tmp_path / "data"
    folder.mkdir()
    made = [str(Recipe(start=2 * n).write(folder / f"f{n}.nc")) for n in range(12)]
    Path(made[5]).write_text("not a file of any format")
    return made


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of two worker processes."""
    options = {"host": "127.0.0.1", "dashboard_address": None, "silence_logs": 40}
    own, paths = dict(vars(vzarr)), list(sys.path)
    with LocalCluster(2, threads_per_worker=1, processes=True, **options) as cluster:
        yield cluster.scheduler_address
    # The scheduler lives in this process, and takes the package from the archive it was sent.
    vars(vzarr).update(own)
    sys.path[:] = paths


def summary(results: list[ParsedFile | Unreadable]) -> list[tuple]:
    return [
        (result.source.url, result.reason)
        if isinstance(result, Unreadable)
        else (
            result.source.url,
            result.dataset.time.values.tolist(),
            result.dataset.v.variable.data.manifest.dict(),
            result.digests,
            result.fingerprint,
        )
        for result in results
    ]


@pytest.fixture
def expected(files: list[str]) -> list[tuple]:
    found = summary(parse_files(find_sources(files, Access()), Access(), record_dimension="time"))
    assert [len(item) for item in found] == [5] * 5 + [2] + [5] * 6
    return found


def test_processes(files: list[str], expected: list[tuple]) -> None:
    sources = find_sources(files, Access())
    with Parsing(Options(record_dimension="time"), workers=2) as parsing:
        counted: list[int] = []
        assert summary(parsing.parse(sources, counted.append)) == expected
        assert counted == list(range(1, 13))
        assert summary(parsing.parse(sources[:3])) == expected[:3], "the pool goes on"


def test_processes_are_started_when_they_pay(
    files: list[str], expected: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = find_sources(files, Access())
    with Parsing(Options(record_dimension="time")) as parsing:
        parsing.parse(sources)
        assert parsing._pool is None, "a dozen small files do not pay for a pool"
    monkeypatch.setattr(workers, "TRIAL_SECONDS", 0.0)
    if len(os.sched_getaffinity(0)) > 1:
        with Parsing(Options(record_dimension="time")) as parsing:
            assert summary(parsing.parse(sources, following=10**6)) == expected
            assert parsing._pool is not None, "but a million that follow do"
    monkeypatch.setattr(workers, "POOL_FROM_SECONDS", 0.0)
    with Parsing(Options(record_dimension="time")) as parsing:
        assert summary(parsing.parse(sources)) == expected
        assert (parsing._pool is not None) == (len(os.sched_getaffinity(0)) > 1)


def test_dask(files: list[str], expected: list[tuple], scheduler: str) -> None:
    """The package goes to workers that do not have it."""
    sources = find_sources(files, Access())
    with Parsing(Options(record_dimension="time"), dask=scheduler) as parsing:
        assert summary(parsing.parse(sources)) == expected
        assert summary(parsing.parse(sources[:2])) == expected[:2]
    with Client(scheduler) as client:
        places = client.run(lambda: (os.getpid(), sys.modules["vzarr"].__file__))
    assert len({process for process, _ in places.values()} - {os.getpid()}) == 2
    assert all("vzarr.zip" in place for _, place in places.values())


def test_build_and_append_on_a_cluster(
    files: list[str], tmp_path: Path, scheduler: str, clean_environment: Path
) -> None:
    """By the command, in a process of its own; a worker dies in between."""
    good = [file for file in files if not file.endswith("f5.nc")]
    arguments = ["--repo", "repo", "--dask", scheduler, "--quiet"]
    for command, chosen in (("build", good[:6]), ("append", good[6:])):
        done = warm_start.run(command, *chosen, *arguments)
        assert done.returncode == 0, done.stderr
    report = verify_repository("repo", Access(), sample=None)
    assert (report.passed, report.compared) == (True, 11), report.failures


def test_no_scheduler_is_one_sentence(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "DASK_TIMEOUT", "1s")
    with pytest.raises(InputError, match=r"^tcp://127.0.0.1:1: no Dask scheduler answers \("):
        build(files[:2], str(tmp_path / "repo"), Access(), dask="tcp://127.0.0.1:1")
    assert not (tmp_path / "repo").exists()


def test_dask_without_distributed_says_what_to_install(
    files: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str, *arguments: object, **options: object) -> object:
        if name == "distributed":
            raise ImportError(name)
        return imported(name, *arguments, **options)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match="uv run --with distributed"):
        build(files[:2], str(tmp_path / "repo"), Access(), dask="tcp://127.0.0.1:1")
