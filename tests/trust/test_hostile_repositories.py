"""Repositories that somebody else made: nothing is sent or read but where the user named it.

A server on 127.0.0.1 writes down what it is sent; requests to any other host fail the test (the
proxy of ``worlds``). All keys are made up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import icechunk
import pytest
import zarr
from making import Recipe
from vzarr.sources.discover import look_up
from vzarr.sources.schemes import Access
from worlds.recorder import Recorder

SECRETS = ("AKIAMADEUP", "made-up-session-token", "made-up-signature", "made-up-key")
LOCAL = icechunk.credentials.LocalFileSystemAccess


@pytest.fixture
def keys(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up credentials for every cloud in the environment, and a record of nothing."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": SECRETS[0],
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_SESSION_TOKEN": SECRETS[1],
        "AWS_REGION": "us-east-1",
        "AZURE_STORAGE_ACCOUNT_NAME": "victim",
        "AZURE_STORAGE_SAS_TOKEN": f"sv=2022-11-02&sig={SECRETS[2]}",
        "XDG_STATE_HOME": str(clean_environment.parent / "home" / "state"),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as running:
        yield running


def make(
    repository: str,
    prefix: str,
    store: Any,
    credentials: Any,
    source: dict[str, object],
    target: str = "stolen",
) -> str:
    """A repository that looks as if the tool had built it, with one reference below ``prefix``."""
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    repo = icechunk.Repository.create(
        icechunk.local_filesystem_storage(repository),
        config=config,
        authorize_virtual_chunk_access={prefix: credentials},
    )
    session = repo.writable_session("main")
    group = zarr.open_group(session.store, mode="a")
    names = {"dimension_names": ("time", "lat"), "compressors": None, "filters": None}
    group.create_array("v", shape=(2, 4), chunks=(2, 4), dtype="f4", **names)
    session.store.set_virtual_ref(
        "v/c/0/0", prefix + target, offset=0, length=32, validate_container=False
    )
    metadata = {
        "version": "0.1.0",
        "virtual": ["v"],
        **{"loaded": [], "native": {}, "dropped": {}, "concat_dim": "time", "lengths": [2]},
        **{"references": 1, "left_out": {}, "bytes": {"virtual": 32, "native": 0}},
        "sources": [{**source, "fingerprint": None, "length": 2}],
        "plan": {"concat_dim": None, "drop": [], "groups": [], "prefixes": []},
    }
    session.commit("1 files", metadata={"virtual_zarr": metadata})
    return repository


def s3(endpoint: str | None = None, region: str = "us-east-1", **options: Any) -> tuple[Any, Any]:
    store = icechunk.s3_store(
        region=region,
        endpoint_url=endpoint,
        allow_http=True,
        force_path_style=True,
        **options,
    )
    keys = icechunk.s3_credentials(access_key_id="a", secret_access_key="b")
    return store, icechunk.Credentials.S3(keys)


def gcs(**options: str) -> tuple[Any, Any]:
    anonymous = icechunk.gcs_credentials(anonymous=True)
    return icechunk.gcs_store(options or None), icechunk.Credentials.Gcs(anonymous)


def azure(account: str, **options: str) -> tuple[Any, Any]:
    key = icechunk.azure_credentials(access_key="bWFkZS11cA==")
    store = icechunk.storage.azure_store(account=account, config=options)
    return store, icechunk.Credentials.Azure(key)


def web(**options: Any) -> tuple[Any, Any]:
    return icechunk.http_store(**options), icechunk.credentials.HttpAccess


CONTAINERS: dict[str, Callable[[str], tuple[str, tuple[Any, Any]]]] = {
    "s3 endpoint": lambda url: ("s3://evil/", s3(url)),
    "s3 endpoint below a bucket": lambda url: ("s3://evil/a/b/", s3(url)),
    "s3 bucket": lambda url: ("s3://evil/", s3()),
    "s3 host in the region": lambda url: ("s3://evil/", s3(region="evil.example.org/")),
    "gs endpoint": lambda url: ("gs://evil/", gcs(google_base_url=url, allow_http="true")),
    "gs proxy": lambda url: ("gs://evil/", gcs(proxy_url=url)),
    "gs bucket": lambda url: ("gs://evil/", gcs()),
    "az endpoint": lambda url: (
        "az://evil/",
        azure("victim", azure_storage_endpoint=url, azure_allow_http="true"),
    ),
    "az account": lambda url: ("az://evil/", azure("attacker")),
    "az host in the account": lambda url: ("az://evil/", azure("evil.example.org/x")),
    "az second account": lambda url: (
        "az://evil/",
        azure("victim", azure_storage_account_name="attacker"),
    ),
    "http": lambda url: (f"{url}/", web(opts={"allow_http": "true"})),
    "https": lambda url: ("https://evil.example.org/", web()),
    "https proxy": lambda url: ("https://evil.example.org/", web(opts={"proxy_url": url})),
    "https header": lambda url: ("https://evil.example.org/", web(headers={"x-a": "made-up-key"})),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_get_no_credentials(kind: str, keys, recorder: Recorder, run) -> None:
    """No command sends anything, whatever the repository's configuration says."""
    file = Recipe().write(Path("f0.nc"))
    prefix, (store, credentials) = CONTAINERS[kind](recorder.url)
    source = look_up(f"file://{file.absolute()}", Access()).as_record()
    repository = make("repo", prefix, store, credentials, source)
    for arguments in (
        ["verify"],
        ["verify", "--all", "--trust", "."],
        ["verify", "--source", file],
        ["append", file],
        ["refresh"],
        ["refresh", "--content", "--trust", "."],
        ["refresh", "--from", "s3://old/", "--to", "."],
    ):
        status, said = run(*arguments, "--repo", repository)
        assert status == 2, (arguments, said)
        assert not any(secret in said for secret in SECRETS)
        assert not recorder.requests
        assert prefix in said


@pytest.mark.parametrize("trusted", [True, False])
def test_the_recorder_sees_what_is_sent(
    trusted: bool, keys, recorder: Recorder, run, clean_environment: Path
) -> None:
    """The same attack with the options that the message names: now the token arrives."""
    file = Recipe().write(Path("f0.nc"))
    source = look_up(f"file://{file.absolute()}", Access()).as_record()
    repository = make("repo", "s3://evil/", *s3(recorder.url), source)
    status, said = run("verify", "--repo", repository, "--trust", ".")
    assert status == 2
    options = f"--trust s3://evil/ --endpoint {recorder.url}"
    assert f"s3://evil/ at {recorder.url}" in said
    assert said.strip().endswith(f"add {options}.")
    if trusted:
        status, _ = run("verify", "--repo", repository, "--trust", ".", *options.split())
        assert status == 1
    assert recorder.saw("made-up-session-token") == trusted


def test_the_endpoint_alone_or_the_bucket_alone_is_not_enough(
    keys, recorder: Recorder, run
) -> None:
    file = Recipe().write(Path("f0.nc"))
    source = look_up(f"file://{file.absolute()}", Access()).as_record()
    repository = make("repo", "s3://evil/", *s3(recorder.url), source)
    for options in (
        ["--endpoint", recorder.url],
        ["--trust", "s3://evil/"],
        ["--trust", "s3://evi", "--endpoint", recorder.url],
        ["--trust", "s3://evil/a", "--endpoint", recorder.url],
        ["--trust", "s3://evil/", "--endpoint", "https://minio.example.org"],
    ):
        status, _ = run("verify", "--repo", repository, "--trust", ".", *options)
        assert status == 2, options
    assert not recorder.requests


def test_a_configuration_that_changes_while_it_is_looked_at(
    keys, recorder: Recorder, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may answer otherwise the second time: what was looked at is what is used."""
    file = Recipe().write(Path("f0.nc"))
    source = look_up(f"file://{file.absolute()}", Access()).as_record()
    repository = make("repo", "s3://known/", *s3(recorder.url), source)
    with Recorder() as known:
        shown = icechunk.RepositoryConfig.default()
        store = s3(known.url)[0]
        shown.set_virtual_chunk_container(icechunk.VirtualChunkContainer("s3://known/", store))
        monkeypatch.setattr(icechunk.Repository, "fetch_config", lambda storage: shown)
        options = ["--trust", ".", "--trust", "s3://known/", "--endpoint", known.url]
        assert run("verify", "--repo", repository, *options)[0] == 1
        assert known.saw("made-up-session-token")
    assert not recorder.requests


def test_a_container_of_local_files(keys, run, clean_environment: Path) -> None:
    """A private file is neither read nor printed."""
    secret = clean_environment.parent / "home" / ".aws"
    secret.mkdir()
    (secret / "credentials").write_text("made-up-key" * 10)
    file = Recipe().write(Path("f0.nc"))
    source = look_up(f"file://{file.absolute()}", Access()).as_record()
    prefix = f"file://{secret.parent}/"
    store = icechunk.local_filesystem_store(str(secret.parent))
    repository = make("repo", prefix, store, LOCAL, source, ".aws/credentials")
    for command in (["verify"], ["verify", "--source", file], ["append", file], ["refresh"]):
        status, said = run(*command, "--repo", repository)
        assert status == 2
        assert f"--trust {prefix}" in said
        assert "made" not in said


@pytest.mark.parametrize(
    "url",
    [
        "file:///home/someone/.aws/credentials",
        "file:///etc/hostname",
        "https://127.0.0.1/latest/meta-data",
        "https://evil.example.org/a.nc",
        "s3://evil/a.nc",
        "s3://evil/../evil/a.nc",
        "az://evil/a.nc",
        "gs://evil/a.nc",
        "http://169.254.169.254/latest/meta-data",
        "https://user:made-up-key@evil.example.org/a.nc",
    ],
)
def test_sources_of_commits(url: str, keys, run) -> None:
    """What a commit names as sources is not looked at, even with a container that is trusted."""
    (folder := Path("data")).mkdir()
    file = Recipe().write(folder / "f0.nc")
    record = look_up(f"file://{file.absolute()}", Access()).as_record()
    prefix = f"file://{folder.absolute()}/"
    store = icechunk.local_filesystem_store(str(folder.absolute()))
    repository = make("repo", prefix, store, LOCAL, {**record, "url": url}, "f0.nc")
    for command in (["verify"], ["refresh"], ["refresh", "--dry-run"], ["append", file]):
        status, said = run(*command, "--repo", repository, "--trust", "data")
        assert status == 2, said
        assert "its commits name sources in places that nobody named" in said
        assert not any(secret in said for secret in SECRETS)
    *_, place = url.rpartition("@")
    assert place.rpartition("/")[0] in said


def test_moved_references_of_commits(keys, run) -> None:
    """A commit that says of its Kerchunk references that they have moved."""
    (folder := Path("data")).mkdir()
    array = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "|u1", "order": "C"}
    array |= {"compressor": None, "filters": None, "fill_value": None}
    references = {
        ".zgroup": '{"zarr_format":2}',
        "v/.zarray": json.dumps(array),
        "v/.zattrs": '{"_ARRAY_DIMENSIONS":["time"]}',
        "v/0": ["s3://old/a.bin", 0, 4],
    }
    file = folder / "refs.json"
    file.write_text(json.dumps({"version": 1, "refs": references}))
    record = look_up(f"file://{file.absolute()}", Access()).as_record()
    prefix = f"file://{folder.absolute()}/"
    store = icechunk.local_filesystem_store(str(folder.absolute()))
    repository = make("repo", prefix, store, LOCAL, record, "refs.json")
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(repository))
    (newest, *_) = repo.ancestry(branch="main")
    metadata = {**newest.metadata["virtual_zarr"], "moved": ["s3://old", "https://127.0.0.1"]}
    session = repo.writable_session("main")
    zarr.open_group(session.store, mode="a").attrs["history"] = "moved"
    session.commit("moved", metadata={"virtual_zarr": metadata})
    status, said = run("verify", "--repo", repository, "--trust", "data")
    assert status == 1
    assert "its references lead to https://127.0.0.1/a.bin, which is below no folder" in said


def test_an_unfinished_build_of_somebody_else(keys, recorder: Recorder, run) -> None:
    """``build`` goes on with a build that was stopped, but not where that one leads."""
    (folder := Path("data")).mkdir()
    files = [Recipe(start=2 * n).write(folder / f"f{n}.nc") for n in range(2)]
    record = look_up(f"file://{files[0].absolute()}", Access()).as_record()
    repository = make("repo", "s3://evil/", *s3(recorder.url), record)
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(repository))
    history = [snapshot.id for snapshot in repo.ancestry(branch="main")]
    repo.create_branch("virtual-zarr-build", history[0])
    repo.reset_branch("main", history[-1])
    status, said = run("build", *files, "--repo", repository, "--batch", "1")
    assert status == 2, said
    assert "s3://evil/" in said
    assert not recorder.requests
