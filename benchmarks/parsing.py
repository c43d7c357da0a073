"""Parse one file: what each part of it costs locally, and what each reader asks a far store for."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import obstore
import xarray as xr
from fsspec.spec import AbstractBufferedFile
from kerchunk.hdf import SingleHdf5ToZarr
from obspec_utils.readers import BlockStoreReader, EagerStoreReader
from obspec_utils.registry import ObjectStoreRegistry
from obspec_utils.wrappers import CachingReadableStore, SplittingReadableStore
from obstore.store import LocalStore, MemoryStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser

from benchmarks.latency import BUCKET, DELAY, Counts, FarStore, serve
from benchmarks.measuring import Cell, Floor, Measured, Table, apart, in_turns
from benchmarks.samples import write_kinds, write_series

MIB = 1024**2
PART, PARTS_AT_ONCE = 8 * MIB, 16
PATIENCE = 0.7
"""Seconds: a slower case is measured once."""

BLOCK, SMALL_BLOCK = "Block 1 MiB x 64 (default)", "Block 256 KiB x 256"
KERCHUNK = "kerchunk, 5 MiB read-ahead"
TOOL, TOOL_WITH_CHECKS = "tool's choice", "tool with checks"
SCATTERED = "many chunks, scattered index"
SLOW = (BLOCK, SMALL_BLOCK, KERCHUNK)
"""What takes half a minute for a scattered index: measured at once, in processes of their own."""


def tables(folder: Path, small: bool) -> Iterable[Table]:
    rounds = 1 if small else 2
    yield _local(folder / "local", rounds, small)
    files = write_kinds(folder / "far", small)
    with serve(folder / "far", DELAY / 10 if small else DELAY) as far, far.entered():
        yield from _remote(far, folder / "far", files, rounds)


def _local(folder: Path, rounds: int, small: bool) -> Table:
    many = {"steps": 10, "tiles": 10} if small else {"steps": 1000, "tiles": 10}
    several = {"steps": 1, "tiles": 10} if small else {"steps": 100, "tiles": 10}
    layouts = [
        {"variables": 1, "steps": 10},
        {"variables": 10, "steps": 1},
        {"variables": 50, "steps": 20},
        {"variables": 1, **many},
        {"variables": 10, **several},
    ]
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parser = HDFParser()
    table = Table("Parse one local file", f"Seconds, median of {rounds}; no values are read.")
    first = write_series(folder / "first.nc", steps=1)
    open_virtual_dataset(f"file://{first}", registry, parser)  # imports
    _kerchunk(str(first))
    for number, layout in enumerate(layouts):
        path = write_series(folder / f"{number}.nc", side=8, **layout)
        url = f"file://{path}"
        taken = in_turns(
            {
                "open_virtual_dataset": lambda url=url: open_virtual_dataset(url, registry, parser),
                "HDFParser alone": lambda url=url: parser(url, registry),
                "kerchunk SingleHdf5ToZarr": lambda path=path: _kerchunk(str(path)),
                "h5py chunk_iter": lambda path=path: _list_chunks(path),
            },
            rounds,
            PATIENCE,
        )
        chunks = layout["variables"] * layout["steps"] * layout.get("tiles", 1) ** 2
        seconds = {name: measured.seconds for name, measured in taken.items()}
        table.rows.append(
            {
                "variables": layout["variables"],
                "chunks": chunks,
                **seconds,
                "kerchunk / HDFParser": seconds["kerchunk SingleHdf5ToZarr"]
                / seconds["HDFParser alone"],
                "HDFParser / h5py": seconds["HDFParser alone"] / seconds["h5py chunk_iter"],
            }
        )
    return table


def _kerchunk(source: Any, url: str | None = None) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SingleHdf5ToZarr(source, url).translate()


def _list_chunks(path: Path) -> int:
    """The least that any parser does: names, attributes, and where each chunk lies."""
    chunks: list[tuple[int, int]] = []
    with h5py.File(path, "r") as file:
        for array in file.values():
            dict(array.attrs)
            if array.chunks is not None:
                array.id.chunk_iter(lambda chunk: chunks.append((chunk.byte_offset, chunk.size)))
    return len(chunks)


def _remote(far: FarStore, folder: Path, files: dict[str, Path], rounds: int) -> Iterable[Table]:
    setting = (
        "An object store on 127.0.0.1: 40 ms a request, 90 MB/s in one request, 250 MB/s in all. "
        "`open_virtual_dataset` with each reader or store; kerchunk, which loads no coordinates, "
        "reads through fsspec's default cache; the tool with its choice of reader only, and with "
        "its checks. "
        f"Medians of {rounds}; what takes more than {PATIENCE:g} s is measured once. "
        f"{', '.join(SLOW)} read the scattered index at the same time, each from a server of its "
        "own."
    )
    seconds, requests, megabytes = (
        Table(f"Parse one remote file: {unit}", setting)
        for unit in ("seconds", "requests", "MB read")
    )
    keys = {kind: str(path.relative_to(folder)) for kind, path in files.items()}
    # Imports and first connections are nobody's cost.
    in_turns(_readers(far, next(iter(keys.values()))), rounds=1)
    for kind, key in keys.items():
        readers = _readers(far, key)
        slow = {}
        if kind == SCATTERED and rounds > 1:
            with ThreadPoolExecutor(len(SLOW)) as pool:
                measured = pool.map(lambda name, key=key: apart(_alone, folder, key, name), SLOW)
                slow = {name: result.value for name, result in zip(SLOW, measured, strict=True)}
        taken = in_turns(
            {name: case for name, case in readers.items() if name not in slow}, rounds, PATIENCE
        )
        taken = {name: (slow | taken)[name] for name in readers}
        row: dict[str, Cell] = {"file": kind, "MB": files[kind].stat().st_size / 1e6}
        found = {name: measured.seconds for name, measured in taken.items()}
        others = found.keys() - {TOOL, TOOL_WITH_CHECKS}
        best = min(others, key=found.__getitem__)
        seconds.rows.append(
            row | found | {"best": best, "default / best": found[BLOCK] / found[best]}
        )
        counts: dict[str, Counts] = {name: measured.value for name, measured in taken.items()}
        requests.rows.append(row | {name: count.requests for name, count in counts.items()})
        megabytes.rows.append(row | {name: count.bytes / 1e6 for name, count in counts.items()})
        seconds.floors.append(Floor(f"{kind}: {TOOL} / best", found[TOOL] / found[best], 1.25))
    yield from (seconds, requests, megabytes)


def _readers(far: FarStore, key: str) -> dict[str, Callable[[], Counts]]:
    """Ways to get the references of one object; each returns what it asked for."""

    def block(size: int, count: int) -> Callable[..., BlockStoreReader]:
        return functools.partial(BlockStoreReader, block_size=size, max_cached_blocks=count)

    def dataset(store: Any, reader: Callable[..., Any] = BlockStoreReader) -> xr.Dataset:
        registry = ObjectStoreRegistry({f"s3://{BUCKET}": store})
        parser = HDFParser(reader_factory=reader)
        return open_virtual_dataset(far.prefix + key, registry, parser)

    ways: dict[str, Callable[[Any], object]] = {
        BLOCK: dataset,
        SMALL_BLOCK: lambda store: dataset(store, block(256 * 1024, 256)),
        "Block 8 MiB x 32": lambda store: dataset(store, block(8 * MIB, 32)),
        "Eager": lambda store: dataset(store, EagerStoreReader),
        "Caching + Block": lambda store: dataset(CachingReadableStore(store)),
        "Caching(Splitting) + Block": lambda store: dataset(
            CachingReadableStore(SplittingReadableStore(store))
        ),
        "whole, 8 MiB parts in threads": lambda store: dataset(_whole(store, key)),
        KERCHUNK: lambda store: _kerchunk_remote(far, key),
        TOOL: lambda store: _dataset_by_choice(store, key, far.prefix + key),
        TOOL_WITH_CHECKS: lambda store: _parse_by_tool(far.prefix + key),
    }

    def counted(way: Callable[[Any], object]) -> Counts:
        far.take_counts()
        way(far.object_store())
        return far.take_counts()

    return {name: functools.partial(counted, way) for name, way in ways.items()}


def _alone(folder: Path, key: str, name: str) -> Measured:
    with serve(folder) as far:
        return in_turns({name: _readers(far, key)[name]}, rounds=1)[name]


def _whole(store: Any, key: str) -> MemoryStore:
    """A copy of one object, fetched by requests that obstore cannot merge into one.

    ``get_ranges`` merges ranges that touch, which is why the readers that split by it do not gain.
    """
    size = obstore.head(store, key)["size"]
    starts = range(0, size, PART)
    with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
        parts = pool.map(
            lambda start: obstore.get_range(store, key, start=start, end=min(start + PART, size)),
            starts,
        )
        data = b"".join(bytes(part) for part in parts)
    copy = MemoryStore()
    obstore.put(copy, key, data)
    return copy


def _kerchunk_remote(far: FarStore, key: str) -> dict:
    with _BufferedFile(far.filesystem(), f"{BUCKET}/{key}", cache_type="readahead") as file:
        return _kerchunk(file, far.prefix + key)


class _BufferedFile(AbstractBufferedFile):
    """fsspec's own buffering, as s3fs has it: obstore's file asks for 1 MiB at every seek."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.cat_file(self.path, start, end)


def _dataset_by_choice(store: Any, key: str, url: str) -> xr.Dataset:
    """References and coordinates, by what the bundled tool chooses to read the object with."""
    from vzarr.sources.remote_file import FileStore, read_remote

    content = read_remote(store, key, obstore.head(store, key)["size"])
    if isinstance(content, bytes):
        store = MemoryStore()
        obstore.put(store, key, content)
        return open_virtual_dataset(
            url, ObjectStoreRegistry({f"s3://{BUCKET}": store}), HDFParser()
        )
    registry = ObjectStoreRegistry({f"s3://{BUCKET}": FileStore(content)})
    return open_virtual_dataset(
        url, registry, HDFParser(reader_factory=lambda store, path: content)
    )


def _parse_by_tool(url: str) -> object:
    """What the tool's ``build`` does to each file of a new layout."""
    from vzarr.sources.discover import look_up
    from vzarr.sources.schemes import Access
    from vzarr.virtualize.parse import parse_file

    access = Access(anonymous=True)
    return parse_file(look_up(url, access), access)
