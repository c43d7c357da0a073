"""Real files, damaged at random: refused with a sentence, or read as the formats' own readers do.

``FUZZ_MUTATIONS`` is the number of damaged files (400), ``FUZZ_SEED`` chooses others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from harness.tool_worker import Run, ToolWorker

DATA = Path(__file__).parents[1] / "data"
MUTATIONS = int(os.environ.get("FUZZ_MUTATIONS", "400"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
SECONDS, MEGABYTES = 20, 750
"""What a damaged file may take of the processor, and of memory beside that of the tool."""
HUGE = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1)
"""What lengths and counts are made."""


@dataclass(frozen=True)
class Sample:
    """``damaged`` are the files that are changed: of a folder some, else the one that is built."""

    kind: str
    path: str
    damaged: tuple[str, ...] = ()


SAMPLES = [
    Sample("hdf5", "hdf5/granule_0.nc"),
    Sample("hdf5", "hdf5/types.h5"),
    Sample("hdf5", "hdf5/unlimited.nc"),
    Sample("hdf5", "hdf5/no_scales.h5"),
    Sample("hdf5", "data/ref_groups.h5"),
    Sample("hdf5", "data/hdf5_compression_zstd.h5"),
    Sample("hdf5", "data/hdf5_mini_blosc.h5"),
    Sample("netcdf3", "netcdf3/stations.nc"),
    Sample("netcdf3", "netcdf3/sst_2024-01.nc"),
    Sample("netcdf3", "data/ref_nctest_64bit_offset.nc"),
    Sample("grib", "grib/forecast_00.grib2"),
    Sample("grib", "grib/analysis.grib1"),
    Sample("grib", "grib/multi_field.grib2"),
    Sample("grib", "grib/two_grids.grib2"),
    Sample("fits", "fits/ccd_0.fits"),
    Sample("fits", "fits/tables.fits"),
    Sample("fits", "fits/compressed.fits"),
    Sample("tiff", "tiff/B04_2024-01-05.tif"),
    Sample("tiff", "tiff/rgb_planar.tif"),
    Sample("tiff", "tiff/strips_zlib.tif"),
    Sample("tiff", "tiff/strips.tif"),
    Sample("hdf4", "hdf4/granule.hdf"),
    Sample("hdf4", "hdf4/chunked.hdf"),
    Sample("hdf4", "hdf4/mixed.hdf"),
    # Not its chunks: what Blosc makes of a damaged stream differs from one reading to the next.
    Sample("zarr", "zarr/v2.zarr", ("*/.zarray", ".zgroup", "*/.zattrs")),
    Sample("zarr", "zarr/v3.zarr", ("zarr.json", "*/zarr.json", "*/c/*")),
    Sample("zarr", "zarr/sharded.zarr", ("*/zarr.json", "*/c/*", "*/c/*/*")),
    Sample("zarr", "zarr/stored.zip"),
    Sample("kerchunk", "kerchunk/sst_1.json"),
    Sample("kerchunk", "kerchunk/templates.json"),
    Sample("envi", "envi/scene.img", ("scene.hdr", "scene.img")),
]


def damage(data: bytes, random: np.random.Generator) -> bytes:
    """One to three changes, half of them where headers are."""
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        if not changed:
            break
        reach = min(len(changed), 512) if random.random() < 0.5 else len(changed)
        at = int(random.integers(0, reach))
        kind = int(random.integers(0, 7))
        if kind == 0:
            changed[at] ^= 1 << int(random.integers(0, 8))
        elif kind == 1:
            changed[at] = int(random.integers(0, 256))
        elif kind == 2 and random.random() < 0.5:
            del changed[at:]
        elif kind in (2, 3):
            size = int(random.choice([1, 2, 4, 8]))
            order = "big" if random.random() < 0.5 else "little"
            number = int(HUGE[int(random.integers(0, len(HUGE)))]) % 256**size
            at -= at % size * int(random.random() < 0.7)
            changed[at : at + size] = number.to_bytes(size, order)[: len(changed) - at]
        else:
            other, size = int(random.integers(0, len(changed))), int(random.integers(1, 64))
            part = bytes(changed[other : other + size])
            if kind == 4:
                changed[at : at + size] = part
            elif kind == 5:
                changed[at:at] = part
            else:
                del changed[at : at + size]
    return bytes(changed)


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[ToolWorker, ToolWorker]]:
    """One runs the tool, the other the judge, which a damaged file may end."""
    with ToolWorker() as tool, ToolWorker() as judge:
        yield tool, judge


def problem(run: Run, allowed: tuple[int, ...]) -> str:
    if run.died:
        return f"the tool {run.died}"
    if run.value["status"] not in allowed:
        return f"ended with status {run.value['status']}: {run.value['err'][-400:]}"
    if "Traceback" in run.value["err"]:
        return "printed a traceback"
    if run.seconds > SECONDS or run.megabytes > MEGABYTES:
        return f"took {run.seconds:.1f} s and {run.megabytes} MB"
    return ""


def judged(
    sample: Sample, path: Path, repository: Path, tool: ToolWorker, judge: ToolWorker
) -> tuple[str, bool]:
    """What is wrong with how the tool took a damaged file, if anything; whether it took it."""
    built = tool.tool("build", path, "--repo", repository, "--quiet")
    if found := problem(built, (0, 2)):
        return f"build {found}", False
    if built.value["status"] == 2:
        if len(built.value["err"].splitlines()) != 1:
            return f"build said more than a sentence: {built.value['err']}", False
        inspected = tool.tool("inspect", path, "--quiet")
        found = problem(inspected, (0, 1))
        return (f"inspect {found}" if found else ""), False
    verified = tool.tool("verify", "--repo", repository, "--all", "--quiet")
    if found := problem(verified, (0,)):
        return f"verify {found} {(verified.value or {}).get('out', '')[-400:]}", True
    compared = judge.call("harness.native_readers:compare", sample.kind, str(path), str(repository))
    if compared.died:  # its own reader, in its own process
        return "", True
    return "; ".join(compared.value["wrong"]), True


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path)
def test_damaged_files(
    sample: Sample,
    workers: tuple[ToolWorker, ToolWorker],
    format_folder: Path,
    tmp_path: Path,
) -> None:
    origin = (
        DATA.parent / sample.path
        if sample.path.startswith("data/")
        else format_folder / sample.path
    )
    folder = tmp_path / "files"
    if sample.kind in ("kerchunk", "envi"):  # with what lies beside it
        shutil.copytree(origin.parent, folder)
    else:
        folder.mkdir()
        (shutil.copytree if origin.is_dir() else shutil.copy)(origin, folder / origin.name)
    path = folder / origin.name
    root = path if path.is_dir() else folder
    patterns = sample.damaged or (path.name,)
    files = [file for pattern in patterns for file in sorted(root.glob(pattern)) if file.is_file()]
    assert files
    random = np.random.default_rng([SEED, SAMPLES.index(sample)])
    taken, wrong = 0, []
    for number in range(-(-MUTATIONS // len(SAMPLES))):
        file = files[int(random.integers(0, len(files)))]
        whole = file.read_bytes()
        damaged = damage(whole, random)
        file.write_bytes(damaged)
        repository = tmp_path / f"repo{number}"
        found, is_taken = judged(sample, path, repository, *workers)
        taken += is_taken
        if found:
            kept = tmp_path / f"damaged{number}-{file.name}"
            kept.write_bytes(damaged)
            wrong.append(f"{number} ({kept}): {found}")
        shutil.rmtree(repository, ignore_errors=True)
        file.write_bytes(whole)
    print(f"{sample.path}: {taken} taken")
    assert not wrong, "\n".join(wrong)
