"""Retries and time-outs of a repository's storage, and settings that a disk has left in it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import icechunk
import obstore
import pytest
import virtual_zarr
import vzarr
import zarr
from mitmproxy import http
from obstore.store import S3Store
from vzarr.repository.handle import settings_for
from worlds.faults import FAULTS, Address, Fault
from worlds.proxy import Proxy
from worlds.s3 import ARCHIVE_BUCKET, STORES_BUCKET

Enter = Callable[[str], None]
FILES = f"s3://{ARCHIVE_BUCKET}/era5/era5_t2m_2024-01-0[12].nc"
MORE = f"s3://{ARCHIVE_BUCKET}/era5/era5_t2m_2024-01-0[123].nc"
WEST = vzarr.Access(region="us-west-2")


def is_of_repository(request: http.Request) -> bool:
    return "/in-a-bucket" in unquote(request.path)


def count_then(answer: str, counted: list[str]) -> Fault:
    """The fault ``answer``, for requests for a repository, which it writes down."""
    fault = FAULTS[answer]()
    before = fault.before
    assert before is not None

    def count(flow: http.HTTPFlow) -> object:
        counted.append(flow.request.path)
        return before(flow)

    return Fault(before=count, matches=is_of_repository)  # type: ignore[arg-type]


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (2, 3)])
def test_retries_reach_the_repository(
    enter_world: Enter, proxy: Proxy, retries: int, requests: int
) -> None:
    enter_world("s3-keys")
    counted: list[str] = []
    proxy.fault = count_then("slow-down", counted)
    line = ["log", f"s3://{STORES_BUCKET}/in-a-bucket", "--region", "us-west-2", "--quiet"]
    assert virtual_zarr.main([*line, "--retries", str(retries)]) == 3
    assert max(Counter(counted).values()) == requests


@pytest.mark.parametrize(
    ("world", "place", "access"),
    [
        ("s3-keys", f"s3://{STORES_BUCKET}/in-a-bucket", {"region": "us-west-2"}),
        ("gcs-service-account", "gs://acme-virtual-stores/in-a-bucket", {}),
        ("azure-key", "az://stores/in-a-bucket", {"account": "acmeclimate"}),
    ],
)
def test_timeout_reaches_the_repository(
    enter_world: Enter, proxy: Proxy, world: str, place: str, access: dict[str, str]
) -> None:
    """Where the server takes the request and never answers."""
    enter_world(world)
    fault = FAULTS["stalled-headers"]()
    proxy.fault = Fault(before=fault.before, matches=is_of_repository)
    begun = time.monotonic()
    with pytest.raises(vzarr.errors.EnvironmentFault, match="the way to it fails"):
        vzarr.log(place, access=vzarr.Access(**access, timeout=1, retries=0))
    assert time.monotonic() - begun < 15


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_silent_server(silent_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    begun = time.monotonic()
    line = ["show", "s3://bucket/store", "--endpoint", silent_server, "--quiet"]
    assert virtual_zarr.main([*line, "--timeout", "1", "--retries", "0"]) == 3
    assert time.monotonic() - begun < 15


def test_repository_on_a_disk_asks_clouds_more_than_once(enter_world: Enter, proxy: Proxy) -> None:
    """Of what the tool builds, by whomever it is opened; and of what Icechunk itself has saved."""
    enter_world("s3-keys")
    vzarr.build(FILES, "store", concat_dim="time", access=WEST)
    storage = icechunk.local_filesystem_storage("store")
    config = icechunk.Repository.fetch_config(storage)
    assert config.storage.retries.max_tries == 10
    dataset = vzarr.open_dataset("store", access=WEST)
    proxy.fault = FAULTS["slow-down-twice"]()
    assert dataset.t2m.load().sizes["time"] == 8
    config.storage.retries = icechunk.StorageRetriesSettings(max_tries=1)
    icechunk.Repository.open(storage, config).save_config()
    assert icechunk.Repository.fetch_config(storage).storage.retries.max_tries == 1
    proxy.fault = FAULTS["slow-down-twice"]()
    assert vzarr.verify("store", sample=None, access=WEST).passed
    assert proxy.fault.times == 0


def test_retries_and_timeout_of_virtual_chunks(enter_world: Enter, proxy: Proxy) -> None:
    enter_world("s3-keys")
    vzarr.build(FILES, "store", concat_dim="time", access=WEST)
    hasty = vzarr.Access(region="us-west-2", retries=0, timeout=1)
    dataset = vzarr.open_dataset("store", access=hasty)
    proxy.fault = FAULTS["slow-down-twice"]()
    with pytest.raises(icechunk.StorageError, match="SlowDown"):
        dataset.t2m[0].load()
    proxy.fault = FAULTS["stalled-headers"]()
    begun = time.monotonic()
    with pytest.raises(icechunk.StorageError, match=r"time[d -]?out"):
        dataset.t2m[0].load()
    assert time.monotonic() - begun < 15


def test_patience_is_not_saved(enter_world: Enter) -> None:
    """Also where a new container is."""
    enter_world("s3-keys")
    enter_world("files")
    repo = f"s3://{STORES_BUCKET}/in-a-bucket"
    hasty = vzarr.Access(region="us-west-2", retries=3, timeout=20)
    vzarr.build(FILES, repo, concat_dim="time", access=hasty)
    bucket = S3Store(STORES_BUCKET, region="us-west-2")
    for file in Path("data/era5").glob("*-03.nc"):
        obstore.put(bucket, f"elsewhere/{file.name}", file.read_bytes())
    done = vzarr.append(f"s3://{STORES_BUCKET}/elsewhere/*.nc", repo, access=hasty)
    storage = icechunk.s3_storage(
        bucket=STORES_BUCKET, prefix="in-a-bucket", region="us-west-2", from_env=True
    )
    config = icechunk.Repository.fetch_config(storage)
    assert len(config.virtual_chunk_containers) == 2, done
    assert (config.storage.retries.max_tries, config.storage.timeouts) == (10, None)


def test_copy_in_a_bucket_is_written_with_conditions(enter_world: Enter, proxy: Proxy) -> None:
    """A disk has none, and its settings are copied: a second writer would undo the first."""
    enter_world("s3-keys")
    vzarr.build(FILES, "store", concat_dim="time", access=WEST)
    repo = f"s3://{STORES_BUCKET}/in-a-bucket"
    (note,) = vzarr.copy("store", repo, new_access=WEST).notes
    assert "unsafe_use_conditional_update and unsafe_use_metadata to True" in note
    written: list[http.Request] = []

    def look(flow: http.HTTPFlow) -> Address | None:
        if flow.request.method == "PUT" and flow.request.path.partition("?")[0].endswith("/repo"):
            written.append(flow.request)
        return None

    proxy.fault = Fault(before=look, matches=is_of_repository)  # type: ignore[arg-type]
    assert vzarr.append(MORE, repo, access=WEST).appended
    assert written
    assert all("if-match" in request.headers for request in written)


def test_copy_on_a_disk_can_be_written(enter_world: Enter) -> None:
    """Of a repository whose settings were saved in a bucket."""
    enter_world("s3-keys")
    repo = f"s3://{STORES_BUCKET}/in-a-bucket"
    vzarr.build(FILES, repo, concat_dim="time", access=WEST)
    vzarr.copy(repo, "store", access=WEST)
    assert vzarr.append(MORE, "store", access=WEST).appended
    assert vzarr.verify("store", sample=None, access=WEST).passed


def race(repository: icechunk.Repository, proxy: Proxy) -> dict[str, str]:
    """What becomes of two commits, where the second ends while the first is on its way."""
    sessions = [repository.writable_session("main") for _ in range(2)]
    for number, session in enumerate(sessions):
        attributes = zarr.open_group(session.store, mode="a").attrs
        attributes["writer"] = f"{number} after {session.snapshot_id}"
    under_way, go_on = threading.Event(), threading.Event()

    async def hold_the_first(flow: http.HTTPFlow) -> None:
        if not under_way.is_set():
            under_way.set()
            await asyncio.to_thread(go_on.wait, 30)

    def is_commit(request: http.Request) -> bool:
        path = request.path.partition("?")[0]
        return request.method == "PUT" and path.endswith("/in-a-bucket/repo")

    proxy.fault = Fault(before=hold_the_first, matches=is_commit)
    ended: dict[str, str] = {}

    def commit(session: icechunk.Session, name: str) -> None:
        try:
            session.commit(name)
            ended[name] = "done"
        except icechunk.ConflictError:
            ended[name] = "refused"

    first = threading.Thread(target=commit, args=(sessions[0], "first"))
    first.start()
    assert under_way.wait(30)
    commit(sessions[1], "second")
    go_on.set()
    first.join()
    proxy.fault = None
    return ended


def test_second_writer_of_a_copy_in_a_bucket(enter_world: Enter, proxy: Proxy) -> None:
    """By Icechunk itself, as of 2.3, one commit is lost, and nothing is said; not by the tool."""
    enter_world("s3-keys")
    vzarr.build(FILES, "store", concat_dim="time", access=WEST)
    repo = f"s3://{STORES_BUCKET}/in-a-bucket"
    vzarr.copy("store", repo, new_access=WEST)
    assert race(vzarr.open_repository(repo, access=WEST), proxy) == {
        "second": "done",
        "first": "refused",
    }
    assert vzarr.log(repo, access=WEST)[0].message == "second"
    storage = icechunk.s3_storage(
        bucket=STORES_BUCKET, prefix="in-a-bucket", region="us-west-2", from_env=True
    )
    by_hand = icechunk.Repository.open(storage)
    assert race(by_hand, proxy) == {"second": "done", "first": "done"}
    messages = [snapshot.message for snapshot in by_hand.ancestry(branch="main")]
    assert messages[:2] == ["first", "second"]
    assert len([message for message in messages if message == "second"]) == 1  # of the tool's


def test_server_without_conditional_writes_stays_one() -> None:
    """Who saved that it has none says neither is used; a disk says so of one."""
    stored = icechunk.StorageSettings(
        unsafe_use_conditional_create=False, unsafe_use_conditional_update=False
    )
    settings = settings_for("s3://bucket/store", vzarr.Access(), stored)
    assert settings.unsafe_use_conditional_update is False
