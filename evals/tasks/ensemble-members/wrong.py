"""Files in the order of their names, numbers counted: run 10 is taken for run 2."""

from pathlib import Path

import xarray as xr
from kit import by_hand

FAILS = "values"
if __name__ == "__main__":
    runs = Path("runs")
    parts = [by_hand.virtual(file)[["tas"]] for file in sorted(runs.glob("*.nc"))]
    stacked = [part.expand_dims(member=[number + 1]) for number, part in enumerate(parts)]
    vds = xr.concat(stacked, "member", **by_hand.COMBINE, combine_attrs="identical")
    by_hand.store(vds, Path("ensemble.icechunk"), runs)
