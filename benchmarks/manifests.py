"""Virtual datasets made in memory: references to files that need not exist."""

from __future__ import annotations

import math
from pathlib import Path

import icechunk
import numpy as np
import xarray as xr
from numcodecs import zstd
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import create_v3_array_metadata
from zarr.codecs import BytesCodec, ZstdCodec

TILES = (10, 10)
"""Chunks of one step of one variable, in latitude and longitude: a file of 100 references."""
TILE = (72, 144)
"""Values in a chunk: 720 x 1440 points, a quarter of a degree."""
MANIFESTS_A_COMMIT = 20
PREFIX = "s3://acme-climate-archive/reanalysis.oper.an.sfc/"
"""URLs come to about 100 characters, as those of the archives of ERA5 and GOES."""


def global_fields(
    steps: int,
    first: int = 0,
    names: tuple[str, ...] = ("t2m",),
    tiles: tuple[int, int] = TILES,
    prefix: str = PREFIX,
) -> xr.Dataset:
    """One file a step and variable, one step a chunk; ``first`` is the number of the first step.

    Holds ``len(names) * steps * tiles[0] * tiles[1]`` references, and the time axis in memory.
    """
    times = np.arange(first, first + steps, dtype="int64")
    clock = {"units": "hours since 1940-01-01", "calendar": "standard"}
    variables = {
        name: xr.Variable(
            ("time", "latitude", "longitude"), manifest_array(name, steps, first, tiles, prefix)
        )
        for name in names
    }
    time = xr.Variable(("time",), times, clock, encoding={"chunks": (65_536,)})
    return xr.Dataset(variables, coords={"time": time})


def manifest_array(
    name: str, steps: int, first: int, tiles: tuple[int, int], prefix: str
) -> ManifestArray:
    """References to compressed chunks of different lengths, one behind the other in each file."""
    grid = (steps, *tiles)
    urls = [
        f"{prefix}{step // 720:05d}/reanalysis.oper.an.sfc.128.{name}.ll025sc.{step:010d}.nc"
        for step in range(first, first + steps)
    ]
    paths = np.repeat(np.array(urls, dtype=np.dtypes.StringDType()), math.prod(tiles))
    lengths = np.random.default_rng(first).integers(8_000, 20_000, size=grid, dtype="uint64")
    flat = lengths.reshape(steps, -1)
    offsets = (np.cumsum(flat, axis=1, dtype="uint64") - flat + np.uint64(4_096)).reshape(grid)
    manifest = ChunkManifest.from_arrays(
        paths=paths.reshape(grid), offsets=offsets, lengths=lengths, validate_paths=False
    )
    metadata = create_v3_array_metadata(
        shape=(steps, tiles[0] * TILE[0], tiles[1] * TILE[1]),
        chunk_shape=(1, *TILE),
        data_type=np.dtype("float32"),
        codecs=[BytesCodec().to_dict(), ZstdCodec().to_dict()],
        dimension_names=["time", "latitude", "longitude"],
    )
    return ManifestArray(metadata=metadata, chunkmanifest=manifest)


def parts(steps: int, split: int | None) -> list[tuple[int, int]]:
    """First step and number of steps of each commit; one of all if they are not split.

    The time of a commit grows with its references times its manifests (``writing``).
    """
    size = split * MANIFESTS_A_COMMIT if split else steps
    return [(first, min(size, steps - first)) for first in range(0, steps, size)]


def configuration(
    prefix: str = PREFIX, split: int | None = None, plain_locations: bool = False
) -> icechunk.RepositoryConfig:
    """With the container of ``prefix``, and ``split`` steps a manifest along ``time``.

    Icechunk compresses every location by itself unless a manifest holds fewer than
    ``min_num_chunks`` references; ``plain_locations`` takes the largest number it accepts, so that
    whole manifests are compressed only.
    """
    config = icechunk.RepositoryConfig.default()
    if prefix.startswith("file://"):
        store = icechunk.local_filesystem_store(prefix.removeprefix("file://"))
    else:
        store = icechunk.s3_store(region="us-west-2")
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    manifest = icechunk.ManifestConfig()
    if split:
        along = icechunk.ManifestSplitDimCondition.DimensionName("time")
        every = icechunk.ManifestSplitCondition.AnyArray()
        manifest.splitting = icechunk.ManifestSplittingConfig.from_dict({every: {along: split}})
    if plain_locations:
        manifest.virtual_chunk_location_compression = (
            icechunk.ManifestVirtualChunkLocationCompressionConfig(min_num_chunks=65_535)
        )
    config.manifest = manifest
    return config


def lead_to_a_file(store: icechunk.IcechunkStore, key: str, folder: Path, number: int) -> None:
    """Let a chunk be found in a real file in ``folder``: it holds the number everywhere."""
    chunk = zstd.compress(np.full(TILE, number, "float32").tobytes())
    folder.mkdir(exist_ok=True)
    path = folder / f"number_{number}.bin"
    path.write_bytes(chunk)
    store.set_virtual_ref(key, f"file://{path}", offset=0, length=len(chunk))


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
