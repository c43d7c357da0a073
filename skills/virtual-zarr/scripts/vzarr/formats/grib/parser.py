"""GRIB: fields by ecCodes, references by gribberish, matched message by message.

gribberish sorts fields into groups by kind of level; it leaves out fields that it does not
understand and takes some grids wrongly. Such fields get groups of their own, read by ecCodes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import obstore
import xarray as xr
from gribberish.virtualizarr import GribberishParser
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import MemoryStore
from virtualizarr.manifests import ManifestArray, ManifestGroup, ManifestStore
from virtualizarr.manifests.utils import copy_and_replace_metadata

from vzarr.errors import InputError
from vzarr.formats.backend_array import lazy_variable
from vzarr.limits import check_number
from vzarr.sources.content import Content
from vzarr.sources.schemes import root_of

APART = "unread"
"""The group above those of fields that gribberish does not read, or reads wrongly."""


OF_ONE_MESSAGE = ("reference_date", "forecast_date", "forecast_end_date", "fixed_surface_value")
"""Attributes by gribberish that hold for one message."""


MISSING = 1e100


SHORTEST = {1: 21, 2: 5, 3: 14, 4: 9, 5: 11, 6: 6, 7: 5}
"""Bytes that a section of edition 2 has at least, by its number."""


BEFORE = {(1, 3), (7, 2), (7, 3), (7, 4)}
"""Sections that follow one another beside those whose numbers do: the second may be left out, and a
message of several fields repeats from the second, the third or the fourth."""


COUNT_MISSING = (2**31 - 1, 2**32 - 1)
"""What stands for the number of columns of a grid whose rows have several."""


@dataclass(frozen=True)
class Field:
    """What ecCodes says of one field. ``part`` counts the fields of one message."""

    offset: int
    length: int
    part: int
    name: str
    level_type: str
    level: float
    surface: float
    number: int
    time: np.datetime64
    step_type: str
    shape: tuple[int, ...]
    grid: str

    @property
    def label(self) -> str:
        kind = "" if self.step_type in ("instant", "") else f"_{self.step_type}"
        return f"{self.name}_{self.level_type}{kind}"


@dataclass
class Survey:
    """A GRIB file as both readers see it.

    ``groups`` holds the parser's arrays that are right in their structure, by path; ``fields`` the
    field at each index of such an array; ``apart`` the remaining fields; ``reasons`` why so.
    """

    groups: dict[str, dict[str, ManifestArray]] = field(default_factory=dict)
    fields: dict[tuple[str, str], dict[tuple[int, ...], Field]] = field(default_factory=dict)
    truths: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    apart: dict[str, list[Field]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def list_groups(content: Content) -> list[str]:
    survey = _survey(content)
    return ["", *(path for path in survey.groups if path), *survey.apart]


def open_raw(content: Content, group: str, drop: list[str]) -> xr.Dataset:
    survey = _survey(content)
    if group in survey.apart:
        return _fields_apart(content, group, survey)
    if group not in survey.groups:
        return xr.Dataset()
    arrays = survey.groups[group]
    store = ManifestStore(ManifestGroup(arrays), registry=_registry(content))
    parsed = xr.open_zarr(
        store, consolidated=False, zarr_format=3, chunks=None, decode_cf=False
    ).reset_coords()
    variables: dict[str, xr.Variable] = {}
    for name, array in arrays.items():
        variable = parsed.variables[name]
        if (group, name) in survey.fields:
            variable = _data(content, array, survey.fields[group, name])
        elif (group, name) in survey.truths:
            values = survey.truths[group, name]
            keep = {"units", "calendar"} if values.dtype.kind == "M" else set()
            attributes = {key: v for key, v in variable.attrs.items() if key not in keep}
            if name == "longitude" and values.ndim == 2 and _is_signed(variable):
                values = np.where(values > 180, values - 360, values)
            variable = xr.Variable(variable.dims, values, attributes, {"computed": True})
        variables[name] = variable
    dataset = xr.Dataset(variables)
    coordinates = [name for name in variables if (group, name) not in survey.fields]
    return dataset.set_coords(coordinates)


def _is_signed(longitudes: xr.Variable) -> bool:
    """Whether gribberish counts them from -180; it computes some grids' in a wrong shape."""
    try:
        return bool((longitudes.values < 0).any())
    except ValueError:
        return False


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    arrays = _survey(content).groups.get(group, {})
    return ManifestGroup({name: array for name, array in arrays.items() if name not in drop})


def _registry(content: Content) -> ObjectStoreRegistry:
    store = MemoryStore()
    root = root_of(content.url)
    obstore.put(store, content.url.removeprefix(root).lstrip("/"), content.read())
    return ObjectStoreRegistry({root: store})


def _survey(content: Content) -> Survey:
    if "grib" not in content.cache:
        content.cache["grib"] = _make_survey(content)
        content.cache.setdefault("reasons", {}).update(content.cache["grib"].reasons)
    return content.cache["grib"]


def _make_survey(content: Content) -> Survey:
    found = _all_fields(content)
    if not found:
        raise ValueError("ecCodes finds no complete GRIB message in it")
    survey = Survey()
    refused = "gribberish does not read this field"
    groups: dict[str, dict[str, ManifestArray]] = {}
    try:
        parsed = GribberishParser()(content.url, _registry(content))
        _flatten("", parsed._group, groups)
    except Exception as error:
        refused = f"gribberish cannot read the file: {str(error).splitlines()[0]}"
    first = {field.offset: field for field in reversed(found) if field.part == 0}
    taken: dict[Field, str] = {}
    for path, arrays in groups.items():
        kept: dict[str, ManifestArray] = {}
        for name, array in arrays.items():
            indexed = _referred(array, first) if _is_data(name, array) else None
            if indexed is None:
                continue
            reason = _misfit(content, path, array, indexed, arrays, survey)
            for item in indexed.values():
                taken[item] = reason
            if not reason:
                kept[name] = _of_all_messages(array) if len(indexed) > 1 else array
                survey.fields[path, name] = indexed
        if kept:
            needed = {dim for array in kept.values() for dim in _dims(array)}
            coordinates = {
                name: array
                for name, array in arrays.items()
                if not _is_data(name, array) and set(array.metadata.dimension_names or ()) <= needed
            }
            survey.groups[path] = {**coordinates, **kept}
    for item in found:
        if taken.get(item, refused):
            group = f"{APART}/{item.label}"
            group += f"_{_grid_number(item, found)}"
            survey.apart.setdefault(group, []).append(item)
            several = "it lies in a message of several fields, of which gribberish reads the first"
            reason = several if item.part else taken.get(item, refused)
            survey.reasons[f"{group}/{item.name}"] = reason
    return survey


def _of_all_messages(array: ManifestArray) -> ManifestArray:
    """An array without the attributes that gribberish takes from one of its messages, any of them.

    Its coordinates tell them for each.
    """
    attributes = {
        key: value for key, value in array.metadata.attributes.items() if key not in OF_ONE_MESSAGE
    }
    metadata = copy_and_replace_metadata(array.metadata, new_attributes=attributes)
    return ManifestArray(metadata, array.manifest)


def _grid_number(item: Field, found: list[Field]) -> int:
    grids = list(dict.fromkeys(other.grid for other in found))
    return grids.index(item.grid)


def _flatten(path: str, group: ManifestGroup, groups: dict[str, dict[str, ManifestArray]]) -> None:
    if group.arrays:
        groups[path] = group.arrays
    for name, child in group.groups.items():
        _flatten(f"{path}/{name}".lstrip("/"), child, groups)


def _is_data(name: str, array: ManifestArray) -> bool:
    """Fields are decoded by gribberish; so are computed latitudes and longitudes."""
    coded = any(codec.to_dict()["name"] == "gribberish" for codec in array.metadata.codecs)
    return coded and name not in ("latitude", "longitude")


def _dims(array: ManifestArray) -> tuple[str, ...]:
    return tuple(map(str, array.metadata.dimension_names or ()))


def _referred(array: ManifestArray, first: dict[int, Field]) -> dict[tuple[int, ...], Field] | None:
    indexed = {}
    for index, entry in array.manifest.iter_refs():
        if entry["offset"] not in first:
            return None
        indexed[tuple(index[:-2])] = first[entry["offset"]]
    return indexed


def _misfit(
    content: Content,
    path: str,
    array: ManifestArray,
    indexed: dict[tuple[int, ...], Field],
    arrays: dict[str, ManifestArray],
    survey: Survey,
) -> str:
    """Why an array cannot stand for its fields; nothing if it can. Notes its true coordinates."""
    fields = list(indexed.values())
    if len({(item.name, item.level_type, item.step_type) for item in fields}) > 1:
        return "gribberish merges fields of several kinds into one variable"
    if any(item.shape != array.shape[-2:] for item in fields):
        return "gribberish gives its grid another shape"
    if len({item.grid for item in fields}) > 1:
        return "gribberish merges fields of several grids into one variable"
    dims = _dims(array)
    truths: dict[str, np.ndarray] = {}
    for axis, dim in enumerate(dims[:-2]):
        if dim not in arrays:
            continue
        known = _read_inline(content, dim, arrays[dim])
        for read in _readers(dim, known):
            truth = _along(axis, array.shape[axis], indexed, read)
            if truth is not None and (known.dtype.kind == "M" or _close(truth, known)):
                truths[dim] = truth
                break
        else:
            return f"gribberish gives it other values of {dim} than ecCodes"
    latitudes, longitudes = _grid(content, fields[0])
    rows, columns = dims[-2:]
    if (rows, columns) == ("latitude", "longitude"):
        regular = (latitudes == latitudes[:, :1]).all() and (longitudes == longitudes[:1]).all()
        if not regular:
            return "its grid is not regular, as gribberish takes it"
        truths |= {"latitude": latitudes[:, 0], "longitude": longitudes[0]}
    elif {"latitude", "longitude"} <= arrays.keys():
        if arrays["latitude"].shape != latitudes.shape:
            return "gribberish gives its coordinates another shape"
        truths |= {"latitude": latitudes, "longitude": longitudes}
    for name, values in truths.items():
        others = survey.truths.get((path, name))
        if others is not None and not _close(others, values):
            return f"its {name} differs from that of others in the same group"
    for name, values in truths.items():
        survey.truths[path, name] = values
    return ""


def _close(left: np.ndarray, right: np.ndarray) -> bool:
    if left.shape != right.shape or (left.dtype.kind == "M") != (right.dtype.kind == "M"):
        return False
    if left.dtype.kind == "M":
        return bool((left == right).all())
    return bool(np.allclose(left, right, rtol=1e-6, atol=1e-9))


def _readers(dim: str, known: np.ndarray) -> list[Callable[[Field], Any]]:
    if known.dtype.kind == "M" or dim == "time":
        return [lambda item: item.time]
    if dim == "number":
        return [lambda item: item.number]
    return [lambda item: item.level, lambda item: item.surface]


def _along(
    axis: int, length: int, indexed: dict[tuple[int, ...], Field], read: Callable[[Field], Any]
) -> np.ndarray | None:
    """The value at each step of an axis, if all fields of a step have the same."""
    values: list[set] = [set() for _ in range(length)]
    for index, item in indexed.items():
        values[index[axis]].add(read(item))
    if any(len(found) != 1 for found in values):
        return None
    return np.array([found.pop() for found in values])


def _read_inline(content: Content, name: str, array: ManifestArray) -> np.ndarray:
    store = ManifestStore(ManifestGroup({name: array}), registry=ObjectStoreRegistry())
    with xr.open_zarr(store, consolidated=False, zarr_format=3, chunks=None) as dataset:
        return dataset[name].values


def _data(
    content: Content, array: ManifestArray, indexed: dict[tuple[int, ...], Field]
) -> xr.Variable:
    shape = array.shape

    def read(key: tuple) -> np.ndarray:
        chosen = [np.arange(size)[part] for size, part in zip(shape, key, strict=True)]
        lead, area = chosen[:-2], key[-2:]
        sizes = [np.size(part) for part in lead]
        result = np.empty((*sizes, *(np.size(part) for part in chosen[-2:])))
        for place in np.ndindex(*sizes):
            index = tuple(
                int(np.atleast_1d(part)[at]) for part, at in zip(lead, place, strict=True)
            )
            item = indexed.get(index)
            values = np.full(shape[-2:], np.nan) if item is None else _values(content, item)
            result[place] = np.asarray(values[area]).reshape(result.shape[len(lead) :])
        return result.reshape([np.size(part) for part in chosen if np.ndim(part)])

    dims = _dims(array)
    attributes = {k: v for k, v in array.metadata.attributes.items() if k != "_FillValue"}
    return lazy_variable(dims, shape, np.dtype("f8"), read, attributes, {"computed": True})


def _fields_apart(content: Content, group: str, survey: Survey) -> xr.Dataset:
    """The fields of one kind, one after the other, with their times and levels."""
    fields = survey.apart[group]
    first = fields[0]
    axes = ("y", "x") if len(first.shape) == 2 else ("point",)

    def read(key: tuple) -> np.ndarray:
        picked = np.arange(len(fields))[key[0]]
        if np.ndim(picked) == 0:
            return _values(content, fields[int(picked)])[key[1:]]
        area = [_values(content, fields[n])[key[1:]] for n in picked]
        return np.stack(area) if area else np.empty((0, *first.shape))

    shape = (len(fields), *first.shape)
    values = lazy_variable(("field", *axes), shape, np.dtype("f8"), read)
    coordinates: dict[str, Any] = {
        "time": ("field", np.array([item.time for item in fields], "M8[ns]")),
        "level": ("field", np.array([item.level for item in fields], float)),
        "number": ("field", np.array([item.number for item in fields])),
    }
    latitudes, longitudes = _grid(content, first)
    if latitudes.shape == first.shape:
        coordinates |= {"latitude": (axes, latitudes), "longitude": (axes, longitudes)}
    for name in coordinates:
        survey.reasons[f"{group}/{name}"] = survey.reasons[f"{group}/{first.name}"]
    content.cache["reasons"].update(survey.reasons)
    return xr.Dataset({first.name: values}, coordinates)


def _check_structure(content: Content) -> None:
    """ecCodes never ends, or ends the process, where a section's length is none.

    Raises
    ------
    InputError
        If the sections of a message do not add up to it.
    """
    data = bytes(_bytes(content))
    at = data.find(b"GRIB")
    while 0 <= at < len(data) - 8:
        end = at + 4
        if data[at + 7] == 2:
            end = at + int.from_bytes(data[at + 8 : at + 16], "big")
            if not (at + 16 < end <= len(data) and _adds_up(data, at + 16, end)):
                raise InputError(
                    f"{content.url}: the message at byte {at} is damaged; fetch the file again."
                )
        at = data.find(b"GRIB", end)


def _adds_up(data: bytes, at: int, end: int) -> bool:
    """Whether sections of edition 2 lie one behind another, in an order that can be."""
    last = 0
    while at + 5 <= end - 4:
        length, number = int.from_bytes(data[at : at + 4], "big"), data[at + 4]
        follows = number == last + 1 or (last, number) in BEFORE
        if length < SHORTEST.get(number, at + end) or not follows:
            return False
        at, last = at + length, number
    return at == end - 4 and last == 7 and data[at:end] == b"7777"


def _all_fields(content: Content) -> list[Field]:
    """All fields of the file.

    Raises
    ------
    InputError
        If a message lies between them that ecCodes passes over, as it does with damaged ones.
    """
    _check_structure(content)
    found = [item for item, _ in _messages(content)]
    data, end = _bytes(content), 0
    spans = {item.offset: item.offset + item.length for item in found}
    for start, stop in [*sorted(spans.items()), (len(data), len(data))]:
        between = bytes(data[end:start])
        at = between.find(b"GRIB")
        if at >= 0 and between[at + 7 : at + 8] in (b"\x01", b"\x02"):
            raise InputError(
                f"{content.url}: the message at byte {end + at} is damaged; fetch the file again."
            )
        end = max(end, stop)
    return found


def _values(content: Content, item: Field) -> np.ndarray:
    if item.part:
        return _later_values(content)[item]
    handle = _handle(content, item)
    try:
        return _unpack(handle, item)
    finally:
        eccodes.codes_release(handle)


def _grid(content: Content, item: Field) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of each point; empty if ecCodes does not know them."""
    grids = content.cache.setdefault("grids", {})
    if item.grid not in grids:
        handle = _handle(content, item)
        try:
            arrays = [eccodes.codes_get_array(handle, key) for key in ("latitudes", "longitudes")]
            grids[item.grid] = tuple(np.asarray(array).reshape(item.shape) for array in arrays)
        except (eccodes.CodesInternalError, ValueError):
            grids[item.grid] = (np.empty((0, 0)), np.empty((0, 0)))
        finally:
            eccodes.codes_release(handle)
    return grids[item.grid]


def _handle(content: Content, item: Field) -> Any:
    message = _bytes(content)[item.offset : item.offset + item.length]
    return eccodes.codes_new_from_message(bytes(message))


def _later_values(content: Content) -> dict[Field, np.ndarray]:
    """Values of all fields that are not the first of their message: found by reading on only."""
    if "later" not in content.cache:
        found = {}
        for item, handle in _messages(content, keep=True):
            if item.part:
                found[item] = _unpack(handle, item)
            eccodes.codes_release(handle)
        content.cache["later"] = found
    return content.cache["later"]


def _unpack(handle: Any, item: Field) -> np.ndarray:
    eccodes.codes_set(handle, "missingValue", MISSING)
    values = np.asarray(eccodes.codes_get_values(handle))
    return np.where(values == MISSING, np.nan, values).reshape(item.shape)


def _length(content: Content, offset: int) -> int:
    head = bytes(_bytes(content)[offset : offset + 16])
    return int.from_bytes(head[8:16], "big") if head[7] == 2 else 0


def _bytes(content: Content) -> memoryview:
    if "bytes" not in content.cache:
        content.cache["bytes"] = memoryview(content.read())
    return content.cache["bytes"]


def _messages(content: Content, keep: bool = False) -> Any:
    eccodes.codes_grib_multi_support_on()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = content.handle
            if not isinstance(path, Path):
                path = Path(folder, "file.grib")
                path.write_bytes(content.read())
            counts: dict[int, int] = {}
            with path.open("rb") as file:
                eccodes.codes_grib_multi_support_reset_file(file)
                while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
                    item = _describe(content, handle, counts)
                    if not keep:
                        eccodes.codes_release(handle)
                    yield item, handle
    finally:
        eccodes.codes_grib_multi_support_off()


def _describe(content: Content, handle: Any, counts: dict[int, int]) -> Field:
    def get(key: str, default: Any, kind: type | None = None) -> Any:
        try:
            return eccodes.codes_get(handle, key, ktype=kind)
        except eccodes.CodesInternalError:
            return default

    offset = int(eccodes.codes_get(handle, "offset"))
    # Of several fields in one message, each claims to be a message of its own length.
    length = _length(content, offset) or int(eccodes.codes_get(handle, "totalLength"))
    part = counts.get(offset, 0)
    counts[offset] = part + 1
    date, clock = get("validityDate", 0, int), get("validityTime", 0, int)
    try:
        moment = datetime.strptime(str(date), "%Y%m%d") + timedelta(
            hours=clock // 100, minutes=clock % 100
        )
        time: np.datetime64 = np.datetime64(moment, "ns")
    except ValueError:
        time = np.datetime64("NaT", "ns")
    points = eccodes.codes_get_size(handle, "values")
    rows, columns = get("Nj", 0, int), get("Ni", 0, int)
    largest = max(points, rows * columns if columns not in COUNT_MISSING else rows)
    check_number(
        content.url, "chunk", 8 * largest, f"bytes that the field at byte {offset} unpacks to:"
    )
    shape = (rows, columns) if rows * columns == points else (points,)
    name = get("shortName", "unknown", str)
    if name == "unknown":
        keys: tuple[str, ...] = ("discipline", "parameterCategory", "parameterNumber")
        if get("edition", 2, int) == 1:
            keys = ("table2Version", "indicatorOfParameter")
        name = "_".join(["parameter", *(str(get(key, 0, int)) for key in keys)])
    value = get("scaledValueOfFirstFixedSurface", None, int)
    factor = get("scaleFactorOfFirstFixedSurface", None, int)
    level = float(get("level", 0, float))
    known = value is not None and factor is not None and abs(factor) < 100
    surface = value / 10.0**factor if known else level
    return Field(
        offset,
        length,
        part,
        name,
        get("typeOfLevel", "unknown", str),
        level,
        surface,
        get("number", 0, int),
        time,
        get("stepType", "", str),
        shape,
        get("md5GridSection", "", str),
    )
