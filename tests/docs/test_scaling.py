"""The batches of ``references/scaling.md`` refuse what would come out of order."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

SCALING = Path(__file__).parents[2] / "references" / "scaling.md"


@pytest.fixture
def batches(tmp_path: Path) -> ModuleType:
    (code,) = re.findall(
        r'^```python [^\n]*file="batches.py"\n(.*?)^```', SCALING.read_text(), re.DOTALL | re.M
    )
    path = tmp_path / "batches.py"
    path.write_text(code)
    specification = importlib.util.spec_from_file_location("batches", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.LOADED = ["time"]
    return module


def write_days(folder: Path, first_days: list[int]) -> list[str]:
    """Files of two days each, named in this order."""
    urls = []
    for number, first in enumerate(first_days):
        path = folder / f"{number}.nc"
        time = ("time", [first, first + 1], {"units": "days since 2024-01-01"})
        dataset = xr.Dataset({"v": ("time", np.arange(2.0) + first)}, {"time": time})
        dataset.to_netcdf(path, engine="h5netcdf")
        os.utime(path, (1.7e9, 1.7e9))  # older than the references to it
        urls.append(f"file://{path}")
    return urls


@pytest.mark.parametrize(
    "first_days",
    [[0, 2, 4, 3], [0, 1, 4, 6], [0, 4, 2, 6], [4, 6, 0, 2], [0, 2, 2, 4]],
    ids=["overlap", "overlap at once", "disorder", "later batch before", "twice"],
)
def test_what_is_out_of_order_is_refused(
    batches: ModuleType, tmp_path: Path, first_days: list[int]
) -> None:
    urls = write_days(tmp_path, first_days)
    repo = batches.create(str(tmp_path / "repo"), tmp_path)
    with pytest.raises(ValueError, match="times overlap or go back"):
        batches.build(repo, urls, batches.one_by_one, size=2)
    assert len(list(repo.ancestry(branch="main"))) == 1


def test_what_is_in_order_is_written(batches: ModuleType, tmp_path: Path) -> None:
    urls = write_days(tmp_path, [0, 2, 4, 6, 8])
    repo = batches.create(str(tmp_path / "repo"), tmp_path)
    batches.build(repo, urls, batches.one_by_one, size=2)
    batches.compare(repo, [url.removeprefix("file://") for url in urls])


def test_name_that_no_file_has_is_named(batches: ModuleType, tmp_path: Path) -> None:
    (url,) = write_days(tmp_path, [0])
    batches.LOADED = ["time", "altitude"]
    with pytest.raises(KeyError, match="altitude"):
        batches.parse(url)
