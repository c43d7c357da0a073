"""A build that is killed goes on where it stood, and ends as one that nobody disturbed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path

import icechunk
import pytest
import xarray as xr
from harness import warm_start
from making import Recipe
from reliability.states import content, opened
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository.claim import BUILDING
from vzarr.sources.schemes import Access

FILES, BATCH, KILLS = 120, 4, 10


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        Recipe(start=2 * number).write(folder / f"f{number}.nc")
    return folder


def command(data: Path, repository: Path) -> list[str]:
    return [
        *["build", f"{data}/*.nc", "--repo", str(repository)],
        *["--batch", str(BATCH), "--quiet", "--json"],
    ]


KILLED = """
import sys, threading
import icechunk, virtual_zarr
from killing import Kill, kill_this_process, killed_at

step, delay, *arguments = sys.argv[2:]
commit = icechunk.Session.commit

def committing(*arguments, **options):
    result = commit(*arguments, **options)
    threading.Timer(float(delay), kill_this_process).start()
    return result

if delay != "-":
    icechunk.Session.commit = committing
with killed_at(Kill(int(step)), kill_this_process):
    virtual_zarr.main(arguments)
"""
"""Kills itself at a step, or a moment after its first commit: no other process has to be quick."""


def test_killed_ten_times(data: Path, tmp_path: Path) -> None:
    """``SIGKILL`` in turn at one of the first steps, and at a random moment after a commit."""
    whole = warm_start.run(*command(data, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    killed = tmp_path / "killed"
    for number in range(KILLS):
        step, delay = (10**9, moments.uniform(0, 0.02)) if number % 2 else (number, "-")
        run = warm_start.run(str(step), str(delay), *command(data, killed), script=KILLED)
        assert run.returncode == -signal.SIGKILL, (seed, number, run.stderr)
    last = warm_start.run(*command(data, killed))
    assert last.returncode == 0, (seed, last.stderr)
    assert BATCH * KILLS / 2 <= json.loads(last.stdout)["resumed"] < FILES, seed
    assert content(killed, data) == content(tmp_path / "whole", data), seed
    assert verify_repository(str(killed), Access(), sample=None).passed, seed


class Stop(Exception):
    """Stands for a kill at a chosen place."""


@pytest.fixture
def few(tmp_path: Path) -> list[str]:
    folder = tmp_path / "data"
    folder.mkdir()
    return [str(Recipe(start=2 * n).write(folder / f"f{n}.nc")) for n in range(7)]


def leave_off(
    few: list[str], repository: str, monkeypatch: pytest.MonkeyPatch, at: int, batch: int = 2
) -> None:
    """Build in batches and stop after ``at`` commits, as a kill does: nothing cleans up."""
    import vzarr.changes.build_commit as committing
    import vzarr.repository.create as writing

    commit, count = committing.commit_batch, 0

    def stop(*arguments: object) -> object:
        nonlocal count
        after = commit(*arguments)
        count += 1
        if count == at:
            raise Stop
        return after

    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_batch", stop)
        patch.setattr(writing, "_leave", lambda *arguments: None)
        with pytest.raises(Stop):
            build(few, repository, Access(), batch=batch)


def test_main_is_empty_until_the_end(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = str(tmp_path / "repo")
    leave_off(few, repository, monkeypatch, at=2)
    repo = opened(tmp_path / "repo", tmp_path / "data")
    assert len(list(repo.ancestry(branch="main"))) == 1
    assert len(list(repo.ancestry(branch=BUILDING))) == 3
    with pytest.raises(InputError, match="its build was stopped before its end: run the same"):
        verify_repository(repository, Access())
    with pytest.raises(InputError, match="no commit of this tool is on main"):
        append(few, repository, Access())
    built = build(few, repository, Access(), batch=2)
    assert (built.resumed, built.sizes["time"], built.references) == (4, 14, 7 * 2 + 2)
    assert repo.list_branches() == {"main"}
    assert verify_repository(repository, Access(), sample=None).passed


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_batches_are_not_written_twice(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Four batches, stopped after each; the last time all is written, but main does not show it."""
    leave_off(few, str(tmp_path / "stopped"), monkeypatch, at)
    built = build(few, str(tmp_path / "stopped"), Access(), batch=2)
    assert built.resumed == min(2 * at, 7)
    build(few, str(tmp_path / "whole"), Access(), batch=2)
    folder = tmp_path / "data"
    assert content(tmp_path / "stopped", folder) == content(tmp_path / "whole", folder)


def test_batches_make_the_same_store(few: list[str], tmp_path: Path) -> None:
    """As all at once, but for the commits."""
    build(few, str(tmp_path / "batches"), Access(), batch=2)
    build(few, str(tmp_path / "once"), Access())
    folder = tmp_path / "data"
    one, other = (content(tmp_path / name, folder) for name in ("batches", "once"))
    assert (len(one.pop("messages")), len(other.pop("messages"))) == (5, 2)
    assert one == other


def test_another_command_begins_anew(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other options, a source that changed, files that come before: nothing old is taken over."""
    repository = str(tmp_path / "repo")
    leave_off(few, repository, monkeypatch, at=2)
    built = build(few, repository, Access(), batch=2, drop=("mask",))
    assert (built.resumed, "mask" in built.loaded) == (0, False)

    leave_off(few, str(tmp_path / "changed"), monkeypatch, at=2)
    Recipe(shift=1.0).write(Path(few[0]))
    built = build(few, str(tmp_path / "changed"), Access(), batch=2)
    assert built.resumed == 0
    assert verify_repository(str(tmp_path / "changed"), Access(), sample=None).passed

    leave_off(few[2:], str(tmp_path / "earlier"), monkeypatch, at=2)
    built = build(few, str(tmp_path / "earlier"), Access(), batch=2)
    assert (built.resumed, built.sizes["time"]) == (0, 14)


def test_a_bad_file_keeps_what_is_written(few: list[str], tmp_path: Path) -> None:
    """It is left out when the build goes on with --skip-bad."""
    Path(few[4]).write_text("not a file of any format")
    repository = str(tmp_path / "repo")
    with pytest.raises(InputError, match=r"f4.nc: .* 4 of 7 files are written, but nothing is on"):
        build(few, repository, Access(), batch=2)
    built = build(few, repository, Access(), batch=2, skip_bad=True)
    assert (built.resumed, built.sizes["time"]) == (4, 12)
    assert [line for line in built.left_out if "f4.nc" in line]
    assert verify_repository(repository, Access(), sample=None).passed


def test_what_was_left_out_stays_out(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(few[1]).write_text("not a file of any format")
    import vzarr.changes.build as building

    repository = str(tmp_path / "repo")
    finish = building.finish

    def stop(*arguments: object) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(building, "finish", stop)
        with pytest.raises(Stop):
            build(few, repository, Access(), batch=2, skip_bad=True)
    assert building.finish is finish
    built = build(few, repository, Access(), batch=2, skip_bad=True)
    assert (built.resumed, len(built.left_out), built.sizes["time"]) == (6, 1, 12)


@pytest.mark.parametrize("batch", [2, 3, 7, 100])
def test_names_in_another_order_than_the_records(tmp_path: Path, batch: int) -> None:
    """Batches follow the names; where these do not follow the records, all are sorted at once."""
    folder = tmp_path / "data"
    folder.mkdir()
    starts = [8, 2, 0, 4, 12, 6, 10]
    files = [str(Recipe(start=s).write(folder / f"f{n}.nc")) for n, s in enumerate(starts)]
    built = build(files, str(tmp_path / "repo"), Access(), batch=batch)
    assert built.sizes["time"] == 14
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed


def test_numbers_in_names_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    files = [str(Recipe(start=2 * n).write(folder / f"f{n}.nc")) for n in range(12)]
    built = build(files, str(tmp_path / "repo"), Access(), batch=5)
    assert [Path(url).name for url in built.sources] == [f"f{n}.nc" for n in range(12)]
    repo = opened(tmp_path / "repo", folder)
    messages = [snapshot.message for snapshot in repo.ancestry(branch="main")]
    assert messages[:3] == ["12 files (12 of 12)", "12 files (10 of 12)", "12 files (5 of 12)"]


def test_a_difference_in_a_later_batch_is_refused(few: list[str], tmp_path: Path) -> None:
    """Files are compared with the first one, not only with their batch."""
    Recipe(start=10, scale=0.25).write(Path(few[5]))
    Recipe(start=8, scale=0.25).write(Path(few[4]))
    with pytest.raises(Refused, match=r"f4.nc: v: scale_factor is 0.25, but 0.5 in .*f0.nc"):
        build(few, str(tmp_path / "repo"), Access(), batch=2)


def test_a_partial_chunk_between_batches_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    recipes = [Recipe(start=0, steps=4, chunk=2), Recipe(start=4, steps=3, chunk=2)]
    recipes += [Recipe(start=7, steps=4, chunk=2)]
    files = [str(recipe.write(folder / f"f{n}.nc")) for n, recipe in enumerate(recipes)]
    sentence = r"f1.nc: v: 3 steps of time a file, in chunks of 2, which no regular grid"
    with pytest.raises(Refused, match=sentence):
        build(files, str(tmp_path / "repo"), Access(), batch=1)


def test_attributes_that_differ_between_batches_go(tmp_path: Path) -> None:
    """An array has the attributes that all its files share, in batches as at once."""
    import netCDF4

    folder = tmp_path / "data"
    folder.mkdir()
    files = [str(Recipe(start=2 * n).write(folder / f"f{n}.nc")) for n in range(4)]
    for number, file in enumerate(files):
        with netCDF4.Dataset(file, "a") as opened_file:
            opened_file["v"].shared = "the same"
            opened_file["v"].maximum = float(number // 2)
            opened_file.history = f"run {number // 2}"
            opened_file.title = "all alike"
    for name, batch in (("batches", 2), ("once", 100)):
        build(files, str(tmp_path / name), Access(), batch=batch)
        session = opened(tmp_path / name, folder).readonly_session("main")
        dataset = xr.open_zarr(session.store, consolidated=False)
        assert dataset.v.attrs == {"units": "K", "shared": "the same"}
        assert dataset.attrs == {"title": "all alike"}


def test_batch_of_very_many_references_is_written_in_parts(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on after a stop between two of them."""
    import vzarr.changes.build_batch as batches

    data = tmp_path / "data"
    whole = build(few, str(tmp_path / "whole"), Access())
    monkeypatch.setattr(batches, "REFERENCES", 8)  # two files: v has 2, crs and mask one each
    parts = build(few, str(tmp_path / "parts"), Access())
    assert parts.references == whole.references
    leave_off(few, str(tmp_path / "stopped"), monkeypatch, at=2, batch=500)
    resumed = build(few, str(tmp_path / "stopped"), Access())
    assert resumed.resumed == 4
    expected = content(tmp_path / "whole", data)
    for name in ("parts", "stopped"):
        found = content(tmp_path / name, data)
        assert len(found.pop("messages")) == 1 + 4
        assert found == {key: expected[key] for key in found}
        assert verify_repository(str(tmp_path / name), Access(), sample=None).passed


def test_what_others_made_is_not_touched(few: list[str], tmp_path: Path) -> None:
    own = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "own")))
    with pytest.raises(InputError, match="something is there already"):
        build(few, str(tmp_path / "own"), Access())
    assert own.list_branches() == {"main"}
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "repo").write_text("a file of that name")
    with pytest.raises(InputError, match=r"no Icechunk repository can be opened|something is"):
        build(few, str(tmp_path / "notes"), Access())
    assert (tmp_path / "notes" / "repo").read_text() == "a file of that name"


def test_two_builds_at_once(few: list[str], tmp_path: Path) -> None:
    """The second waits for the first, and then finds its repository."""
    arguments = ["build", *few, "--repo", str(tmp_path / "repo"), "--batch", "2"]
    both = [warm_start.Process(*arguments, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = sorted((run.communicate()[1], run.returncode) for run in both)
    assert sorted(code for _, code in ends) == [0, 2], ends
    assert any("something is there already" in complaint for complaint, _ in ends)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed
