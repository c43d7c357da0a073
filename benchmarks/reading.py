"""Reads through the virtual store, beside the sources, kerchunk and native copies."""

from __future__ import annotations

import io
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import icechunk
import numpy as np
import xarray as xr
import zarr
from kerchunk.utils import refs_as_store
from obspec_utils.readers import BlockStoreReader
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_mfdataset
from virtualizarr.parsers import HDFParser

from benchmarks.latency import BUCKET, FarStore, serve
from benchmarks.manifests import TILES, configuration, global_fields, lead_to_a_file, parts
from benchmarks.measuring import Floor, Table, apart
from benchmarks.samples import SMALL, TINY, write_days

SIZES, SMALL_SIZES = (10_000, 1_000_000, 5_000_000), (1_000, 10_000)
SPLIT = 200
"""Steps a manifest: 20,000 references, as the tool cuts them. Below 10,000, Icechunk looks at all
manifests when an array is opened, whether to preload them; the larger a manifest, the longer takes
the first value."""
FEW = 25
"""Steps a manifest that show it."""
FILES, SMALL_FILES = 36, 4
VIRTUAL, KERCHUNK = "virtual store", "kerchunk JSON"
SOURCES, WHOLE = "open_mfdataset on the sources", "open_mfdataset, whole files first"
NATIVE, SERIES = "native Zarr copy", "native copy, chunks for series"
POINT = {"latitude": 2, "longitude": 3}

Opener = Callable[[], xr.Dataset]


def tables(folder: Path, small: bool) -> Iterable[Table]:
    with serve(folder) as far:
        yield from opened(folder, far, small)
        yield from compared(folder, far, small)


# Opening, against the number of references


def opened(folder: Path, far: FarStore, small: bool) -> Iterable[Table]:
    sizes = SMALL_SIZES if small else SIZES
    cases = [(size, SPLIT) for size in sizes] + [(size, 0) for size in sizes[:2]]
    cases += [(sizes[1], FEW)]
    for size, split in cases:
        apart(write_references, folder, size, split) if size > 10_000 else write_references(
            folder, size, split
        )
    local: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    remote: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    counts = {}
    for _ in range(1 if small else 3):
        for size, split in cases:
            name = repository_name(size, split)
            storage = icechunk.local_filesystem_storage(str(folder / name))
            local[size, split].append(first_value(storage, folder, size))
            far.take_counts()
            remote[size, split].append(first_value(far_storage(far, name), folder, size))
            counts[size, split] = far.take_counts()
    rows = [
        {
            "references": size,
            "references a manifest": split * math.prod(TILES) if split else "all",
            "open + first value, local, s": statistics.median(local[size, split]),
            "remote, s": statistics.median(remote[size, split]),
            "requests": counts[size, split].requests,
            "MB": counts[size, split].bytes / 1e6,
        }
        for size, split in cases
    ]
    floors = [
        Floor(
            f"{where}, split: {sizes[-1]:,} references to {sizes[0]:,}",
            statistics.median(taken[sizes[-1], SPLIT]) / statistics.median(taken[sizes[0], SPLIT]),
            2,
        )
        for where, taken in (("local", local), ("remote", remote))
    ]
    yield Table(
        "Opening, and the first value",
        "One array, 100 references a step; the repository on this disk, and behind 40 ms a "
        "request. The value is in the middle, and its file local.",
        rows,
        floors,
    )


def repository_name(size: int, split: int) -> str:
    return f"references-{size}-{split}"


def write_references(folder: Path, size: int, split: int) -> None:
    """One array whose middle step leads to a real file."""
    prefix = f"file://{folder}/values/"
    config = configuration(prefix, split or None)
    storage = icechunk.local_filesystem_storage(str(folder / repository_name(size, split)))
    repo = icechunk.Repository.create(storage, config)
    repo.save_config()
    steps = size // math.prod(TILES)
    for first, count in parts(steps, split):
        session = repo.writable_session("main")
        global_fields(count, first, prefix=prefix).vz.to_icechunk(
            session.store,
            append_dim="time" if first else None,
            last_updated_at=datetime.now(UTC),
        )
        if first <= steps // 2 < first + count:
            lead_to_a_file(session.store, f"t2m/c/{steps // 2}/0/0", folder / "values", steps // 2)
        session.commit(f"from step {first}")


def first_value(storage: icechunk.Storage, folder: Path, size: int) -> float:
    """Seconds from nothing to the value in the middle."""
    access = {f"file://{folder}/values/": icechunk.credentials.LocalFileSystemAccess}
    middle = size // math.prod(TILES) // 2
    start = time.perf_counter()
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    array = zarr.open_array(repo.readonly_session("main").store, path="t2m", mode="r")
    value = float(array[middle, 0, 0])
    seconds = time.perf_counter() - start
    if value != middle:
        raise ValueError(f"read {value} at step {middle}")
    return seconds


def far_storage(far: FarStore, name: str) -> icechunk.Storage:
    return icechunk.s3_storage(
        bucket=BUCKET,
        prefix=name,
        region="us-east-1",
        endpoint_url=far.endpoint,
        allow_http=True,
        anonymous=True,
        force_path_style=True,
    )


# A point series and a map


def compared(folder: Path, far: FarStore, small: bool) -> Iterable[Table]:
    count, grid = (SMALL_FILES, TINY) if small else (FILES, SMALL)
    files = write_days(folder / "days", count, grid)
    prepare(folder, files)
    size = f"{count} daily files of {files[0].stat().st_size / 1e6:.2g} MB, a chunk a step"
    rounds = 1 if small else 2
    for where, ways, counted in (
        ("local", local_ways(folder, files), None),
        ("behind 40 ms a request", remote_ways(folder, files, far), far),
    ):
        rows = in_rounds(ways, rounds, counted)
        total = {row["read through"]: row["open + series, s"] for row in rows}
        sources = min(total[SOURCES], total.get(WHOLE, math.inf))
        yield Table(
            f"Reading, {where}",
            f"{size}. Opened anew each time; a series of {4 * count} steps at one point, then the "
            "map of one step. Requests of opening and the series.",
            rows,
            [Floor(f"{where}: virtual to sources", total[VIRTUAL] / sources, 1.0)],
        )
    yield from with_settings(folder, far, count, rounds=1)


def prepare(folder: Path, files: list[Path]) -> None:
    """Repositories of local and of remote references, the same as kerchunk's, and two copies."""
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vds = open_virtual_mfdataset(
            [f"file://{file}" for file in files],
            registry=registry,
            parser=HDFParser(),
            loadable_variables=["time", "time_bnds", "latitude", "longitude"],
            combine="nested",
            concat_dim="time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    clock = {"units": "hours since 1990-01-01", "calendar": "standard", "dtype": "int64"}
    vds.time.encoding = clock | {"chunks": (4096,)}
    vds.time_bnds.encoding = clock | {"chunks": (4096, 2)}
    far_vds = vds.vz.rename_paths(lambda path: path.replace(f"file://{folder}/", f"s3://{BUCKET}/"))
    for name, dataset, prefix in (
        ("local.icechunk", vds, f"file://{folder}/days/"),
        ("remote.icechunk", far_vds, f"s3://{BUCKET}/days/"),
    ):
        storage = icechunk.local_filesystem_storage(str(folder / name))
        repo = icechunk.Repository.create(storage, configuration(prefix))
        repo.save_config()
        with repo.transaction("main", message="all days") as store:
            dataset.vz.to_icechunk(store, last_updated_at=datetime.now(UTC))
    for dataset in (vds, far_vds):
        for name in ("time", "time_bnds"):
            dataset[name].encoding.pop("chunks")
    vds.vz.to_kerchunk(folder / "local.json", format="json")
    far_vds.vz.to_kerchunk(folder / "remote.json", format="json")
    whole = open_repository(folder, "local.icechunk", f"file://{folder}/days/").load()
    for variable in whole.variables.values():
        variable.encoding = {}
    steps, rows, columns = whole.t2m.shape
    for name, chunks in (
        ("native.zarr", (1, rows, columns)),
        ("series.zarr", (steps, min(rows, 30), min(columns, 30))),
    ):
        whole.to_zarr(folder / name, encoding={"t2m": {"chunks": chunks}}, consolidated=False)


def open_repository(folder: Path, name: str, prefix: str) -> xr.Dataset:
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(folder / name))
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    return open_zarr(repo.readonly_session("main").store)


def open_zarr(store: object) -> xr.Dataset:
    return xr.open_zarr(store, consolidated=False, chunks=None)


def open_sources(files: list[object], engine: str) -> xr.Dataset:
    return xr.open_mfdataset(
        files,
        engine=engine,
        combine="nested",
        concat_dim="time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )


def local_ways(folder: Path, files: list[Path]) -> dict[str, Opener]:
    def kerchunk() -> xr.Dataset:
        return open_zarr(refs_as_store(str(folder / "local.json"), remote_protocol="file"))

    return {
        VIRTUAL: lambda: open_repository(folder, "local.icechunk", f"file://{folder}/days/"),
        SOURCES: lambda: open_sources(files, "netcdf4"),
        KERCHUNK: kerchunk,
        NATIVE: lambda: open_zarr(folder / "native.zarr"),
        SERIES: lambda: open_zarr(folder / "series.zarr"),
    }


def remote_ways(folder: Path, files: list[Path], far: FarStore) -> dict[str, Opener]:
    keys = [f"{BUCKET}/{file.relative_to(folder)}" for file in files]

    def sources() -> xr.Dataset:
        store = far.object_store()
        names = [key.removeprefix(f"{BUCKET}/") for key in keys]
        return open_sources([BlockStoreReader(store, name) for name in names], "h5netcdf")

    def whole_sources() -> xr.Dataset:
        contents = far.filesystem().cat(keys)
        return open_sources([io.BytesIO(contents[key]) for key in keys], "h5netcdf")

    def kerchunk() -> xr.Dataset:
        references = json.loads(far.filesystem().cat_file(f"{BUCKET}/remote.json"))
        return open_zarr(refs_as_store(references, fs=far.filesystem(), remote_protocol="s3"))

    def native(name: str) -> xr.Dataset:
        from obstore.store import S3Store

        store = S3Store(
            BUCKET,
            prefix=name,
            endpoint=far.endpoint,
            region="us-east-1",
            skip_signature=True,
            client_options={"allow_http": True},
        )
        return open_zarr(zarr.storage.ObjectStore(store, read_only=True))

    return {
        VIRTUAL: lambda: open_far(far),
        SOURCES: sources,
        WHOLE: whole_sources,
        KERCHUNK: kerchunk,
        NATIVE: lambda: native("native.zarr"),
        SERIES: lambda: native("series.zarr"),
    }


def open_far(far: FarStore, config: icechunk.RepositoryConfig | None = None) -> xr.Dataset:
    """The repository and its sources, both behind the server."""
    prefix = f"s3://{BUCKET}/days/"
    config = config or icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(prefix, far.container_store())
    )
    access = icechunk.containers_credentials({prefix: icechunk.s3_credentials(anonymous=True)})
    repo = icechunk.Repository.open(
        far_storage(far, "remote.icechunk"), config, authorize_virtual_chunk_access=access
    )
    return open_zarr(repo.readonly_session("main").store)


def in_rounds(
    ways: dict[str, Opener], rounds: int, far: FarStore | None
) -> list[dict[str, str | int | float]]:
    taken: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    counts, values = {}, {}
    for _ in range(rounds):
        for way, opener in ways.items():
            if far:
                far.take_counts()
            start = time.perf_counter()
            ds = opener()
            opened = time.perf_counter()
            series = ds.t2m.isel(POINT).values
            read = time.perf_counter()
            if far:
                counts[way] = far.take_counts()
            between = time.perf_counter()
            a_map = ds.t2m[len(series) // 2].values
            taken[way].append((opened - start, read - opened, time.perf_counter() - between))
            values[way] = np.concatenate([series, a_map.ravel()])
            ds.close()
    for way, found in values.items():
        np.testing.assert_allclose(found, values[SOURCES], rtol=1e-6, err_msg=way)
    rows = []
    for way in ways:
        opening, series, a_map = (statistics.median(each) for each in zip(*taken[way], strict=True))
        row = {
            "read through": way,
            "open, s": opening,
            "series, s": series,
            "open + series, s": statistics.median(one[0] + one[1] for one in taken[way]),
            "map, s": a_map,
        }
        if far:
            row |= {"requests": counts[way].requests, "MB": counts[way].bytes / 1e6}
        rows.append(row)
    return rows


# What settings change


def with_settings(folder: Path, far: FarStore, count: int, rounds: int) -> Iterable[Table]:
    def cached() -> icechunk.RepositoryConfig:
        config = icechunk.RepositoryConfig.default()
        config.caching = icechunk.CachingConfig(num_bytes_chunks=2**28)
        return config

    def whole_chunks() -> icechunk.RepositoryConfig:
        """12 MiB is the documented default, but unless set smaller chunks are cut, too."""
        config = icechunk.RepositoryConfig.default()
        concurrency = icechunk.StorageConcurrencySettings(ideal_concurrent_request_size=12 * 2**20)
        config.storage = icechunk.StorageSettings(concurrency=concurrency)
        return config

    plain = icechunk.RepositoryConfig.default
    cases = {
        "async.concurrency 10 (default)": ({}, plain),
        "async.concurrency 32": ({"async.concurrency": 32}, plain),
        "async.concurrency 128": ({"async.concurrency": 128}, plain),
        "chunk cache of 256 MiB": ({}, cached),
        "ideal_concurrent_request_size 12 MiB": ({}, whole_chunks),
    }
    taken: dict[str, list[tuple[float, float, float]]] = {case: [] for case in cases}
    counts = {}
    for _ in range(rounds):
        for case, (settings, configure) in cases.items():
            far.take_counts()
            with zarr.config.set(settings):
                start = time.perf_counter()
                ds = open_far(far, configure())
                opened = time.perf_counter()
                ds.t2m.isel(POINT).values  # noqa: B018
                first = time.perf_counter()
                before = far.take_counts()
                again = time.perf_counter()
                ds.t2m.isel(POINT).values  # noqa: B018
                end = time.perf_counter()
            taken[case].append((opened - start, first - opened, end - again))
            counts[case] = (before, far.take_counts())
    rows = []
    for case in cases:
        opening, first, again = (statistics.median(each) for each in zip(*taken[case], strict=True))
        rows.append(
            {
                "setting": case,
                "open, s": opening,
                "series, s": first,
                "the same again, s": again,
                "requests": counts[case][0].requests,
                "requests again": counts[case][1].requests,
            }
        )
    yield Table(
        "Settings of a remote point series",
        f"The virtual store of {count} files behind 40 ms a request.",
        rows,
    )
