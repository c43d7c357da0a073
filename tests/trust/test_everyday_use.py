"""Who builds and then verifies on the same machine types nothing more; elsewhere one sentence says
what to type, once. The record of that lies outside of all repositories.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import icechunk
import numpy as np
import pytest
import xarray as xr
from harness import warm_start
from making import Recipe
from vzarr.sources.schemes import Access
from vzarr.sources.trust import state_folder
from worlds.s3 import ARCHIVE_BUCKET, S3, STORES_BUCKET


@pytest.fixture(autouse=True)
def machine(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Call to be on another machine: with a home directory in which nothing is recorded."""
    monkeypatch.delenv("XDG_STATE_HOME")

    def enter(name: str) -> None:
        home = clean_environment.parent / name
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))

    return enter


def write(folder: str, *numbers: int) -> list[Path]:
    Path(folder).mkdir(exist_ok=True, parents=True)
    return [Recipe(start=2 * n).write(Path(folder, f"f{n}.nc")) for n in numbers]


def test_every_command_on_the_machine_that_built(run) -> None:
    files = write("data", 0, 1)
    assert run("build", "data/*.nc", "--repo", "repo")[0] == 0
    assert run("verify", "--repo", "repo", "--all")[0] == 0
    write("more", 2)
    assert run("append", "more/*.nc", "--repo", "repo")[0] == 0  # another folder, named here
    assert run("verify", "--repo", "repo", "--all")[0] == 0
    Recipe(start=2, shift=1).write(files[1])
    assert run("refresh", "--repo", "repo")[0] == 0
    shutil.move("data", "moved")
    assert run("refresh", "--repo", "repo", "--from", "data", "--to", "moved")[0] == 0
    status, said = run("verify", "--repo", "repo", "--all")
    assert status == 0, said
    (record,) = state_folder().glob("*.json")
    assert record.is_relative_to(Path.home() / ".local" / "state" / "virtual-zarr")
    assert record.stat().st_mode & 0o077 == 0


def test_a_link_to_the_repository_is_the_same_repository(run) -> None:
    write("data", 0)
    assert run("build", "data/*.nc", "--repo", "repo")[0] == 0
    Path("link").symlink_to("repo")
    assert run("verify", "--repo", "link")[0] == 0


@pytest.mark.parametrize("command", ["verify", "append", "refresh", "source"])
def test_another_machine(command: str, run, machine) -> None:
    """One sentence names the place and the option; with it the command works, and is remembered."""
    files = write("data", 0, 1)
    assert run("build", *files, "--repo", "repo")[0] == 0
    machine("other")
    if command == "source":  # the files are named, so nothing has to be said
        assert run("verify", "--repo", "repo", "--source", *files)[0] == 0
        return
    named = write("new", 2) if command == "append" else []
    status, said = run(command, *named, "--repo", "repo")
    place = f"file://{Path('data').absolute()}/"
    assert status == 2
    assert said.endswith(f"if these are right, add --trust {place}.\n")
    assert len(said.splitlines()) == 1
    assert run(command, *named, "--repo", "repo", "--trust", place)[0] == 0
    assert run(command, *named, "--repo", "repo")[0] == 0


def test_the_record_is_of_one_repository(run) -> None:
    """Another repository does not become trusted because it leads to the same place."""
    files = write("data", 0)
    assert run("build", *files, "--repo", "repo")[0] == 0
    shutil.copytree("repo", "copy")
    assert run("verify", "--repo", "copy")[0] == 2
    assert run("verify", "--repo", "copy", "--trust", "data")[0] == 0


@pytest.mark.parametrize("kind", ["damaged", "of another repository", "not a record"])
def test_a_record_that_says_nothing(kind: str, run) -> None:
    files = write("data", 0)
    assert run("build", *files, "--repo", "repo")[0] == 0
    (record,) = state_folder().glob("*.json")
    said = json.loads(record.read_text())
    other = {
        "damaged": "{",
        "of another repository": json.dumps({**said, "repository": "s3://a/b"}),
        "not a record": "[1]",
    }
    record.write_text(other[kind])
    command = ["verify", "--repo", "repo"]
    done = warm_start.run(*command)
    assert done.returncode == 2
    assert "--trust" in done.stderr


def test_where_nothing_can_be_kept(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of several commits ends; the next process has to be told."""
    Path("state").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    files = [*write("a", 0), *write("b", 1), *write("c", 2)]
    assert run("build", *files, "--repo", "repo", "--batch", "1")[0] == 0
    command = ["verify", "--repo", "repo"]
    done = warm_start.run(*command)
    assert done.returncode == 2
    trusted = warm_start.run(*command, "--trust", ".")
    assert trusted.returncode == 0, trusted.stderr


def test_files_of_several_folders(run) -> None:
    """The container is what the folders have in common; that names nothing else below it."""
    files = [*write("all/a", 0), *write("all/b", 1)]
    assert run("build", *files, "--repo", "repo")[0] == 0
    assert run("verify", "--repo", "repo")[0] == 0
    (record,) = state_folder().glob("*.json")
    said = json.loads(record.read_text())
    here = f"file://{Path('all').absolute()}/"
    assert said["containers"] == [here]
    assert said["folders"] == [f"{here}a/", f"{here}b/"]
    more = [*write("all/c/d", 2), *write("all/e", 3)]
    assert run("append", *more, "--repo", "repo")[0] == 0
    assert run("verify", "--repo", "repo", "--all")[0] == 0


def test_a_bad_place_to_trust(run) -> None:
    write("data", 0)
    for place in ("s3://", "https://", "s3://bucket/../other", "ftp://host/x"):
        status, said = run("build", "data/f0.nc", "--repo", "repo", "--trust", place)
        assert status == 2
        assert place.partition("/")[0] in said


def test_private_buckets(run, machine, enter_world, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_world("s3-keys")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    sources, repository = f"s3://{ARCHIVE_BUCKET}/era5/*.nc", f"s3://{STORES_BUCKET}/era5"
    assert run("build", sources, "--repo", repository)[0] == 0
    assert run("verify", "--repo", repository)[0] == 0
    machine("other")
    status, said = run("verify", "--repo", repository)
    assert status == 2
    assert f"add --trust s3://{ARCHIVE_BUCKET}/era5/." in said
    assert run("append", sources, "--repo", repository)[0] == 0  # names the place
    assert run("verify", "--repo", repository)[0] == 0


def test_files_of_a_day_name_the_archive_that_the_tool_chose(run, machine, enter_world) -> None:
    """The container is above the folders of dates; a daily append on a new machine names that."""
    enter_world("s3-public")
    folder = "s3://noaa-goes16/ABI-L2-CMIPF/2024/001"
    options = ["--anonymous", "--region", "us-east-1"]
    assert (
        run("build", f"{folder}/00/*.nc", *options, "--concat-dim", "t", "--repo", "goes")[0] == 0
    )
    machine("other")
    status, said = run("append", f"{folder}/01/*.nc", *options, "--repo", "goes")
    assert status == 2  # compared with the files of before, which nobody named here
    assert said.endswith(f"add --trust {folder}/00/.\n")
    assert run("append", f"{folder}/*/*.nc", *options, "--repo", "goes")[0] == 0
    assert run("verify", "--repo", "goes")[0] == 0


def test_sources_in_the_bucket_of_the_repository(
    run, machine, enter_world, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user named that bucket, and gives it the same credentials anyway."""
    import obstore
    from obstore.store import S3Store

    enter_world("s3-keys")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    (file,) = write("data", 0)
    obstore.put(S3Store(STORES_BUCKET), "sources/f0.nc", file.read_bytes())
    repository = f"s3://{STORES_BUCKET}/repo"
    source = f"s3://{STORES_BUCKET}/sources/f0.nc"
    assert run("build", source, "--repo", repository)[0] == 0
    machine("other")
    assert run("verify", "--repo", repository)[0] == 0


def test_public_buckets_need_no_options_twice(run, enter_world) -> None:
    """That no keys are needed, and the region, is said by the container."""
    enter_world("s3-public")
    source = "s3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc"
    options = ["--anonymous", "--region", "us-east-1", "--concat-dim", "t"]
    assert run("build", source, *options, "--repo", "goes")[0] == 0
    status, said = run("verify", "--repo", "goes", "--all")
    assert status == 0, said
    more = "s3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc"
    assert run("append", more, "--repo", "goes")[0] == 0


def test_an_account_needs_to_be_named_once(run, machine, enter_world) -> None:
    enter_world("azure-public")
    source = "az://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc"
    account = ["--account", "goeseuwest"]
    unsigned = ["--anonymous", "--repo", "goes"]
    assert run("build", source, *account, *unsigned)[0] == 0
    status, said = run("verify", *unsigned)
    assert status == 0, said
    machine("other")
    status, said = run("verify", *unsigned)
    place = "az://noaa-goes16/ABI-L2-CMIPF/"
    assert f"{place} of the account goeseuwest" in said
    assert said.endswith(f"add --trust {place} --account goeseuwest.\n")
    assert run("verify", *unsigned, "--trust", place)[0] == 2
    assert run("verify", *unsigned, "--trust", place, *account)[0] == 0


@pytest.fixture
def server(enter_world, s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an S3-compatible server, and its keys in the environment."""
    enter_world("s3-keys")
    return "http://{}:{}".format(*s3_server.address)


def read_elsewhere(repository: str, endpoint: str) -> xr.Dataset:
    """As a reader who knows of no variables of the tool's user."""
    bucket, _, prefix = repository.removeprefix("s3://").partition("/")
    place = {"endpoint_url": endpoint, "allow_http": True, "force_path_style": True}
    storage = icechunk.s3_storage(
        bucket=bucket, prefix=prefix, region="us-east-1", from_env=True, **place
    )
    config = icechunk.Repository.fetch_config(storage)
    keys = icechunk.s3_credentials(from_env=True)
    access = icechunk.containers_credentials(dict.fromkeys(config.virtual_chunk_containers, keys))
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    store = repo.readonly_session("main").store
    return xr.open_zarr(store, consolidated=False, chunks=None)


@pytest.mark.parametrize("how", ["option", "environment", "environment of S3"])
def test_the_endpoint_is_saved(
    how: str, run, machine, server: str, sample_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"environment": "AWS_ENDPOINT_URL", "environment of S3": "AWS_ENDPOINT_URL_S3"}
    options = ["--endpoint", server] if how == "option" else []
    if how in names:
        monkeypatch.setenv(names[how], server)
    sources, repository = f"s3://{ARCHIVE_BUCKET}/era5/*.nc", f"s3://{STORES_BUCKET}/sst"
    status, said = run("build", sources, "--repo", repository, *options)
    assert status == 0, said
    assert run("verify", "--repo", repository, "--all", *options)[0] == 0
    assert run("append", sources, "--repo", repository, *options)[0] == 0
    if how in names:
        monkeypatch.delenv(names[how])
    read = read_elsewhere(repository, server)["t2m"].values
    days = [xr.open_dataset(file)["t2m"].values for file in sorted(sample_folder.glob("era5/*.nc"))]
    assert np.array_equal(read, np.concatenate(days), equal_nan=True)
    machine("other")
    options = ["--repo-endpoint", server]
    status, said = run("verify", "--repo", repository, *options)
    place = f"s3://{ARCHIVE_BUCKET}/era5/"
    assert f"{place} at {server}" in said
    assert said.endswith(f"add --trust {place} --endpoint {server}.\n")
    options = ["--trust", place, "--endpoint", server]
    assert run("verify", "--repo", repository, *options)[0] == 0


def test_sources_on_another_server_than_the_repository(
    run, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one is AWS (the proxy), and the other one an S3-compatible server; and to disk."""
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    sources, repository = f"s3://{ARCHIVE_BUCKET}/era5/*.nc", f"s3://{STORES_BUCKET}/sst"
    options = ["--repo-endpoint", server]
    assert run("build", sources, "--repo", repository, *options)[0] == 0
    assert run("verify", "--repo", repository, *options)[0] == 0
    assert run("build", sources, "--repo", "local", "--endpoint", server)[0] == 0
    monkeypatch.delenv("AWS_REGION")
    assert run("verify", "--repo", "local", "--all")[0] == 0  # the container says where they are
    storage = icechunk.local_filesystem_storage("local")
    (saved,) = icechunk.Repository.fetch_config(storage).virtual_chunk_containers.values()
    assert f'endpoint_url: "{server}"' in str(saved.store)
    assert "force_path_style: True" in str(saved.store)
    assert "allow_http: True" in str(saved.store)


@pytest.mark.parametrize("endpoint", ["minio:9000", "https://user:made-up@host", "ftp://host"])
def test_a_bad_endpoint(endpoint: str, run) -> None:
    arguments = ["build", "s3://bucket/a.nc", "--repo", "repo"]
    for option in ("--endpoint", "--repo-endpoint"):
        if option == "--repo-endpoint":
            arguments = ["verify", "--repo", "s3://bucket/repo"]
        status, said = run(*arguments, option, endpoint)
        assert status == 2
        assert "not the URL of a server" in said
        assert "made-up" not in said


def test_access_of_a_program() -> None:
    """The fields that others construct by position stay where they are."""
    access = Access(True, "us-west-2", "account")
    assert (access.anonymous, access.aws_region, access.azure_account) == (
        True,
        "us-west-2",
        "account",
    )
