"""The sources of a store in another order, or without some: arrays and ledger alike."""

from __future__ import annotations

from collections.abc import Sequence

import icechunk
import numpy as np

from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import GroupRecord, StoreMetadata
from vzarr.repository.rearranging import growing_arrays, rearrange
from vzarr.sources.discover import changes_of


def arrange_sources(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, numbers: Sequence[int]
) -> StoreMetadata:
    """Let a store consist of the sources with these numbers, in this order.

    Returns the metadata with them.

    Raises
    ------
    vzarr.repository.rearranging.CutChunkError
        If a source begins or ends inside a chunk that cannot be parted.
    """
    written = changes_of(metadata["sources"])
    for group, stored_group in stored_groups(metadata).items():
        dimension = stored_group["concat_dim"]
        if dimension is None:
            continue
        starts = np.cumsum([0, *stored_group["lengths"]]).tolist()
        spans = [slice(starts[number], starts[number + 1]) for number in numbers]
        for path in growing_arrays(store, group, dimension):
            rearrange(store, path, dimension, spans, written)
    groups: dict[str, GroupRecord] = {
        path: {**group_record, "lengths": [group_record["lengths"][n] for n in numbers]}
        for path, group_record in metadata["groups"].items()
    }
    return {**metadata, "sources": [metadata["sources"][n] for n in numbers], "groups": groups}
