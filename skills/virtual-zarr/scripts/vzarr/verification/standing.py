"""Whether what a store leads to still stands: references, and sources as they were."""

from __future__ import annotations

from datetime import datetime

import icechunk
import zarr

from vzarr.combine.file_steps import is_gap
from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import first_line
from vzarr.repository.references import count_native
from vzarr.sources.discover import SourceRecord, is_same_time, look_up
from vzarr.sources.schemes import Access
from vzarr.verification.report import Failure, Report


def check_virtual(
    session: icechunk.Session, metadata: StoreMetadata, report: Report, everything: bool
) -> None:
    """Every variable that was written virtual must consist of references still.

    Looks at the first and the last chunk of each, or at ``everything``.
    """
    group = zarr.open_group(session.store, mode="r")
    ways = {
        f"{path}/{name}".lstrip("/"): group_metadata.get("ways", {}).get(name, {})
        for path, group_metadata in stored_groups(metadata).items()
        for name in group_metadata["virtual"]
    }
    for name, way in ways.items():
        array = group.get(name)
        if not isinstance(array, zarr.Array) or array.size == 0 or way.get("native"):
            continue  # some of its chunks are copies by design
        if everything:
            count = count_native(session.store, name)
        else:
            last = tuple(count - 1 for count in array.cdata_shape)
            native = [icechunk.ChunkType.native, icechunk.ChunkType.inline]
            corners = {(0,) * array.ndim, last}
            count = sum(session.chunk_type(f"/{name}", at) in native for at in corners)
        if count:
            text = f"{name} is no longer virtual: it has chunks of its own ({count} found)"
            report.failures.append(Failure("", text))


def check_sources(records: list[SourceRecord], access: Access, report: Report) -> None:
    """Every source must be there still, as it was when it was taken in."""
    for record in records:
        url = record["url"]
        if is_gap(record):
            continue
        try:
            now = look_up(url, access)
        except Exception as error:
            report.failures.append(Failure(url, f"is gone: {first_line(error)}"))
            continue
        then = datetime.fromisoformat(record["last_modified"])
        if now.size != record["size"]:
            text = f"has {now.size} bytes, had {record['size']} when it was built"
            report.failures.append(Failure(url, text))
        elif not is_same_time(url, now.last_modified, then) or now.etag != record["etag"]:
            text = f"changed at {now.last_modified}, was of {then} when it was built"
            report.failures.append(Failure(url, text))
