"""Coordinates of the grids of a GRIB file: latitudes and longitudes of ecCodes, by which codec."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import eccodes
import numpy as np
from virtual_zarr_grib import sections

from vzarr.formats.grib.fields import Field

PLACES = ("latitude", "longitude")
UNITS = {"latitude": "degrees_north", "longitude": "degrees_east"}
PROJECTED = ("x", "y")
COPIED = 32 * 1024**2
"""Bytes of latitudes and longitudes of one grid up to which each group gets a copy."""


KEPT = 4
"""Grids that are kept for the next file, which mostly has the same."""
_known: dict[tuple, Grid] = {}


@dataclass(frozen=True)
class Grid:
    """``axes`` are loaded, by name; ``places`` are latitude and longitude that are no axes.

    gribberish's codec decodes them from a message if it can. Else they are loaded, as long as all
    copies are small (``is_loaded``): whoever opens a group needs the codecs of all in it.
    ``mapping`` is the grid mapping's attributes.
    """

    dims: tuple[str, ...]
    axes: dict[str, np.ndarray] = field(default_factory=dict)
    places: dict[str, np.ndarray] = field(default_factory=dict)
    by_gribberish: bool = False
    is_loaded: bool = False
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    mapping: dict[str, Any] | None = None


def describe_grid(head: bytes, item: Field, copies: int = 1) -> Grid:
    """The grid of one field, whose headers are ``head``, and which ``copies`` groups have."""
    key = (item.grid, item.shape, item.part > 0, copies)
    if key not in _known:
        if len(_known) >= KEPT:
            _known.pop(next(iter(_known)))
        _known[key] = _describe(head, item, copies)
    return _known[key]


def _describe(head: bytes, item: Field, copies: int) -> Grid:
    latitudes, longitudes = read_places(head, item)
    if latitudes.shape != item.shape:
        alone = "coefficient" if item.grid_type == "sh" else "point"
        return Grid(("y", "x") if len(item.shape) == 2 else (alone,))
    described = _described(head, item)
    mapping = described.pop("spatial_ref", None)
    if len(item.shape) == 1:
        places = {"latitude": latitudes, "longitude": longitudes}
        attributes = _attributes(described)
        small = _is_small(latitudes, copies)
        return Grid(("point",), {}, places, False, small, attributes, mapping)
    is_regular = (latitudes == latitudes[:, :1]).all() and (longitudes == longitudes[:1]).all()
    if is_regular:
        axes = {"latitude": latitudes[:, 0], "longitude": longitudes[0]}
        return Grid(PLACES, axes, attributes=_attributes(described), mapping=mapping)
    grid_places = _places_by_gribberish(head, item)
    by_gribberish = _are_same(grid_places, latitudes, longitudes)
    if by_gribberish:
        latitudes, longitudes = grid_places
    sizes = dict(zip(("y", "x"), item.shape, strict=True))
    axes = {
        name: np.asarray(described[name]["values"])
        for name in PROJECTED
        if name in described and np.shape(described[name]["values"]) == (sizes[name],)
    }
    places = {"latitude": latitudes, "longitude": longitudes}
    small = not by_gribberish and _is_small(latitudes, copies)
    return Grid(("y", "x"), axes, places, by_gribberish, small, _attributes(described), mapping)


def _is_small(latitudes: np.ndarray, copies: int) -> bool:
    return 2 * latitudes.nbytes * copies <= COPIED


def read_places(head: bytes, item: Field) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of each point; empty if ecCodes does not know them."""
    handle = eccodes.codes_new_from_message(head)
    try:
        arrays = [eccodes.codes_get_array(handle, f"{name}s") for name in PLACES]
        latitudes, longitudes = (np.asarray(array).reshape(item.shape) for array in arrays)
    except (eccodes.CodesInternalError, ValueError):
        return np.empty((0, 0)), np.empty((0, 0))
    finally:
        eccodes.codes_release(handle)
    return latitudes, longitudes


def _attributes(described: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """CF attributes of all coordinates of a grid."""
    grid_attributes = {
        name: {"standard_name": name, "long_name": name, "units": UNITS[name]} for name in PLACES
    }
    for name in PROJECTED:
        if name in described:
            attributes = dict(described[name]["attrs"])
            grid_attributes[name] = {**attributes, "units": attributes.pop("unit", "m")}
            grid_attributes[name].pop("unit", None)
    return grid_attributes


def _places_by_gribberish(head: bytes, item: Field) -> list[np.ndarray]:
    """Latitudes and longitudes as gribberish's codec reads them; none where it cannot."""
    from gribberish import parse_grib_message_metadata

    if item.part:
        return []
    try:
        places = parse_grib_message_metadata(head, 0).latlng(False, False)
        return [np.asarray(values).reshape(item.shape) for values in places]
    except Exception:  # grids and products that it does not know
        return []


def _are_same(places: list[np.ndarray], latitudes: np.ndarray, longitudes: np.ndarray) -> bool:
    """gribberish counts some longitudes from -180, ecCodes all from 0."""
    if not places:
        return False
    turns = (places[1] - longitudes) / 360
    return bool(
        np.allclose(places[0], latitudes, rtol=1e-6, atol=1e-6)
        and np.allclose(turns, turns.round(), rtol=0, atol=1e-8)
    )


def _described(head: bytes, item: Field) -> dict[str, Any]:
    """gribberish's coordinates of the grid, and the attributes of its mapping, if it knows it."""
    from gribberish import parse_grib_dataset

    message = _plain_product(item) if item.head else head
    try:
        node = parse_grib_dataset(message, encode_coords=True)
    except Exception:
        return {}
    while node.get("groups"):
        node = next(iter(node["groups"].values()))
    coordinates = dict(node.get("coords", {}))
    projected = {name: coordinates[name] for name in PROJECTED if name in coordinates}
    if "spatial_ref" in coordinates:
        projected["spatial_ref"] = dict(coordinates["spatial_ref"]["attrs"])
    return projected


def _plain_product(item: Field) -> bytes:
    """A field as temperature on a level: of others gribberish may not describe the grid."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    sample = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    parts = dict(sections(memoryview(item.head)))
    known = dict(sections(memoryview(sample)))
    body = b"".join(
        bytes(part) for part in (known[1], parts[3], known[4], *(parts[n] for n in (5, 6, 7)))
    )
    return sample[:8] + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"
