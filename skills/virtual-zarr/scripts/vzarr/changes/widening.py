"""The second dimension of a store made longer: places that new files have, and it has not.

All is missing there first; the files are then written as into places that were empty before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.changes.places import stored_places
from vzarr.changes.rewriting import write_region
from vzarr.changes.stored_files import lacks_group, stored_file, stored_part
from vzarr.combine.groups import stored_groups
from vzarr.combine.holes import set_valid_times, show
from vzarr.combine.missing import missing_values
from vzarr.combine.rows import values_of, with_both
from vzarr.combine.store_metadata import GroupInStore, StoreMetadata
from vzarr.errors import Refused
from vzarr.repository.layouts import layout_of
from vzarr.repository.mixed_arrays import extend
from vzarr.repository.rearranging import growing_arrays, rearrange
from vzarr.repository.references import read_references
from vzarr.sources.discover import SourceRecord, changes_of
from vzarr.virtualize.model import ParsedFile, is_virtual

NAMED = 5
"""Places that a note names."""


OWN_STORE = "Nothing was committed: build such files into a store of their own"


def widened(
    store: icechunk.IcechunkStore,
    location: str,
    metadata: StoreMetadata,
    files: Sequence[ParsedFile],
) -> tuple[StoreMetadata, list[str]]:
    """Give a store the places of ``files`` along its second dimension.

    The places are in the order of their values, so old ones may move. Returns the metadata with
    them, and a sentence that says so.

    Raises
    ------
    Refused
        If chunks do not allow it, and for a variable that cannot be missing in the places for which
        there is no file.
    """
    dimension, inner = metadata["concat_dim"], metadata.get("inner")
    if dimension is None or inner is None or not files:
        return metadata, []
    files = [with_both(file, dimension, inner) for file in files]
    known = stored_places(store, metadata, inner)
    there = known.to_index().tolist()
    new = _new_places(files, inner, known)
    if not new:
        return metadata, []
    records = stored_places(store, metadata, dimension)
    order = sorted(range(len(there) + len(new)), key=[*there, *new].__getitem__)
    position = {old: at for at, old in enumerate(order)}
    sources = [_moved(record, position, inner) for record in metadata["sources"]]
    places = xr.Variable((inner,), np.array(new, known.dtype))
    is_full = _is_full(files, dimension, inner, records, new)
    spans = [slice(old, old + 1) for old in order]
    written = changes_of(metadata["sources"])
    for group, stored_group in stored_groups(metadata).items():
        paths = growing_arrays(store, group, inner)
        for path in paths:
            _check_chunks(store, path, inner, files, [*there, *new], order, location)
        stored = stored_file(store, location, group, stored_group)
        values = _values(stored, files, group, stored_group, records, places, is_full)
        for path in paths:
            array = zarr.open_array(store, path=path, mode="r")
            extend(store, path, layout_of(array, inner).axis, len(new))
        write_region(store, group, values, {inner: slice(len(there), len(there) + len(new))})
        for path in paths:
            rearrange(store, path, inner, spans, written)
    shown = ", ".join(map(show, new[:NAMED])) + (" …" if len(new) > NAMED else "")
    note = (
        f"{inner} has {len(order)} places now, {len(new)} more than before ({shown}): missing "
        "where there is no file"
    )
    return {**metadata, "sources": sources}, [note]


def is_moved(before: StoreMetadata, after: StoreMetadata) -> bool:
    """Whether places that a store had lie elsewhere now."""
    pairs = zip(before["sources"], after["sources"], strict=True)
    return any(old.get("within") != new.get("within") for old, new in pairs)


def _new_places(files: Sequence[ParsedFile], inner: str, known: xr.Variable) -> list[Any]:
    there = {*known.to_index().tolist()}
    new: dict[Any, str] = {}
    for file in files:
        for value in map(_as_python, values_of(file, inner)):
            if value not in there:
                new.setdefault(value, file.source.url)
    for value, url in new.items():
        try:
            fits = np.array([value]).astype(known.dtype)[0] == value and type(value) is not bool
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise Refused(
                f"{url}: its {inner} is {value!r}, which {inner} of the store cannot hold, as it "
                f"is of {known.dtype}. {OWN_STORE}."
            )
    return sorted(new)


def _as_python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _moved(record: SourceRecord, position: dict[int, int], inner: str) -> SourceRecord:
    """A source with its place in the new order.

    Raises
    ------
    Refused
        If something would lie between its places.
    """
    if "within" not in record:
        return record
    _, begin, stop = record["within"]
    first, last = position[begin], position[stop - 1]
    if last - first != stop - 1 - begin:
        raise Refused(
            f"{record['url']}: a new {inner} would lie between those of this file. {OWN_STORE}."
        )
    moved: Any = {**record, "within": [inner, first, last + 1]}
    return moved


def _check_chunks(
    store: icechunk.IcechunkStore,
    path: str,
    inner: str,
    files: Sequence[ParsedFile],
    places: list[Any],
    order: list[int],
    location: str,
) -> None:
    """Whole chunks only: new ones begin where the old ones end, and where each file begins."""
    layout = layout_of(zarr.open_array(store, path=path, mode="r"), inner)
    if layout.chunk == 1 or not any(True for _ in read_references(store, path)):
        return
    url = files[0].source.url
    total = len(places)
    if layout.rows % layout.chunk:
        raise Refused(
            f"{url}: {path} has {layout.rows} places along {inner} in chunks of {layout.chunk} in "
            f"{location}, the last of them partial: nothing can follow it. {OWN_STORE}."
        )
    at = {places[old]: number for number, old in enumerate(order)}
    for file in files:
        mine = [at[_as_python(value)] for value in values_of(file, inner)]
        stop = mine[-1] + 1
        is_whole = stop % layout.chunk == 0 or stop == total
        if mine[0] % layout.chunk or not is_whole or mine != list(range(mine[0], stop)):
            raise Refused(
                f"{file.source.url}: {path}: its places along {inner} would be {mine[0]} to "
                f"{mine[-1]} of {total}, which are not whole chunks of {layout.chunk}. {OWN_STORE}."
            )


def _is_full(
    files: Sequence[ParsedFile], dimension: str, inner: str, records: xr.Variable, new: list[Any]
) -> bool:
    """Whether there is a file for each record at each new place."""
    covered = {
        (record, _as_python(place))
        for file in files
        for record in values_of(file, dimension)
        for place in values_of(file, inner)
    }
    return all((record, place) in covered for record in records.to_index() for place in new)


def _values(
    stored: ParsedFile,
    files: Sequence[ParsedFile],
    group: str,
    stored_group: GroupInStore,
    records: xr.Variable,
    places: xr.Variable,
    is_full: bool,
) -> xr.Dataset:
    """What is kept as numbers of the new places: missing values, and what files say of a place.

    Raises
    ------
    Refused
        For a variable that cannot be missing, unless the new places are full.
    """
    (dimension,), (inner,) = records.dims, places.dims
    sizes = {dimension: records.size, inner: places.size}
    new: dict[str, xr.Variable] = {}
    for name, variable in stored.dataset.variables.items():
        name = str(name)
        if inner not in variable.dims:
            continue
        if name == inner:
            new[name] = places
        elif dimension not in variable.dims:
            new[name] = _said_of_places(files, group, stored_group, name, places)
        else:
            packing = stored.packing.get(name, {})
            filled = missing_values(variable, packing, sizes, any_time=True)
            if filled is None and not is_full:
                raise Refused(
                    f"{files[0].source.url}: has a new {inner}, and {name} cannot be missing at "
                    f"the other values of {dimension}: no value stands for that. Nothing was "
                    f"committed: name files of this {inner} for each {dimension} at once, or build "
                    "all anew."
                )
            if not is_virtual(variable):
                shape = [sizes.get(d, n) for d, n in variable.sizes.items()]
                zeros = xr.Variable(variable.dims, np.zeros(shape, variable.dtype))
                new[name] = zeros if filled is None else filled
    dataset = xr.Dataset(coords=xr.Coordinates({}, indexes={})).assign(new)
    set_valid_times(dataset.assign({str(dimension): records}), into=dataset)
    return dataset


def _said_of_places(
    files: Sequence[ParsedFile],
    group: str,
    stored_group: GroupInStore,
    name: str,
    places: xr.Variable,
) -> xr.Variable:
    """A variable that lies along the second dimension alone, of the first file of each place."""
    (inner,) = places.dims
    parts = []
    for place in places.values.tolist():
        owner = next(file for file in files if place in values_of(file, str(inner)))
        variable = None
        if not lacks_group(owner, group):
            variable = stored_part(owner, group, stored_group).dataset.variables.get(name)
        if variable is None or is_virtual(variable) or inner not in variable.dims:
            raise Refused(
                f"{owner.source.url}: has no {name}, which the store has for each {inner}. "
                f"{OWN_STORE}."
            )
        at = [_as_python(value) for value in values_of(owner, str(inner))].index(place)
        parts.append(variable.isel({inner: slice(at, at + 1)}))
    return xr.Variable.concat(parts, inner)
