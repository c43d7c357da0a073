"""Not possible: one variable has an HDF5 filter that no Zarr codec can undo."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "not possible"
EXPECTS = [
    "obs.icechunk has t2m and rh with the values of the files, virtual; precip is not in it.",
    "REPORT.md has a line for precip and none for the others.",
]
LOST = "precip"


def archive(seed: int) -> dict[str, files.File]:
    made = {}
    for month in range(1, 5):
        random = np.random.default_rng([seed, month])
        file = {
            "time": files.clock(np.arange(10), f"2019-{month:02d}-01 00:00:00", "days"),
            **files.grid(),
        }
        for name, units in (("t2m", "K"), (LOST, "0.1 mm"), ("rh", "%")):
            values = random.integers(0, 300, (10, 6, 8)).astype("i4")
            attrs = {"units": units, "long_name": f"{name} of the month"}
            storage = {"zlib": True, "chunksizes": (10, 6, 8)}
            file[name] = Variable(("time", "lat", "lon"), values, attrs, storage)
        made[f"obs_2019-{month:02d}.nc"] = file
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values())).drop_vars(LOST)


def make(folder: Path, seed: int) -> None:
    for name, file in archive(seed).items():
        path = files.write(folder / "obs" / name, file)
        _store_with_scale_offset(path, file[LOST])


def _store_with_scale_offset(path: Path, variable: Variable) -> None:
    """HDF5's own filter: the fewest bits that hold the numbers of a chunk, after its least one."""
    with h5py.File(path, "r+") as file:
        del file[LOST]
        made = file.create_dataset(
            LOST, data=variable.raw, chunks=variable.raw.shape, scaleoffset=0
        )
        for key, text in variable.attrs.items():
            made.attrs[key] = text
        for number, name in enumerate(variable.dims):
            made.dims[number].attach_scale(file[name])
    files.age(path)
