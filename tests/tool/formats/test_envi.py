"""ENVI through the tool: each layout equals the numbers that were written."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import icechunk
import numpy as np
import obstore
import pytest
import xarray as xr
from obstore.store import S3Store
from vzarr.changes.build import build
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError
from vzarr.sources import remote_file as reading
from vzarr.sources.schemes import Access
from worlds.s3 import STORES_BUCKET

AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
CODES = {"u1": 1, "i2": 2, "f4": 4, "f8": 5, "c8": 6, "u2": 12}


def write_scene(
    path: Path,
    interleave: str = "bsq",
    dtype: str = "<i2",
    header: str = "{stem}.hdr",
    offset: int = 0,
    compressed: bool = False,
    **fields: object,
) -> np.ndarray:
    """Three bands of 4 by 5 pixels; returns them in the order of the file."""
    pixels = np.random.default_rng(3).integers(0, 250, (3, 4, 5)).transpose(AXES[interleave])
    data = pixels.astype(dtype).tobytes()
    path.write_bytes(bytes(offset) + (gzip.compress(data) if compressed else data))
    lines = {
        "samples": 5,
        "lines": 4,
        "bands": 3,
        "header offset": offset,
        "file type": "ENVI Standard",
        "data type": CODES[np.dtype(dtype).str[1:]],
        "interleave": interleave,
        "byte order": int(dtype[0] == ">"),
        "file compression": int(compressed),
        "wavelength": "{ 450,\n 550, 650 }",
        "wavelength units": "nm",
        **{name.replace("_", " "): value for name, value in fields.items()},
    }
    text = "\n".join(["ENVI", *(f"{name} = {value}" for name, value in lines.items()), ""])
    path.with_name(header.format(stem=path.stem, name=path.name)).write_text(text)
    return pixels.astype(dtype)


def read_back(repository: Path, folder: Path) -> xr.Dataset:
    access = {f"file://{folder}/": icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(repository))
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    return xr.open_zarr(repo.readonly_session("main").store, consolidated=False).load()


@pytest.mark.parametrize("interleave", AXES)
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("<i2", {}),
        (">u2", {"offset": 128, "header": "{name}.hdr"}),
        (">f8", {}),
        ("<c8", {}),
        ("|u1", {}),
        ("<f4", {"compressed": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pixels_are_those_of_the_file(
    tmp_path: Path, interleave: str, dtype: str, options: dict
) -> None:
    pixels = write_scene(tmp_path / "scene.img", interleave, dtype, **options)
    built = build([str(tmp_path / "scene*")], str(tmp_path / "repo"), Access())
    assert built.sources == [f"file://{tmp_path}/scene.img"]
    assert built.virtual == ["image"]
    report = verify_repository(str(tmp_path / "repo"), Access(), sample=None)
    assert report.failures == []
    ds = read_back(tmp_path / "repo", tmp_path)
    np.testing.assert_array_equal(ds.image, pixels)
    assert ds.image.dims == tuple(("band", "y", "x")[axis] for axis in AXES[interleave])
    assert ds.wavelength.values.tolist() == [450, 550, 650]
    assert ds.wavelength.units == "nm"


def test_coordinates_and_mask_come_from_the_header(tmp_path: Path) -> None:
    place = "{UTM, 1.0, 1.0, 300000, 5000000, 10, 20, 33, North, WGS-84, units=Meters}"
    pixels = write_scene(tmp_path / "scene.img", map_info=place, data_ignore_value=7)
    build([str(tmp_path / "scene.hdr")], str(tmp_path / "repo"), Access())
    ds = read_back(tmp_path / "repo", tmp_path)
    assert ds.x.values.tolist() == [300005, 300015, 300025, 300035, 300045]
    assert ds.y.values.tolist() == [4999990, 4999970, 4999950, 4999930]
    np.testing.assert_array_equal(ds.image, np.where(pixels == 7, np.nan, pixels))


def test_map_that_is_rotated_has_no_coordinates(tmp_path: Path) -> None:
    place = "{UTM, 1, 1, 300000, 5000000, 10, 10, 33, North, WGS-84, rotation=30}"
    write_scene(tmp_path / "scene.img", map_info=place)
    build([str(tmp_path / "scene.hdr")], str(tmp_path / "repo"), Access())
    assert set(read_back(tmp_path / "repo", tmp_path).coords) <= {"wavelength"}


@pytest.mark.parametrize("head", [b'{"refs"', b"<?xml ve", b"BZh", b"\x1f\x8b", b"PAR1", b"\0\0"])
def test_raw_file_may_begin_with_anything(tmp_path: Path, head: bytes) -> None:
    write_scene(tmp_path / "scene", dtype="|u1")
    data = (tmp_path / "scene").read_bytes()
    (tmp_path / "scene").write_bytes(head + data[len(head) :])
    build([str(tmp_path / "scene.hdr")], str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed


def test_header_that_changes_is_noticed(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene.img")
    build([str(tmp_path / "scene.img")], str(tmp_path / "repo"), Access())
    write_scene(tmp_path / "other.img", "bip")
    (tmp_path / "other.hdr").rename(tmp_path / "scene.hdr")
    report = verify_repository(str(tmp_path / "repo"), Access(), sample=None)
    assert any("image has the dimensions" in str(failure) for failure in report.failures)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"file_type": "ENVI Spectral Library"}, "only plain ENVI Standard can be virtual"),
        ({"major_frame_offsets": "{0, 8}"}, "only plain ENVI Standard can be virtual"),
        ({"data_type": 7}, "data type 7 with interleave 'bsq' is not known"),
        ({"interleave": "bsx"}, "data type 2 with interleave 'bsx' is not known"),
        ({"samples": "many"}, "samples is 'many', not a number"),
        ({"lines": 5}, "says 150 bytes, the file has 120: fetch it again"),
    ],
)
def test_what_cannot_be_virtual_is_refused(tmp_path: Path, fields: dict, sentence: str) -> None:
    interleave = fields.pop("interleave", "bsq")
    write_scene(tmp_path / "scene.img", **fields)
    text = (tmp_path / "scene.hdr").read_text().replace("= bsq", f"= {interleave}")
    (tmp_path / "scene.hdr").write_text(text)
    with pytest.raises(InputError, match=sentence) as raised:
        build([str(tmp_path / "scene.img")], str(tmp_path / "repo"), Access())
    assert "scene" in str(raised.value)
    assert not (tmp_path / "repo").exists()


def test_header_alone(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene.img")
    (tmp_path / "scene.img").rename(tmp_path / "elsewhere")
    (tmp_path / "scene").mkdir()
    with pytest.raises(InputError, match="header without its raw file: name that file"):
        build([str(tmp_path / "scene.hdr")], str(tmp_path / "repo"), Access())


@pytest.mark.parametrize("limit", [reading.ONE_REQUEST, 0], ids=["whole", "in-blocks"])
def test_objects_on_s3(
    enter_world: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: Path,
    limit: int,
) -> None:
    enter_world("s3-keys")
    monkeypatch.setattr(reading, "ONE_REQUEST", limit)
    monkeypatch.setattr(reading, "IN_MEMORY_LIMIT", limit)
    write_scene(clean_environment / "scene.img")
    bucket = S3Store(STORES_BUCKET, region="us-west-2")
    for name in ("scene.img", "scene.hdr"):
        obstore.put(bucket, f"envi/{name}", (clean_environment / name).read_bytes())
    access = Access(region="us-west-2")
    built = build([f"s3://{STORES_BUCKET}/envi/scene.hdr"], "repo", access)
    assert built.virtual == ["image"]
    assert verify_repository("repo", access, sample=None).failures == []
