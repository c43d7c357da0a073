"""Routine: a script of 2023 that crashes today, and whose way of opening repeats dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files

KIND = "routine"
EXPECTS = [
    "python make_store.py ends with status 0, and does so when it is run a second time.",
    "store.icechunk has every step of the files with its own date; sst is virtual.",
]
DAYS = 5
SCRIPT = '''"""Build the virtual store of all files in data/."""

from glob import glob

import xarray as xr
from icechunk import IcechunkStore, StorageConfig, StoreConfig, VirtualRefConfig
from virtualizarr import open_virtual_dataset

files = sorted(glob("data/*.nc"))
datasets = [open_virtual_dataset(file, indexes={}) for file in files]
combined = xr.concat(
    datasets, dim="time", coords="minimal", compat="override", combine_attrs="override"
)
store = IcechunkStore.create(
    storage=StorageConfig.filesystem("store.icechunk"),
    config=StoreConfig(virtual_ref_config=VirtualRefConfig.filesystem()),
    read_only=False,
)
combined.virtualize.to_icechunk(store)
store.commit(f"{len(files)} files")
'''


def archive(seed: int) -> dict[str, files.File]:
    """Files by name."""
    made = {}
    for day in range(1, DAYS + 1):
        random = np.random.default_rng([seed, day])
        attrs = {"units": "degC", "long_name": "sea surface temperature"}
        packing = {"scale_factor": 0.001, "add_offset": 12.0}
        made[f"sst_{day:02d}.nc"] = {
            "time": files.clock([1, 7, 13, 19], f"2024-01-{day:02d} 00:00:00"),
            **files.grid(),
            "sst": files.counts(random, (4, 6, 8), packing, **attrs),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    for name, file in archive(seed).items():
        files.write(folder / "data" / name, file)
    (folder / "make_store.py").write_text(SCRIPT)
