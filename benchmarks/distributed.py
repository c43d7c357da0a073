"""Region writes by forked sessions in several processes, merged into one commit."""

from __future__ import annotations

import itertools
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import dask.array
import icechunk
import icechunk.xarray
import pandas as pd
import xarray as xr
from dask.distributed import Client, LocalCluster
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset, open_virtual_mfdataset
from virtualizarr.parsers import HDFParser

from benchmarks.manifests import configuration
from benchmarks.measuring import Table
from benchmarks.samples import SMALL, STEPS_PER_DAY, TINY, write_days

REFERENCES, SMALL_REFERENCES = 600, 6
COPIES, SMALL_COPIES = 60, 4
ALONE = "this process, no pool"

Write = Callable[[icechunk.Session, list[Path], int, datetime], icechunk.Session]


def tables(folder: Path, small: bool) -> Iterable[Table]:
    many = write_days(folder / "many", SMALL_REFERENCES if small else REFERENCES, TINY)
    large = write_days(folder / "large", *((SMALL_COPIES, TINY) if small else (COPIES, SMALL)))
    ways = {
        ALONE: alone,
        "forkserver, 2": partial(in_pool, 2),
        "Dask LocalCluster, 2 processes": in_cluster,
    }
    names = list(ways)
    # A pool's start is seconds of imports: small tries one of each kind.
    pooled, clustered = (names[:2], names[::2]) if small else (names, names)
    references = (folder / "references", many, start_references, write_references)
    copies = (folder / "copies", large, start_copies, write_copies)
    yield compared("References", {way: ways[way] for way in pooled}, *references)
    yield compared("Native copies", {way: ways[way] for way in clustered}, *copies)


def compared(
    what: str,
    ways: dict[str, Callable],
    folder: Path,
    files: list[Path],
    start: Callable,
    write: Write,
) -> Table:
    rows = []
    for number, (way, run) in enumerate(ways.items()):
        place = folder / str(number)
        begin = time.perf_counter()
        repo, session = start(place, files)
        run(session, files, write)
        session.commit(f"{len(files)} files")
        seconds = time.perf_counter() - begin
        check(repo, files)
        rows.append({"way": way, "s": seconds, "one process / this": 0.0})
    for row in rows:
        row["one process / this"] = rows[0]["s"] / row["s"]
    size = files[0].stat().st_size / 1e6
    return Table(
        f"{what} of {len(files)} files, written in regions",
        f"Local files of {size:.2g} MB; parsing or reading, writing, one commit, and the start of "
        "the pool included; every worker writes one contiguous part.",
        rows,
    )


# Ways


def alone(session: icechunk.Session, files: list[Path], write: Write) -> None:
    write(session, files, 0, datetime.now(UTC))


def in_pool(count: int, session: icechunk.Session, files: list[Path], write: Write) -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        jobs = [
            pool.submit(write, session.fork(), part, first, datetime.now(UTC))
            for first, part in parts_of(files, count)
        ]
        session.merge(*[job.result() for job in jobs])


def in_cluster(session: icechunk.Session, files: list[Path], write: Write) -> None:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        jobs = [
            client.submit(write, session.fork(), part, first, datetime.now(UTC))
            for first, part in parts_of(files, 2)
        ]
        session.merge(*client.gather(jobs))


def parts_of(files: list[Path], count: int) -> list[tuple[int, list[Path]]]:
    """Number of the first file, and the files, of each of ``count`` parts that are about equal."""
    bounds = [len(files) * number // count for number in range(count + 1)]
    return [(first, files[first:last]) for first, last in itertools.pairwise(bounds)]


def place_of(first: int, files: list[Path]) -> dict[str, slice]:
    return {"time": slice(STEPS_PER_DAY * first, STEPS_PER_DAY * (first + len(files)))}


# References


def start_references(
    place: Path, files: list[Path]
) -> tuple[icechunk.Repository, icechunk.Session]:
    """A repository, and a session that holds the layout of the whole."""
    prefix = f"file://{files[0].parent}/"
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(place))
    repo = icechunk.Repository.create(
        storage, configuration(prefix), authorize_virtual_chunk_access=access
    )
    session = repo.writable_session("main")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = open_virtual_dataset(f"file://{files[0]}", **parsing())
        first = first.reindex(time=all_times(files).values).assign_coords(time=all_times(files))
        first.vz.to_icechunk(session.store, last_updated_at=datetime.now(UTC))
    return repo, session


def write_references(
    session: icechunk.Session, files: list[Path], first: int, parsed_at: datetime
) -> icechunk.Session:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = open_virtual_mfdataset(
            [f"file://{file}" for file in files],
            **parsing(),
            combine="nested",
            concat_dim="time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
        part = without_static(part)
        region = place_of(first, files)
        part.vz.to_icechunk(session.store, region=region, last_updated_at=parsed_at)
    return session


def parsing() -> dict[str, object]:
    return {
        "registry": ObjectStoreRegistry({"file://": LocalStore()}),
        "parser": HDFParser(),
        "loadable_variables": ["time", "latitude", "longitude"],
        "drop_variables": ["time_bnds"],
    }


def all_times(files: list[Path]) -> xr.Variable:
    first = files[0].stem.removeprefix("t2m_")
    times = pd.date_range(first, periods=STEPS_PER_DAY * len(files), freq="6h")
    encoding = {"units": "seconds since 1970-01-01", "dtype": "int64", "chunks": (4096,)}
    return xr.Variable("time", times, encoding=encoding)


def without_static(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.drop_vars(
        [name for name in dataset.variables if "time" not in dataset[name].dims]
    )


# Native copies


def start_copies(place: Path, files: list[Path]) -> tuple[icechunk.Repository, icechunk.Session]:
    repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(place)))
    session = repo.writable_session("main")
    with xr.open_dataset(files[0], mask_and_scale=False) as source:
        first = source.drop_vars("time_bnds").load()
    shape = (STEPS_PER_DAY * len(files), *first.t2m.shape[1:])
    empty = dask.array.zeros(shape, dtype=first.t2m.dtype, chunks=(1, *shape[1:]))
    template = first.drop_vars(["t2m", "time"]).assign(
        t2m=(first.t2m.dims, empty, first.t2m.attrs), time=all_times(files)
    )
    template.to_zarr(session.store, compute=False, consolidated=False)
    return repo, session


def write_copies(
    session: icechunk.Session, files: list[Path], first: int, parsed_at: datetime
) -> icechunk.Session:
    for number, file in enumerate(files, first):
        with xr.open_dataset(file) as source:
            part = without_static(source.drop_vars("time_bnds").load())
        part.t2m.encoding = {}  # xarray packs as the store's own says
        icechunk.xarray.to_icechunk(
            part.drop_vars("time"), session, region=place_of(number, [file])
        )
    return session


def check(repo: icechunk.Repository, files: list[Path]) -> None:
    ds = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    if ds.sizes["time"] != STEPS_PER_DAY * len(files):
        raise RuntimeError(f"{ds.sizes['time']} steps of {len(files)} files")
    for number in (0, len(files) // 2, len(files) - 1):
        with xr.open_dataset(files[number]) as source:
            part = ds.t2m.isel(place_of(number, files[:1]))
            xr.testing.assert_equal(part.load().variable, source.t2m.load().variable)
