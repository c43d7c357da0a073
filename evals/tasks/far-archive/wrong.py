"""Files are opened as any others: seven requests for each."""

import os
from datetime import UTC, datetime

import icechunk
import obstore
from kit import by_hand
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import S3Store
from virtualizarr import open_virtual_mfdataset
from virtualizarr.parsers import HDFParser

FAILS = "requests"
if __name__ == "__main__":
    endpoint = os.environ["ARCHIVE_ENDPOINT"]
    options = {"allow_http": True}
    store = S3Store(
        "profiles",
        endpoint=endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options=options,
    )
    names = sorted(entry["path"] for entry in obstore.list(store).collect())
    vds = open_virtual_mfdataset(
        [f"s3://profiles/{name}" for name in names],
        registry=ObjectStoreRegistry({"s3://profiles": store}),
        parser=HDFParser(),
        loadable_variables=["time", "lat", "lon"],
        combine="nested",
        concat_dim="time",
        parallel="dask",
        **by_hand.COMBINE,
    )
    vds.time.encoding = {**by_hand.CLOCK, "chunks": (400,)}
    prefix = "s3://profiles/"
    config = icechunk.RepositoryConfig.default()
    chunks = icechunk.s3_store(
        endpoint_url=endpoint,
        region="us-east-1",
        anonymous=True,
        allow_http=True,
        force_path_style=True,
    )
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, chunks))
    access = icechunk.containers_credentials({prefix: icechunk.s3_credentials(anonymous=True)})
    storage = icechunk.local_filesystem_storage("profiles.icechunk")
    repo = icechunk.Repository.create(storage, config, authorize_virtual_chunk_access=access)
    session = repo.writable_session("main")
    vds.vz.to_icechunk(session.store, last_updated_at=datetime.now(UTC))
    session.commit("150 files")
