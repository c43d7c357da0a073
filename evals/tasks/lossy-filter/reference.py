from pathlib import Path

import vzarr

vzarr.build("obs/*.nc", "obs.icechunk", concat_dim="time", drop=["precip"], workers=1)
Path("REPORT.md").write_text("- precip: HDF5's scale-offset filter has no Zarr codec\n")
