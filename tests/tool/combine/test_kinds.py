"""Files of several kinds in one store, those of each kind in a group of their own."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from packed import image
from stores import opened
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.refresh import refresh
from vzarr.commands.remove import remove
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access

SCALES = (0.5, 0.25, 0.5, 0.125, 0.25)


def images(folder: Path) -> list[str]:
    return [image(folder, number, scale, 1.0) for number, scale in enumerate(SCALES)]


def check(repo: Path, files: list[str], scales: tuple[float, ...] = SCALES) -> None:
    """Each group holds the files of its scale."""
    groups = opened(repo)
    assert sorted(groups) == sorted({f"sst_scale_factor_{scale}" for scale in scales})
    for path, stored in groups.items():
        own = [f for f, scale in zip(files, scales, strict=False) if path.endswith(f"_{scale}")]
        parts = [xr.open_dataset(file).load() for file in own]
        truth = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="equals")
        xr.testing.assert_equal(stored.load(), truth)
    report = verify_repository(str(repo), Access(), sample=None)
    assert report.passed, report.failures
    assert (report.sources, report.compared) == (len(files), len(files))
    assert not report.native


@pytest.mark.parametrize("history", ["build", "batches", "append", "one by one"])
def test_each_kind_has_a_group(tmp_path: Path, history: str) -> None:
    files = images(tmp_path)
    repo = str(tmp_path / "store")
    if history in ("build", "batches"):
        batch = 2 if history == "batches" else None
        built = build(files, repo, Access(), irregular="groups", batch=batch)
        assert built.share.native == 0
        check(tmp_path / "store", files)
        return
    scales = (0.5, 0.25, 0.5, 0.25)
    files = [image(tmp_path, number, scale, 1.0) for number, scale in enumerate(scales)]
    build(files[:2], repo, Access(), irregular="groups")
    if history == "append":
        done = append(files, repo, Access())
        assert sorted(done.appended) == [f"file://{file}" for file in files[2:]]
    else:
        append(files[:3], repo, Access())
        append(files, repo, Access())
    check(tmp_path / "store", files, scales)
    again = append(files, repo, Access())
    assert again.snapshot is None
    assert len(again.known) == 4


def test_a_late_file_goes_into_its_group(tmp_path: Path) -> None:
    scales = (0.5, 0.25, 0.5, 0.25, 0.5)
    files = [image(tmp_path, number, scale, 1.0) for number, scale in enumerate(scales)]
    repo = str(tmp_path / "store")
    build([files[n] for n in (0, 1, 3, 4)], repo, Access(), irregular="groups")
    late = append(files, repo, Access(), skip_bad=True, insert=False)
    assert "sst_2.nc" in late.left_out[0]
    done = append(files, repo, Access())
    assert done.inserted == [f"file://{files[2]}"]
    check(tmp_path / "store", files, scales)


def test_a_file_of_no_kind_is_refused(tmp_path: Path) -> None:
    files = images(tmp_path)
    repo = str(tmp_path / "store")
    build(files[:2], repo, Access(), irregular="groups")
    with pytest.raises(Refused, match=r"sst_3.nc: is of none of the kinds .* --irregular groups"):
        append(files, repo, Access())
    done = append(files, repo, Access(), skip_bad=True)
    assert len(done.appended) == 2
    assert "sst_3.nc" in done.left_out[0]
    build(files, str(tmp_path / "anew"), Access(), irregular="groups")  # as it advises
    check(tmp_path / "anew", files)


def test_a_refusal_says_what_was_committed_before(tmp_path: Path) -> None:
    files = [image(tmp_path, number, scale, 1.0) for number, scale in enumerate((0.5, 0.25) * 2)]
    repo = str(tmp_path / "store")
    build(files[:2], repo, Access(), irregular="groups")
    with netCDF4.Dataset(files[3], "a") as overlapping:  # the last step of files[1], and another
        overlapping["time"][:] = [11, 12]
    with pytest.raises(Refused, match="others were committed before them in this run") as refusal:
        append(files[2:], repo, Access())
    tip = open_any_repository(repo, Access()).lookup_branch("main")
    assert str(refusal.value).endswith(f"snapshot {tip}.")
    assert verify_repository(repo, Access(), sample=None).sources == 3


def test_refresh_and_replace_write_to_the_group(tmp_path: Path) -> None:
    files = images(tmp_path)
    repo = str(tmp_path / "store")
    build(files, repo, Access(), irregular="groups")
    with netCDF4.Dataset(files[1], "a") as file:
        file["sst"][:] = np.full((2, 4, 6), 2.0)
    assert refresh(repo, Access()).snapshot
    check(tmp_path / "store", files)
    with netCDF4.Dataset(files[4], "a") as file:
        file["sst"][:] = np.full((2, 4, 6), 3.0)
    append(files, repo, Access(), replace_known=True)
    check(tmp_path / "store", files)
    image(tmp_path, 0, 0.25, 1.0)
    with pytest.raises(Refused, match=r"scale_factor is 0.25, but 0.5"):
        refresh(repo, Access())


def test_verify_notices_a_change_in_a_group(tmp_path: Path) -> None:
    import icechunk
    import zarr

    files = images(tmp_path)
    repo = str(tmp_path / "store")
    build(files, repo, Access(), irregular="groups")
    session = icechunk.Repository.open(icechunk.local_filesystem_storage(repo)).writable_session(
        "main"
    )
    zarr.open_array(session.store, path="sst_scale_factor_0.25/sst")[3] = 7
    session.commit("other")
    failures = verify_repository(repo, Access(), sample=None).failures
    assert failures[0].url.endswith("sst_4.nc")
    assert failures[0].group == "sst_scale_factor_0.25"


def test_kinds_without_one_difference_are_numbered(tmp_path: Path) -> None:
    files = [
        image(tmp_path, 0, 0.5, 1.0),
        image(tmp_path, 1, 0.25, 1.0),
        image(tmp_path, 2, 0.25, 2.0, shuffle=False),
    ]
    build(files, str(tmp_path / "store"), Access(), irregular="groups")
    assert sorted(opened(tmp_path / "store")) == ["kind_1", "kind_2", "kind_3"]


@pytest.mark.parametrize("what", ["units", "grid", "calendar"])
def test_what_no_array_can_share_has_groups_too(tmp_path: Path, what: str) -> None:
    files = [image(tmp_path, number, 0.5, 1.0) for number in range(3)]
    with netCDF4.Dataset(files[1], "a") as file:
        if what == "units":
            file["sst"].units = "degC"
        elif what == "grid":
            file["lat"][:] = file["lat"][:] + 0.5
        else:
            file["time"].calendar = "noleap"
    with pytest.raises(Refused):
        build(files, str(tmp_path / "none"), Access())
    build(files[:2], str(tmp_path / "store"), Access(), irregular="groups")
    append(files, str(tmp_path / "store"), Access())
    groups = opened(tmp_path / "store")
    assert sorted(stored.sizes["time"] for stored in groups.values()) == [2, 4]
    if what == "units":
        assert sorted(groups) == ["sst_units_K", "sst_units_degC"]
    report = verify_repository(str(tmp_path / "store"), Access(), sample=None)
    assert report.passed, report.failures


def test_files_alike_need_no_groups(tmp_path: Path) -> None:
    files = [image(tmp_path, number, 0.5, 1.0) for number in range(2)]
    build(files, str(tmp_path / "store"), Access(), irregular="groups")
    assert list(opened(tmp_path / "store")) == [""]
    append([image(tmp_path, 2, 0.5, 1.0)], str(tmp_path / "store"), Access())
    assert inspect_files(files, Access()).sets


def test_files_with_groups_have_no_place(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        path = tmp_path / f"g_{number}.nc"
        with netCDF4.Dataset(path, "w") as file:
            group = file.createGroup("a")
            group.createDimension("time", 1)
            time = group.createVariable("time", "i4", ("time",))
            time.units = "days since 2020-01-01"
            time[:] = number
            group.createVariable("v", "f4" if number else "f8", ("time",), chunksizes=(1,))[:] = 1
        files.append(str(path))
    with pytest.raises(Refused, match="has groups of its own, so --irregular groups has no place"):
        build(files, str(tmp_path / "store"), Access(), irregular="groups")


@pytest.mark.parametrize("leave_gap", [False, True])
def test_a_file_is_removed_from_its_group(tmp_path: Path, leave_gap: bool) -> None:
    scales = (0.5, 0.25, 0.5, 0.25, 0.5)
    files = [image(tmp_path, number, scale, 1.0) for number, scale in enumerate(scales)]
    repo = str(tmp_path / "store")
    build(files, repo, Access(), irregular="groups")
    done = remove(repo, Access(), [files[2], files[1]], leave_gap=leave_gap)
    assert sorted(done.files) == [f"file://{files[1]}", f"file://{files[2]}"]
    assert done.records == {"sst_scale_factor_0.5": 2, "sst_scale_factor_0.25": 2}
    if leave_gap:
        stored = opened(tmp_path / "store")["sst_scale_factor_0.5"].load()
        assert stored.sst.isnull().all(("lat", "lon")).values.tolist() == [
            *(False, False),
            *(True, True),
            *(False, False),
        ]
        assert verify_repository(repo, Access(), sample=None).passed
    else:
        check(tmp_path / "store", [files[n] for n in (0, 3, 4)], (0.5, 0.25, 0.5))
    assert remove(repo, Access(), [files[2], files[1]], leave_gap=leave_gap).snapshot is None
    append(files, repo, Access())  # what was removed stays out
    append(files[1:3], repo, Access(), insert=True)
    check(tmp_path / "store", files, scales)


def test_records_are_removed_from_each_group(tmp_path: Path) -> None:
    scales = (0.5, 0.25, 0.5, 0.25, 0.5)
    files = [image(tmp_path, number, scale, 1.0) for number, scale in enumerate(scales)]
    repo = str(tmp_path / "store")
    build(files, repo, Access(), irregular="groups")
    with xr.open_dataset(files[1]) as second:
        last = str(second.time.values[-1])
    done = remove(repo, Access(), [], records=f"..{last}")
    assert sorted(done.files) == [f"file://{files[0]}", f"file://{files[1]}"]
    check(tmp_path / "store", files[2:], scales[2:])
    with pytest.raises(InputError, match="use --records"):
        remove(repo, Access(), [], index="0..0")
    with pytest.raises(Refused, match="nothing would be left"):
        remove(repo, Access(), files[2:])
    done = remove(repo, Access(), [files[3]])  # the last of its kind
    assert done.left == {"sst_scale_factor_0.5": 4, "sst_scale_factor_0.25": 0}
    assert verify_repository(repo, Access(), sample=None).passed
    append([files[3]], repo, Access())
    check(tmp_path / "store", files[2:], scales[2:])
