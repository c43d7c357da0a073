"""Growth: a month comes again, corrected, and lacks chunks that the first issue had."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from kit import by_hand, files
from kit.files import Variable

KIND = "growth"
EXPECTS = [
    "main has the corrected March, also on the days that the corrected file has no data for.",
    "The other months and the time axis are as before; precip is virtual.",
    "The commits from before are still there and read as they did.",
]
DAYS = (31, 28, 31, 30)
BUILT = "January to April"
"""Message of the commit that is there."""
EMPTY = slice(10, 14)
"""Days of the new March that were withdrawn: their chunks were never written."""


def archive(seed: int, version: int = 1) -> dict[int, files.File]:
    """Files by month; ``version`` is that of March."""
    made = {}
    for month, days in enumerate(DAYS, 1):
        random = np.random.default_rng([seed, month, version if month == 3 else 1])
        values = random.gamma(1, 4, (days, 6, 8)).astype("f4")
        if (month, version) == (3, 2):
            values[EMPTY] = -999
        told = {"_FillValue": np.float32(-999), "units": "mm d-1", "long_name": "precipitation"}
        storage = {"zlib": True, "chunksizes": (1, 6, 8)}
        made[month] = {
            "time": files.clock(np.arange(days), f"2023-{month:02d}-01 00:00:00", "days"),
            **files.grid(),
            "precip": Variable(("time", "lat", "lon"), values, told, storage),
        }
    return made


def truth(seed: int, version: int = 2) -> xr.Dataset:
    return files.truth(list(archive(seed, version).values()))


def make(folder: Path, seed: int) -> None:
    data = folder / "data"
    paths = [
        files.write(data / f"precip_2023-{month:02d}.nc", file)
        for month, file in archive(seed).items()
    ]
    vds = by_hand.combined(paths)
    vds.time.encoding["chunks"] = (256,)
    by_hand.store(vds, folder / "rain.icechunk", data, BUILT)
    issued = data / "precip_2023-03_v2.nc"
    files.write(issued, archive(seed, 2)[3])
    _leave_out_chunks(issued)


def _leave_out_chunks(path: Path) -> None:
    """Write the variable anew, without a chunk for the days that were withdrawn."""
    with h5py.File(path, "r+") as file:
        old = file["precip"]
        values, attrs = old[:], {key: old.attrs[key] for key in ("units", "long_name")}
        axes = ["time", "lat", "lon"]
        del file["precip"]
        new = file.create_dataset(
            "precip", values.shape, "f4", chunks=(1, 6, 8), compression="gzip", shuffle=True,
            compression_opts=4, fillvalue=np.float32(-999),
        )  # fmt: skip
        new[: EMPTY.start] = values[: EMPTY.start]
        new[EMPTY.stop :] = values[EMPTY.stop :]
        for key, text in attrs.items():
            new.attrs[key] = text
        new.attrs["_FillValue"] = np.array([-999], "f4")
        for number, name in enumerate(axes):
            new.dims[number].attach_scale(file[name])
    files.age(path)
