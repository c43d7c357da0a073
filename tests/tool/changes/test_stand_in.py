"""What is stored once is read from another file of its own product where its file is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import vzarr
from making import Recipe


def write_winds(path: Path, start: int) -> Path:
    """Another product at the same records: ``w``, and ``crs_w`` that is stored once."""
    Recipe(start=start).write(path)
    with netCDF4.Dataset(path, "a") as file:
        for name in ("v", "crs", "mask"):
            file.renameVariable(name, {"v": "w"}.get(name, f"{name}_w"))
    return path


def make(folder: Path) -> tuple[list[Path], list[Path], Path]:
    values = [Recipe(start=2 * n).write(folder / f"v{n}.nc") for n in range(4)]
    winds = [write_winds(folder / f"w{n}.nc", 2 * n) for n in range(4)]
    return values, winds, folder / "repo"


def test_each_product_has_a_file_that_stands_in(tmp_path: Path) -> None:
    values, winds, repo = make(tmp_path)
    vzarr.build(values[:2], repo)
    vzarr.add(winds[:2], repo)
    values[0].unlink()
    winds[0].unlink()
    done = vzarr.append(values[2], repo)
    assert [note for note in done.notes if f"{values[0]}: is gone or changed" in note]
    assert len(done.appended) == 1
    ds = vzarr.open_dataset(repo)
    np.testing.assert_array_equal(ds.mask.values, 1.0)
    np.testing.assert_array_equal(ds.mask_w.values, 1.0)
    assert (int(ds.crs), int(ds.crs_w)) == (7, 7)


@pytest.mark.parametrize("change", ["append", "remove"])
def test_a_file_of_another_product_cannot_stand_in(tmp_path: Path, change: str) -> None:
    values, winds, repo = make(tmp_path)
    vzarr.build([values[0], values[2]], repo)
    vzarr.add([winds[0], winds[2]], repo)
    before = vzarr.log(repo)[0].snapshot
    for n in (0, 2):
        Recipe(start=2 * n, shift=1.0).write(values[n])
        os.utime(values[n], (2e9, 2e9))
    changes: dict[str, Callable[[], object]] = {
        "append": lambda: vzarr.append(values[3], repo),
        "remove": lambda: vzarr.remove(repo, [values[0], winds[0]]),
    }
    with pytest.raises(vzarr.Refused, match=r"v[02]\.nc"):
        changes[change]()
    assert vzarr.log(repo)[0].snapshot == before
    assert len(vzarr.refresh(repo).changed) == 2
    vzarr.append(values[3], repo)
    assert vzarr.verify(repo, sample=None).passed
