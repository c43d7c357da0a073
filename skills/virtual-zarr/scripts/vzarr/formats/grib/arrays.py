"""Arrays of one group of a GRIB file: as references, and as ecCodes reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eccodes
import numpy as np
import xarray as xr
from virtual_zarr_grib import NAME as OWN_CODEC
from virtual_zarr_grib import decode
from virtualizarr.manifests import ChunkManifest, ManifestArray

from vzarr.formats.backend_array import lazy_variable
from vzarr.formats.grib.fields import Field, Keys
from vzarr.formats.grib.grids import Grid
from vzarr.formats.grib.layout import FORECAST, HOUR, Axis, Group, Variable
from vzarr.formats.grib.tables import AXES, CELL_METHODS, DETAILS, surface_unit
from vzarr.upstream.virtualizarr import create_v3_array_metadata

EPOCH = "seconds since 1970-01-01"
LOADED = {"loaded": True}
"""Encoding of a coordinate that is kept as numbers, in whatever dimensions it has."""
COMPUTED = {"computed": True}
Octets = Callable[[Field], Any]
"""The bytes of the message that a field is of."""


def make_dataset(group: Group, grid: Grid, octets: Octets) -> xr.Dataset:
    """One group with its coordinates, not decoded by CF, values by ecCodes on demand."""
    coordinates = {**_time_coordinates(group), **_axis_coordinates(group)}
    coordinates |= _grid_coordinates(group, grid, octets)
    data = {}
    for name, variable in group.variables.items():
        attributes = describe_variable(group, variable, octets)
        if grid.mapping is not None:
            attributes["grid_mapping"] = "spatial_ref"
        data[name] = _data(variable, grid, octets, attributes)
        if any(item.is_statistic for item in variable.cells.values()):
            coordinates[f"{name}_bounds"] = _bounds(group, variable)
    return xr.Dataset(data, coordinates)


def make_manifests(
    url: str, group: Group, grid: Grid, octets: Octets, decoder: Decoder
) -> dict[str, ManifestArray]:
    """References of a group's variables, and of latitudes and longitudes that are no axes."""
    arrays = {}
    for name, variable in group.variables.items():
        codec = decoder.codec(name, variable, octets)
        arrays[name] = _array(url, variable.cells, (*variable.shape, *variable.first.shape), codec)
    for name in () if grid.is_loaded else grid.places:
        codec = {"name": "gribberish", "configuration": {"var": name}}
        item = group.first
        if not grid.by_gribberish:
            codec = _own_codec(item.part, name)
        arrays[name] = _array(url, {(): item}, item.shape, codec)
    return arrays


def _array(
    url: str, cells: dict[tuple[int, ...], Field], shape: tuple[int, ...], codec: dict[str, Any]
) -> ManifestArray:
    """An array with a chunk for each message; cells without one are read as NaN."""
    area = next(iter(cells.values())).shape
    lead = shape[: len(shape) - len(area)]
    counts = (*lead, *(1 for _ in area))
    paths = np.full(counts, "", dtype=np.dtypes.StringDType())
    offsets, lengths = np.zeros(counts, np.uint64), np.zeros(counts, np.uint64)
    for index, item in cells.items():
        at = (*index, *(0 for _ in area))
        paths[at], offsets[at], lengths[at] = url, item.offset, item.length
    metadata = create_v3_array_metadata(
        shape=shape,
        data_type=np.dtype("f8"),
        chunk_shape=(*(1 for _ in lead), *area),
        fill_value=float("nan"),
        codecs=[codec],
        attributes={},
        dimension_names=None,
    )
    return ManifestArray(
        metadata, ChunkManifest.from_arrays(paths=paths, offsets=offsets, lengths=lengths)
    )


def _own_codec(part: int, values: str = "data") -> dict[str, Any]:
    return {"name": OWN_CODEC, "configuration": {"field": part, "values": values}}


class Decoder:
    """Which codec decodes a variable: gribberish's where that agrees with ecCodes.

    It is asked once for each way of packing. Constant fields of edition 1 with a bitmap it reads
    wrongly, and whether a field is constant differs from file to file.
    """

    def __init__(self) -> None:
        self._known: dict[tuple, bool] = {}

    def codec(self, name: str, variable: Variable, octets: Octets) -> dict[str, Any]:
        """The codec for a variable: gribberish's where it decodes each of its messages right."""
        if all(self._agrees(item, octets) for item in variable.cells.values()):
            return {"name": "gribberish", "configuration": {"var": name}}
        return _own_codec(variable.first.part)

    def _agrees(self, item: Field, octets: Octets) -> bool:
        is_masked = item.packing[0]
        if item.part or (item.edition == 1 and is_masked):
            return False
        kind = (item.edition, item.packing, item.grid_type, len(item.shape))
        if kind not in self._known:
            self._known[kind] = _reads_equal(octets(item))
        return self._known[kind]


def _reads_equal(message: Any) -> bool:
    from gribberish import parse_grib_array

    expected = decode(bytes(message))
    try:
        values = np.asarray(parse_grib_array(bytes(message), 0)).ravel()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return False
    return values.shape == expected.shape and np.allclose(
        values, expected, rtol=1e-6, atol=0, equal_nan=True
    )


def _data(variable: Variable, grid: Grid, octets: Octets, attributes: dict) -> xr.Variable:
    area = variable.first.shape
    shape = (*variable.shape, *area)

    def read(key: tuple) -> np.ndarray:
        chosen = [np.arange(size)[part] for size, part in zip(shape, key, strict=True)]
        lead, inner = chosen[: len(variable.shape)], key[len(variable.shape) :]
        sizes = [np.size(part) for part in lead]
        result = np.empty((*sizes, *(np.size(part) for part in chosen[len(lead) :])))
        for place in np.ndindex(*sizes):
            pairs = zip(lead, place, strict=True)
            index = tuple(int(np.atleast_1d(part)[at]) for part, at in pairs)
            values = read_values(variable.cells.get(index), area, octets)
            result[place] = values[inner].reshape(result.shape[len(lead) :])
        return result.reshape([np.size(part) for part in chosen if np.ndim(part)])

    dims = (*variable.dims, *grid.dims)
    return lazy_variable(dims, shape, np.dtype("f8"), read, attributes, dict(COMPUTED))


def read_values(item: Field | None, area: tuple[int, ...], octets: Octets) -> np.ndarray:
    """The values of a field by ecCodes; NaN where there is none."""
    if item is None:
        return np.full(area, np.nan)
    return decode(bytes(octets(item)), item.part).reshape(area)


def _time_coordinates(group: Group) -> dict[str, xr.Variable]:
    seconds = {"units": EPOCH, "calendar": "proleptic_gregorian"}
    hours = {"units": "hours", "standard_name": "forecast_period", "long_name": "hours of forecast"}
    reference = {**seconds, "standard_name": "forecast_reference_time"}
    if group.is_forecast:
        references, steps = (np.array(group.moments[name]) for name in FORECAST)
        valid = references[:, None] + steps
        return {
            "reference_time": xr.Variable(("reference_time",), references, reference),
            "step": xr.Variable(("step",), steps / 3600, hours),
            "valid_time": xr.Variable(FORECAST, valid, seconds | {"standard_name": "time"}, LOADED),
        }
    times = np.array(group.moments["time"])
    items = [group.times[(at,)] for at in range(len(times))]
    references = np.array([_seconds(item.reference) for item in items])
    steps = np.array([(item.end - item.reference) / HOUR for item in items])
    time = {**seconds, "standard_name": "time", "axis": "T"}
    return {
        "time": xr.Variable(("time",), times, time),
        "reference_time": xr.Variable(("time",), references, reference, LOADED),
        "step": xr.Variable(("time",), steps, hours, LOADED),
    }


def _seconds(moment: np.datetime64) -> int:
    return int(moment.astype("M8[s]").astype("int64"))


def _bounds(group: Group, variable: Variable) -> xr.Variable:
    """Start and end of what a variable's values were taken over, at each of its times."""
    count = len(group.moments)
    sizes = variable.shape[:count]
    bounds = np.full((*sizes, 2), np.iinfo("i8").min)
    for index, item in variable.cells.items():
        bounds[index[:count]] = _seconds(item.start), _seconds(item.end)
    attributes = {
        "units": EPOCH,
        "calendar": "proleptic_gregorian",
        "long_name": f"start and end of the time of {variable.name}",
        "_FillValue": np.iinfo("i8").min,
    }
    return xr.Variable((*group.moments, "bnds"), bounds, attributes, LOADED)


def _axis_coordinates(group: Group) -> dict[str, xr.Variable]:
    coordinates = {}
    first = group.first
    for name, axis in group.axes.items():
        unit, text = AXES.get(axis.base, (surface_unit(first.surface[0]), axis.base))
        attributes = {"long_name": text} | ({"units": unit} if unit else {})
        if axis.base not in AXES:
            attributes |= {"axis": "Z"} | ({"positive": "down"} if _is_down(axis) else {})
        values = axis.coordinates
        if axis.base == "number":
            values = values.astype("i8")
        coordinates[name] = xr.Variable((name,), values, attributes)
        if axis.has_bounds:
            coordinates[name].attrs["bounds"] = f"{name}_bounds"
            limits = np.array([(value[0], value[-1]) for value in axis.values])
            coordinates[f"{name}_bounds"] = xr.Variable((name, "bnds"), limits, {}, LOADED)
    return coordinates


def _is_down(axis: Axis) -> bool:
    return axis.base.startswith(("isobar", "depth", "pres_diff"))


def _grid_coordinates(group: Group, grid: Grid, octets: Octets) -> dict[str, xr.Variable]:
    coordinates = {}
    for name, values in grid.axes.items():
        coordinates[name] = xr.Variable((name,), values, grid.attributes[name])
    encoding = LOADED if grid.is_loaded else COMPUTED
    for name, values in grid.places.items():
        coordinates[name] = xr.Variable(grid.dims, values, grid.attributes[name], dict(encoding))
    if grid.mapping is not None:
        coordinates["spatial_ref"] = xr.Variable((), np.int64(0), grid.mapping, LOADED)
    return coordinates


def describe_variable(group: Group, variable: Variable, octets: Octets) -> dict[str, Any]:
    """Attributes: what the field is, and each label that is no coordinate."""
    first = variable.first
    handle = eccodes.codes_new_from_message(first.head or bytes(octets(first)))
    try:
        attributes = _words(Keys(handle), first)
        for other in variable.siblings[:1]:
            attributes |= _differing(handle, other.head or bytes(octets(other)))
    finally:
        eccodes.codes_release(handle)
    names = {item.short_name for item in variable.cells.values()}
    if len(names) == 1 and "unknown" not in names:
        attributes["GRIB_shortName"] = names.pop()
    if first.level and first.place not in {
        group.axes[dim].base for dim in variable.dims if dim in group.axes
    }:
        level = list(variable.level)
        attributes["GRIB_level"] = level[0] if len(level) == 1 else level
    if variable.siblings:
        attributes["GRIB_product"] = first.rest.hex()
    if variable.repeat:
        attributes["GRIB_repeat"] = variable.repeat
    return attributes


def _words(keys: Keys, first: Field) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    is_probability = "prob_" in first.kind
    for name, key in (("long_name", "name"), ("units", "units"), ("standard_name", "cfName")):
        if (text := keys.text(key)) not in ("", "unknown"):
            attributes[name] = text
    if is_probability:
        attributes |= {"GRIB_units": attributes.get("units", ""), "units": "%"}
        attributes.pop("standard_name", None)
    statistic = first.kind.split("_")[0]
    if first.is_statistic and statistic in CELL_METHODS:
        attributes["cell_methods"] = f"time: {CELL_METHODS[statistic]}"
    attributes["GRIB_parameter"] = list(first.parameter)
    attributes["GRIB_surface"] = [code for code in first.surface if code != 255]
    attributes["GRIB_centre"] = keys.text("centre")
    for key in DETAILS:
        value = keys.text(key)
        if value:
            attributes[f"GRIB_{key}"] = value
    return attributes


def _differing(handle: Any, other: bytes) -> dict[str, Any]:
    """Keys of the product by which two fields differ that have all labels in common."""
    mine = _coded(handle)
    theirs_handle = eccodes.codes_new_from_message(other)
    try:
        theirs = _coded(theirs_handle)
    finally:
        eccodes.codes_release(theirs_handle)
    return {f"GRIB_{key}": value for key, value in mine.items() if theirs.get(key) != value}


def _coded(handle: Any) -> dict[str, str]:
    """Keys that lie in the section of the product."""
    keys = Keys(handle)
    start = keys.get("offsetSection4") if keys.get("edition") == 2 else 8
    length = keys.get("section4Length" if keys.get("edition") == 2 else "section1Length", 0)
    coded = {}
    iterator = eccodes.codes_keys_iterator_new(handle)
    try:
        while eccodes.codes_keys_iterator_next(iterator):
            key = eccodes.codes_keys_iterator_get_name(iterator)
            if not eccodes.codes_is_defined(handle, key):
                continue
            if start < eccodes.codes_get_offset(handle, key) < start + length:
                coded[key] = keys.text(key)
    finally:
        eccodes.codes_keys_iterator_delete(iterator)
    return coded
