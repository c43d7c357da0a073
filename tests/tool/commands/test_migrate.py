"""``migrate``: Kerchunk's references with masks and times right, or a sentence says what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import virtual_zarr
import xarray as xr
from kerchunk.combine import MultiZarrToZarr
from kerchunk.df import refs_to_dataframe
from kerchunk.hdf import SingleHdf5ToZarr
from making import Recipe
from vzarr.commands.append import append
from vzarr.commands.migrate import migrate
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access
from vzarr.verification.open import open_store

DAYS = xr.date_range("2000-01-01", periods=6)


def singles(files: list[Path], threshold: int = 0) -> list[dict]:
    return [SingleHdf5ToZarr(str(file), inline_threshold=threshold).translate() for file in files]


def joined(files: list[Path], threshold: int = 0, **options: dict) -> dict:
    combined = MultiZarrToZarr(
        singles(files, threshold),
        concat_dims=["time"],
        identical_dims=["lat", "mask", "crs"],
        **({"coo_map": {"time": "cf:time"}, "inline_threshold": threshold} | options),
    )
    return combined.translate()


def save(path: Path, references: dict) -> str:
    path.write_text(json.dumps(references))
    return str(path)


def opened(repository: Path) -> xr.Dataset:
    repo = open_any_repository(str(repository), Access())
    return open_store(repo.readonly_session("main").store)


def zeros(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["v"] = np.arange(4, dtype="i4")
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files of two days, each with an epoch of its own and one missing value."""
    (folder := tmp_path / "data").mkdir()
    paths = []
    for number in range(3):
        recipe = Recipe(start=2 * number, epoch=f"2000-01-0{2 * number + 1}")
        paths.append(recipe.write(folder / f"f{number}.nc"))

        with netCDF4.Dataset(paths[-1], "a") as file:
            file["v"][1, 3] = np.ma.masked
    return paths


@pytest.fixture
def expected() -> np.ndarray:
    values = Recipe(steps=6).values
    values[1::2, 3] = np.nan
    return values


def check(repository: Path, values: np.ndarray, sources: int) -> None:
    dataset = opened(repository)
    assert np.array_equal(dataset["v"], values, equal_nan=True)
    assert (dataset.indexes["time"] == DAYS).all()
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.failures == []
    assert report.sources == sources


def test_references_to_several_files(tmp_path: Path, files, expected) -> None:
    made = save(tmp_path / "all.json", joined(files))
    built = migrate([made], str(tmp_path / "repo"), Access())
    assert built.virtual == ["crs", "mask", "v"]
    assert built.sources == [f"file://{file}" for file in files]
    Path(made).unlink()  # nobody needs them any more
    check(tmp_path / "repo", expected, 3)


def test_one_reference_file_each(tmp_path: Path, files, expected) -> None:
    made = [save(tmp_path / f"{n}.json", refs) for n, refs in enumerate(singles(files))]
    built = migrate(made, str(tmp_path / "repo"), Access())
    assert built.concat_dim == "time"
    check(tmp_path / "repo", expected, 3)


def test_parquet(tmp_path: Path, files, expected) -> None:
    refs_to_dataframe(joined(files), str(tmp_path / "all.parq"))
    migrate([str(tmp_path / "all.parq")], str(tmp_path / "repo"), Access())
    check(tmp_path / "repo", expected, 3)


def test_inlined_data_and_scalars(tmp_path: Path, files, expected) -> None:
    """Values that lie in the references are stored natively, the rest stays virtual."""
    references = singles(files[:1])[0]
    whole = singles(files[:1], threshold=10_000)[0]["refs"]
    for key in ("mask/0", "crs/0"):
        assert isinstance(whole[key], str)
        references["refs"][key] = whole[key]
    built = migrate([save(tmp_path / "r.json", references)], str(tmp_path / "repo"), Access())
    assert built.virtual == ["v"]
    assert built.native == dict.fromkeys(["crs", "mask"], "kept in the references")
    dataset = opened(tmp_path / "repo")
    assert dataset["crs"] == 7
    assert np.array_equal(dataset["v"], expected[:2], equal_nan=True)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []


@pytest.mark.parametrize("with_targets", [True, False])
def test_all_inlined(tmp_path: Path, files, expected, with_targets: bool) -> None:
    """The mask is kept, whether a reference tells where the source is or none does."""
    options = {"inline_threshold": 10_000} if with_targets else {"threshold": 10_000}
    references = joined(files, **options)
    found = any(isinstance(reference, list) for reference in references["refs"].values())
    assert found == with_targets
    built = migrate([save(tmp_path / "all.json", references)], str(tmp_path / "repo"), Access())
    assert "v" in built.native
    assert np.array_equal(opened(tmp_path / "repo")["v"], expected, equal_nan=True)


@pytest.mark.parametrize("place", ["relative", "template", "moved", "moved relative"])
def test_paths(tmp_path: Path, files, expected, place: str) -> None:
    references, moved = joined(files), None
    text, folder = json.dumps(references), str(files[0].parent)
    if place == "relative":
        text = text.replace(f"{folder}/", "data/")
    elif place == "template":
        text = text.replace(folder, "{{u}}")
        text = json.dumps({**json.loads(text), "templates": {"u": f"file://{folder}"}})
    elif place == "moved":
        text, moved = text.replace(folder, "s3://gone/archive"), ("s3://gone/archive", folder)
    else:
        text, moved = text.replace(folder, "elsewhere"), ("elsewhere/", f"file://{folder}/")
    made = save(tmp_path / "all.json", json.loads(text))
    migrate([made], str(tmp_path / "repo"), Access(), moved=moved)
    check(tmp_path / "repo", expected, 3)


def test_a_zero_is_no_missing_value(tmp_path: Path) -> None:
    """HDF5 gives arrays without ``_FillValue`` the fill value 0, and Kerchunk writes it down."""
    path = zeros(tmp_path / "zero.h5")
    migrate([save(tmp_path / "r.json", singles([path])[0])], str(tmp_path / "repo"), Access())
    stored = opened(tmp_path / "repo")["v"]
    assert stored.dtype == "int32"
    assert stored.values.tolist() == [0, 1, 2, 3]


def test_zero_of_values_without_a_source(tmp_path: Path) -> None:
    path = zeros(tmp_path / "zero.h5")
    references = singles([path], threshold=10_000)[0]
    built = migrate([save(tmp_path / "r.json", references)], str(tmp_path / "repo"), Access())
    assert opened(tmp_path / "repo")["v"].values.tolist() == [0, 1, 2, 3]
    assert any(note.startswith("v: the references say that 0 is missing") for note in built.notes)


def test_several_dimensions(tmp_path: Path) -> None:
    """Two members of two files: each file is compared with its own place."""
    files, references = [], []
    for member in range(2):
        row = []
        for part in range(2):
            path = tmp_path / f"m{member}p{part}.nc"
            row.append(Recipe(start=2 * part, offset=10.0).write(path))
        files += row
        references.append(joined(row))
    whole = MultiZarrToZarr(
        references,
        concat_dims=["member"],
        coo_map={"member": [0, 1]},
        identical_dims=["lat", "time", "mask", "crs"],
        inline_threshold=0,
    ).translate()
    made = save(tmp_path / "all.json", whole)
    built = migrate([made], str(tmp_path / "repo"), Access(), everything=True)
    assert built.sources == [f"file://{made}"]
    dataset = opened(tmp_path / "repo")
    assert dataset["v"].dims == ("member", "time", "lat")
    assert np.array_equal(dataset["v"][1], Recipe(steps=4).values)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []
    keys = [key for key in whole["refs"] if key.startswith("v/1.1.")]
    whole["refs"][keys[0]] = whole["refs"]["v/1.3.0"]
    made = save(tmp_path / "wrong.json", whole)
    with pytest.raises(Refused, match=r"m1p\d.nc: v"):
        migrate([made], str(tmp_path / "other"), Access(), everything=True)


def test_variables_of_several_files(tmp_path: Path) -> None:
    """References that join what lies in files of the same times."""
    refs: dict = {}
    for name in ("v", "w"):
        path = Recipe().write(tmp_path / f"{name}.nc")
        if name != "v":
            with netCDF4.Dataset(path, "a") as file:
                file.renameVariable("v", name)
        refs |= singles([path])[0]["refs"]
    made = save(tmp_path / "r.json", {"version": 1, "refs": refs})
    built = migrate([made], str(tmp_path / "repo"), Access())
    assert {"v", "w"} <= set(built.virtual)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []
    refs["w/.zattrs"] = refs["w/.zattrs"].replace("0.5", "0.25")
    made = save(tmp_path / "wrong.json", {"version": 1, "refs": refs})
    with pytest.raises(Refused, match=r"w.nc: w\[0, 0\] reads 15.0, in the file 20.0"):
        migrate([made], str(tmp_path / "other"), Access())


def test_a_migrated_repository_goes_on(tmp_path: Path, files, expected) -> None:
    """The files behind the references are known, so new ones can be appended."""
    migrate([save(tmp_path / "r.json", singles(files[:1])[0])], str(tmp_path / "repo"), Access())
    append([str(file) for file in files], str(tmp_path / "repo"), Access())
    check(tmp_path / "repo", expected, 3)


def shift(references: dict, files: list[Path]) -> None:
    references["refs"]["v/1.0"][1] += 10**6


def swap(references: dict, files: list[Path]) -> None:
    references["refs"]["v/1.0"] = references["refs"]["v/2.0"]


def rescale(references: dict, files: list[Path]) -> None:
    refs = references["refs"]
    refs["v/.zattrs"] = refs["v/.zattrs"].replace("0.5", "0.25")


def remove(references: dict, files: list[Path]) -> None:
    files[2].unlink()


def truncate(references: dict, files: list[Path]) -> None:
    files[1].write_bytes(files[1].read_bytes()[:1000])


def misdate(references: dict, files: list[Path]) -> None:
    refs = references["refs"]
    refs["time/.zattrs"] = refs["time/.zattrs"].replace("days since", "hours since")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shift, "bytes of file://{folder}/f0.nc, which has"),
        (swap, "f0.nc: v[1, 0] reads 22.0, in the file 21.0"),
        (rescale, "f0.nc: v[0, 0] reads 15.0, in the file 20.0"),
        (remove, "its references lead to file://{folder}/f2.nc, which cannot be read"),
        (truncate, "bytes of file://{folder}/f1.nc, which has 1000"),
        (misdate, "f0.nc: time[1] reads 2000-01-01T01:00:00"),
    ],
)
def test_wrong_references(tmp_path: Path, files, spoil: Callable, sentence: str) -> None:
    references = joined(files)
    spoil(references, files)
    with pytest.raises((InputError, Refused)) as caught:
        migrate([save(tmp_path / "r.json", references)], str(tmp_path / "repo"), Access())
    assert sentence.format(folder=files[0].parent) in str(caught.value)
    assert not (tmp_path / "repo").exists()


def test_references_joined_without_regard_to_epochs(tmp_path: Path, files) -> None:
    """What Kerchunk makes of files that count from different days, unless it is told."""
    made = save(tmp_path / "r.json", joined(files, coo_map={}))
    with pytest.raises(Refused, match=r"f\d.nc: \w+\[.*\] reads .*, in the file"):
        migrate([made], str(tmp_path / "repo"), Access())


def test_a_migrated_repository_can_be_refreshed(tmp_path: Path, files, expected) -> None:
    migrate([save(tmp_path / "all.json", joined(files))], str(tmp_path / "repo"), Access())
    Recipe(start=2, epoch="2000-01-03").write(files[1])
    assert refresh(str(tmp_path / "repo"), Access()).snapshot
    expected[3, 3] = Recipe(steps=6).values[3, 3]
    check(tmp_path / "repo", expected, 3)


def test_command_line(tmp_path: Path, files, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(joined(files)).replace(str(files[0].parent), "s3://gone/archive")
    made = save(tmp_path / "all.json", json.loads(text))
    common = ["migrate", made, "--repo", str(tmp_path / "repo"), "--quiet"]
    wrong = [*common, "--from", "s3://other", "--to", str(files[0].parent)]
    assert virtual_zarr.main([*common, "--to", "x"]) == 2
    assert "--from and --to belong together" in capsys.readouterr().err
    assert virtual_zarr.main([*wrong[:-1], str(files[0].parent)]) == 2
    assert "s3://gone/archive/f0.nc" in capsys.readouterr().err
    right = [*common, "--from", "s3://gone/archive", "--to", str(files[0].parent), "--json"]
    assert virtual_zarr.main(right) == 0
    assert json.loads(capsys.readouterr().out)["virtual"] == ["crs", "mask", "v"]
    other = ["migrate", str(files[0]), "--repo", str(tmp_path / "other"), "--quiet"]
    assert virtual_zarr.main(other) == 2
    assert "no Kerchunk references" in capsys.readouterr().err
