"""Sources and a repository that are reached in different ways, in one call."""

from __future__ import annotations

import pickle
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import virtual_zarr
import vzarr
from moto import settings
from obstore.exceptions import GenericError
from worlds.faults import FAULTS
from worlds.proxy import Proxy
from worlds.s3 import ARCHIVE_BUCKET, PUBLIC_BUCKET, S3, STORES_BUCKET

FILES = f"s3://{ARCHIVE_BUCKET}/era5/era5_t2m_2024-01-0[12].nc"
GOES = f"s3://{PUBLIC_BUCKET}/ABI-L2-CMIPF/2024/001/*/*.nc"
Enter = Callable[[str], None]


def test_profiles_of_both(enter_world: Enter) -> None:
    """Sources by the keys of one profile, the repository by the role that another assumes."""
    enter_world("s3-assumed-role")
    access = vzarr.Access(region="us-west-2", profile="archive", repo_profile="writer")
    repo = f"s3://{STORES_BUCKET}/by-profiles"
    assert len(vzarr.build(FILES, repo, concat_dim="time", access=access).sources) == 2
    assert vzarr.verify(repo, sample=None, access=access).passed
    session = vzarr.open_repository(repo, access=access).readonly_session("main")
    carried = pickle.loads(pickle.dumps(session))
    assert vzarr.log(repo, access=access)
    assert carried.store is not None
    assert b"ASIA" not in pickle.dumps(session)  # workers ask for keys themselves


def test_a_role_for_all(enter_world: Enter, capsys: pytest.CaptureFixture[str]) -> None:
    enter_world("s3-assumed-role")
    repo = f"s3://{STORES_BUCKET}/by-role"
    line = ["build", FILES, "--repo", repo, "--concat-dim", "time", "--profile", "writer"]
    assert virtual_zarr.main([*line, "--region", "us-west-2", "--quiet"]) == 0, capsys.readouterr()


def test_no_such_profile(enter_world: Enter) -> None:
    enter_world("s3-assumed-role")
    access = vzarr.Access(region="us-west-2", profile="archive", repo_profile="nonsense")
    with pytest.raises(vzarr.InputError, match="names the profile nonsense, without keys"):
        vzarr.build(FILES, f"s3://{STORES_BUCKET}/none", concat_dim="time", access=access)


def test_two_regions(enter_world: Enter) -> None:
    """Public sources in one, a private repository in another."""
    enter_world("s3-keys")
    access = vzarr.Access(anonymous=True, region="us-east-1", repo_region="us-west-2")
    repo = f"s3://{STORES_BUCKET}/goes"
    assert len(vzarr.build(GOES, repo, concat_dim="t", access=access).sources) > 1
    assert vzarr.verify(repo, sample=None, access=access).passed
    only = vzarr.Access(repo_region="us-west-2")  # the container says how its sources are reached
    assert vzarr.verify(repo, sample=None, access=only).passed


def test_two_accounts(enter_world: Enter) -> None:
    enter_world("azure-public")
    enter_world("azure-key")
    access = vzarr.Access(anonymous=True, account="goeseuwest", repo_account="acmeclimate")
    repo = "az://stores/goes"
    files = "az://noaa-goes16/ABI-L2-CMIPF/2024/001/*/*.nc"
    assert len(vzarr.build(files, repo, concat_dim="t", access=access).sources) > 1
    assert vzarr.verify(repo, sample=None, access=access).passed


def test_server_and_cloud(enter_world: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources on an S3-compatible server, the repository on AWS: no variable names the server."""
    enter_world("s3-keys")
    enter_world("s3-compatible")
    endpoint = "https://minio.example.org"
    repo = f"s3://{STORES_BUCKET}/from-minio"
    # The server takes the region of its own; AWS has its endpoint named, as any other.
    access = vzarr.Access(
        endpoint=endpoint,
        repo_endpoint="https://s3.us-west-2.amazonaws.com",
        repo_region="us-west-2",
    )
    assert len(vzarr.build(FILES, repo, concat_dim="time", access=access).sources) == 2
    at_aws = vzarr.Access(region="us-west-2", repo_endpoint="https://s3.us-west-2.amazonaws.com")
    assert vzarr.verify(repo, sample=None, access=at_aws).passed  # the container has the endpoint


def test_public_repository(
    enter_world: Enter,
    s3_server: S3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: Path,
) -> None:
    """Read and copied without credentials, by options."""
    enter_world("s3-public")
    enter_world("files")
    vzarr.build("data/era5/*.nc", "store", concat_dim="time")
    client = s3_server.client("s3")
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf"))
    for path in Path("store").rglob("*"):
        if path.is_file():
            key = f"published/{path.relative_to('store')}"
            client.put_object(Bucket=PUBLIC_BUCKET, Key=key, Body=path.read_bytes())
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    shutil.move("store", "original")
    public = vzarr.Access(repo_anonymous=True)
    place = f"s3://{PUBLIC_BUCKET}/published"
    assert vzarr.log(place, access=public)
    assert virtual_zarr.main(["copy", place, "store", "--anonymous", "--quiet"]) == 0
    assert vzarr.verify("store", sample=None).passed
    assert virtual_zarr.main(["show", place, "--repo-anonymous", "--quiet"]) == 0


def test_requester_pays(enter_world: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_world("s3-keys")
    monkeypatch.setenv("AWS_REQUEST_PAYER", "true")
    west = vzarr.Access(region="us-west-2")
    assert not vzarr.inspect(FILES, access=west).unreadable  # obstore says that it pays
    with pytest.raises(vzarr.InputError, match="Copy the files to a bucket of yours"):
        vzarr.build(FILES, "store", concat_dim="time", access=west)
    assert not Path("store").exists()


def test_no_conditional_writes(enter_world: Enter, proxy: Proxy) -> None:
    enter_world("s3-keys")
    proxy.fault = FAULTS["no-conditional-writes"]()
    repo = f"s3://{STORES_BUCKET}/refused"
    sentence = "this server has no conditional writes.*S3-compatible servers"
    access = vzarr.Access(region="us-west-2", retries=0)
    with pytest.raises(GenericError) as caught:
        vzarr.build(FILES, repo, concat_dim="time", access=access)
    assert re.search(sentence, vzarr.errors.ending(caught.value, repo)[0])


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_patience(silent_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    begun = time.monotonic()
    line = ["inspect", FILES, "--endpoint", silent_server, "--timeout", "1", "--retries", "0"]
    assert virtual_zarr.main([*line, "--quiet"]) in (2, 3)
    assert 0.9 < time.monotonic() - begun < 15
