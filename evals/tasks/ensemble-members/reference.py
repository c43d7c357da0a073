import re
from pathlib import Path

import xarray as xr
from kit import by_hand

runs = Path("runs")
files = {int(re.search(r"run(\d+)", path.stem)[1]): path for path in runs.glob("*.nc")}
members = sorted(files)
parts = [by_hand.virtual(files[member])[["tas"]] for member in members]
stacked = [part.expand_dims(member=[number]) for number, part in zip(members, parts, strict=True)]
vds = xr.concat(stacked, "member", **by_hand.COMBINE, combine_attrs="identical")
by_hand.store(vds, Path("ensemble.icechunk"), runs)
