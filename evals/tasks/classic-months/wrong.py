"""Files in the order of their names, which begin with the month: 1999 comes before 1998."""

from pathlib import Path

from kit import by_hand
from virtualizarr.parsers import NetCDF3Parser

FAILS = "records"
MEAN = """
import xarray as xr
from pathlib import Path
from kit import by_hand

repo = by_hand.repository(Path("flow.icechunk"), Path("flow"))
ds = xr.open_zarr(repo.readonly_session("main").store, consolidated=False, chunks=None)
print("mean:", float(ds.discharge.mean()))
"""
if __name__ == "__main__":
    flow = Path("flow")
    vds = by_hand.combined(sorted(flow.glob("*.nc")), parser=NetCDF3Parser())
    by_hand.store(vds, Path("flow.icechunk"), flow)
    Path("mean.py").write_text(MEAN)
