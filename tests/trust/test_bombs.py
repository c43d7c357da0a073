"""Small inputs that declare, unpack to, or lead through, very much: refused before that is done."""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eccodes
import fastparquet
import h5py
import netCDF4
import numpy as np
import pandas as pd
import pytest
import tifffile
from harness.tool_worker import ToolWorker
from pyhdf.SD import SD, SDC
from vzarr import limits as limits
from vzarr.changes.build import build
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.formats.envi import parse_header
from vzarr.formats.hdf4.isolated import Reader, ReaderEnded
from vzarr.limits import Declared, box_shape, boxes, check, parse_limit
from vzarr.sources.schemes import Access

SECONDS, MEGABYTES = 10, 750
"""What a bomb may take of the processor, and of memory beside that of the tool (250 MB)."""
MEBI = 1024**2
GROUP = '{"zarr_format":3,"node_type":"group","attributes":{}}'


def array_json(shape: list[int], chunk: list[int], dims: tuple[str, ...] = ("x",)) -> str:
    """Zarr 3, compressed by gzip."""
    name = {"name": "bytes", "configuration": {"endian": "little"}}
    return json.dumps(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": "float32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [name, {"name": "gzip", "configuration": {"level": 5}}],
            "attributes": {},
            "dimension_names": dims,
        }
    )


def zarray(shape: list[int], chunks: list[int], **more: Any) -> str:
    """Zarr 2."""
    plain = {"zarr_format": 2, "dtype": "<f4", "compressor": None, "filters": None}
    return json.dumps({**plain, "fill_value": 0, "order": "C", "shape": shape, "chunks": chunks})


def kerchunk(path: Path, references: dict[str, Any], **more: Any) -> Path:
    """References to one variable ``v`` along ``x``, or to what is given."""
    target = path.with_name("some.bin")
    target.write_bytes(bytes(1000))
    refs = {".zgroup": '{"zarr_format":2}', "v/.zattrs": '{"_ARRAY_DIMENSIONS":["x"]}'}
    text = json.dumps({"version": 1, **more, "refs": {**refs, **references}})
    path.write_text(text.replace("TARGET", str(target)))
    return path


def kerchunk_grid(path: Path, count: int) -> Path:
    return kerchunk(path, {"v/.zarray": zarray([count], [1]), "v/0": ["TARGET", 0, 4]})


def kerchunk_coordinate(path: Path, count: int) -> Path:
    refs = {"x/.zarray": zarray([count], [count]), "x/0": ["TARGET", 0, 4]}
    refs["x/.zattrs"] = '{"_ARRAY_DIMENSIONS":["x"]}'
    return kerchunk(path, {**refs, "v/.zarray": zarray([4], [4]), "v/0": ["TARGET", 0, 16]})


def kerchunk_templates(path: Path) -> Path:
    """Each of which doubles the next: a thousand characters that become gigabytes."""
    templates = {f"t{n}": f"{{{{t{n + 1}}}}}{{{{t{n + 1}}}}}" for n in range(34)}
    templates["t34"] = "x"
    refs = {"v/.zarray": zarray([4], [4]), "v/0": ["{{t0}}", 0, 16]}
    return kerchunk(path, refs, templates=templates)


def kerchunk_many_templates(path: Path) -> Path:
    """None too long, and all of them together too much."""
    refs = {f"v/{n}": [f"{{{{u}}}}{n}", 0, 4] for n in range(40_000)}
    refs["v/.zarray"] = zarray([40_000], [1])
    return kerchunk(path, refs, templates={"u": "/" + "x" * 10_000})


def kerchunk_span(path: Path, *span: Any) -> Path:
    return kerchunk(path, {"v/.zarray": zarray([4], [4]), "v/0": ["TARGET", *span]})


def deep_json(path: Path) -> Path:
    path.write_text('{"refs":' + "[" * 200_000 + "]" * 200_000 + "}")
    return path


def kerchunk_folder(path: Path, shape: int, rows: int = 0, record_size: int = 10) -> Path:
    (path / "v").mkdir(parents=True)
    metadata = {
        ".zgroup": {"zarr_format": 2},
        "v/.zarray": json.loads(zarray([shape], [1])),
        "v/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]},
    }
    text = json.dumps({"metadata": metadata, "record_size": record_size})
    (path / ".zmetadata").write_text(text)
    if rows:
        equal = {"path": pd.Categorical.from_codes(np.zeros(rows, "i1"), ["/some.bin"])}
        equal |= {"offset": np.zeros(rows, "i8"), "size": np.full(rows, 4, "i8")}
        fastparquet.write(str(path / "v" / "refs.0.parq"), pd.DataFrame(equal), compression="ZSTD")
    return path


def hdf5(path: Path, fill: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "w") as file:
        file["small"] = np.arange(3.0)
        fill(file)
    return path


def hdf5_axis(file: h5py.File, size: int = 4 * 10**9, chunk: int = 10**6) -> None:
    axis = file.create_dataset("time", (size,), "f8", chunks=(chunk,), compression="gzip")
    axis[:10] = np.arange(10)
    axis.make_scale("time")


def hdf5_padded_axis(file: h5py.File) -> None:
    """A coordinate of ten values, along a dimension that another variable makes long."""
    growing = {"chunks": (10,), "maxshape": (None,)}
    time = file.create_dataset("time", data=np.arange(10.0), **growing)
    time.make_scale("time")
    file.create_dataset("w", data=np.arange(10.0), **growing).dims[0].attach_scale(time)
    growing = {"chunks": (10**6,), "maxshape": (None,)}
    file.create_dataset("v", (10**12,), "f4", **growing).dims[0].attach_scale(time)


def hdf5_grid(file: h5py.File, count: int) -> None:
    file.create_dataset("v", (count,), "f4", chunks=(1,))[0] = 1


def hdf5_row(file: h5py.File) -> None:
    """One row of 80 GB."""
    row = file.create_dataset("v", (1, 10**10), "f8", chunks=(1, 10**6), compression="gzip")
    row[0, :10] = 1


def hdf5_chunk(file: h5py.File) -> None:
    """3.2 GB in a single chunk."""
    size = 4 * 10**8
    file.create_dataset("v", (size,), "f8", chunks=(size,), compression="gzip")[:10] = 1


def zeros_deflated(gigabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    block = bytes(10**7)
    return b"".join(packer.compress(block) for _ in range(100 * gigabytes)) + packer.flush()


def hdf5_stream(file: h5py.File, name: str = "v", elements: int = 10) -> None:
    """A chunk that says that it is small, and inflates to 2 GB."""
    shape = (elements,)
    data = file.create_dataset(name, shape, "f8", chunks=shape, compression="gzip")
    data.id.write_direct_chunk((0,), zeros_deflated(2))
    if name == "time":
        data.make_scale("time")


def hdf5_strings(file: h5py.File, as_axis: bool = False) -> None:
    """A million strings that all are one of 200 kB: pointers to one place."""
    one = file.create_dataset("one", (1,), h5py.string_dtype(), chunks=(1,))
    one[0] = "x" * 200_000
    _, pointer = one.id.read_direct_chunk((0,))
    options = {"chunks": (10**6,), "compression": "gzip"}
    many = file.create_dataset("many", (10**6,), h5py.string_dtype(), **options)
    many.id.write_direct_chunk((0,), zlib.compress(pointer * 10**6))
    if as_axis:
        many.make_scale("many")


def hdf5_diamond(file: h5py.File) -> None:
    """Forty groups with 2**40 paths."""
    group = file.create_group("top")
    for number in range(40):
        below = file.create_group(f"/hold/{number}")
        group["a"] = group["b"] = below
        group = below
    group["x"] = np.arange(2.0)


def hdf5_cycle(file: h5py.File) -> None:
    file["group/x"] = np.arange(2.0)
    file["group/self"] = file["group"]
    file["group/root"] = file["/"]


def hdf5_deep(file: h5py.File) -> None:
    group = file
    for _ in range(3000):
        group = group.create_group("a")
    group["x"] = np.arange(2.0)


def hdf5_unwritten(file: h5py.File) -> None:
    file.create_dataset("e", (10**16,), "f4", chunks=(10**6,))


def netcdf3(path: Path, records: int, size: int, kind: int = 6) -> Path:
    """A variable along a dimension of that size, or of records, in 180 bytes."""
    head = b"CDF\x01" + struct.pack(">i", records) + struct.pack(">ii", 10, 1)
    head += struct.pack(">i", 1) + b"x\0\0\0" + struct.pack(">I", size) + bytes(8)
    head += struct.pack(">ii", 11, 1) + struct.pack(">i", 1) + b"x\0\0\0"
    head += struct.pack(">ii", 1, 0) + bytes(8) + struct.pack(">iIi", kind, 2**32 - 1, 100)
    path.write_bytes(head + bytes(100))
    return path


def netcdf3_counts(path: Path, tag: int) -> Path:
    """Two billion dimensions, attributes or variables."""
    gaps = {10: b"", 12: bytes(8), 11: bytes(16)}[tag]
    path.write_bytes(b"CDF\x01" + bytes(4) + gaps + struct.pack(">iI", tag, 2**31 - 1) + bytes(100))
    return path


def fits(path: Path, *cards: str, ends: bool = True, data: int = 2880) -> Path:
    lines = ["SIMPLE  =                    T", *cards, *["END"] * ends]
    head = b"".join(line.ljust(80).encode() for line in lines)
    path.write_bytes(head + b" " * (-len(head) % 2880) + bytes(data))
    return path


def fits_without_end(path: Path) -> Path:
    cards = ["BITPIX  =                    8", "NAXIS   =                    0"]
    return fits(path, *cards, *["COMMENT x"] * 900_000, ends=False, data=0)


def fits_of_size(path: Path, *sizes: int) -> Path:
    cards = ["BITPIX  =                    8", f"NAXIS   = {len(sizes):>20}"]
    return fits(path, *cards, *(f"NAXIS{n + 1:<3}= {size:>20}" for n, size in enumerate(sizes)))


def tiff_of(path: Path, changed: int, value: int, field: str = "I") -> Path:
    """A small tiled image with one number of its first directory changed."""
    tifffile.imwrite(path, np.zeros((64, 64), "u1"), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        at = {tag.code: tag.offset for tag in tiff.pages[0].tags}[changed]
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{field}", data, at + (4 if field == "I" else 8), value)
    path.write_bytes(data)
    return path


def tiff_loop(path: Path) -> Path:
    """Directories that follow one another for ever."""
    tifffile.imwrite(path, np.zeros((3, 8, 8), "u1"), photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[-1].offset
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", data, last)
    struct.pack_into("<I", data, last + 2 + 12 * count, first)
    path.write_bytes(data)
    return path


def tiff_strip(path: Path) -> Path:
    """A strip of 4 GB, in 4 MB."""
    side = 64_000
    packer = zlib.compressobj(9)
    row = bytes(side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter([data]), shape=(side, side), dtype="u1", rowsperstrip=side, compression="zlib"
        )
    return path


def grib(path: Path, change: Callable[[bytearray, dict[int, int]], None]) -> Path:
    """A constant field of 10 by 10 points; ``change`` is given the places of its sections."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    eccodes.codes_set(handle, "Ni", 10)
    eccodes.codes_set(handle, "Nj", 10)
    eccodes.codes_set_values(handle, np.full(100, 5.0))
    eccodes.codes_set(handle, "bitsPerValue", 0)
    data = bytearray(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    at, places = 16, {}
    while data[at : at + 4] != b"7777":
        places[data[at + 4]] = at
        at += int.from_bytes(data[at : at + 4], "big")
    change(data, places)
    path.write_bytes(data)
    return path


def grib_points(data: bytearray, places: dict[int, int], side: int = 60_000) -> None:
    count = side * side % 2**32
    struct.pack_into(">I", data, places[3] + 6, count)
    struct.pack_into(">II", data, places[3] + 30, side, side)
    struct.pack_into(">I", data, places[5] + 5, count)


def grib_section(number: int, length: int) -> Callable[[bytearray, dict[int, int]], None]:
    return lambda data, places: struct.pack_into(">I", data, places[number], length)


def grib_length(length: int) -> Callable[[bytearray, dict[int, int]], None]:
    return lambda data, places: struct.pack_into(">Q", data, 8, length)


def zarr_folder(path: Path, array: str, chunk: bytes = b"1234", attributes: str = "{}") -> Path:
    (path / "v" / "c").mkdir(parents=True)
    (path / "zarr.json").write_text(GROUP.replace("{}", attributes))
    (path / "v" / "zarr.json").write_text(array)
    (path / "v" / "c" / "0").write_bytes(chunk)
    return path


def zarr_zip(path: Path, array: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", GROUP)
        archive.writestr("v/zarr.json", array)
        archive.writestr("v/c/0", gzip.compress(bytes(16)))
    return path


def zip_overlap(path: Path) -> Path:
    """A directory that lists the same large member a hundred times."""
    zarr_zip(path, array_json([4], [4]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("v/c/1", os.urandom(4 * MEBI))
        member = archive.infolist()[-1]
        for number in range(100):
            again = zipfile.ZipInfo(f"v/c/{number + 2}")
            for key in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(again, key, getattr(member, key))
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    return path


def zarr_loop(path: Path) -> Path:
    """Links to the folder above, three on each of forty levels."""
    zarr_folder(path, array_json([4], [4]), gzip.compress(bytes(16)))
    (path / "group").mkdir()
    (path / "group" / "zarr.json").write_text(GROUP)
    for name in "xyz":
        (path / "group" / name).symlink_to("..")
    return path


def envi(path: Path, header: str, data: bytes = bytes(range(100))) -> Path:
    path.write_bytes(data)
    path.with_name(path.name + ".hdr").write_text("ENVI\n" + header)
    return path


def envi_header(side: int, **more: object) -> str:
    fields = {"samples": side, "lines": side, "bands": 1, "header offset": 0, "data type": 1}
    fields |= {"file type": "ENVI Standard", "interleave": "bsq", "byte order": 0}
    fields |= {name.replace("_", " "): value for name, value in more.items()}
    return "".join(f"{name} = {value}\n" for name, value in fields.items())


def hdf4(path: Path, shape: tuple[int, ...] = (4, 5), coordinate: bool = False) -> Path:
    file = SD(str(path), SDC.WRITE | SDC.CREATE)
    data = file.create("v", SDC.FLOAT32, shape)
    if coordinate:
        data.dim(0).setname("v")
    data[(slice(0, 1),) * len(shape)] = np.ones((1,) * len(shape), "f4")
    data.endaccess()
    file.end()
    return path


def hdf4_loop(path: Path) -> Path:
    """A list of elements that is followed by itself."""
    data = bytearray(hdf4(path).read_bytes())
    struct.pack_into(">I", data, 6, 4)
    path.write_bytes(data)
    return path


TOO_MUCH = r"(allowed|too large to copy)"
DAMAGED = "fetch (it|the file) again"
BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "templates": (kerchunk_templates, "more than the 16,384 that any server takes"),
    "templates-many": (kerchunk_many_templates, "--limit expansion="),
    "json-deep": (deep_json, "nested deeper"),
    "grid-1e7": (lambda path: kerchunk_grid(path, 10**7), "--limit chunks=10000000"),
    "grid-1e9": (lambda path: kerchunk_grid(path, 10**9), "--limit variable=4000000000"),
    "grid-1e15": (lambda path: kerchunk_grid(path, 10**15), "--limit chunks="),
    "grid-empty": (lambda path: kerchunk_grid(path, 2 * 10**6), "--limit empty=1999999"),
    "coordinate-1e9": (lambda path: kerchunk_coordinate(path, 10**9), "--limit load=4000000000"),
    "coordinate-1e12": (lambda path: kerchunk_coordinate(path, 10**12), "--limit load="),
    "span-negative": (lambda path: kerchunk_span(path, -4, 16), "v/0: neither text nor a URL"),
    "span-sum": (lambda path: kerchunk_span(path, 10**20, -(10**20)), "v/0: neither text"),
    "span-huge": (lambda path: kerchunk_span(path, 0, 2**62), "need 4611686018427387904 bytes"),
    "span-beyond": (lambda path: kerchunk_span(path, 0, 2**64), "v/0: neither text"),
    "span-two": (lambda path: kerchunk_span(path, 5), "v/0: neither text"),
    "span-fraction": (lambda path: kerchunk_span(path, 0.5, 16), "v/0: neither text"),
    "span-text": (lambda path: kerchunk_span(path, "0", "16"), "v/0: neither text"),
    "span-truth": (lambda path: kerchunk_span(path, False, True), "v/0: neither text"),
    "parquet-grid": (lambda path: kerchunk_folder(path, 10**9), "--limit chunks=1000000000"),
    "parquet-rows": (lambda path: kerchunk_folder(path, 4, 10**7), "has 10,000,000 rows"),
    "hdf5-axis": (lambda path: hdf5(path, hdf5_axis), "--limit load=32000000000"),
    "hdf5-axis-small": (
        lambda path: hdf5(path, lambda file: hdf5_axis(file, 3 * 10**8, 10**7)),
        "--drop time, or allow it with --limit load=2400000000",
    ),
    "hdf5-axis-padded": (lambda path: hdf5(path, hdf5_padded_axis), "time declares 8,000,000,000,"),
    "hdf5-grid-1e7": (lambda path: hdf5(path, lambda file: hdf5_grid(file, 10**7)), "chunks=1000"),
    "hdf5-grid-1e9": (lambda path: hdf5(path, lambda file: hdf5_grid(file, 10**9)), TOO_MUCH),
    "hdf5-row": (lambda path: hdf5(path, hdf5_row), "--limit variable=80000000000"),
    "hdf5-chunk": (lambda path: hdf5(path, hdf5_chunk), "--limit chunk=3200000000"),
    "hdf5-stream": (lambda path: hdf5(path, hdf5_stream), DAMAGED),
    "hdf5-stream-large": (
        lambda path: hdf5(path, lambda file: hdf5_stream(file, elements=250_000)),
        "a chunk unpacks to",
    ),
    "hdf5-stream-axis": (
        lambda path: hdf5(path, lambda file: hdf5_stream(file, "time", 250_000)),
        "unpacks to more bytes than it declares",
    ),
    "hdf5-strings": (lambda path: hdf5(path, hdf5_strings), "the bytes of its text"),
    "hdf5-strings-axis": (
        lambda path: hdf5(path, lambda file: hdf5_strings(file, as_axis=True)),
        "the bytes of its text",
    ),
    "hdf5-deep": (lambda path: hdf5(path, hdf5_deep), "--limit depth="),
    "hdf5-unwritten": (lambda path: hdf5(path, hdf5_unwritten), "--limit chunks="),
    "netcdf3-dimension": (lambda path: netcdf3(path, 0, 2**31 - 8), "incomplete; fetch it again"),
    "netcdf3-records": (lambda path: netcdf3(path, 2**31 - 8, 0, 1), "incomplete; fetch it again"),
    "netcdf3-dimensions": (lambda path: netcdf3_counts(path, 10), DAMAGED),
    "netcdf3-attributes": (lambda path: netcdf3_counts(path, 12), DAMAGED),
    "netcdf3-variables": (lambda path: netcdf3_counts(path, 11), DAMAGED),
    "fits-endless": (fits_without_end, "--limit header="),
    "fits-size": (lambda path: fits_of_size(path, 4 * 10**12), "incomplete; fetch it again"),
    "fits-sizes": (lambda path: fits_of_size(path, 2**32, 2**32), DAMAGED),
    "tiff-width": (lambda path: tiff_of(path, 256, 2**31, "8xI"[2:]), DAMAGED),
    "tiff-count": (lambda path: tiff_of(path, 324, 2**32 - 1), "damaged"),
    "tiff-loop": (tiff_loop, "follows itself"),
    "tiff-strip": (tiff_strip, "--limit chunk=4096000000"),
    "grib-points": (lambda path: grib(path, grib_points), "--limit chunk=28800000000"),
    "grib-length": (lambda path: grib(path, grib_length(2**60)), "is damaged"),
    "grib-section-none": (lambda path: grib(path, grib_section(5, 0)), "is damaged"),
    "grib-section-all": (lambda path: grib(path, grib_section(6, 2**32 - 1)), "is damaged"),
    "zarr-grid": (lambda path: zarr_folder(path, array_json([10**9], [1])), "--limit chunks="),
    "zarr-shape": (lambda path: zarr_folder(path, array_json([2**62], [2**62])), "--limit chunk="),
    "zarr-axis": (
        lambda path: zarr_folder(path, array_json([10**9], [10**6], ("v",))),
        "--limit load=4000000000",
    ),
    "zarr-attributes": (
        lambda path: zarr_folder(
            path, array_json([4], [4]), gzip.compress(bytes(16)), '{"q":' * 500 + "1" + "}" * 500
        ),
        "--limit depth=",
    ),
    "zarr-stream": (
        lambda path: zarr_folder(path, array_json([4], [4]), gzip.compress(bytes(10**9))),
        "a chunk unpacks to",
    ),
    "zarr-links": (zarr_loop, "symbolic links"),
    "zip-grid": (lambda path: zarr_zip(path, array_json([10**9], [1])), "--limit chunks="),
    "zip-overlap": (zip_overlap, "overlap"),
    "envi-header": (lambda path: envi(path, "a={\n" * 100_000), "data type is None"),
    "envi-header-long": (
        lambda path: envi(path, envi_header(10) + "a={\n" * 5 * MEBI),
        "--limit header=",
    ),
    "envi-declared": (
        lambda path: envi(path, envi_header(10**5, file_compression=1), gzip.compress(b"1")),
        "--limit chunk=10000000000",
    ),
    "hdf4-shape": (lambda path: hdf4(path, (40_000, 40_000)), TOO_MUCH),
    "hdf4-axis": (lambda path: hdf4(path, (2 * 10**9,), coordinate=True), "--limit load="),
    "hdf4-loop": (hdf4_loop, "leads back to itself"),
}
"""What writes each, and the words of the refusal."""


@pytest.fixture(scope="module")
def worker() -> Iterator[ToolWorker]:
    with ToolWorker() as running:
        yield running


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_before_it_goes_off(worker: ToolWorker, tmp_path: Path, name: str) -> None:
    write, words = BOMBS[name]
    path = write(tmp_path / f"{name}.file")
    inspected = worker.tool("inspect", path)
    built = worker.tool("build", path, "--repo", tmp_path / "repo", "--quiet")
    for run in (inspected, built):
        assert not run.died
        assert run.seconds < SECONDS
        assert run.megabytes < MEGABYTES
    assert inspected.value["status"] in (0, 1), inspected.value["err"]
    assert built.value["status"] == 2, built.value
    assert re.search(words, built.value["err"])
    assert len(built.value["err"].splitlines()) == 1
    assert not (tmp_path / "repo").exists()


HARMLESS = {
    "hdf5-diamond": lambda path: hdf5(path, hdf5_diamond),
    "hdf5-cycle": lambda path: hdf5(path, hdf5_cycle),
    "envi-unpacked": lambda path: envi(
        path, envi_header(10, file_compression=1), gzip.compress(bytes(2 * 10**9), 1)
    ),
    "hdf5-axis-dropped": lambda path: hdf5(path, hdf5_axis),
}
"""What looks as bad, and can be taken: little of it is wanted."""


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_wanted_of_a_bomb_is_taken(worker: ToolWorker, tmp_path: Path, name: str) -> None:
    path = HARMLESS[name](tmp_path / f"{name}.file")
    drop = ["--drop", "time"] if name == "hdf5-axis-dropped" else []
    repository = tmp_path / "repo"
    for command in (["build", path, "--repo", repository, *drop], ["verify", "--repo", repository]):
        run = worker.tool(*command, "--quiet")
        assert not run.died
        assert run.value["status"] == 0, run.value["err"]
        assert run.seconds < SECONDS
        assert run.megabytes < MEGABYTES


def test_header_of_a_hundred_thousand_open_braces_is_read_once() -> None:
    fields = parse_header(
        "ENVI\nsamples = 5\n" + "a={\n" * 100_000 + "bands = { 1,\n 2 }\nlines=\n{3}\n"
    )
    assert fields["samples"] == "5"
    assert fields["lines"] == "{3}"
    assert fields["a"].startswith("{")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "wavelength = { 450,\n 550 }\nunits = nm",
            {"wavelength": "{ 450,\n 550 }", "units": "nm"},
        ),
        ("; note = 5\nsamples = 6", {"samples": "6"}),
        ("map info =\n{UTM, 1}\nbands=2", {"map info": "{UTM, 1}", "bands": "2"}),
        (
            "description = {a = b\n c = d}\nBands = 2",
            {"description": "{a = b\n c = d}", "bands": "2"},
        ),
        ("open = {1, 2\nbands = 2", {"open": "{1, 2", "bands": "2"}),
        ("empty =\nbands = 2", {"empty": "", "bands": "2"}),
    ],
)
def test_fields_of_headers(line: str, expected: dict[str, str]) -> None:
    assert parse_header(f"ENVI\n{line}") == expected


def test_ten_million_records_are_no_bomb(worker: ToolWorker, tmp_path: Path) -> None:
    path = tmp_path / "stations.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("obs", None)
        time = file.createVariable("obs", "f8", ("obs",), zlib=True, chunksizes=(10**6,))
        time[:] = np.arange(10**7)
        file.createVariable("v", "f4", ("obs",), zlib=True, chunksizes=(10**6,))[:] = 1
    built = worker.tool("build", path, "--repo", tmp_path / "repo", "--json", "--quiet")
    assert built.value["status"] == 0, built.value["err"]
    assert json.loads(built.value["out"])["loaded"] == ["obs"]


@pytest.mark.parametrize("chunks", [1_200_000, 5_000_000])
def test_many_chunks_are_no_bomb(chunks: int) -> None:
    whole = Declared("v", (chunks,), 4, (1,), stored=chunks, unpacked=4)
    check("file:///a.nc", 40 * chunks, [whole])
    check("file:///a.nc", 40 * chunks, [Declared("v", (chunks,), 4, (1,), stored=chunks - 10**6)])


def test_arrays_of_a_file_count_together() -> None:
    arrays = [Declared(f"group{n}/v", (3_000_000,), 4, (1,)) for n in range(3)]
    known: dict[str, Declared] = {}
    check("file:///a.nc", 10**9, arrays[:2], known)
    check("file:///a.nc", 10**9, arrays[:2], known)  # the same once more
    with pytest.raises(Refused, match=r"--drop group0/v, or allow it with --limit chunks=9000000"):
        check("file:///a.nc", 10**9, arrays[2:], known)


def test_limit_is_raised_by_the_option(worker: ToolWorker, tmp_path: Path) -> None:
    """As the sentence says, in each command; and it is as before in the next."""
    path = hdf5(tmp_path / "a.h5", lambda file: hdf5_axis(file, 10**6, 10**5))
    build_it = ["build", path, "--repo", tmp_path / "repo", "--quiet"]
    refused = worker.tool(*build_it, "--limit", "load=1MB")
    option = re.search(r"allow it with (--limit [^ ]+)\.$", refused.value["err"].strip())[1]
    assert option == "--limit load=8000000"
    assert worker.tool(*build_it, "--limit", "load=1MB", *option.split()).value["status"] == 0
    verify = ["verify", "--repo", tmp_path / "repo"]
    assert worker.tool(*verify, "--limit", "load=1MB").value["status"] != 0
    assert worker.tool(*verify).value["status"] == 0


def test_limits_reach_processes_that_parse(tmp_path: Path) -> None:
    from vzarr.sources.discover import find_sources
    from vzarr.virtualize.pool import Options, parse_some

    path = hdf5(tmp_path / "a.h5", lambda file: hdf5_axis(file, 10**6, 10**5))
    sources = find_sources([str(path)], Access())
    limits.set_limits([("load", 10**6)])
    try:
        options = Options()
        limits.set_limits([])
        (result,) = parse_some(sources, options)
        assert "--limit load=8000000" in result.reason
    finally:
        limits.set_limits([])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("load=2GB", ("load", 2 * 10**9)),
        ("load=2GiB", ("load", 2 * 2**30)),
        ("load=1.5k", ("load", 1500)),
        ("chunks=20e6", ("chunks", 20_000_000)),
        ("chunks=20_000_000", ("chunks", 20_000_000)),
    ],
)
def test_values_of_limits(text: str, expected: tuple[str, int]) -> None:
    assert parse_limit(text) == expected


@pytest.mark.parametrize("text", ["load", "load=", "load=0", "load=-5", "load=many", "lood=5"])
def test_limits_that_are_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    import virtual_zarr

    with pytest.raises(SystemExit) as ended:
        virtual_zarr.main(["inspect", "a.nc", "--limit", text])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_help_names_every_limit(capsys: pytest.CaptureFixture[str]) -> None:
    import virtual_zarr

    with pytest.raises(SystemExit):
        virtual_zarr.main(["--help"])
    printed = capsys.readouterr().out
    for name, known in limits.LIMITS.items():
        assert f"  {name} ({known.default:_}): {known.meaning}" in printed


@pytest.mark.parametrize(
    ("shape", "chunk", "most", "chunks"),
    [
        ((7, 100), None, 10**9, None),
        ((10, 10**7), None, 10**6, None),
        ((50, 60, 70), (5, 7, 70), 8 * 10**4, None),
        ((50, 60, 70), (5, 7, 1), 10**9, 100),
        ((), None, 8, None),
    ],
)
def test_boxes_hold_every_element_once(
    shape: tuple[int, ...], chunk: tuple[int, ...] | None, most: int, chunks: int | None
) -> None:
    step = box_shape(shape, 8, most, chunk, chunks)
    met = np.zeros(shape, "u1") if np.prod(shape) < 10**6 else None
    total = 0
    for box in boxes(shape, step):
        sizes = [min(part.stop, size) - part.start for part, size in zip(box, shape, strict=True)]
        total += int(np.prod(sizes, dtype=int))
        assert np.prod(sizes, dtype=int) * 8 <= most
        if met is not None:
            met[box] += 1
    assert total == np.prod(shape, dtype=int)
    assert met is None or (met == 1).all()


def test_reader_that_ends_its_process_is_one_exception(tmp_path: Path) -> None:
    """And that file is not tried again; the next one is read."""
    (tmp_path / "readers.py").write_text(
        "import os, signal, time\n"
        "def crash(file): os.kill(os.getpid(), signal.SIGABRT)\n"
        "def hang(file): time.sleep(60)\n"
        "def read(file): print('noise'); return file[1]\n"
        "def fail(file): raise KeyError('no such thing')\n"
    )
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file in files:
        file.write_bytes(b"12345")
    import sys

    sys.path.insert(0, str(tmp_path))
    reader = Reader("readers", "Test", patience=3)
    try:
        for _ in range(2):
            with pytest.raises(ReaderEnded, match=r"the Test library ended .* \(signal 6\)"):
                reader.call("crash", files[0])
        assert reader.call("read", files[1]) == 5
        with pytest.raises(ReaderEnded, match="signal 6"):
            reader.call("read", files[0])
        with pytest.raises(ValueError, match="no such thing"):
            reader.call("fail", files[1])
        with pytest.raises(ReaderEnded, match="did not answer within 3 s"):
            reader.call("hang", files[2])
    finally:
        sys.path.remove(str(tmp_path))
        reader.close()


def test_hdf4_is_read_in_parts_of_one_process(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    file = SD(str(path), SDC.WRITE | SDC.CREATE)
    values = np.arange(6 * 7 * 8, dtype="i4").reshape(6, 7, 8)
    data = file.create("v", SDC.INT32, values.shape)
    data[:] = values
    data.endaccess()
    file.end()
    build([str(path)], str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []
    from vzarr.formats.hdf4 import parser as hdf4
    from vzarr.formats.open import open_native
    from vzarr.sources.content import fetch

    process = hdf4._pyhdf._process.pid
    with open_native(fetch(f"file://{path}", Access(), path.stat().st_size), "hdf4") as native:
        for key in ((2, slice(None), slice(1, 8, 3)), (slice(5, 0, -2), 3, slice(0, 0)), (..., 1)):
            np.testing.assert_array_equal(native["v"].variable[key].values, values[key])
    assert hdf4._pyhdf._process.pid == process


def test_tiff_is_read_by_its_tiles(tmp_path: Path) -> None:
    from vzarr.formats.open import open_native
    from vzarr.sources.content import fetch

    path = tmp_path / "a.tif"
    values = np.random.default_rng(1).integers(0, 60_000, (3, 50, 70)).astype("u2")
    for options in (
        {"tile": (16, 32), "planarconfig": "separate"},
        {"tile": (16, 32), "planarconfig": "contig"},
        {"rowsperstrip": 7, "planarconfig": "separate"},
        {"rowsperstrip": 7, "planarconfig": "contig"},
    ):
        given = values if options["planarconfig"] == "separate" else np.moveaxis(values, 0, -1)
        tifffile.imwrite(path, given, photometric="rgb", compression="zlib", predictor=2, **options)
        content = fetch(f"file://{path}", Access(), path.stat().st_size)
        with open_native(content, "tiff") as native:
            image = native["image"].variable
            for key in (
                (slice(None), slice(None), slice(None)),
                (1, slice(13, 37), slice(5, 66, 3)),
                (slice(2, 0, -1), 49, slice(30, 40)),
                (slice(None), slice(20, 20), 3),
            ):
                np.testing.assert_array_equal(image[key].values, values[key])


def test_sentence_of_a_limit(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", hdf5_axis)
    with pytest.raises((InputError, Refused)) as raised:
        build([str(path)], str(tmp_path / "repo"), Access())
    assert str(raised.value) == (
        f"file://{path}: time declares 32,000,000,000 bytes, all of which are loaded as numbers, "
        "more than the 268,435,456 allowed: leave out what is too large with --drop time, or allow "
        "it with --limit load=32000000000 --limit variable=32000000000."
    )
