"""Whether a store tells of each GRIB message what ecCodes tells of it: its labels.

Labels are read from the store alone: from coordinates, from attributes, from the group's name. Two
messages with the same labels cannot be told apart, so that is a failure, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import eccodes
import numpy as np
import xarray as xr

from vzarr.formats.grib.fields import Field, Keys
from vzarr.formats.grib.messages import headers
from vzarr.formats.grib.survey import Survey
from vzarr.formats.grib.tables import AXES

Labels = dict[str, Any]
PASCALS = {"isobaricInhPa": 100.0, "isobaricInPa": 1.0}
"""What ecCodes' level of these kinds is multiplied with, whose units depend on its value."""
METRES = {"heightAboveGround": 1.0, "heightAboveSea": 1.0}
LIMITS = {"prob_below": "lowerLimit", "prob_above": "upperLimit"}


def find_failures(survey: Survey, stored: Mapping[str, xr.Dataset]) -> list[str]:
    """A sentence for each message whose labels in the store are not its own.

    ``stored`` holds, by the path of the group, what came of one file: its steps only.
    """
    failures: list[str] = []
    seen: dict[str, str] = {}
    met: set[tuple[int, int]] = set()
    for path, name, index, item in _cells(survey):
        met.add((item.offset, item.part))
        if path not in stored or name not in stored[path].variables:
            continue  # left out by name
        where = f"the message at byte {item.offset}" + f", field {item.part + 1}" * (item.part > 0)
        place = f"{path}/{name}".lstrip("/")
        told = stored_labels(stored[path], path, name, index)
        for key, value in message_labels(survey.octets(item), item).items():
            if not _equal(told.get(key), value):
                failures.append(
                    f"{place}: {where} has {key} {_shown(value)}, the store says "
                    f"{_shown(told.get(key))}"
                )
        labels = repr(sorted((key, _shown(value)) for key, value in told.items()))
        if labels in seen:
            failures.append(f"{place}: nothing tells {where} from {seen[labels]}")
        seen[labels] = f"that at byte {item.offset}"
    missing = [item for item in survey.fields if (item.offset, item.part) not in met]
    failures += [f"the message at byte {item.offset} is in no group" for item in missing]
    return failures


def _cells(survey: Survey) -> Iterator[tuple[str, str, tuple[int, ...], Field]]:
    for path, group in survey.groups.items():
        for name, variable in group.variables.items():
            for index, item in variable.cells.items():
                yield path, name, index, item


def stored_labels(dataset: xr.Dataset, path: str, name: str, index: tuple[int, ...]) -> Labels:
    """What a store says of one chunk of one variable."""
    variable = dataset.variables[name]
    at = dict(zip(variable.dims, index, strict=False))
    attributes = variable.attrs
    labels: Labels = {"group": path, "variable": name}
    for key in ("GRIB_parameter", "GRIB_surface", "GRIB_product", "GRIB_repeat"):
        if key in attributes:
            labels[key] = attributes[key]
    if "GRIB_level" in attributes:
        labels["level"] = tuple(np.atleast_1d(np.asarray(attributes["GRIB_level"], float)).tolist())
    valid = "time" if "time" in variable.dims else "valid_time"
    for key, coordinate in (("valid time", valid), ("reference time", "reference_time")):
        if coordinate in dataset.variables:
            labels[key] = _at(dataset.variables[coordinate], at)
    if f"{name}_bounds" in dataset.variables:
        start, end = _at(dataset.variables[f"{name}_bounds"], at)
        labels |= {"start": start, "end": end}
    for dim, place in at.items():
        if dim in ("time", "reference_time", "step") or dim not in dataset.variables:
            continue
        base = next((known for known in AXES if str(dim).startswith(known)), "level")
        limits = dataset.variables.get(f"{dim}_bounds", dataset.variables[dim])
        labels[base] = tuple(np.atleast_1d(limits.values[place]).astype(float).tolist())
    return labels


def _at(variable: xr.Variable, index: Mapping[Any, int]) -> Any:
    return variable.isel({dim: at for dim, at in index.items() if dim in variable.dims}).values


def message_labels(octets: Any, item: Field) -> Labels:
    """What ecCodes says of a message, by the keys that it computes and not by those it reads."""
    handle = eccodes.codes_new_from_message(headers(octets, item.part))
    try:
        keys = Keys(handle)
        labels = {
            "valid time": _moment(keys, "validityDate", "validityTime"),
            "reference time": _moment(keys, "dataDate", "dataTime"),
            **_product_labels(keys, item),
        }
        level = _level(keys)
        if item.level:
            labels["level"] = item.level if level is None else level
        if item.is_statistic:
            labels["start"] = _start(keys, item)
        if item.edition == 2:
            numbers = ("discipline", "parameterCategory", "parameterNumber")
            labels["GRIB_parameter"] = [*(keys.get(key) for key in numbers), *item.parameter[3:]]
    finally:
        eccodes.codes_release(handle)
    return {key: value for key, value in labels.items() if value is not None}


def _product_labels(keys: Keys, item: Field) -> Labels:
    labels: Labels = {key: values for key, values in item.limits}
    for key, name in (("percentile", "percentileValue"), ("number", "number")):
        if key in labels and (value := keys.get(name)) is not None:
            labels[key] = (float(value),)
    limit = LIMITS.get(item.kind.split("_", 1)[-1] if item.is_statistic else item.kind)
    if limit and (value := keys.get(limit, None, float)) is not None:
        labels["threshold"] = (value,)
    return labels


def _level(keys: Keys) -> tuple[float, ...] | None:
    factor = (PASCALS | METRES).get(keys.text("typeOfLevel"))
    value = keys.get("level", None, float)
    return None if factor is None or value is None else (value * factor,)


def _moment(keys: Keys, date: str, clock: str) -> np.datetime64 | None:
    day, time = keys.get(date), keys.get(clock)
    if day is None or time is None:
        return None
    text = f"{day:08d}"
    try:
        start = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}", "m")
    except ValueError:
        return None  # of a month, whose day is 0
    return start + np.timedelta64(time // 100 * 60 + time % 100, "m")


def _start(keys: Keys, item: Field) -> np.datetime64 | None:
    try:
        eccodes.codes_set(keys.handle, "stepUnits", "m")
        minutes = eccodes.codes_get(keys.handle, "startStep", ktype=int)
    except eccodes.CodesInternalError:
        return item.start
    return item.reference + np.timedelta64(minutes, "m")


def _equal(told: Any, value: Any) -> bool:
    if told is None:
        return False
    if isinstance(value, np.datetime64):  # ecCodes counts minutes here
        return bool(np.asarray(told).astype("M8[m]") == value.astype("M8[m]"))
    if isinstance(value, tuple):
        return np.shape(told) == np.shape(value) and np.allclose(told, value, rtol=1e-6, atol=1e-9)
    return list(told) == list(value) if isinstance(value, list) else told == value


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(f"{number:g}" for number in value)
    return str(value)
