"""References led elsewhere: all that move, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import icechunk
import numpy as np
import pytest
import zarr
from vzarr.repository.references import read_references, rewrite_urls

OLD, NEW, OTHER = "s3://old/a/", "s3://new/b/", "s3://other/"
CHECKSUM = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def session() -> icechunk.Session:
    config = icechunk.RepositoryConfig.default()
    for prefix in (OLD, NEW, OTHER):
        store = icechunk.s3_store(region="us-east-1")
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    repo = icechunk.Repository.create(icechunk.in_memory_storage(), config)
    return repo.writable_session("main")


def write(session: icechunk.Session, name: str, grid: tuple[int, ...], urls: list[str]) -> None:
    """An array with a chunk for each URL; none for an empty one."""
    shape = tuple(2 * n for n in grid)
    zarr.open_group(session.store, mode="a").create_array(
        name, shape=shape, chunks=(2,) * len(grid), dtype="f4"
    )
    numbers = np.arange(len(urls), dtype="u8")
    session.store.set_virtual_refs_arr(f"/{name}", grid, urls, numbers * 8, numbers + 16)


def all_of(session: icechunk.Session, name: str) -> dict[tuple[int, ...], tuple[str, int, int]]:
    return {
        tuple(index): (url, offset, length)
        for batch in read_references(session.store, name)
        for index, url, offset, length in zip(
            batch.index.tolist(),
            batch.urls,
            batch.offsets.tolist(),
            batch.lengths.tolist(),
            strict=True,
        )
    }


def moved(url: str) -> str:
    return url.replace(OLD, NEW)


ARRAYS = {
    "whole": ((3, 2), [f"{OLD}{n}" for n in range(6)]),
    "holes": ((3, 2), ["", f"{OLD}1", f"{OTHER}2", "", f"{OLD}4", f"{OLD}5"]),
    "sparse": ((40, 40), [f"{OLD}{n}" if n in (0, 7, 1599) else "" for n in range(1600)]),
    "beside": ((4,), ["", "", f"{OTHER}2", f"{OLD}3"]),
    "none": ((2,), [f"{OTHER}0", f"{OTHER}1"]),
    "scalar": ((), [f"{OLD}x"]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_rewriting(session: icechunk.Session, name: str) -> None:
    grid, urls = ARRAYS[name]
    write(session, name, grid, urls)
    before = all_of(session, name)
    assert len(before) == sum(map(bool, urls))
    assert rewrite_urls(session, moved, CHECKSUM) == sum(OLD in url for url in urls)
    assert all_of(session, name) == {
        index: (moved(url), offset, length) for index, (url, offset, length) in before.items()
    }
    assert rewrite_urls(session, moved, CHECKSUM) == 0


def test_numbers_stay(session: icechunk.Session) -> None:
    """A chunk that is no reference, between two that are."""
    write(session, "v", (3,), [f"{OLD}0", "", f"{OLD}2"])
    array = zarr.open_array(session.store, path="v", mode="r+")
    array[2:4] = 5.0
    assert rewrite_urls(session, moved, CHECKSUM) == 2
    np.testing.assert_array_equal(array[2:4], 5.0)


@pytest.mark.parametrize("name", ["whole", "sparse"])
def test_no_container(session: icechunk.Session, name: str) -> None:
    write(session, name, *ARRAYS[name])
    with pytest.raises((ValueError, icechunk.IcechunkError), match="container"):
        rewrite_urls(session, lambda url: url.replace(OLD, "s3://nobody/"), CHECKSUM)
