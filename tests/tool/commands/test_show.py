"""``show`` and ``log``: what a repository holds, by its own account and beside it."""

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

DEAD = "s3://nobody-named-this/archive/"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "data").mkdir()
    return [Recipe(start=2 * n).write(tmp_path / "data" / f"f{n}.nc") for n in (0, 1, 3)]


@pytest.fixture
def repo(files: list[Path], tmp_path: Path) -> Path:
    vzarr.build(files[:2], tmp_path / "store", message="first")
    vzarr.append(files, tmp_path / "store", message="more")
    return tmp_path / "store"


def test_store_of_this_tool(repo: Path, files: list[Path]) -> None:
    shown = vzarr.show(repo)
    arrays = {array.path: array for array in shown.arrays}
    assert sorted(arrays) == ["crs", "lat", "mask", "time", "v"]
    v = arrays["v"]
    assert (v.dims, v.shape, v.chunks) == (("time", "lat"), (6, 4), (1, 4))
    assert (v.virtual, v.native, v.missing, len(v.urls)) == (6, 0, 0, 3)
    assert (arrays["time"].virtual, arrays["time"].native) == (0, 1)
    covered = shown.coverage["time"]
    assert (covered.begin, covered.end, covered.step) == ("2000-01-01", "2000-01-08", "1 days")
    assert covered.gaps == [("2000-01-04", "2000-01-07")]
    assert (shown.sources.count, shown.sources.is_listed, shown.sources.urls) == (3, True, [])
    assert vzarr.show(repo, list_sources=True).sources.urls == [f"file://{file}" for file in files]
    assert (shown.commits, shown.commits_of_tool, shown.message) == (2, 2, "more")
    assert [place["prefix"] for place in shown.containers] == [f"file://{files[0].parent}/"]
    assert (shown.readers, shown.notes) == ([], [])


def test_bytes_are_those_that_the_chunks_take(repo: Path) -> None:
    stats = vzarr.open_repository(repo).chunk_storage_stats()
    shown = vzarr.show(repo)
    assert shown.virtual_bytes == stats.virtual_bytes


def test_lines(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert virtual_zarr.main(["show", str(repo), "--sources"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"file://{repo} at main, snapshot ")
    assert "  gap: nothing between 2000-01-04 and 2000-01-07" in lines
    assert "sources: 3 files" in lines
    assert f"readers authorize: file://{repo.parent}/data/" in lines
    assert virtual_zarr.main(["show", str(repo), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["coverage"]["time"]["step"] == "1 days"


def test_older_states(repo: Path) -> None:
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    first = list(repository.ancestry(branch="main"))[1].id
    repository.create_tag("v1", first)
    repository.create_branch("old", first)
    for shown in (
        vzarr.show(repo, tag="v1"),
        vzarr.show(repo, branch="old"),
        vzarr.show(repo, snapshot=first),
    ):
        assert (shown.sources.count, shown.message, shown.commits) == (2, "first", 1)
    assert vzarr.show(repo).tags == {"v1": first}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"branch": "nonsense"}, "has no branch nonsense; there are: main"),
        ({"tag": "v9"}, "has no tag v9; there are: none"),
        ({"snapshot": "AAAAAAAAAAAAAAAAAAAA"}, "has no snapshot AAAAAAAAAAAAAAAAAAAA"),
    ],
)
def test_what_is_not_there(repo: Path, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(vzarr.InputError, match=sentence):
        vzarr.show(repo, **options)


def test_no_repository(tmp_path: Path) -> None:
    for function in (vzarr.show, vzarr.log):
        with pytest.raises(vzarr.InputError, match="no Icechunk repository"):
            function(tmp_path / "nothing")


def test_repository_of_others_needs_no_trust(tmp_path: Path) -> None:
    """Its container leads to what nobody named: it is shown, and nothing there is asked."""
    config = icechunk.RepositoryConfig.default()
    store = icechunk.s3_store(region="us-east-1")
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(DEAD, store))
    storage = icechunk.local_filesystem_storage(str(tmp_path / "store"))
    repository = icechunk.Repository.create(storage, config)
    session = repository.writable_session("main")
    root = zarr.open_group(session.store, mode="a")
    array = root.create_array("a/x", shape=(10,), chunks=(1,), dtype="f8", dimension_names=["t"])
    array[:2] = np.ones(2)
    specs = [icechunk.VirtualChunkSpec([n], f"{DEAD}f{n}", 0, 8) for n in range(4, 12 - 4)]
    session.store.set_virtual_refs("/a/x", specs, validate_containers=False)
    session.commit("by hand")
    shown = vzarr.show(tmp_path / "store", list_sources=True)
    (found,) = shown.arrays
    assert (found.path, found.virtual, found.native, found.missing) == ("a/x", 4, 2, 4)
    assert shown.sources.urls == [f"{DEAD}f{n}" for n in range(4, 8)]
    assert not shown.sources.is_listed
    assert "this tool did not build it" in shown.notes[0]
    assert shown.containers[0]["prefix"] == DEAD


def test_log(repo: Path, files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    session = vzarr.open_repository(repo).writable_session("main")
    zarr.open_group(session.store, mode="a").attrs["title"] = "by hand"
    tip = session.commit("title")
    commits = vzarr.log(repo)
    assert [(one.message, one.command, one.counts) for one in commits] == [
        ("title", None, {}),
        ("more", "append", {"added": 1}),
        ("first", "build", {"added": 2}),
    ]
    assert (commits[0].snapshot, commits[0].branches) == (tip, ["main"])
    assert [one.message for one in vzarr.log(repo, count=1)] == ["title"]
    assert vzarr.log(repo, since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert virtual_zarr.main(["log", str(repo), "-n", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"● {tip}")
    assert lines[0].endswith("of others: title [main]")
    assert "append (1 added): more" in lines[1]
    assert virtual_zarr.main(["log", str(repo), "--since", "2100-01-01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"commits": [], "others": []}
    with pytest.raises(SystemExit):
        virtual_zarr.main(["log", str(repo), "--since", "yesterday"])
    assert "'yesterday' is no time" in capsys.readouterr().err


def test_a_repository_without_a_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "new")))
    assert virtual_zarr.main(["show", str(tmp_path / "new")]) == 0
    assert "0B, empty" in capsys.readouterr().out
