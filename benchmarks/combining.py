"""Combine many datasets that are parsed already: arguments, loaded variables, tool, kerchunk."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from kerchunk.combine import MultiZarrToZarr
from kerchunk.hdf import SingleHdf5ToZarr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.parsers import HDFParser

from benchmarks.measuring import Cell, Floor, Table, grows_like, in_turns
from benchmarks.samples import Grid, write_days

GRID = Grid(90, 180)
"""Steps of 32 kB: kerchunk would copy smaller ones into its references."""
LOADED = ("time", "time_bnds", "latitude", "longitude")
SAFE = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}
DEFAULTS = {"data_vars": "all", "coords": "different", "compat": "no_conflicts", "join": "outer"}
"""Of ``open_virtual_mfdataset``."""
KERCHUNK, TOOL = "kerchunk MultiZarrToZarr", "tool"


def tables(folder: Path, small: bool) -> Iterable[Table]:
    sizes = (20, 40, 80) if small else (100, 1000, 5000)
    (path,) = write_days(folder, 1, GRID)
    yield _arguments(path, sizes, rounds=1 if small else 2)
    yield _loaded(path, sizes[1], rounds=1)


def _arguments(path: Path, sizes: Sequence[int], rounds: int) -> Table:
    middle, largest = sizes[-2:]
    datasets = _copies(_parse(path, LOADED), largest)
    files = _parsed_files(path, datasets)
    references = _kerchunk_references(path, middle)

    def ways(number: int) -> dict[str, Callable[[], object]]:
        some, slow = datasets[:number], number <= middle
        by_coords = partial(xr.combine_by_coords, some, combine_attrs="override")
        return {
            "minimal, minimal, override, exact": partial(xr.concat, some, dim="time", **SAFE),
            "xr.concat defaults": partial(xr.concat, some, dim="time"),
            "combine_by_coords, the first set": partial(by_coords, **SAFE),
            "open_virtual_mfdataset defaults": partial(by_coords, **DEFAULTS),
            TOOL: lambda: _combine_by_tool(files[:number]),
            **({KERCHUNK: lambda: _combine_by_kerchunk(references[:number])} if slow else {}),
        }

    in_turns(_quietly(ways(10)), rounds=1)  # imports
    taken = {number: in_turns(_quietly(ways(number)), rounds, patience=1.0) for number in sizes}
    table = Table(
        "Combine datasets",
        f"Seconds, medians of {rounds}, once what takes more than 1 s. Each dataset has 4 steps, "
        f"6 references and {', '.join(LOADED)} loaded; the tool also compares what xarray does "
        "not. kerchunk combines the same references; it would need minutes for the largest number.",
    )
    for name in taken[middle]:
        found = {size: taken[size][name].seconds for size in sizes if name in taken[size]}
        growth = grows_like(list(found), list(found.values()))
        row: dict[str, Cell] = {"way": name}
        row |= {f"{size:,}": found.get(size, "") for size in sizes}
        row["grows like n^"] = growth
        row[f"way / first, {middle:,}"] = found[middle] / next(iter(taken[middle].values())).seconds
        table.rows.append(row)
        if name == TOOL:
            what = f"growth of the tool from {sizes[0]:,} to {largest:,}"
            table.floors.append(Floor(what, growth, 1.2))
    ratio = taken[middle][KERCHUNK].seconds / taken[middle][TOOL].seconds
    table.floors.append(Floor(f"{middle:,} datasets: kerchunk / tool", ratio, 3, at_least=True))
    return table


def _loaded(path: Path, number: int, rounds: int) -> Table:
    table = Table(
        f"Combine {number:,} datasets: what is loaded",
        "Seconds with minimal, minimal, override, exact.",
    )
    choices = {
        "time": ("time",),
        "1-D coordinates": ("time", "latitude", "longitude"),
        "and time_bnds": LOADED,
        "and the mask, 16,200 values": (*LOADED, "lsm", "crs"),
    }
    made = {name: _copies(_parse(path, names), number) for name, names in choices.items()}
    cases = {
        name: partial(xr.concat, datasets, dim="time", **SAFE) for name, datasets in made.items()
    }
    in_turns(_quietly(cases), rounds=1)  # indexes are made once
    taken = in_turns(_quietly(cases), rounds)
    for name, measured in taken.items():
        ratio = measured.seconds / taken["time"].seconds
        table.rows.append({"loaded": name, "seconds": measured.seconds, "row / first": ratio})
    return table


def _quietly(cases: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """xarray warns of new defaults to come."""

    def run(case: Callable[[], object]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case()

    return {name: partial(run, case) for name, case in cases.items()}


def _parse(path: Path, loaded: Iterable[str]) -> xr.Dataset:
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parser = HDFParser()
    return open_virtual_dataset(
        f"file://{path}", registry, parser, loadable_variables=list(loaded)
    ).load()


def _url(number: int) -> str:
    return f"file:///archive/t2m_{number:05d}.nc"


def _copies(template: xr.Dataset, number: int) -> list[xr.Dataset]:
    """As if as many files had been parsed, each a day later and at an address of its own."""
    return [_copy(template, index) for index in range(number)]


def _copy(template: xr.Dataset, index: int) -> xr.Dataset:
    variables = {}
    for name, variable in template.variables.items():
        data: Any = variable._data
        if isinstance(data, ManifestArray):
            places = data.manifest
            paths = np.full(places.shape_chunk_grid, _url(index), dtype=np.dtypes.StringDType())
            manifest = ChunkManifest.from_arrays(
                paths=paths,
                offsets=places._offsets,
                lengths=places._lengths,
                validate_paths=False,
            )
            data = ManifestArray(data.metadata, manifest)
        elif variable.dtype.kind == "M":
            data = variable.values + np.timedelta64(index, "D")
        else:
            data = variable.values.copy()
        variables[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
    coords = {name: variables.pop(name) for name in template.coords}
    virtual = {name for name, coord in coords.items() if isinstance(coord._data, ManifestArray)}
    dataset = xr.Dataset(
        variables, {name: coords[name] for name in coords.keys() - virtual}, template.attrs
    )
    unindexed = xr.Coordinates({name: coords[name] for name in virtual}, indexes={})
    return dataset.assign_coords(unindexed) if virtual else dataset


def _parsed_files(path: Path, datasets: list[xr.Dataset]) -> list[Any]:
    """What the tool keeps of each file; ``path`` says what it would have found."""
    from vzarr.sources.discover import look_up
    from vzarr.sources.schemes import Access
    from vzarr.virtualize.parse import parse_file

    first = parse_file(look_up(f"file://{path}", Access()), Access(), record_dimension="time")
    return [
        replace(first, source=replace(first.source, url=_url(index)), dataset=dataset)
        for index, dataset in enumerate(datasets)
    ]


def _combine_by_tool(files: list[Any]) -> xr.Dataset:
    from vzarr.combine.combine import combine_files
    from vzarr.sources.schemes import Access

    dataset, kept, _ = combine_files(files, "time", Access())
    if len(kept) != len(files):
        raise RuntimeError(f"{len(kept)} of {len(files)} files were kept")
    return dataset


def _kerchunk_references(path: Path, number: int) -> list[dict[str, Any]]:
    """The same files as kerchunk holds them: coordinates inside, the rest by place and length."""
    template = SingleHdf5ToZarr(str(path), inline_threshold=2000).translate()["refs"]
    hours = np.frombuffer(_inlined(template["time/0"]), "<i4")
    found = []
    for index in range(number):
        refs = {
            key: [_url(index), *value[1:]] if isinstance(value, list) else value
            for key, value in template.items()
        }
        later = base64.b64encode((hours + 24 * index).astype("<i4").tobytes()).decode()
        found.append({"version": 1, "refs": refs | {"time/0": f"base64:{later}"}})
    return found


def _inlined(value: str | bytes) -> bytes:
    text = value.encode("latin-1") if isinstance(value, str) else value
    return base64.b64decode(text[7:]) if text.startswith(b"base64:") else text


def _combine_by_kerchunk(references: list[dict[str, Any]]) -> dict[str, Any]:
    combined = MultiZarrToZarr(
        references,
        remote_protocol="file",
        concat_dims=["time"],
        identical_dims=["latitude", "longitude", "lsm", "crs"],
        inline_threshold=0,
    ).translate()
    steps = sum(key.startswith("t2m/") and key[4].isdigit() for key in combined["refs"])
    if steps != 4 * len(references):
        raise RuntimeError(f"{steps} steps of {len(references)} files")
    return combined
