"""Attributes, text and groups follow the files, however these came into the store."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from stores import opened
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.relocate import repoint
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access


def write(
    path: Path,
    day: int,
    edition: int = 1,
    rooms: tuple[str, ...] = ("",),
    still: bool = False,
    text: str = "ok",
    days: int = 2,
) -> str:
    """Some days. ``edition`` is an attribute of everything, and changes the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"edition": edition, "title": "daily"})
        if still:
            _write_lon(file, edition)
        for name in rooms:
            room = file.createGroup(name) if name else file
            room.setncatts({"edition": edition, "title": "daily"})
            _write_lon(room, edition)
            room.createDimension("time", days)
            axis = room.createVariable("time", "f8", ("time",))
            axis.setncatts({"units": "days since 2000-01-01", "edition": edition})
            axis[:] = np.arange(day, day + days)
            v = room.createVariable("v", "f4", ("time", "lon"), chunksizes=(1, 3))
            v.setncatts({"units": "K", "edition": edition})
            v[:] = np.arange(3 * days).reshape(days, 3) + day + 10 * edition
            room.createVariable("status", str, ("time",))[:] = np.array(
                [text, *["ok"] * (days - 1)], object
            )
    write.clock += 5
    os.utime(path, (write.clock, write.clock))
    return str(path)


write.clock = time.time() + 1000


def _write_lon(room: netCDF4.Dataset, edition: int) -> None:
    room.createDimension("lon", 3)
    lon = room.createVariable("lon", "f8", ("lon",))
    lon.setncatts({"units": "degrees_east", "edition": edition})
    lon[:] = [0.0, 1.0, 2.0]


def said(repository: Path, group: str = "") -> dict[str, dict]:
    """Attributes of the group ("") and of its variables, as a reader sees them."""
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    store = repo.readonly_session("main").store
    dataset = xr.open_zarr(store, group=group or None, consolidated=False, chunks=None)
    found = {str(name): dict(v.attrs) for name, v in dataset.variables.items()}
    return {**found, "": dict(dataset.attrs)}


def editions(repository: Path, group: str = "") -> set[tuple[str, int]]:
    """Who still names an edition."""
    attributes = said(repository, group)
    return {(name, int(each["edition"])) for name, each in attributes.items() if "edition" in each}


def assert_right(repository: Path) -> None:
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed, report.failures


EVERYTHING = {"", "lon", "time", "v"}


@pytest.mark.parametrize("batch", [None, 1])
def test_what_files_do_not_share_is_not_stored(tmp_path: Path, batch: int | None) -> None:
    """Also of what is stored once, of which xarray keeps the first file's."""
    files = [write(tmp_path / f"f{day}.nc", day, edition=day) for day in (2, 4, 6)]
    build(files, str(tmp_path / "repo"), Access(), batch=batch)
    assert editions(tmp_path / "repo") == set()
    assert said(tmp_path / "repo")["lon"] == {"units": "degrees_east"}
    assert said(tmp_path / "repo")[""]["title"] == "daily"
    assert_right(tmp_path / "repo")


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("still", [False, True])
def test_groups_and_the_root_above_them(tmp_path: Path, still: bool, batch: int | None) -> None:
    """A root that does not grow, with variables or with attributes only; then an append."""
    options = {"rooms": ("a", "b"), "still": still}
    files = [write(tmp_path / f"f{day}.nc", day, edition=1, **options) for day in (0, 2)]
    repository = tmp_path / "repo"
    build(files, str(repository), Access(), batch=batch)
    assert editions(repository) == {(name, 1) for name in ({"", "lon"} if still else {""})}
    assert said(repository).keys() == ({"", "lon"} if still else {""})
    append([write(tmp_path / "f4.nc", 4, edition=2, **options)], str(repository), Access())
    for group in ("", "a", "b"):
        assert editions(repository, group) == set()
        assert said(repository, group)[""]["title"] == "daily"
    assert_right(repository)


def test_a_file_that_was_issued_again_tells_what_the_store_says(tmp_path: Path) -> None:
    """What it contradicts goes; what all share again, once all were issued anew, comes back."""
    repository = tmp_path / "repo"
    paths = [tmp_path / f"f{day}.nc" for day in (0, 2, 4)]
    files = [write(path, 2 * n) for n, path in enumerate(paths)]
    build(files, str(repository), Access())
    assert editions(repository) == {(name, 1) for name in EVERYTHING}
    write(paths[0], 0, edition=2)
    assert refresh(str(repository), Access()).snapshot
    assert editions(repository) == set()
    write(paths[1], 2, edition=2)
    assert append(files, str(repository), Access(), replace_known=True).replaced
    assert editions(repository) == set()
    write(paths[2], 4, edition=2)
    assert refresh(str(repository), Access()).snapshot
    assert editions(repository) == {(name, 2) for name in EVERYTHING}
    assert_right(repository)


def test_a_single_file_that_was_issued_again(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    write(tmp_path / "f.nc", 0)
    build([str(tmp_path / "f.nc")], str(repository), Access())
    write(tmp_path / "f.nc", 0, edition=3)
    assert refresh(str(repository), Access()).snapshot
    assert editions(repository) == {(name, 3) for name in EVERYTHING}
    assert_right(repository)


def test_a_last_file_that_grew_tells_what_the_store_says(tmp_path: Path) -> None:
    """Edition 2 of the last file took the attribute out; edition 1 with a day more agrees again."""
    repository = tmp_path / "repo"
    first, last = write(tmp_path / "f0.nc", 0), write(tmp_path / "f2.nc", 2, edition=2)
    build([first, last], str(repository), Access())
    assert editions(repository) == set()
    write(tmp_path / "f2.nc", 2, days=3)
    done = append([first, last], str(repository), Access(), replace_known=True)
    assert done.replaced
    assert editions(repository) == {(name, 1) for name in EVERYTHING}
    assert_right(repository)


def test_text_may_be_longer_or_shorter_in_later_files(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    texts = ("ok", "interpolated over a gap", "")
    files = [write(tmp_path / f"f{2 * n}.nc", 2 * n, text=text) for n, text in enumerate(texts)]
    build(files[:2], str(repository), Access(), batch=1)
    append(files[2:], str(repository), Access())
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    dataset = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    assert dataset.status.values.tolist() == ["ok", "ok", texts[1], "ok", "", "ok"]
    assert_right(repository)


@pytest.mark.parametrize("day", [2, 4])
def test_a_group_that_begins_with_an_append(tmp_path: Path, day: int) -> None:
    """With a new file, or with the last one that was issued again."""
    repository = tmp_path / "repo"
    files = [write(tmp_path / f"f{each}.nc", each, rooms=("a",)) for each in (0, 2)]
    build(files, str(repository), Access())
    more = write(tmp_path / f"f{day}.nc", day, edition=2, rooms=("a", "more"))
    append([more], str(repository), Access(), replace_known=day == 2)
    stored = opened(repository)
    with xr.open_dataset(more, group="more") as truth:
        assert stored["more"].sizes == truth.sizes
        for name in truth.variables:
            np.testing.assert_array_equal(stored["more"][name].values, truth[name].values)
    assert verify_repository(str(repository), Access(), sample=None).failures == []


def test_a_group_that_the_store_does_not_have(tmp_path: Path) -> None:
    """In a file that others follow: its data would be passed over in silence."""
    repository = tmp_path / "repo"
    files = [write(tmp_path / f"f{day}.nc", day, rooms=("a",)) for day in (0, 2)]
    build(files, str(repository), Access())
    more = write(tmp_path / "f0.nc", 0, edition=2, rooms=("a", "more"))
    with pytest.raises(Refused, match="/more: the group is present, but absent"):
        append([more], str(repository), Access(), replace_known=True)
    chosen = tmp_path / "chosen"
    build(files[1:], str(chosen), Access(), groups=("a",))
    later = write(tmp_path / "f4.nc", 4, edition=2, rooms=("a", "more"))
    assert append([later], str(chosen), Access()).appended


def test_other_bytes_at_the_new_place_are_refused(tmp_path: Path) -> None:
    """Of the same size, and with the old files gone nothing else could tell."""
    repository, old, new = tmp_path / "repo", tmp_path / "old", tmp_path / "new"
    files = [write(old / f"f{day}.nc", day) for day in (0, 2)]
    build(files, str(repository), Access())
    shutil.move(old, new)
    shutil.copytree(new, tmp_path / "kept")
    size = (new / "f2.nc").stat().st_size
    content = bytearray((new / "f2.nc").read_bytes())
    at = content.find(np.float32(13).tobytes())
    content[at : at + 4] = np.float32(14).tobytes()
    (new / "f2.nc").write_bytes(bytes(content))
    assert (new / "f2.nc").stat().st_size == size
    with pytest.raises(Refused, match=r"f2\.nc: holds other bytes than the file at the old place"):
        repoint(str(repository), Access(), str(old), str(new))
    shutil.copy(tmp_path / "kept" / "f2.nc", new / "f2.nc")
    assert repoint(str(repository), Access(), str(old), str(new)).snapshot
    again = repoint(str(repository), Access(), str(old), str(new))
    assert again.snapshot is None
    assert "already" in again.notes[-1]
    assert_right(repository)


def test_a_file_is_renewed_or_replaced_but_not_both(tmp_path: Path) -> None:
    """The old edition was touched, and a final one lies beside it."""
    repository = tmp_path / "repo"
    first = write(tmp_path / "f0.nc", 0)
    build([first], str(repository), Access())
    write.clock += 5
    os.utime(first, (write.clock, write.clock))
    final = write(tmp_path / "f0_final.nc", 0, edition=2)
    done = append([first, final], str(repository), Access(), replace_known=True)
    assert done.renewed == []
    assert done.replaced == [f"file://{final}"]
    assert_right(repository)
