"""Parse many small files: one after another, in pools, and by the tool; locally and far away."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import icechunk
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset, open_virtual_mfdataset
from virtualizarr.parsers import HDFParser

from benchmarks.latency import BUCKET, DELAY, FarStore, serve
from benchmarks.measuring import Floor, Table, apart, in_turns
from benchmarks.samples import SMALL, STEPS_PER_DAY, write_days

LOADED = ["time", "time_bnds", "latitude", "longitude"]
COMBINING = {
    "combine": "nested",
    "concat_dim": "time",
    "data_vars": "minimal",
    "coords": "minimal",
    "compat": "override",
    "join": "exact",
    "combine_attrs": "override",
}
LIMIT = 90.0
"""Seconds after which Lithops is given up."""


def tables(folder: Path, small: bool) -> Iterable[Table]:
    yield _pools(folder, small)
    local = _build_local(folder, (40, 20, 5) if small else (2000, 200, 10))
    far = _build_far(folder, (12, 4) if small else (500, 20), DELAY / 10 if small else DELAY)
    yield Table(
        "Build a repository: the tool against the serial recipe",
        "Parse, combine, write, commit; the tool also compares with the sources, and starts its "
        "workers. The recipe is measured on fewer files where a number stands in brackets, and its "
        "time multiplied; far files lie behind 40 ms a request, and are asked for by the tool as "
        "often as the last column says, a file.",
        [*local.rows, *far.rows],
        [*local.floors, *far.floors],
    )


# Pools


def _pools(folder: Path, small: bool) -> Table:
    """``small`` leaves out pools that start as others do: each start takes seconds of imports."""
    number = 20 if small else 200
    urls = [f"file://{path}" for path in write_days(folder / "pools", number)]
    lithops = _lithops_alone(folder, urls, small)
    methods = ("forkserver",) if small else ("forkserver", "spawn")
    ways = {
        "serial": lambda: _open_all(urls, False),
        "threads, 8": lambda: _open_in(urls, ThreadPoolExecutor(8)),
        **{f"{method}, 2": partial(_open_in_processes, urls, method, 2) for method in methods},
        "Dask LocalCluster, 2 processes": lambda: _open_by_dask(urls),
    }
    _open_all(urls[:2], False)  # imports
    taken = in_turns(ways, rounds=1)
    found = {name: measured.seconds for name, measured in taken.items()} | lithops
    rows = [
        {
            "way": name,
            "seconds": seconds or f"more than {LIMIT:g}",
            "serial / way": found["serial"] / seconds if seconds else "",
        }
        for name, seconds in found.items()
    ]
    for measured in taken.values():
        _check_length(measured.value, number)
    return Table(
        f"Parse {number} small local files",
        "`open_virtual_mfdataset(parallel=…)`, with the start of the pool; once each. Lithops on "
        "localhost starts an interpreter for each call, so its first row is of 2 files, multiplied;"
        " the second gives each of 2 workers half of the files.",
        rows,
    )


def _check_length(dataset: xr.Dataset, files: int) -> None:
    if dataset.sizes["time"] != STEPS_PER_DAY * files:
        raise RuntimeError(f"{dataset.sizes['time']} steps of {files} files")


def _open_all(
    urls: list[str], parallel: Any, registry: ObjectStoreRegistry | None = None
) -> xr.Dataset:
    return open_virtual_mfdataset(
        urls,
        registry=registry or ObjectStoreRegistry({"file://": LocalStore()}),
        parser=HDFParser(),
        loadable_variables=LOADED,
        parallel=parallel,
        **COMBINING,
    )


def _open_in(urls: list[str], executor: Executor) -> xr.Dataset:
    with executor:
        return _open_all(urls, executor)


def _open_in_processes(urls: list[str], method: str, workers: int) -> xr.Dataset:
    # Never "fork": the child inherits locks of threads that it does not have, and hangs.
    context = multiprocessing.get_context(method)
    return _open_in(urls, ProcessPoolExecutor(workers, mp_context=context))


def _open_by_dask(urls: list[str]) -> xr.Dataset:
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1}
    with (
        LocalCluster(
            processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0", **options
        ) as cluster,
        Client(cluster),
    ):
        return _open_all(urls, "dask")


# Lithops


def _lithops_alone(folder: Path, urls: list[str], small: bool) -> dict[str, float | None]:
    """Seconds of both ways, None after ``LIMIT``; in processes of their own, where its files go
    into another home than the user's."""
    found = {}
    if not small:
        each = _within_limit(_open_by_lithops, folder, urls[:2])
        found["Lithops, a call a file"] = each and each * len(urls) / 2
    return found | {
        "Lithops, a call a worker": _within_limit(_open_batches_by_lithops, folder, urls)
    }


def _within_limit(function: Callable[..., None], *arguments: Any) -> float | None:
    try:
        return apart(function, *arguments, limit=LIMIT).seconds
    except TimeoutError:
        return None


def _lithops(folder: Path) -> Any:
    """VirtualiZarr's executor on this interpreter.

    Without ``runtime`` Lithops runs the first ``python`` on the PATH, whichever it is.
    """
    home = folder / "lithops"
    home.mkdir(exist_ok=True)
    os.environ |= {"HOME": str(home), "TMPDIR": str(home)}
    tempfile.tempdir = None  # read again: Lithops keeps its files there
    from virtualizarr.parallel import LithopsEagerFunctionExecutor

    return LithopsEagerFunctionExecutor(
        config={
            "lithops": {"backend": "localhost", "storage": "localhost"},
            "localhost": {"runtime": sys.executable, "worker_processes": 2},
        },
        log_level="ERROR",
    )


def _open_by_lithops(folder: Path, urls: list[str]) -> None:
    _check_length(_open_in(urls, _lithops(folder)), len(urls))


def _open_batches_by_lithops(folder: Path, urls: list[str]) -> None:
    half = -(-len(urls) // 2)
    with _lithops(folder) as executor:
        parts = list(executor.map(_open_batch, [urls[:half], urls[half:]]))
    options = {name: value for name, value in COMBINING.items() if name not in _NESTED}
    _check_length(xr.concat([*parts[0], *parts[1]], dim="time", **options), len(urls))


_NESTED = ("combine", "concat_dim")


def _open_batch(urls: list[str]) -> list[xr.Dataset]:
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parser = HDFParser()
    return [open_virtual_dataset(url, registry, parser, loadable_variables=LOADED) for url in urls]


# Build


def _build_local(folder: Path, numbers: tuple[int, int, int]) -> Table:
    many, measured, few = numbers
    paths = write_days(folder / "build", many)
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    prefix = f"file://{folder}/build/"
    container = icechunk.local_filesystem_store(prefix)
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    names = count()

    def place() -> str:
        return str(folder / f"repository-{next(names)}")

    def recipe(number: int) -> None:
        urls = [f"file://{path}" for path in paths[:number]]
        _build_by_recipe(urls, registry, prefix, container, access, place())

    def tool(number: int) -> None:
        _build_by_tool([str(path) for path in paths[:number]], place(), anonymous=False)

    in_turns({"recipe": lambda: recipe(few), "tool": lambda: tool(few)}, rounds=1)  # imports
    table = Table("local", "")
    taken = in_turns({"recipe": lambda: recipe(few), "tool": lambda: tool(few)}, rounds=3)
    ratio = taken["tool"].seconds / taken["recipe"].seconds
    table.rows.append(_row(f"{few} local", taken["recipe"].seconds, taken["tool"].seconds))
    table.floors.append(Floor(f"{few} local files: tool / recipe", ratio, 1.0))
    taken = in_turns({"recipe": lambda: recipe(measured), "tool": lambda: tool(many)}, rounds=1)
    serial = taken["recipe"].seconds * many / measured
    table.rows.append(_row(f"{many:,} local ({measured})", serial, taken["tool"].seconds))
    ratio = serial / taken["tool"].seconds
    table.floors.append(Floor(f"{many:,} local files: recipe / tool", ratio, 1.5, at_least=True))
    return table


def _build_far(folder: Path, numbers: tuple[int, int], delay: float) -> Table:
    many, measured = numbers
    archive = folder / "archive"
    paths = write_days(archive / "days", many, SMALL)
    with serve(archive, delay) as far, far.entered():
        urls = [far.prefix + str(path.relative_to(archive)) for path in paths]
        # One file first: imports and first connections.
        _build_far_by_recipe(far, urls[:1], str(folder / "far-recipe-1"))
        far.take_counts()
        taken = in_turns(
            {
                "recipe": lambda: _build_far_by_recipe(
                    far, urls[:measured], str(folder / "far-recipe")
                ),
                "tool": lambda: _build_far_by_tool(far, str(folder / "far-tool")),
            },
            rounds=1,
        )
    serial = taken["recipe"].seconds * many / measured
    asked = taken["tool"].value / many
    table = Table("far", "")
    row = _row(f"{many:,} far ({measured})", serial, taken["tool"].seconds)
    table.rows.append(row | {"requests a file": asked})
    table.floors += [
        Floor(
            f"{many:,} far files: recipe / tool",
            serial / taken["tool"].seconds,
            6,
            at_least=True,
        ),
        Floor(f"{many:,} far files: requests of the tool a file", asked, 4),
    ]
    return table


def _row(files: str, recipe: float, tool: float) -> dict[str, Any]:
    return {
        "files": files,
        "recipe, s": recipe,
        "tool, s": tool,
        "recipe / tool": recipe / tool,
        "requests a file": "",
    }


def _build_far_by_recipe(far: FarStore, urls: list[str], repository: str) -> None:
    registry = ObjectStoreRegistry({f"s3://{BUCKET}": far.object_store()})
    credentials = icechunk.containers_credentials(
        {far.prefix: icechunk.s3_credentials(anonymous=True)}
    )
    container = far.container_store()
    _build_by_recipe(urls, registry, far.prefix, container, credentials, repository)


def _build_far_by_tool(far: FarStore, repository: str) -> int:
    """The number of requests that it took."""
    far.take_counts()
    _build_by_tool([f"{far.prefix}days/*.nc"], repository, anonymous=True)
    return far.take_counts().requests


def _build_by_recipe(
    urls: list[str],
    registry: ObjectStoreRegistry,
    prefix: str,
    container: Any,
    access: Any,
    repository: str,
) -> None:
    """The canonical recipe of ``skill.md``, as it stands."""
    parsed_at = datetime.now(UTC)
    dataset = _open_all(urls, False, registry)
    clock = {"units": "seconds since 1970-01-01", "calendar": "standard", "dtype": "int64"}
    dataset.time.encoding = clock | {"chunks": (4096,)}
    dataset.time_bnds.encoding = clock | {"chunks": (4096, 2)}
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, container))
    storage = icechunk.local_filesystem_storage(repository)
    repo = icechunk.Repository.create(storage, config, authorize_virtual_chunk_access=access)
    with repo.transaction("main", message="built") as store:
        dataset.vz.to_icechunk(store, last_updated_at=parsed_at)


def _build_by_tool(patterns: list[str], repository: str, anonymous: bool) -> None:
    from vzarr.changes.build import build
    from vzarr.sources.schemes import Access

    build(patterns, repository, Access(anonymous=anonymous))
