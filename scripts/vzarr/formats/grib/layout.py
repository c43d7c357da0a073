"""Fields to groups, variables and axes: each field one cell, told from all others by its labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vzarr.formats.grib.fields import Field
from vzarr.formats.grib.tables import AXES
from vzarr.limits import check_number

FORECAST = ("reference_time", "step")
HOUR = np.timedelta64(3600, "s")


@dataclass(frozen=True)
class Axis:
    """Values of one dimension, each one number, or both limits of a layer or a threshold."""

    name: str
    base: str
    values: tuple[tuple[float, ...], ...]

    @property
    def coordinates(self) -> np.ndarray:
        """One number for each value: the first limit, the second, or what lies between."""
        pairs = np.array(self.values, float).reshape(len(self.values), -1)
        for values in (pairs[:, 0], pairs[:, -1], pairs.mean(axis=1)):
            if len(set(values.tolist())) == len(values):
                return values
        return np.arange(len(pairs), dtype=float)

    @property
    def has_bounds(self) -> bool:
        """Whether its steps are spans."""
        return any(len(value) == 2 for value in self.values)


@dataclass
class Variable:
    """``cells`` holds the field at each index of the axes, times first; others are missing.

    ``repeat`` counts fields that have all labels in common with others.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    cells: dict[tuple[int, ...], Field]
    repeat: int = 0
    siblings: list[Field] = field(default_factory=list)

    @property
    def first(self) -> Field:
        """The field that comes first in the file."""
        return min(self.cells.values(), key=lambda item: (item.offset, item.part))

    @property
    def level(self) -> tuple[float, ...]:
        """The only level, if there is no axis of them."""
        levels = {item.level for item in self.cells.values()}
        return levels.pop() if len(levels) == 1 else ()


@dataclass
class Group:
    """Fields of one kind of level, one kind of product and one grid.

    ``moments`` are valid times, or reference times and steps where a forecast's both are axes.
    """

    path: str
    moments: dict[str, list[Any]]
    times: dict[tuple[int, ...], Field]
    axes: dict[str, Axis] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)

    @property
    def is_forecast(self) -> bool:
        """Whether its moments are those of runs."""
        return FORECAST[0] in self.moments

    @property
    def first(self) -> Field:
        """The first field of its first variable."""
        return next(iter(self.variables.values())).first


def lay_out(url: str, fields: Iterable[Field], forecast: bool = False) -> dict[str, Group]:
    """Groups by path. ``forecast``: along reference time and step, and not along valid time.

    Raises
    ------
    Refused
        If the axes have more cells without a field than is allowed.
    """
    kinds: dict[tuple[str, str, str], list[Field]] = defaultdict(list)
    for item in fields:
        kinds[item.place, item.kind, item.grid].append(item)
    grids: dict[tuple[str, str], int] = defaultdict(int)
    groups = {}
    for (place, kind, _), members in kinds.items():
        grids[place, kind] += 1
        count = grids[place, kind]
        path = f"{place}/{kind}" + (f"_grid_{count}" if count > 1 else "")
        groups[path] = _make_group(url, path, members, forecast)
    return groups


def _make_group(url: str, path: str, members: list[Field], forecast: bool) -> Group:
    by_name = _by_name(members)
    forecast = forecast or _needs_forecast(by_name.values())
    parts: list[tuple[str, int, list[Field], list[Field]]] = []
    for name, items in by_name.items():
        once_each = _without_repeats(items, forecast)
        for count, (repeat, part) in enumerate(once_each, 1):
            parts.append((name if count == 1 else f"{name}_{count}", repeat, part, items))
    group = Group(path, *_moments(members, forecast))
    _add_axes(group, members, [part for _, _, part, _ in parts])
    for name, repeat, part, items in parts:
        variable = _make_variable(group, name, part, forecast)
        empty = int(np.prod(variable.shape)) - len(part)
        check_number(url, "empty", empty, f"cells of {path}/{name} for which there is no field:")
        variable.repeat = repeat
        variable.siblings = [item for item in items if item.rest != variable.first.rest]
        group.variables[name] = variable
    return group


def _by_name(members: list[Field]) -> dict[str, list[Field]]:
    """Fields of one variable: of one parameter, with the same axes. Two may not share a name."""
    kinds: dict[tuple, list[Field]] = defaultdict(list)
    for item in members:
        axes = tuple((axis, len(values)) for axis, values in item.limits)
        kinds[item.name, item.parameter, item.surface, axes].append(item)
    owners: dict[str, list[tuple]] = defaultdict(list)
    for kind in kinds:
        owners[kind[0]].append(kind)
    by_name = {}
    for name, group in owners.items():
        group.sort(key=lambda kind: kind[1:])
        by_name[name] = kinds[group[0]]
        for count, kind in enumerate(group[1:], 2):
            numbers = "_".join(map(str, kind[1]))
            other = f"{name}_{numbers}" if kind[1] != group[0][1] else f"{name}_{count}"
            while other in by_name or other in owners:
                other += "_"
            by_name[other] = kinds[kind]
    return by_name


def _number(moment: np.datetime64) -> int:
    return int(moment.astype("M8[s]").astype("int64"))


def _moment_key(item: Field, forecast: bool) -> tuple[int, ...]:
    if forecast:
        return _number(item.reference), _number(item.end) - _number(item.reference)
    return (_number(item.end),)


def _cell_key(item: Field, forecast: bool) -> tuple:
    return _moment_key(item, forecast), item.limits, item.level


def _needs_forecast(variables: Iterable[list[Field]]) -> bool:
    """Whether one valid time stands for several reference times, as in overlapping forecasts."""
    references: dict[int, set[int]] = defaultdict(set)
    for items in variables:
        for item in items:
            references[_number(item.end)].add(_number(item.reference))
    return any(len(group) > 1 for group in references.values())


def _without_repeats(items: list[Field], forecast: bool) -> list[tuple[int, list[Field]]]:
    """Parts of a variable in which no two fields share a cell, each with its count of repeats.

    By octets of the product that no label tells; else by the length of the time that they hold for,
    as a total since the start beside one of the last hours.
    """
    if _is_unique(items, forecast):
        return [(0, items)]
    by_rest: dict[bytes, list[Field]] = defaultdict(list)
    for item in items:
        by_rest[item.rest].append(item)
    parts = []
    for rest in sorted(by_rest):
        cells: dict[tuple, list[Field]] = defaultdict(list)
        for item in by_rest[rest]:
            cells[_cell_key(item, forecast)].append(item)
        most = max(map(len, cells.values()))
        ordered = [
            sorted(cell, key=lambda item: (_number(item.end) - _number(item.start), item.offset))
            for cell in cells.values()
        ]
        for rank in range(most):
            parts.append((rank, [cell[rank] for cell in ordered if rank < len(cell)]))
    return parts


def _is_unique(items: list[Field], forecast: bool) -> bool:
    return len({_cell_key(item, forecast) for item in items}) == len(items)


def _moments(
    members: list[Field], forecast: bool
) -> tuple[dict[str, list[Any]], dict[tuple[int, ...], Field]]:
    """The axes of time, and a field at each of their cells."""
    keys = {_moment_key(item, forecast): item for item in reversed(members)}
    columns = [sorted(set(column)) for column in zip(*keys, strict=True)]
    names = FORECAST if forecast else ("time",)
    places = [{value: at for at, value in enumerate(column)} for column in columns]
    times = {
        tuple(place[number] for place, number in zip(places, key, strict=True)): item
        for key, item in keys.items()
    }
    return dict(zip(names, columns, strict=True)), times


def _add_axes(group: Group, members: list[Field], parts: list[list[Field]]) -> None:
    """Members are one axis for all variables; each set of levels or limits is one of its own."""
    numbers = {values for item in members for axis, values in item.limits if axis == "number"}
    if numbers:
        group.axes["number"] = Axis("number", "number", tuple(sorted(numbers)))
    sets: dict[str, set[tuple]] = defaultdict(set)
    for part in parts:
        for base, values in _sets(part).items():
            sets[base].add(values)
    for base, sets_of_group in sets.items():
        ordered = sorted(sets_of_group, key=lambda values: (-len(values), values))
        for count, values in enumerate(ordered, 1):
            name = base if count == 1 else f"{base}_{count}"
            group.axes[name] = Axis(name, base, values)


def _sets(part: list[Field]) -> dict[str, tuple]:
    """Values of a variable by the axis that they lie along; a single level needs none."""
    sets: dict[str, set] = defaultdict(set)
    for item in part:
        for axis, values in item.limits:
            if axis != "number":
                sets[axis].add(values)
        sets[item.place].add(item.level)
    levels = sets[part[0].place]
    if len(levels) == 1:
        del sets[part[0].place]
    return {base: tuple(sorted(values)) for base, values in sets.items()}


def _make_variable(group: Group, name: str, part: list[Field], forecast: bool) -> Variable:
    sets = _sets(part)
    axes: list[Axis] = []
    known = [*AXES, part[0].place]
    if any(axis == "number" for axis, _ in part[0].limits):
        axes.append(group.axes["number"])
    for base in sorted(sets, key=known.index):
        axes.append(
            next(
                axis
                for axis in group.axes.values()
                if axis.base == base and axis.values == sets[base]
            )
        )
    columns = [{value: at for at, value in enumerate(values)} for values in group.moments.values()]
    places = [{value: at for at, value in enumerate(axis.values)} for axis in axes]
    cells = {}
    for item in part:
        limits = dict(item.limits)
        index = [
            column[key] for column, key in zip(columns, _moment_key(item, forecast), strict=True)
        ]
        index += [
            place[limits.get(axis.base, item.level)]
            for axis, place in zip(axes, places, strict=True)
        ]
        cells[tuple(index)] = item
    dims = (*group.moments, *(axis.name for axis in axes))
    shape = (*map(len, columns), *(len(axis.values) for axis in axes))
    return Variable(name, dims, shape, cells)
