"""What a machine lacks or denies: an error in one sentence, the old state, and no native copy."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import icechunk
import pytest
from harness import warm_start
from making import Recipe
from reliability.running import (
    TOOL,
    bound_by_permissions,
    limited,
    run,
    run_cold,
    sentence,
    start,
)
from vzarr import process
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.relocate import repoint
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError
from vzarr.repository import create as writing
from vzarr.repository.claim import MARKER
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_repository
from vzarr.sources.schemes import Access


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    return [Recipe(start=2 * n).write(folder / f"f{n}.nc") for n in range(6)]


@pytest.fixture
def repository(files: list[Path], tmp_path: Path) -> Path:
    """A repository of the first four files."""
    build([str(file) for file in files[:4]], str(tmp_path / "repo"), Access())
    return tmp_path / "repo"


def check(repository: Path, files: int) -> None:
    report = verify_repository(str(repository), Access(), sample=None)
    assert (report.passed, report.compared, report.native) == (True, files, {}), report.failures
    assert not (repository / MARKER).exists()


@pytest.mark.parametrize("size", [100, 600, 1000])
def test_full_disk(files: list[Path], repository: Path, tmp_path: Path, size: int) -> None:
    """No file can be longer than this: as on a full disk, all that is written fails, nothing else.

    Of the marker a part is written, or the marker only, or the repository but no commit.
    """
    full = limited(resource.RLIMIT_FSIZE, size)
    place = tmp_path / "new"
    built = run("build", *files, "--repo", place, before=full)
    assert built.returncode == 3, built.stdout
    assert f"{place}: the file would be longer than the limit" in sentence(built)
    assert not place.exists()
    build([str(file) for file in files], str(place), Access())
    check(place, 6)

    appended = run("append", *files, "--repo", repository, before=full)
    assert appended.returncode == 3, appended.stdout
    assert "the file would be longer than the limit" in sentence(appended)
    check(repository, 4)
    append([str(file) for file in files], str(repository), Access())
    check(repository, 6)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_disk_that_fills_up(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It has room for some steps; there is none to write that it has not."""
    steps = iter(range(1, 100))
    place = tmp_path / "new"

    def full(step: Callable[..., object]) -> Callable[..., object]:
        def run_it(*arguments: object, **options: object) -> object:
            if next(steps) >= number:
                raise OSError(28, "No space left on device", str(place))
            return step(*arguments, **options)

        return run_it

    with monkeypatch.context() as patch:
        for owner, name in (
            (writing.Claim, "check"),
            (icechunk.Repository, "create"),
            (icechunk.Repository, "create_branch"),
            (icechunk.Session, "commit"),
            (icechunk.Repository, "reset_branch"),
        ):
            patch.setattr(owner, name, full(getattr(owner, name)))
        with pytest.raises(OSError, match="No space left"):
            build([str(file) for file in files], str(place), Access(), batch=3)
    build([str(file) for file in files], str(place), Access(), batch=3)
    check(place, 6)


def test_folder_that_may_not_be_written(files: list[Path], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    built = run_cold("build", *files, "--repo", closed / "repo", before=bound_by_permissions)
    assert built.returncode == 3
    assert f"{closed / 'repo'}: permission was denied" in sentence(built)
    built = run_cold("build", *files, "--repo", closed, before=bound_by_permissions)
    assert built.returncode == 3
    assert f"{closed}: permission was denied" in sentence(built).replace(f"/{MARKER}", "")
    assert list(closed.iterdir()) == []


@pytest.mark.parametrize("part", ["", "snapshots", "manifests"])
def test_repository_that_may_not_be_written(files: list[Path], repository: Path, part: str) -> None:
    before = {path for path in repository.rglob("*") if path.parent.name != "transactions"}
    (repository / part).chmod(0o555)
    appended = run_cold("append", *files, "--repo", repository, before=bound_by_permissions)
    (repository / part).chmod(0o755)
    if part or appended.returncode:  # a folder that is there may take new files below it
        assert appended.returncode == 3
        assert "permission was denied" in sentence(appended)
        check(repository, 4)
        assert before <= set(repository.rglob("*"))
    append([str(file) for file in files], str(repository), Access())
    check(repository, 6)


def test_file_that_may_not_be_read(files: list[Path], tmp_path: Path) -> None:
    """The one that is denied is named; only --skip-bad leaves it out."""
    files[2].chmod(0)
    place = tmp_path / "new"
    built = run_cold("build", *files, "--repo", place, before=bound_by_permissions)
    assert built.returncode == 2
    assert f"file://{files[2]}: permission was denied" in sentence(built)
    assert not place.exists()
    built = run_cold("build", *files, "--repo", place, "--skip-bad", before=bound_by_permissions)
    assert built.returncode == 0, built.stderr
    assert f"left out: file://{files[2]}: permission was denied" in built.stdout
    check(place, 5)


def test_few_file_handles(tmp_path: Path) -> None:
    """64 are enough for any number of files; 20 are not, and nothing is copied for that."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        shutil.copy(Recipe().write(tmp_path / "one.nc"), folder / f"f{number}.nc")
    many, place = [f"{folder}/*.nc", "--concat-dim", "number"], tmp_path / "new"
    built = run_cold("build", *many, "--repo", place, before=limited(resource.RLIMIT_NOFILE, 20))
    assert built.returncode == 3, built.stdout
    assert "too many open files: raise the limit (ulimit -n 4096)" in sentence(built)
    assert not place.exists()
    built = run_cold("build", *many, "--repo", place, before=limited(resource.RLIMIT_NOFILE, 64))
    assert built.returncode == 0, built.stderr
    assert "stored natively" not in built.stdout
    assert verify_repository(str(place), Access(), sample=3).passed


@pytest.mark.parametrize("handles", [8, 12, 16])
def test_hardly_any_file_handles(files: list[Path], tmp_path: Path, handles: int) -> None:
    """Even the tool's own libraries cannot be opened."""
    few = limited(resource.RLIMIT_NOFILE, handles)
    built = run_cold("build", *files, "--repo", tmp_path / "new", before=few)
    assert built.returncode == 3, built.stdout
    assert "too many open files" in sentence(built)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("megabytes", [200, 950, 2000])
def test_little_memory(files: list[Path], repository: Path, megabytes: int) -> None:
    """Of less, libraries end the process, or wait for ever: it is said before they are loaded."""
    little = limited(resource.RLIMIT_AS, megabytes * 1024**2)
    appended = run_cold("append", *files, "--repo", repository, before=little)
    assert appended.returncode == 3, appended.stdout
    expected = f"{repository}: this process may have {megabytes} MB of memory (ulimit -v), and its"
    assert expected in sentence(appended)
    check(repository, 4)


def test_enough_memory(files: list[Path], repository: Path) -> None:
    enough = limited(resource.RLIMIT_AS, 4 * process.ADDRESS_SPACE)
    appended = run_cold("append", *files, "--repo", repository, before=enough)
    assert appended.returncode == 0, appended.stderr
    check(repository, 6)


OUT_OF_MEMORY = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib, numpy, virtual_zarr, vzarr.changes.build, vzarr.cli.output

def fail(*arguments):
    if sys.argv[-2] == "memory":
        raise MemoryError
    raise RuntimeError("can't start new thread")

setattr(importlib.import_module("vzarr.virtualize.{module}"), "{step}", fail)
sys.exit(virtual_zarr.main([*sys.argv[2:-2], "--quiet"]))
"""


@pytest.mark.parametrize("what", ["memory", "threads"])
@pytest.mark.parametrize(
    ("module", "step"),
    [
        ("assemble", "open_references"),
        ("probe", "_probe_parts"),
        ("probe", "tolerance"),
        ("parse", "fingerprint"),
    ],
)
def test_no_memory_while_a_file_is_parsed(
    files: list[Path], tmp_path: Path, module: str, step: str, what: str
) -> None:
    """It says nothing about the file, which is neither copied for it nor left out."""
    script = OUT_OF_MEMORY.format(module=module, step=step)
    place = tmp_path / "new"
    done = run("build", *files, "--skip-bad", "--repo", place, what, script=script)
    assert done.returncode == 3, done.stdout
    expected = {"memory": "no memory is left", "threads": "no thread can be started"}[what]
    assert expected in sentence(done)
    assert not place.exists()


def test_worker_that_is_killed(files: list[Path], tmp_path: Path) -> None:
    """As the kernel does when no memory is left."""
    script = """
import os, sys
sys.path.insert(0, sys.argv[1])
import virtual_zarr, vzarr.virtualize.pool

def parse_some(sources, options):
    os.kill(os.getpid(), 9)

if __name__ == "__main__":
    vzarr.virtualize.pool.parse_some = parse_some
    sys.exit(virtual_zarr.main(sys.argv[2:]))
"""
    (tmp_path / "driver.py").write_text(script)
    place = tmp_path / "new"
    arguments = ["build", *files, "--workers", "2", "--repo", place, "--quiet"]
    done = subprocess.run(
        [sys.executable, tmp_path / "driver.py", TOOL.parent, *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stdout
    assert "a worker process was killed, most likely as no memory was left" in sentence(done)
    assert not place.exists()


CLOSED = {
    "stdout": (1,),
    "stderr": (2,),
    "both": (1, 2),
    "all": (0, 1, 2),
    "nobody reads": (1,),
    "nobody reads either": (1, 2),
}


def close(*handles: int) -> None:
    for handle in handles:
        os.close(handle)


def status(*arguments: str | Path, closed: tuple[int, ...], is_pipe: bool) -> int:
    """Of the tool where streams are closed, or pipes whose reader has gone."""
    if not is_pipe:
        return start(*arguments, before=partial(close, *closed)).wait(180)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        streams = dict.fromkeys(("stdout", "stderr")[: len(closed)], writer)
        return warm_start.Process(*arguments, **streams).wait(180)
    finally:
        os.close(writer)


@pytest.mark.parametrize("name", CLOSED)
def test_streams_that_are_closed(files: list[Path], tmp_path: Path, name: str) -> None:
    """The status is that of the work; what is written goes to no file of the repository."""
    place = tmp_path / "new"
    how = {"closed": CLOSED[name], "is_pipe": name.startswith("nobody")}
    assert status("build", *files[:2], "--repo", place, **how) == 0
    check(place, 2)
    assert status("verify", "--repo", place, "--json", **how) == 0
    assert status("build", *files[:2], "--repo", place, **how) == 2
    files[0].unlink()
    assert status("verify", "--repo", place, **how) == 1


def test_result_that_cannot_be_written(repository: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run("verify", "--repo", repository, stdout=full)
    assert done.returncode == 3
    assert "standard output: no space is left on the disk" in sentence(done)


ONE_AFTER_ANOTHER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import virtual_zarr
from vzarr import process
process.prepare_streams(is_silent=True)
ends = [virtual_zarr.main([*command, "--quiet"]) for command in json.loads(sys.argv[2])]
process.finish_output()
sys.exit("".join(map(str, ends)))
"""


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}],
)
def test_terminal_that_knows_only_ascii(tmp_path: Path, environment: dict[str, str]) -> None:
    """Three commands in one process, which is a new one for its streams."""
    folder = tmp_path / "Süd"
    folder.mkdir()
    files = [str(Recipe(start=2 * n).write(folder / f"größe{n}.nc")) for n in range(2)]
    place = str(tmp_path / "répo")
    build_it = ["build", *files, "--repo", place]
    commands = json.dumps([build_it, ["verify", "--repo", place, "--all"], build_it])
    done = run_cold(commands, script=ONE_AFTER_ANOTHER, **environment)
    refused, ends = done.stderr.splitlines()
    assert ends == "002", done
    assert "something is there already" in refused
    check(Path(place), 2)


def test_names_that_are_not_utf8(files: list[Path], tmp_path: Path) -> None:
    folder = bytes(tmp_path) + b"/s\xfcd"
    Path(folder.decode(errors="surrogateescape")).mkdir()
    name = folder + b"/gr\xf6\xdfe.nc"
    shutil.copy(files[0], name)
    for sources in ([name], [folder + b"/*.nc"]):
        built = run("build", *sources, "--repo", tmp_path / "new")
        assert built.returncode == 2
        assert "and this name is not UTF-8: rename the file" in sentence(built)
        assert not (tmp_path / "new").exists()
    inspected = run("inspect", name)
    assert inspected.returncode == 1
    assert "this name is not UTF-8" in inspected.stdout
    assert inspected.stderr == ""


def test_repository_removed_during_an_append(
    files: list[Path], repository: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    import virtual_zarr

    commit = icechunk.Session.commit

    def remove(self: icechunk.Session, *arguments: object, **options: object) -> str:
        shutil.rmtree(repository)
        return commit(self, *arguments, **options)

    monkeypatch.setattr(icechunk.Session, "commit", remove)
    status = virtual_zarr.main(["append", *map(str, files), "--repo", str(repository), "--quiet"])
    complaint = capsys.readouterr().err
    assert status == 3
    assert complaint == (
        f"virtual_zarr.py: {repository}: the repository was removed while this ran. Remove what "
        "lies there still, and build it again.\n"
    )
    assert not (repository / "repo").exists()


def test_repository_removed_during_a_build(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "new"
    check_claim = writing.Claim.check

    def remove(self: writing.Claim) -> None:
        if (place / "repo").exists():
            shutil.rmtree(place)
        check_claim(self)

    monkeypatch.setattr(writing.Claim, "check", remove)
    with pytest.raises(InputError, match="another build has taken this place"):
        build([str(file) for file in files], str(place), Access())
    assert not (place / "repo").exists()


@pytest.fixture
def locked_commits(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """For each commit whether others were kept out of the folder meanwhile."""
    found: list[bool] = []
    commit = icechunk.Session.commit

    def observe(self: icechunk.Session, *arguments: object, **options: object) -> str:
        entered = threading.Event()

        def enter() -> None:
            with exclusive_lock(str(repository)):
                entered.set()

        threading.Thread(target=enter, daemon=True).start()
        found.append(not entered.wait(0.3))
        return commit(self, *arguments, **options)

    monkeypatch.setattr(icechunk.Session, "commit", observe)
    yield found
    assert found
    assert all(found), "two commits at once could both succeed on a disk, and one be lost"


def test_append_is_alone_in_a_folder(
    files: list[Path], repository: Path, locked_commits: list[bool]
) -> None:
    append([str(file) for file in files], str(repository), Access())


def test_refresh_is_alone_in_a_folder(
    files: list[Path], repository: Path, locked_commits: list[bool]
) -> None:
    Recipe(start=2, shift=1.0).write(files[1])
    assert refresh(str(repository), Access()).snapshot


def test_repointing_is_alone_in_a_folder(
    files: list[Path], repository: Path, locked_commits: list[bool], tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    old, new = f"{tmp_path}/data/", f"{tmp_path}/moved/"
    assert repoint(str(repository), Access(), old, new).snapshot
    assert open_repository(str(repository), Access())
