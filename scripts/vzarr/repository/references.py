"""The references that a repository holds: where each chunk of each array lies."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import icechunk
import numpy as np
import zarr

from vzarr.repository.ledger import GROUP
from vzarr.upstream.zarr import sync

VIRTUAL = 2
"""Icechunk's code for a chunk that is a reference."""


BATCH = 100_000
AT_ONCE = 1000
"""Chunks that are deleted at a time."""


@dataclass(frozen=True)
class References:
    """Some references of one array, by chunk: ``index`` of shape (n, dimensions)."""

    index: np.ndarray
    urls: list[str]
    offsets: np.ndarray
    lengths: np.ndarray


def array_paths(store: icechunk.IcechunkStore) -> list[str]:
    """The paths of all arrays of data, without a slash in front."""
    members = zarr.open_group(store, mode="r").members(max_depth=None)
    return sorted(
        path
        for path, item in members
        if isinstance(item, zarr.Array) and not path.startswith(f"{GROUP}/")
    )


def read_references(store: icechunk.IcechunkStore, path: str) -> Iterator[References]:
    """The references of one array, in batches; without native chunks."""
    batches: AsyncIterator = store.array_chunk_iterator(f"/{path}", batch_size=BATCH)

    async def following() -> tuple | None:
        async for batch in batches:
            return batch
        return None

    while (batch := sync(following())) is not None:
        index, kinds, urls, offsets, lengths, _ = batch
        wanted = np.flatnonzero(kinds == VIRTUAL)
        if len(wanted):
            chosen = [urls[n] for n in wanted]
            yield References(index[wanted], chosen, offsets[wanted], lengths[wanted])


def count_native(store: icechunk.IcechunkStore, path: str) -> int:
    """The number of chunks of one array that are no references."""
    batches: AsyncIterator = store.array_chunk_iterator(f"/{path}", batch_size=BATCH)

    async def count() -> int:
        native = 0
        async for batch in batches:
            native += int((batch[1] != VIRTUAL).sum())
        return native

    return sync(count())


def chunks_behind(
    store: icechunk.IcechunkStore, path: str, axis: int, first: int
) -> tuple[np.ndarray, References | None]:
    """All chunks from ``first`` on along an axis: their places, of shape (n, dimensions), and what
    they are references to; None where some are native."""
    batches: AsyncIterator = store.array_chunk_iterator(f"/{path}", batch_size=BATCH)
    places: list[np.ndarray] = []
    urls: list[str] = []
    numbers: list[tuple[np.ndarray, np.ndarray]] = []
    is_virtual = True

    async def collect() -> None:
        nonlocal is_virtual
        async for index, kinds, locations, offsets, lengths, _ in batches:
            wanted = np.flatnonzero(index[:, axis] >= first)
            places.append(index[wanted].astype(np.int64))
            is_virtual = is_virtual and bool((kinds[wanted] == VIRTUAL).all())
            if is_virtual:
                urls.extend([locations[n] for n in wanted.tolist()])
                numbers.append((offsets[wanted], lengths[wanted]))

    sync(collect())
    if not places:
        return np.zeros((0, axis + 1), np.int64), None
    index = np.concatenate(places)
    if not is_virtual:
        return index, None
    offsets, lengths = (np.concatenate(each) for each in zip(*numbers, strict=True))
    return index, References(index, urls, offsets, lengths)


def existing_chunks(store: icechunk.IcechunkStore, path: str, axis: int, first: int) -> np.ndarray:
    """The places, of shape (n, dimensions), of all chunks from ``first`` on along an axis."""
    batches: AsyncIterator = store.array_chunk_iterator(f"/{path}", batch_size=BATCH)

    async def collect() -> list[np.ndarray]:
        return [batch[0][batch[0][:, axis] >= first] async for batch in batches]

    parts = sync(collect())
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros((0, axis + 1), np.int64)


def delete_chunks(store: icechunk.IcechunkStore, path: str, index: np.ndarray) -> None:
    """Delete the chunks at places of shape (n, dimensions)."""

    async def delete() -> None:
        for start in range(0, len(index), AT_ONCE):
            keys = index[start : start + AT_ONCE].tolist()
            await asyncio.gather(
                *(store.delete("/".join([path, "c", *map(str, key)])) for key in keys)
            )

    sync(delete())


def rewrite_urls(
    session: icechunk.Session,
    new_url: Callable[[str], str],
    checksum: datetime | None,
) -> int:
    """Rewrite each reference's URL; return the number changed.

    ``new_url`` returns others unchanged. ``checksum``: the time after which a source counts as
    changed, None for no such check.
    """
    count = 0
    store = session.store
    for path in array_paths(store):
        for batch in list(read_references(store, path)):
            there = [new_url(url) for url in batch.urls]
            moving = np.array([new != old for new, old in zip(there, batch.urls, strict=True)])
            if moving.any():
                rows = np.flatnonzero(moving)
                moved = References(
                    batch.index[rows],
                    [there[row] for row in rows.tolist()],
                    batch.offsets[rows],
                    batch.lengths[rows],
                )
                overwrite(store, path, moved, checksum)
                count += len(rows)
    return count


SPARSE = 4
"""Chunks of the smallest box around some references, for each of these, up to which the box is
written: 1 million references took 10 s so, and 22 s one by one."""


def overwrite(
    store: icechunk.IcechunkStore, path: str, new: References, checksum: datetime | None
) -> None:
    """Write references in place of what these chunks have.

    Raises
    ------
    ValueError
        If one lies in no container.
    """
    index = new.index.astype("i8")  # of shape (n, 0) for a scalar
    low, high = index.min(axis=0), index.max(axis=0)
    box = high - low + 1
    size = math.prod(box.tolist())
    if size > SPARSE * len(new.urls):
        specs = [
            icechunk.VirtualChunkSpec(
                index=index[row].tolist(),
                location=url,
                offset=int(new.offsets[row]),
                length=int(new.lengths[row]),
                last_updated_at_checksum=checksum,
            )
            for row, url in enumerate(new.urls)
        ]
        refused = store.set_virtual_refs(f"/{path}", specs, validate_containers=True)
    else:
        at = np.ravel_multi_index(tuple((index - low).T), tuple(box)) if len(box) else [0]
        urls = np.full(size, "", dtype=object)  # chunks without a reference stay as they are
        offsets, lengths = np.zeros(size, "u8"), np.zeros(size, "u8")
        urls[at], offsets[at], lengths[at] = new.urls, new.offsets, new.lengths
        refused = store.set_virtual_refs_arr(
            f"/{path}",
            tuple(box.tolist()),
            urls.tolist(),
            offsets,
            lengths,
            arr_offset=tuple(low.tolist()) if low.any() else None,
            checksum=checksum,
        )
    if refused:
        raise ValueError(f"{path}: no container has the references of chunks {refused[:3]}")


def required_bytes(store: icechunk.IcechunkStore) -> dict[str, int]:
    """For each file that references lead to, the end of the last byte that they need."""
    required: dict[str, int] = {}
    for path in array_paths(store):
        for batch in read_references(store, path):
            for url, end in zip(batch.urls, (batch.offsets + batch.lengths).tolist(), strict=True):
                required[url] = max(end, required.get(url, 0))
    return required
