"""Files that are large in one way: 2,000 variables, dimensions that were never written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import netCDF4
import numpy as np

TOOL = Path(__file__).parents[3] / "scripts" / "virtual_zarr.py"
DATA = Path(__file__).parents[2] / "data"
MEASURE = """
import re, sys, time, virtual_zarr
status = virtual_zarr.main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
print(status, time.process_time(), int(peak) // 1024, file=sys.stderr)
"""
"""Seconds of the processor, which other processes do not lengthen; not ru_maxrss, which a new
process has from the one that started it."""


def measure(*arguments: str | Path, expected: str = "0") -> tuple[dict, float, int]:
    """What the tool prints, seconds and megabytes, imports included."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, arguments), "--json", "--quiet"],
        cwd=TOOL.parent,
        capture_output=True,
        text=True,
    )
    status, seconds, megabytes = re.findall(r"[\d.]+", done.stderr)[-3:]
    assert status == expected, done.stderr
    return json.loads(done.stdout), float(seconds), int(megabytes)


def write_variables(path: Path, count: int) -> Path:
    """So many variables along an unlimited dimension."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 4)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = [0, 1]
        for number in range(count):
            name = f"v{number:04}"
            variable = file.createVariable(name, "f4", ("time", "x"), chunksizes=(1, 4))
            variable[:] = number
    return path


def test_two_thousand_variables_are_inspected_in_seconds(tmp_path: Path) -> None:
    found, seconds, megabytes = measure("inspect", write_variables(tmp_path / "a.nc", 2000))
    assert len(found["sets"][0]["variables"]) == 2001
    assert seconds < 30
    assert megabytes < 600


def test_two_thousand_variables_are_built_at_a_rate_of_many_a_second(tmp_path: Path) -> None:
    """Each is read from its file and through the references, before and after writing.

    25 s, measured on a quiet machine, nearly all of it Zarr's own for each array.
    """
    path = write_variables(tmp_path / "a.nc", 2000)
    built, seconds, megabytes = measure("build", path, "--repo", tmp_path / "repo")
    assert len(built["virtual"]) == 2000
    assert seconds < 60
    assert megabytes < 600


def test_array_that_was_never_written_takes_no_memory(tmp_path: Path) -> None:
    """39 GB as declared. What is compared of it are blocks of rows: 0.9 GB, measured."""
    path = tmp_path / "declared.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("empty", (70_000, 70_000), "f4", chunks=(500, 500))
        file.create_dataset("contiguous", (70_000, 70_000), "f4")
        file["v"] = np.arange(3)
    for command in (["inspect", path], ["build", path, "--repo", tmp_path / "repo"]):
        _, seconds, megabytes = measure(*command)
        assert seconds < 30
        assert megabytes < 1200
    verified, _, megabytes = measure("verify", "--repo", tmp_path / "repo", "--all")
    assert verified["passed"]
    assert megabytes < 1200


def test_dimension_that_was_never_written_takes_no_memory() -> None:
    """4.5 billion elements in 546 bytes; the parser itself would ask for 67 GB."""
    found, seconds, megabytes = measure("inspect", DATA / "ref_tst_dims.nc", expected="1")
    (sentence,) = found["unreadable"].values()
    assert "holds no variables" in sentence
    assert seconds < 30
    assert megabytes < 400
