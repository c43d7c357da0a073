"""GRIB messages of the kinds that weather services publish, small, made by ecCodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import eccodes
import numpy as np

GRID = {
    "gridType": "regular_ll",
    "Ni": 8,
    "Nj": 6,
    "latitudeOfFirstGridPointInDegrees": 50.0,
    "longitudeOfFirstGridPointInDegrees": 0.0,
    "latitudeOfLastGridPointInDegrees": 45.0,
    "longitudeOfLastGridPointInDegrees": 7.0,
    "iDirectionIncrementInDegrees": 1.0,
    "jDirectionIncrementInDegrees": 1.0,
}
ORIGIN = {
    "centre": "kwbc",
    "tablesVersion": 2,
    "significanceOfReferenceTime": 1,
    "dataDate": 20260115,
    "dataTime": 0,
    "typeOfProcessedData": 1,
}
SHAPE = (6, 8)


def message(
    values: np.ndarray, sample: str = "GRIB2", grid: Mapping[str, Any] = GRID, **keys: Any
) -> bytes:
    """One message; ``keys`` are ecCodes', in the order in which they are set."""
    handle = eccodes.codes_grib_new_from_samples(sample)
    packing = keys.pop("packingType", None)
    first = {key: keys.pop(key) for key in ("productDefinitionTemplateNumber",) if key in keys}
    known = ORIGIN if sample == "GRIB2" else {"dataDate": 20260115, "dataTime": 0}
    for key, value in {**known, **grid, **first, **keys}.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set(handle, "bitsPerValue", 16)
    if packing:
        eccodes.codes_set(handle, "packingType", packing)
    eccodes.codes_set_values(handle, np.asarray(values, float).ravel())
    data = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return data


def field(random: np.random.Generator, parameter: tuple[int, int, int], **keys: Any) -> bytes:
    """A message with values of chance, of one parameter by its numbers."""
    discipline, category, number = parameter
    numbers = {"discipline": discipline, "parameterCategory": category, "parameterNumber": number}
    values = 250 + random.normal(size=keys.pop("shape", SHAPE))
    return message(values, **numbers, **keys)


def at(surface: int, value: float | None = None, factor: int = 0) -> dict[str, Any]:
    """Keys of one level: the code of its kind, and ``value / 10**factor``."""
    keys: dict[str, Any] = {"typeOfFirstFixedSurface": surface}
    if value is not None:
        keys |= {"scaleFactorOfFirstFixedSurface": factor, "scaledValueOfFirstFixedSurface": value}
    return keys


def layer(surface: int, first: float, second: float, factor: int = 0) -> dict[str, Any]:
    return at(surface, first, factor) | {
        "typeOfSecondFixedSurface": surface,
        "scaleFactorOfSecondFixedSurface": factor,
        "scaledValueOfSecondFixedSurface": second,
    }


def over(start: int, end: int, statistic: int = 1, template: int = 8, day: int = 15) -> dict:
    """Keys of what was taken over hours of a forecast from midnight on; 1 is a total."""
    return {
        "productDefinitionTemplateNumber": template,
        "forecastTime": start,
        "yearOfEndOfOverallTimeInterval": 2026,
        "monthOfEndOfOverallTimeInterval": 1,
        "dayOfEndOfOverallTimeInterval": day + end // 24,
        "hourOfEndOfOverallTimeInterval": end % 24,
        "minuteOfEndOfOverallTimeInterval": 0,
        "secondOfEndOfOverallTimeInterval": 0,
        "typeOfStatisticalProcessing": statistic,
        "lengthOfTimeRange": end - start,
    }


def sections(data: bytes) -> list[bytes]:
    found, start = [], 16
    while data[start : start + 4] != b"7777":
        length = int.from_bytes(data[start : start + 4], "big")
        found.append(data[start : start + length])
        start += length
    return found


def joined(first: bytes, *others: bytes) -> bytes:
    """One message of several fields, as NCEP makes of U and V."""
    repeated = [part for other in others for part in sections(other) if part[4] >= 4]
    body = b"".join([*sections(first), *repeated])
    return first[:8] + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def write(path: Path, *messages: bytes) -> Path:
    path.write_bytes(b"".join(messages))
    return path


def write_products(folder: Path) -> None:
    """``gfs.fHHH.grib2`` with indexes and ``blend.fHHH.grib2``: steps of what is published.

    Winds and temperatures near the ground, on levels in Pa and hPa, U and V in one message, rain of
    two kinds of totals (none in step 0), a local parameter; percentiles and probabilities.
    ``gefs.tRRz.fHHH.grib2``: a file for each run and step of two members.
    """
    random = np.random.default_rng(18)
    _write_gfs(folder / "gfs.f000.grib2", random, 0)
    for hour in (3, 6, 9):
        _write_gfs(folder / f"gfs.f{hour:03d}.grib2", random, hour)
        keys = at(200) | {"forecastTime": hour}
        water = (0, 1, 3)
        parts = []
        for percentile in (10, 50, 90):
            more = {"productDefinitionTemplateNumber": 6, "percentileValue": percentile}
            parts.append(field(random, water, **more, **keys))
        for limit in (25, 50):
            parts.append(field(random, water, **above(limit), **keys))
        write(folder / f"blend.f{hour:03d}.grib2", *parts)
    for run in (0, 6):
        for hour in (0, 6, 12):
            _write_members(folder / f"gefs.t{run:02d}z.f{hour:03d}.grib2", random, run, hour)


def above(limit: int) -> dict[str, Any]:
    """Keys of the probability that something is above a limit."""
    return {
        "productDefinitionTemplateNumber": 5,
        "probabilityType": 1,
        "scaleFactorOfUpperLimit": 0,
        "scaledValueOfUpperLimit": limit,
        "forecastProbabilityNumber": 0,
        "totalNumberOfForecastProbabilities": 0,
    }


def _write_members(path: Path, random: np.random.Generator, run: int, hour: int) -> None:
    parts = []
    for number in (1, 2):
        keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": number}
        keys |= {"numberOfForecastsInEnsemble": 2, "dataTime": run * 100, "forecastTime": hour}
        parts.append(field(random, (0, 0, 0), **keys, **at(103, 2)))
    write(path, *parts)


def _write_gfs(path: Path, random: np.random.Generator, hour: int) -> None:
    now = {"forecastTime": hour}
    parts, told = [], []
    for height in (2, 80):
        parts.append(field(random, (0, 0, 0), **at(103, height), **now))
        told.append([f"TMP:{height} m above ground:{hour} hour fcst:"])
    for height in (10, 80):
        winds = [field(random, (0, 2, number), **at(103, height), **now) for number in (2, 3)]
        parts.append(joined(*winds))
        told.append([f"{name}:{height} m above ground:{hour} hour fcst:" for name in WINDS])
    for pascals, level in ((70, "0.7 mb"), (50000, "500 mb"), (85000, "850 mb")):
        parts.append(field(random, (0, 0, 0), **at(100, pascals), **now))
        told.append([f"TMP:{level}:{hour} hour fcst:"])
    for start in (hour // 7 * 6, 0) if hour else ():
        parts.append(field(random, (0, 1, 8), **at(1), **over(start, hour)))
        told.append([f"APCP:surface:{start}-{hour} hour acc fcst:"])
    parts.append(field(random, (0, 3, 251), **at(103, 10), **now))
    told.append([f"var discipline=0 parmcat=3 parm=251:10 m above ground:{hour} hour fcst:"])
    write(path, *parts)
    lines, offset = [], 0
    for number, (part, texts) in enumerate(zip(parts, told, strict=True), 1):
        for count, text in enumerate(texts, 1):
            which = f"{number}.{count}" if len(texts) > 1 else str(number)
            lines.append(f"{which}:{offset}:d=2026011500:{text}\n")
        offset += len(part)
    path.with_name(f"{path.name}.idx").write_text("".join(lines))


WINDS = ("UGRD", "VGRD")
