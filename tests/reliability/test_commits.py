"""Commits survive killed writers, lost answers and crowds: Icechunk on an object store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icechunk
import numpy as np
import pytest
import zarr
from mitmproxy import http
from worlds.faults import Fault
from worlds.proxy import Proxy
from worlds.s3 import ARCHIVE_BUCKET, STORES_BUCKET

TOOL = Path(__file__).parents[2] / "scripts" / "virtual_zarr.py"
STAGES = ("chunks/", "manifests/", "transactions/", "snapshots/", "/repo")
"""Objects of a commit, in the order in which a writer puts them; the last one publishes."""

WRITER = """
import icechunk, numpy as np, zarr
repo = icechunk.Repository.open(icechunk.s3_storage(
    bucket="acme-virtual-stores", prefix="store", region="us-west-2", from_env=True))
session = repo.writable_session("main")
zarr.open_array(session.store, path="v")[:] = np.random.default_rng(1).random((4, 1000))
session.commit("from a writer that is killed")
"""


def storage() -> icechunk.Storage:
    return icechunk.s3_storage(
        bucket=STORES_BUCKET, prefix="store", region="us-west-2", from_env=True
    )


@pytest.fixture
def repository(enter_world: Callable[[str], None], proxy: Proxy) -> Iterator[icechunk.Repository]:
    """A repository on S3 that holds ``v``, of shape (4, 1000), all ones."""
    enter_world("s3-keys")
    repo = icechunk.Repository.create(storage())
    with repo.transaction("main", message="ones") as store:
        ones = np.ones((4, 1000))
        zarr.create_array(store, name="v", data=ones, chunks=(1, 1000), compressors=None)
    yield repo
    proxy.fault = None


def values() -> np.ndarray:
    """``v`` on main, by a reader that just came."""
    session = icechunk.Repository.open(storage()).readonly_session("main")
    return zarr.open_array(session.store, path="v", mode="r")[:]


def puts(stage: str) -> Callable[[http.Request], bool]:
    return lambda request: (
        request.method == "PUT"
        and (
            request.path.partition("?")[0].endswith(stage)
            if stage == "/repo"
            else f"/store/{stage}" in request.path
        )
    )


def hold(stage: str) -> tuple[Fault, threading.Event]:
    """A fault that lets no PUT of a stage through, and the event of the first such PUT."""
    reached = threading.Event()

    async def wait(flow: http.HTTPFlow) -> None:
        reached.set()
        await asyncio.sleep(20)
        flow.kill()

    return Fault(before=wait, matches=puts(stage)), reached


@pytest.mark.parametrize("stage", STAGES)
def test_killed_writer_leaves_main_as_it_was(
    repository: icechunk.Repository, proxy: Proxy, stage: str
) -> None:
    before = repository.lookup_branch("main")
    proxy.fault, reached = hold(stage)
    writer = subprocess.Popen([sys.executable, "-c", WRITER])
    try:
        assert reached.wait(30), f"the writer never put anything below {stage}"
    finally:
        writer.kill()
        writer.wait()
    proxy.fault = None
    assert icechunk.Repository.open(storage()).lookup_branch("main") == before
    np.testing.assert_array_equal(values(), np.ones((4, 1000)))

    fresh = icechunk.Repository.open(storage())
    with fresh.transaction("main", message="after the crash") as store:
        zarr.open_array(store, path="v")[0] = 2
    assert values()[0, 0] == 2
    collected = fresh.garbage_collect(datetime.now(UTC) + timedelta(minutes=1))
    if stage != "chunks/":  # nothing had been put before the first chunk was held
        assert collected.chunks_deleted > 0
    assert values()[:, 0].tolist() == [2, 1, 1, 1]


def test_lost_answer_to_the_publishing_put(repository: icechunk.Repository, proxy: Proxy) -> None:
    """The object was put, the answer never came: the writer finds out and succeeds."""
    lost: list[str] = []

    def lose(flow: http.HTTPFlow) -> None:
        lost.append(flow.request.path)
        flow.kill()

    proxy.fault = Fault(after=lose, times=1, matches=puts("/repo"))
    with repository.transaction("main", message="answer lost") as store:
        zarr.open_array(store, path="v")[0] = 3
    assert lost
    assert values()[:, 0].tolist() == [3, 1, 1, 1]
    messages = [snapshot.message for snapshot in repository.ancestry(branch="main")]
    assert messages.count("answer lost") == 1


@pytest.mark.parametrize("writers", [2, 8])
def test_concurrent_writers_lose_nothing(repository: icechunk.Repository, writers: int) -> None:
    """All start from one snapshot; rebase puts them one after the other."""
    with repository.transaction("main", message="room") as store:
        zarr.create_array(store, name="w", shape=writers, chunks=1, dtype="i4", fill_value=0)
    start = threading.Barrier(writers)

    def write(number: int) -> None:
        session = icechunk.Repository.open(storage()).writable_session("main")
        zarr.open_array(session.store, path="w")[number] = number + 1
        start.wait(30)
        session.commit(f"writer {number}", rebase_with=icechunk.ConflictDetector())

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    session = repository.readonly_session("main")
    written = zarr.open_array(session.store, path="w", mode="r")[:]
    assert written.tolist() == list(range(1, writers + 1))


@pytest.mark.parametrize("stage", ["manifests/", "snapshots/", "/repo"])
def test_killed_tool_commits_nothing(
    enter_world: Callable[[str], None], proxy: Proxy, stage: str
) -> None:
    enter_world("s3-keys")
    held, reached = hold(stage)
    put = held.matches
    opened = threading.Event()  # creating the repository puts a snapshot and the repo object too

    def second(request: http.Request) -> bool:
        if not put(request):
            return False
        first = stage != "manifests/" and not opened.is_set()
        opened.set()
        return not first

    held.matches = second
    proxy.fault = held
    sources = f"s3://{ARCHIVE_BUCKET}/era5/*.nc"
    place = f"s3://{STORES_BUCKET}/store"
    arguments = ["build", sources, "--repo", place, "--region", "us-west-2", "--quiet"]
    tool = subprocess.Popen([sys.executable, str(TOOL), *arguments])
    try:
        assert reached.wait(60), f"the tool never put anything below {stage}"
    finally:
        tool.kill()
        tool.wait()
    proxy.fault = None
    repo = icechunk.Repository.open(storage())
    messages = [snapshot.message for snapshot in repo.ancestry(branch="main")]
    assert messages == ["Repository initialized"]
