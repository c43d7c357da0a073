from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import xarray as xr
from kit import stores
from kit.grading import Grade
from kit.tasks import maker_of

make = maker_of(__file__)


def grade(folder: Path, seed: int) -> Grade:
    grade = Grade()
    truth = make.truth(seed)
    answer = folder / "ANSWER.md"
    text = answer.read_text() if answer.is_file() else ""
    for title, name in (("pressure levels", "levels"), ("2 m", "near")):
        line = re.search(rf"{title}\W*:\W*([\w/.-]+)", text)
        if not grade.check(f"ANSWER.md: {title}", line, text or "no ANSWER.md") or not line:
            continue
        group, _, variable = line[1].strip("/").rpartition("/")
        path = folder / "fc.icechunk"
        opened = stores.open_store(grade, path, group=group or None, what=f"{title}: store")
        if opened is None:
            continue
        if grade.check(f"{title}: variable", variable in opened.ds, sorted(opened.ds.variables)):
            _compare(grade, opened.ds, variable, truth[name], title)
            stores.check_virtual(grade, opened, [variable], group)
    return grade


def _compare(grade: Grade, ds: xr.Dataset, name: str, truth: xr.DataArray, title: str) -> None:
    try:
        field = ds[name].load()
    except Exception as error:
        grade.check(f"{title}: readable", False, f"{type(error).__name__}: {error}")
        return
    axes = {dim: _axis(ds, str(dim)) for dim in field.dims}
    field = field.squeeze([dim for dim in field.dims if field.sizes[dim] == 1], drop=True)
    times = [dim for dim in field.dims if axes[dim] is not None and axes[dim].dtype.kind == "M"]
    levels = [
        dim
        for dim in field.dims
        if dim not in times and field.sizes[dim] == len(make.LEVELS) and axes[dim] is not None
    ]
    wanted = "level" in truth.dims
    told = f"{dict(field.sizes)}: coordinates of time {times}, of level {levels}"
    if not grade.check(f"{title}: axes", len(times) == 1 and len(levels) == wanted, told):
        return
    stored = axes[times[0]]
    increasing = len(stored) < 2 or (stored[1:] > stored[:-1]).all()
    grade.check(f"{title}: times in order", increasing, stored, silent=True)
    right = np.array_equal(np.sort(stored), truth.time.values)
    if not grade.check(f"{title}: times", right, stored):
        return
    order = [times[0], *levels]
    field = field.transpose(*order, ...)
    meant = truth.sel(time=stored)
    if wanted:
        heights = axes[levels[0]]
        heights = heights / 100 if heights.max() > 2000 else heights
        right = np.array_equal(np.sort(heights), np.sort(make.LEVELS))
        if not grade.check(f"{title}: levels", right, heights, silent=True):
            return
        meant = meant.sel(level=heights)
    latitude = [d for d in field.dims[len(order) :] if "lat" in str(d).lower()]
    values, right = field.values, meant.values
    if latitude and ds[latitude[0]].values[0] < ds[latitude[0]].values[-1]:
        values = np.flip(values, field.dims.index(latitude[0]))
    same = values.shape == right.shape and np.allclose(values, right, rtol=1e-5)
    grade.check(f"{title}: values", same, f"{values.shape}, differ from the messages", silent=True)


def _axis(ds: xr.Dataset, dim: str) -> np.ndarray | None:
    """The coordinate along a dimension: times where there are any, whatever it is called."""
    along = [ds[name] for name in ds.coords if ds[name].dims == (dim,)]
    times = [each.values for each in along if each.dtype.kind == "M" and "ref" not in each.name]
    if times:
        return times[0].astype("M8[ns]")
    if dim in ds.coords and np.issubdtype(ds[dim].dtype, np.number):
        return ds[dim].values.astype("f8")
    return None
