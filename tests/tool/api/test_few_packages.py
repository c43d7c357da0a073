"""What skill.md has users install is enough: Jinja2 is for pages, netCDF4 for NetCDF3."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[3] / "scripts"
CODE = """\
import sys
sys.path.insert(0, {scripts!r})
for name in ("jinja2", "markupsafe", "netCDF4", "boto3", "requests", "dask.distributed"):
    sys.modules[name] = None  # as if it were not installed
import numpy as np
import xarray as xr
import vzarr

for day in (1, 2):
    ds = xr.Dataset({{"v": ("time", np.arange(3.0))}}, {{"time": 3 * day + np.arange(3)}})
    ds.time.attrs["units"] = "days since 2000-01-01"
    ds.to_netcdf(f"f{{day}}.nc", engine="h5netcdf", unlimited_dims=["time"])
assert vzarr.inspect("f*.nc").sets
assert vzarr.build("f*.nc", "repo", concat_dim="time").virtual == ["v"]
assert vzarr.verify("repo", sample=None).passed
assert vzarr.append("f*.nc", "repo").snapshot is None
assert vzarr.show("repo").as_json()
print(vzarr.open_dataset("repo").sizes["time"])
"""


def test_a_job_without_optional_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", CODE.format(scripts=str(SCRIPTS))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr
