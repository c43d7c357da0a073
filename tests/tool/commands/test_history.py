"""``rollback``, ``tag`` and ``expire``: what a repository shows, and what it forgets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icechunk
import numpy as np
import pytest
import virtual_zarr
import vzarr
import zarr
from making import Recipe
from vzarr.commands.expire import expire
from vzarr.repository.claim import BUILDING

LATER = timedelta(hours=1)
ACCESS = vzarr.Access()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "data").mkdir()
    return [Recipe(start=2 * n).write(tmp_path / "data" / f"f{n}.nc") for n in range(3)]


@pytest.fixture
def repo(files: list[Path], tmp_path: Path) -> Path:
    """Three commits: one file each."""
    place = tmp_path / "store"
    vzarr.build(files[:1], place, concat_dim="time", message="first")
    vzarr.append(files[:2], place, message="second")
    vzarr.append(files, place, message="third")
    return place


def steps(repo: Path, **options: str) -> int:
    return vzarr.open_dataset(repo, **options).sizes["time"]


def test_rollback_and_back(repo: Path, files: list[Path]) -> None:
    third, second, first = [one.snapshot for one in vzarr.log(repo)]
    planned = vzarr.rollback(repo, first, dry_run=True)
    assert ([one.message for one in planned.undone], planned.is_done) == (
        ["third", "second"],
        False,
    )
    assert steps(repo) == 6
    done = vzarr.rollback(repo, first)
    assert (done.left, done.now, done.is_done) == (third, first, True)
    assert steps(repo) == 2
    report = vzarr.verify(repo, sample=None)
    assert (report.passed, report.compared) == (True, 1)
    vzarr.open_repository(repo).create_tag("best", third)  # still there
    forward = vzarr.rollback(repo, "best")
    assert (forward.now, forward.undone) == (third, [])
    assert steps(repo) == 6
    assert vzarr.rollback(repo, second).left == third
    assert [one.message for one in vzarr.log(repo)] == ["second", "first"]
    added = vzarr.append(files, repo, message="again")
    assert added.appended == [f"file://{files[2]}"]
    assert vzarr.verify(repo, sample=None).compared == 3


@pytest.mark.parametrize(
    ("to", "branch", "sentence"),
    [
        ("nonsense", "main", "nonsense is no commit of main and no tag"),
        ("nonsense", "other", "has no branch other; there are: main"),
    ],
)
def test_rollback_to_nothing(repo: Path, to: str, branch: str, sentence: str) -> None:
    with pytest.raises(vzarr.InputError, match=sentence):
        vzarr.rollback(repo, to, branch=branch)


def test_rollback_never_leads_to_the_empty_beginning(repo: Path) -> None:
    repository = vzarr.open_repository(repo)
    beginning = list(repository.ancestry(branch="main"))[-1].id
    with pytest.raises(vzarr.InputError, match="is no commit of main"):
        vzarr.rollback(repo, beginning)


def test_rollback_beside_another_writer(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that comes in between is not lost."""
    original = icechunk.Repository.reset_branch
    first = vzarr.log(repo)[-1].snapshot

    def late(self: icechunk.Repository, *arguments: object, **options: object) -> None:
        session = self.writable_session("main")
        session.commit("of others", allow_empty=True)
        original(self, *arguments, **options)

    monkeypatch.setattr(icechunk.Repository, "reset_branch", late)
    with pytest.raises(vzarr.Refused, match="another writer has just committed to main"):
        vzarr.rollback(repo, first)
    assert vzarr.log(repo)[0].message == "of others"


def test_tags(repo: Path) -> None:
    third, _, first = [one.snapshot for one in vzarr.log(repo)]
    assert vzarr.tag(repo, "v1").snapshot == third
    assert vzarr.tag(repo, "v1").snapshot == third  # safe to run twice
    assert vzarr.tag(repo, "v0", snapshot=first).snapshot == first
    with pytest.raises(vzarr.InputError, match=f"the tag v1 names {third}, and a tag never moves"):
        vzarr.tag(repo, "v1", snapshot=first)
    with pytest.raises(vzarr.InputError, match="has no branch other; there are: main"):
        vzarr.tag(repo, "v2", branch="other")
    with pytest.raises(vzarr.InputError, match="cannot be made a tag of AAAA"):
        vzarr.tag(repo, "v2", snapshot="AAAAAAAAAAAAAAAAAAAA")
    assert vzarr.tag(repo, "v0", delete=True).is_deleted
    with pytest.raises(vzarr.InputError, match="has no tag v0; there are: v1"):
        vzarr.tag(repo, "v0", delete=True)
    with pytest.raises(vzarr.InputError, match="a name that was deleted cannot be used again"):
        vzarr.tag(repo, "v0")


def test_expiry(repo: Path, files: list[Path]) -> None:
    """What branches and tags show stays, sources stay known, and the store grows on."""
    third, second, first = [one.snapshot for one in vzarr.log(repo)]
    vzarr.tag(repo, "v0", snapshot=first)
    limit = datetime.now(UTC) + LATER
    planned = vzarr.expire(repo, limit)
    assert (planned.snapshots, planned.bytes_after) == ([second], None)
    assert [one.snapshot for one in vzarr.log(repo)] == [third, second, first]
    done = expire(str(repo), ACCESS, limit, delete=True, grace=-LATER)
    assert done.snapshots == [second]
    assert done.deleted["snapshots"] >= 1
    # Of so small a repository the log of what was done takes more than was deleted.
    assert done.bytes_after != done.bytes_before == planned.bytes_before
    assert second not in [one.snapshot for one in vzarr.log(repo)]
    assert vzarr.show(repo, tag="v0").sources.count == 1
    report = vzarr.verify(repo, sample=None)
    assert (report.passed, report.compared) == (True, 3)
    new = Recipe(start=6).write(files[0].parent / "f3.nc")
    assert vzarr.append(files[0].parent / "*.nc", repo).appended == [f"file://{new}"]
    truth = np.concatenate([Recipe(start=2 * n).values for n in range(4)])
    np.testing.assert_array_equal(vzarr.open_dataset(repo).v, truth)


def test_young_objects_are_kept(repo: Path) -> None:
    """Another writer, not yet at its commit, would lose what it has written."""
    repository = vzarr.open_repository(repo)
    session = repository.writable_session("main")
    root = zarr.open_group(session.store, mode="a")
    root.create_array("w", data=np.arange(1000.0), dimension_names=["k"])  # too long to be inlined
    done = vzarr.expire(repo, datetime.now(UTC) + LATER, delete=True)
    assert "objects younger than 24 h are kept" in done.notes[0]
    session.commit("late")
    assert vzarr.open_dataset(repo).w.values[-1] == 999


def test_no_expiry_under_a_build(repo: Path) -> None:
    repository = vzarr.open_repository(repo)
    repository.create_branch(BUILDING, repository.lookup_branch("main"))
    with pytest.raises(vzarr.InputError, match="a build goes on here, or was stopped"):
        vzarr.expire(repo, datetime.now(UTC), delete=True)


def test_lines(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    third, _, first = [one.snapshot for one in vzarr.log(repo)]

    def run(*arguments: str) -> str:
        assert virtual_zarr.main([*arguments]) == 0
        return capsys.readouterr().out

    place = str(repo)
    assert f"main would show {first} instead" in run("rollback", place, "--to", first, "--dry-run")
    told = run("rollback", place, "--to", first)
    assert f"to take it back: virtual_zarr.py rollback {place} --to {third}" in told
    assert "undone: " in told
    assert f"main shows {first} already" in run("rollback", place, "--to", first)
    assert run("tag", place, "v1") == f"tag v1: names {first}\n"
    assert "deleted; it named" in run("tag", place, "v1", "--delete")
    assert "--delete does it" in run("expire", place, "--older-than", "30d")
    assert (
        json.loads(run("expire", place, "--older-than", "2020-01-01", "--json"))["snapshots"] == []
    )
    with pytest.raises(SystemExit):
        virtual_zarr.main(["expire", place, "--older-than", "soon"])
    assert "'soon' is no time" in capsys.readouterr().err
