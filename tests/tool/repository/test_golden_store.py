"""A store of an earlier release: later ones read it, append to it, verify it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import vzarr
from making import Recipe

MADE = "file:///archive/data/"
"""Where the files lay when the store was built: three, of which one was replaced."""


@pytest.fixture(params=[1])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The store whose ledger has this schema, beside its files, at another place."""
    packed = Path(__file__).parents[2] / "data" / f"store_schema_{request.param}.zip"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_store_of_an_earlier_release(folder: Path) -> None:
    repo, data = folder / "store", folder / "data"
    trusting = vzarr.Access(trust=(MADE,))
    shown = vzarr.show(repo, list_sources=True)
    assert shown.sources.urls == [f"{MADE}f{n}.nc" for n in range(3)]
    assert [one.counts for one in vzarr.log(repo)] == [{"added": 1, "replaced": 1}, {"added": 2}]
    moved = vzarr.relocate(repo, MADE, str(data), access=trusting)
    assert moved.references == 8
    report = vzarr.verify(repo, sample=None, access=trusting)
    assert (report.passed, report.compared, report.failures) == (True, 3, [])
    new = Recipe(start=6).write(data / "f3.nc")
    assert vzarr.append(data / "*.nc", repo, access=trusting).appended == [f"file://{new}"]
    truth = [Recipe(start=2 * n, shift=float(n == 1)).values for n in range(4)]
    found = vzarr.open_dataset(repo, access=trusting).v.values
    np.testing.assert_array_equal(found, np.concatenate(truth))
    assert vzarr.verify(repo, sample=None, access=trusting).compared == 4
