from pathlib import Path

import vzarr

vzarr.build(
    "s3://acme-climate-archive/era5/*.nc",
    "s3://acme-virtual-stores/era5",
    concat_dim="time",
    access=vzarr.Access(region="us-west-2"),
    workers=1,
)
Path("read_mean.py").write_text("""
import icechunk
import xarray as xr

region = "us-west-2"
keys = icechunk.s3_credentials(from_env=True)
access = icechunk.containers_credentials({"s3://acme-climate-archive/era5/": keys})
repo = icechunk.Repository.open(
    icechunk.s3_storage(
        bucket="acme-virtual-stores", prefix="era5", region=region, from_env=True
    ),
    authorize_virtual_chunk_access=access,
)
ds = xr.open_zarr(repo.readonly_session("main").store, consolidated=False, chunks=None)
print("mean:", float(ds.t2m.mean()))
""")
