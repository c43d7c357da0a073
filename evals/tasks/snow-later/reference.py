from pathlib import Path

import numpy as np
import xarray as xr
from kit import by_hand

model = Path("model")
loaded = ["time", "lat", "lon"]
parts = [by_hand.virtual(file, loadable_variables=loaded) for file in sorted(model.glob("*.nc"))]
snow = next(part.snow for part in parts if "snow" in part)
fill = float(np.asarray(snow.data.metadata.fill_value))  # of the files: it marks what is missing
for part in parts:
    if "snow" not in part:
        part["snow"] = (snow.dims, snow.data.with_fill_value_only(fill), snow.attrs)
vds = xr.concat(parts, "time", **by_hand.COMBINE, combine_attrs="override")
vds.time.encoding = dict(by_hand.CLOCK)
vds.snow.attrs["_FillValue"] = fill
repo = by_hand.repository(Path("model.icechunk"), model, create=True)
by_hand.write(repo, vds, "model output")
