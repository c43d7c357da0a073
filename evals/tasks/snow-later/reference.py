from pathlib import Path

import xarray as xr
from kit import by_hand
from virtualizarr.parsers.utils import encode_cf_fill_value

model = Path("model")
loaded = ["time", "lat", "lon"]
parts = [by_hand.virtual(file, loadable_variables=loaded) for file in sorted(model.glob("*.nc"))]
snow = next(part.snow for part in parts if "snow" in part)
fill = snow.dtype.type(snow.data.metadata.fill_value)  # of the files: it marks what is missing
for part in parts:
    if "snow" not in part:
        part["snow"] = (snow.dims, snow.data.with_fill_value_only(fill), snow.attrs)
vds = xr.concat(parts, "time", **by_hand.COMBINE, combine_attrs="override")
vds.time.encoding = dict(by_hand.CLOCK)
vds.snow.attrs["_FillValue"] = encode_cf_fill_value(fill, snow.dtype)
by_hand.store(vds, Path("model.icechunk"), model)
