"""Silent trap: Kerchunk keeps the fill value of Zarr v2 only, which Zarr v3 does not mask by."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from kit import files

KIND = "silent trap"
EXPECTS = [
    "humidity.icechunk gives the values of the files, and missing ones as missing.",
    "rh points into the files.",
]
PACKING = {"scale_factor": 0.01, "add_offset": 50.0}
FILL = -9999
FILES = 3


def archive(seed: int) -> dict[str, files.File]:
    """Files by name; ``time`` counts from one day in all."""
    made = {}
    for number in range(FILES):
        random = np.random.default_rng([seed, number])
        attrs = {"units": "%", "long_name": "relative humidity"}
        made[f"rh_{number}.nc"] = {
            "time": files.clock(4 * number + np.arange(4), "2021-01-01 00:00:00", "days"),
            **files.grid(),
            "rh": files.counts(random, (4, 6, 8), PACKING, FILL, **attrs),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    made = archive(seed)
    paths = [files.write(folder / "data" / name, file) for name, file in made.items()]
    (folder / "refs.json").write_text(json.dumps(references(paths, list(made.values()))))


def references(paths: list[Path], made: list[files.File]) -> dict:
    """What Kerchunk makes of these files, combined along time."""
    refs: dict[str, object] = {".zgroup": json.dumps({"zarr_format": 2}), ".zattrs": "{}"}
    first = made[0]
    time = np.concatenate([file["time"].raw for file in made])
    for name, raw in (("time", time), ("lat", first["lat"].raw), ("lon", first["lon"].raw)):
        told = {**first[name].attrs, "_ARRAY_DIMENSIONS": [name]}
        refs[f"{name}/.zarray"] = _array(raw.shape, raw.shape, raw.dtype.str, None)
        refs[f"{name}/.zattrs"] = json.dumps(told)
        refs[f"{name}/0"] = "base64:" + base64.b64encode(raw.tobytes()).decode()
    attrs = {key: value for key, value in first["rh"].attrs.items() if key != "_FillValue"}
    attrs["_ARRAY_DIMENSIONS"] = ["time", "lat", "lon"]
    codecs = {
        "compressor": {"id": "zlib", "level": 4},
        "filters": [{"id": "shuffle", "elementsize": 2}],
    }
    refs["rh/.zarray"] = _array((len(time), 6, 8), (1, 6, 8), "<i2", FILL, **codecs)
    refs["rh/.zattrs"] = json.dumps(attrs)
    step = 0
    for path in paths:
        with h5py.File(path) as file:
            chunks = file["rh"].id
            for number in range(chunks.get_num_chunks()):
                stored = chunks.get_chunk_info(number)
                place = step + stored.chunk_offset[0]
                refs[f"rh/{place}.0.0"] = [str(path.absolute()), stored.byte_offset, stored.size]
            step += chunks.shape[0]
    return {"version": 1, "refs": refs}


def _array(
    shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, fill: int | None, **codecs: object
) -> str:
    told = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "order": "C"}
    return json.dumps(told | {"fill_value": fill, "compressor": None, "filters": None} | codecs)
