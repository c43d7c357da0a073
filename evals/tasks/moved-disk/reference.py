from pathlib import Path

import icechunk
import vzarr

old, new = (f"file://{Path.cwd()}/{disk}/" for disk in ("disk1", "disk2"))
storage = icechunk.local_filesystem_storage("wave.icechunk")
config = icechunk.Repository.fetch_config(storage)
config.set_virtual_chunk_container(
    icechunk.VirtualChunkContainer(new, icechunk.local_filesystem_store(new))
)
access = dict.fromkeys((old, new), icechunk.credentials.LocalFileSystemAccess)
repo = icechunk.Repository.open(storage, config, authorize_virtual_chunk_access=access)
repo.save_config()
session = repo.writable_session("main")
vzarr.rewrite_references(session, lambda url: url.replace(old, new, 1))
session.commit("disk2")
