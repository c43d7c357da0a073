"""What one field of a GRIB message is: parameter, level, time, member, limits, grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import eccodes
import numpy as np

from vzarr.formats.grib.messages import Message, has_bitmap, headers
from vzarr.formats.grib.tables import (
    DERIVED,
    FIRST_EDITION,
    FIRST_EDITION_LAYERS,
    FIRST_EDITION_STATISTICS,
    PROBABILITIES,
    SAME_CODE,
    STATISTICS,
    parameter_name,
    surface_name,
    surface_unit,
)
from vzarr.limits import check_number

COUNT_MISSING = (2**31 - 1, 2**32 - 1)
"""What stands for the number of columns of a grid whose rows have several."""
LOCAL = 192
"""From here on numbers of parameters are a centre's own."""
UNITS = {
    0: ("m", 1),
    1: ("h", 1),
    2: ("D", 1),
    3: ("M", 1),
    4: ("Y", 1),
    5: ("Y", 10),
    6: ("Y", 30),
    7: ("Y", 100),
    10: ("h", 3),
    11: ("h", 6),
    12: ("h", 12),
    13: ("s", 1),
    14: ("m", 15),
    15: ("m", 30),
    254: ("s", 1),
}
"""Code table 4.4: NumPy's unit of time, and how many of it."""
SECOND_ONLY = {14, 15}
LABELLED = {
    "forecastTime": 4,
    "indicatorOfUnitForForecastTime": 1,
    "scaleFactorOfFirstFixedSurface": 1,
    "scaledValueOfFirstFixedSurface": 4,
    "scaleFactorOfSecondFixedSurface": 1,
    "scaledValueOfSecondFixedSurface": 4,
    "perturbationNumber": 1,
    "percentileValue": 1,
    "quantileValue": 2,
    "scaleFactorOfLowerLimit": 1,
    "scaledValueOfLowerLimit": 4,
    "scaleFactorOfUpperLimit": 1,
    "scaledValueOfUpperLimit": 4,
    "forecastProbabilityNumber": 1,
    "totalNumberOfForecastProbabilities": 1,
    "waveDirectionNumber": 2,
    "waveFrequencyNumber": 2,
    "yearOfEndOfOverallTimeInterval": 7,
    "numberOfMissingInStatisticalProcess": 4,
    "lengthOfTimeRange": 4,
    "indicatorOfUnitForTimeRange": 1,
    "hoursAfterDataCutoff": 2,
    "minutesAfterDataCutoff": 1,
}
"""Octets of the product's section that labels tell; two fields that differ in another one differ in
what no label tells."""


@dataclass(frozen=True)
class Field:
    """One field of one message; ``part`` counts those of the message.

    ``level`` has a value, two of a layer, or none; ``limits`` those of axes as percentile. ``rest``
    are the octets of the product that nothing else here tells. ``head`` is a message of its headers
    alone, of edition 2.
    """

    offset: int
    length: int
    part: int
    edition: int
    parameter: tuple[int, ...]
    name: str
    short_name: str
    surface: tuple[int, int]
    level: tuple[float, ...]
    kind: str
    reference: np.datetime64
    start: np.datetime64
    end: np.datetime64
    limits: tuple[tuple[str, tuple[float, ...]], ...]
    grid: str
    grid_type: str
    shape: tuple[int, ...]
    packing: tuple[Any, ...]
    rest: bytes = field(repr=False)
    head: bytes = field(repr=False, compare=False)

    @property
    def place(self) -> str:
        """The surface that the field lies on, as a name."""
        return surface_name(*self.surface, len(self.level))

    @property
    def is_statistic(self) -> bool:
        """Whether it is of a span of time, as a sum or a mean."""
        return self.start != self.end


class Keys:
    """Keys of ecCodes of one handle, with a default for what a message does not have."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def get(self, key: str, default: Any = None, kind: type | None = int) -> Any:
        """The value of a key of ecCodes, or ``default`` where the message has none."""
        try:
            if eccodes.codes_is_missing(self.handle, key):
                return default
            return eccodes.codes_get(self.handle, key, ktype=kind)
        except eccodes.CodesInternalError:
            return default

    def text(self, key: str, default: str = "") -> str:
        """As ``get``, for text."""
        return self.get(key, default, str)

    def scaled(self, name: str) -> float | None:
        """A value that is kept with a power of ten, as ``FirstFixedSurface``."""
        factor = self.get(f"scaleFactorOf{name}")
        value = self.get(f"scaledValueOf{name}")
        if value is None or factor is None:
            return None
        return value / 10.0**factor if factor >= 0 else value * 10.0**-factor


def read_fields(url: str, data: Any, messages: list[Message]) -> list[Field]:
    """All fields of the messages of a file, whose bytes from ``offset`` on are in ``data``."""
    fields = []
    for message in messages:
        octets = data[message.offset : message.offset + message.length]
        for part in range(message.fields):
            fields.append(read_field(url, octets, message, part))
    return fields


def read_field(url: str, octets: Any, message: Message, part: int) -> Field:
    """One field, by the headers of its message.

    Raises
    ------
    Refused
        If it unpacks to more than is allowed.
    """
    head = headers(octets, part)
    handle = eccodes.codes_new_from_message(head)
    try:
        keys = Keys(handle)
        is_masked = has_bitmap(octets, part) if octets[7] == 2 else bool(keys.get("bitmapPresent"))
        return _read(url, keys, message, part, is_masked, head if octets[7] == 2 else b"")
    finally:
        eccodes.codes_release(handle)


def _read(url: str, keys: Keys, message: Message, part: int, is_masked: bool, head: bytes) -> Field:
    edition = keys.get("edition")
    if edition == 2:
        parameter = tuple(
            keys.get(key, 255) for key in ("discipline", "parameterCategory", "parameterNumber")
        )
        surface, level = _level(keys)
        kind, limits = _product(keys)
        times = _times(keys)
    else:
        parameter = (keys.get("table2Version", 255), keys.get("indicatorOfParameter", 255))
        surface, level = _first_level(keys)
        kind, limits = _first_product(keys)
        times = _first_times(keys)
    centre = keys.get("centre", 255)
    tables = (keys.get("tablesVersion", 0), keys.get("localTablesVersion", 0))
    short_name = keys.text("shortName", "unknown")
    name = parameter_name(centre, tables, parameter, short_name)
    if max(parameter) >= LOCAL or edition == 1:
        parameter = (*parameter, centre)
    return Field(
        message.offset,
        message.length,
        part,
        edition,
        parameter,
        name,
        short_name,
        surface,
        level,
        kind,
        *times,
        limits,
        keys.text("md5GridSection"),
        keys.text("gridType"),
        _shape(url, keys, message.offset),
        _packing(keys, is_masked),
        _rest(keys, edition),
        head,
    )


def _packing(keys: Keys, is_masked: bool) -> tuple[Any, ...]:
    """What decides whether a decoder gets a field right."""
    is_constant = keys.get("bitsPerValue", 0) == 0
    is_empty = keys.get("numberOfValues", 1) == 0
    words = (keys.text(key) for key in ("packingType", "scanningMode"))
    return (is_masked, *words, keys.text("missingValueManagementUsed"), is_constant, is_empty)


def _shape(url: str, keys: Keys, offset: int) -> tuple[int, ...]:
    points = keys.get("numberOfDataPoints", 0) or keys.get("numberOfValues", 0)
    if keys.text("gridType") == "sh":
        points = eccodes.codes_get_size(keys.handle, "values")
    rows, columns = keys.get("Nj", 0), keys.get("Ni", 0)
    largest = max(points, rows * columns if columns not in COUNT_MISSING else rows)
    check_number(url, "chunk", 8 * largest, f"bytes that the field at byte {offset} unpacks to:")
    return (rows, columns) if rows * columns == points and points else (points,)


def _level(keys: Keys) -> tuple[tuple[int, int], tuple[float, ...]]:
    surface = tuple(keys.get(f"typeOf{rank}FixedSurface", 255) for rank in ("First", "Second"))
    values = [keys.scaled(f"{rank}FixedSurface") for rank in ("First", "Second")]
    if surface[1] == 255:
        values[1] = None
    if not any(values) and not surface_unit(surface[0]):
        return surface, ()  # some write 0 for a surface that has no value, some nothing
    return surface, tuple(value for value in values if value is not None)


def _first_level(keys: Keys) -> tuple[tuple[int, int], tuple[float, ...]]:
    code = keys.get("indicatorOfTypeOfLevel", 255)
    octets = eccodes.codes_get_message(keys.handle)[18:20]
    if code == 102:
        return (101, 255), ()
    if code in FIRST_EDITION_LAYERS:
        new, factor = FIRST_EDITION_LAYERS[code]
        return (new, new), tuple(_round(value * factor) for value in octets)
    value = float(int.from_bytes(octets, "big"))
    if code in FIRST_EDITION:
        new, factor = FIRST_EDITION[code]
        return (new, 255), (_round(value * factor),)
    if code in SAME_CODE:
        return (code, 255), ()
    # The numbers of edition 1 from here on mean something else in edition 2.
    return (1000 + code, 255), (value,)


def _round(value: float) -> float:
    return float(f"{value:.12g}")


def _product(keys: Keys) -> tuple[str, tuple[tuple[str, tuple[float, ...]], ...]]:
    """The group of a kind of product, as ``acc_pctl``, and the values on its own axes."""
    words: list[str] = []
    limits: list[tuple[str, tuple[float, ...]]] = []
    statistic = keys.get("typeOfStatisticalProcessing")
    if statistic is not None:
        words.append(STATISTICS.get(statistic, f"stat_{statistic}"))
    spatial = keys.get("spatialProcessing")
    if spatial is not None:
        words.append(f"spatial_{keys.get('statisticalProcess', 255)}_{spatial}")
    derived = keys.get("derivedForecast")
    if derived is not None:
        words.append(DERIVED.get(derived, f"derived_{derived}"))
    number = keys.get("perturbationNumber")
    if number is not None:
        limits.append(("number", (float(number),)))
    percentile = keys.get("percentileValue")
    if percentile is not None:
        words.append("pctl")
        limits.append(("percentile", (float(percentile),)))
    probability = keys.get("probabilityType")
    if probability is not None:
        word, names = PROBABILITIES.get(probability, (f"prob_{probability}", ("lower", "upper")))
        words.append(word)
        scaled = [keys.scaled(f"{name.capitalize()}Limit") for name in names]
        if values := tuple(value for value in scaled if value is not None):
            limits.append(("threshold", values))
    quantile, total = keys.get("quantileValue"), keys.get("totalNumberOfQuantiles")
    if quantile is not None and total:
        words.append("quantile")
        limits.append(("quantile", (_round(quantile / total),)))
    for axis, key in (
        ("wave_direction", "waveDirectionNumber"),
        ("wave_frequency", "waveFrequencyNumber"),
    ):
        if (value := keys.get(key)) is not None:
            limits.append((axis, (float(value),)))
    return "_".join(words) or "instant", tuple(limits)


def _first_product(keys: Keys) -> tuple[str, tuple[tuple[str, tuple[float, ...]], ...]]:
    statistic = keys.text("stepType", "instant") or "instant"
    word = FIRST_EDITION_STATISTICS.get(statistic, statistic)
    words = [] if word == "instant" else [word]
    derived = {"em": "mean", "es": "spread"}.get(keys.text("marsType"))
    words += [derived] if derived else []
    limits = []
    number = keys.get("perturbationNumber")
    # ECMWF has a number of 0 in what is no ensemble, too.
    is_member = number or keys.get("numberOfForecastsInEnsemble", 0)
    if is_member or keys.text("marsType") in ("cf", "pf"):
        limits.append(("number", (float(number or 0),)))
    for axis, key in (("wave_direction", "directionNumber"), ("wave_frequency", "frequencyNumber")):
        if (value := keys.get(key)) is not None:
            limits.append((axis, (float(value),)))
    return "_".join(words) or "instant", tuple(limits)


def _moment(*numbers: int) -> np.datetime64:
    """Year, month, day, hour, minute, second; monthly means have a day of 0."""
    year, month, day, hour, minute, second = numbers
    text = f"{year:04d}-{max(month, 1):02d}-{max(day, 1):02d}T{hour:02d}:{minute:02d}:{second:02d}"
    try:
        return np.datetime64(text, "s")
    except ValueError:
        return np.datetime64("NaT", "s")


def _later(moment: np.datetime64, count: int, unit: int, edition: int) -> np.datetime64:
    known = UNITS.get(unit) if edition == 1 or unit not in SECOND_ONLY else None
    if known is None:
        return np.datetime64("NaT", "s")
    code, each = known
    if code in "MY":
        rest = moment - moment.astype("M8[M]")
        months = moment.astype("M8[M]") + count * each * (12 if code == "Y" else 1)
        return months.astype("M8[M]").astype("M8[s]") + rest
    return moment + count * each * np.timedelta64(1, code)  # type: ignore[call-overload]


TIME = ("year", "month", "day", "hour", "minute", "second")


def _times(keys: Keys) -> tuple[np.datetime64, np.datetime64, np.datetime64]:
    """Reference time, and both ends of the time that a field holds for."""
    reference = _moment(*(keys.get(key, 0) for key in TIME))
    unit = keys.get("indicatorOfUnitForForecastTime", 1)
    start = _later(reference, keys.get("forecastTime", 0), unit, 2)
    year = keys.get("yearOfEndOfOverallTimeInterval")
    if year is None:
        return reference, start, start
    rest = (keys.get(f"{key}OfEndOfOverallTimeInterval", 0) for key in TIME[1:])
    return reference, start, _moment(year, *rest)


def _first_times(keys: Keys) -> tuple[np.datetime64, np.datetime64, np.datetime64]:
    year = (keys.get("centuryOfReferenceTimeOfData", 21) - 1) * 100 + keys.get("yearOfCentury", 0)
    reference = _moment(year, *(keys.get(key, 0) for key in TIME[1:5]), 0)
    octets = eccodes.codes_get_message(keys.handle)[25:29]
    unit, first, second, span = octets
    if span == 10:  # both octets are one number
        first, second = int.from_bytes(octets[1:3], "big"), 0
    start, end = (_later(reference, count, unit, 1) for count in (first, second))
    if span in (2, 3, 4, 5):
        return reference, start, end
    if span in (0, 1, 10):
        end = start if span != 1 else reference
        if keys.text("stepType") not in ("instant", ""):  # a total since the start, as of ECMWF
            return reference, reference, end
        return reference, end, end
    return reference, start, start


def _rest(keys: Keys, edition: int) -> bytes:
    """Octets of the product's section without those that labels tell."""
    message = eccodes.codes_get_message(keys.handle)
    if edition == 1:
        start, length = 8, int.from_bytes(message[8:11], "big")
        section = bytearray(message[start : start + length])
        for low, high in ((10, 21), (21, 25), (26, 28)):  # level and times, averages, scaling
            section[low:high] = bytes(high - low)
        labelled = {"perturbationNumber": 1, "directionNumber": 1, "frequencyNumber": 1}
    else:
        start, length = keys.get("offsetSection4"), keys.get("section4Length")
        section = bytearray(message[start : start + length])
        labelled = LABELLED
    for key, size in labelled.items():
        if keys.get(key, "none") is None or not eccodes.codes_is_defined(keys.handle, key):
            continue
        at = eccodes.codes_get_offset(keys.handle, key) - start
        section[at : at + size] = bytes(len(section[at : at + size]))
    head = b"" if edition == 1 else message[21:28] + message[35:37]  # centre and tables; status
    return bytes(head) + bytes(section)
