from pathlib import Path

import vzarr

vzarr.build("flow/*.nc", "flow.icechunk", concat_dim="time", workers=1)
Path("mean.py").write_text("""
from pathlib import Path

import icechunk
import xarray as xr

prefix = f"file://{Path('flow').absolute()}/"
repo = icechunk.Repository.open(
    icechunk.local_filesystem_storage("flow.icechunk"),
    authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
)
ds = xr.open_zarr(repo.readonly_session("main").store, consolidated=False, chunks=None)
print("mean:", float(ds.discharge.mean()))
""")
