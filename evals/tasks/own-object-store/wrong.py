"""The container goes to ``open`` alone and is not saved: whoever opens it next finds no files."""

import os
from datetime import UTC, datetime

import icechunk
import obstore
import xarray as xr
from kit import by_hand
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import S3Store
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser

FAILS = "container saved"
if __name__ == "__main__":
    endpoint = os.environ["MINIO_ENDPOINT"]
    keys = {
        "access_key_id": os.environ["MINIO_ACCESS_KEY"],
        "secret_access_key": os.environ["MINIO_SECRET_KEY"],
    }
    options = {"allow_http": True}
    bucket = S3Store(
        "acme-climate-archive",
        endpoint=endpoint,
        region="us-east-1",
        client_options=options,
        **keys,
    )
    registry = ObjectStoreRegistry({"s3://acme-climate-archive": bucket})
    names = sorted(entry["path"] for entry in obstore.list(bucket, "era5/").collect())
    parts = [
        open_virtual_dataset(
            f"s3://acme-climate-archive/{name}",
            registry=registry,
            parser=HDFParser(),
            loadable_variables=["time", "lat", "lon"],
        )
        for name in names
    ]
    vds = xr.concat(parts, "time", **by_hand.COMBINE, combine_attrs="override")
    vds.time.encoding = dict(by_hand.CLOCK)
    storage = icechunk.local_filesystem_storage("soil.icechunk")
    icechunk.Repository.create(storage)
    prefix = "s3://acme-climate-archive/era5/"
    config = icechunk.RepositoryConfig.default()
    store = icechunk.s3_store(
        endpoint_url=endpoint, region="us-east-1", allow_http=True, force_path_style=True
    )
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    access = icechunk.containers_credentials({prefix: icechunk.s3_credentials(**keys)})
    repo = icechunk.Repository.open(storage, config, authorize_virtual_chunk_access=access)
    session = repo.writable_session("main")
    vds.vz.to_icechunk(session.store, last_updated_at=datetime.now(UTC))
    session.commit("soil moisture")
