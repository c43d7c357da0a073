"""Chunks of plain numbers are cut where one would be long; images that the parser refuses."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import tifffile
from stores import opened
from vzarr import limits, parse
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.limits import rows_that_divide
from vzarr.sources.schemes import Access
from vzarr.upstream import kerchunk_hdf4
from vzarr.upstream.virtualizarr import manifest_chunk_shape
from vzarr.virtualize import plain_chunks


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a kilobyte were much."""
    monkeypatch.setattr(limits, "READS_WELL", 1024)
    monkeypatch.setattr(plain_chunks, "READS_WELL", 1024)
    monkeypatch.setattr(limits, "TOO_SMALL", 64)


def verified(files: list[Path], folder: Path) -> None:
    """Built, and equal to a reader of the files."""
    build(list(map(str, files)), str(folder / "store"), Access(), concat_dim=None)
    report = verify_repository(str(folder / "store"), Access(), sample=None)
    assert report.passed, report.failures


@pytest.mark.parametrize(
    ("rows", "row_bytes", "expected"),
    [
        (10, 100, 10),  # few bytes
        (1000, 2**20, 10),  # 16 MB hold 16 rows, and 10 divide 1000
        (7, 2**25, 1),  # a row is more than that
        (100_003, 2**10, 100_003),  # a prime number of small rows
        (32, 2**20, 16),
    ],
)
def test_rows_of_a_chunk(rows: int, row_bytes: int, expected: int) -> None:
    assert rows_that_divide(rows, row_bytes) == expected


@pytest.mark.parametrize("format", ["NETCDF4", "NETCDF3_64BIT_OFFSET"])
@pytest.mark.usefixtures("small")
def test_a_long_variable_is_cut(tmp_path: Path, format: str) -> None:
    files = []
    for number in range(2):
        path = tmp_path / f"v_{number}.nc"
        with netCDF4.Dataset(path, "w", format=format) as file:
            for dim, size in (("time", 6), ("level", 2), ("y", 10), ("x", 8)):
                file.createDimension(dim, size)
            time = file.createVariable("time", "i4", ("time",))
            time.units = "days since 2020-01-01"
            time[:] = 6 * number + np.arange(6)
            random = np.random.default_rng(number)
            for name, dims in (("v", ("time", "level", "y", "x")), ("flat", ("level", "y", "x"))):
                variable = file.createVariable(name, "f4", dims)
                shape = variable.shape
                variable[:] = (random if name == "v" else np.random.default_rng(9)).random(shape)
        files.append(str(path))
    parsed = parse(files[0], record_dimension="time")
    chunks = {
        name: manifest_chunk_shape(parsed.dataset[name].data.metadata) for name in parsed.virtual
    }
    assert chunks == {"v": (1, 2, 10, 8), "flat": (2, 10, 8)}
    build(files[:1], str(tmp_path / "store"), Access())
    append(files, str(tmp_path / "store"), Access())
    report = verify_repository(str(tmp_path / "store"), Access(), sample=None)
    assert report.passed, report.failures
    assert report.native == {}


@pytest.mark.usefixtures("small")
def test_a_row_that_is_long_itself_is_cut_along_the_next_dimension(tmp_path: Path) -> None:
    path = tmp_path / "v.nc"
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in (("a", 3), ("b", 50), ("c", 16)):
            file.createDimension(dim, size)
        file.createVariable("v", "f8", ("a", "b", "c"))[:] = np.random.random((3, 50, 16))
    parsed = parse(path)
    assert manifest_chunk_shape(parsed.dataset["v"].data.metadata) == (1, 5, 16)
    verified([path], tmp_path)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("layout", ["strips", "short strips", "tiles"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.usefixtures("small")
def test_images_are_virtual(
    tmp_path: Path, bands: int, layout: str, compression: str | None, byteorder: str
) -> None:
    pixels = np.random.default_rng(1).integers(1, 9000, (36, 40, bands)).astype("u2").squeeze()
    options: dict = {"compression": compression, "byteorder": byteorder, "metadata": None}
    options |= {"photometric": "minisblack", "planarconfig": "contig" if bands > 1 else None}
    options |= {"tile": (16, 16)} if layout == "tiles" else {"rowsperstrip": 9}
    if layout == "short strips":
        options["rowsperstrip"] = 8
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels, **options)
    verified([path], tmp_path)
    stored = opened(tmp_path / "store")[""].load()
    np.testing.assert_array_equal(stored.image, np.moveaxis(pixels, -1, 0) if bands > 1 else pixels)
    native = parse(path).native
    # A compressed strip that is shorter than the others is no chunk.
    assert bool(native) == (layout == "short strips" and compression is not None)
    if layout == "short strips" and compression is None:
        rows = manifest_chunk_shape(parse(path).dataset["image"].data.metadata)[-2]
        assert rows == {1: 12, 3: 4}[bands]


def test_hdf4_datasets_of_any_number_of_dimensions(tmp_path: Path) -> None:
    """kerchunk names two dimensions, or one where nothing was written."""
    values = np.arange(24, dtype=">i4").reshape(2, 3, 4)
    path = tmp_path / "f"
    path.write_bytes(values.tobytes())
    refs = [["0.0.0", 0, values.nbytes]]
    variable = {"dims": [2, 3, 4], "dtype": ">i4", "refs": refs, "units": "K"}
    array = kerchunk_hdf4.array_of("v", variable, f"file://{path}", tmp_path.as_uri())
    assert array.shape == (2, 3, 4)
    assert array.metadata.attributes["units"] == "K"
    assert array.manifest.dict()["0.0.0"]["length"] == values.nbytes
    nothing = {"dims": [2, 3], "dtype": ">i4"}
    empty = kerchunk_hdf4.array_of("v", nothing, f"file://{path}", tmp_path.as_uri())
    assert (empty.shape, empty.manifest.dict()) == ((2, 3), {})


def test_one_hdf4_dataset_that_fails_leaves_the_others_virtual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sd = pytest.importorskip("pyhdf.SD")
    path = tmp_path / "granule.hdf"
    file = sd.SD(str(path), sd.SDC.WRITE | sd.SDC.CREATE | sd.SDC.TRUNC)
    for name in ("first", "second"):
        dataset = file.create(name, sd.SDC.INT16, (4, 5))
        dataset.setcompress(sd.SDC.COMP_DEFLATE, 5)
        dataset[:] = np.arange(20, dtype="i2").reshape(4, 5)
        dataset.endaccess()
    file.end()
    assert parse(path).native == {}
    array_of = kerchunk_hdf4.array_of

    def fail(name: str, *rest: object) -> object:
        if name == "second":
            raise ValueError("this one")
        return array_of(name, *rest)

    monkeypatch.setattr(kerchunk_hdf4, "array_of", fail)
    parsed = parse(path)
    assert parsed.virtual == ["first"]
    assert str(parsed.native["second"]) == "the parser fails on it: ValueError: this one"
    monkeypatch.setattr(kerchunk_hdf4, "array_of", array_of)
    decode = kerchunk_hdf4.decode

    def with_group(url: str) -> tuple[dict, dict]:
        variables, attributes = decode(url)
        return {**variables, "swath": {"inner": {}}}, attributes

    monkeypatch.setattr(kerchunk_hdf4, "decode", with_group)
    assert sorted(parse(path).virtual) == ["first", "second"]
