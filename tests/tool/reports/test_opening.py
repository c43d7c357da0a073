"""Code that a page gives to readers: it runs, and asks for what the store needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import icechunk
import pytest
import vzarr
from making import Recipe
from vzarr.commands.show import Shown
from vzarr.reports.opening import opening_code
from vzarr.sources.schemes import Access


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    vzarr.build([Recipe().write(tmp_path / "f.nc")], tmp_path / "repo")
    return vzarr.show(tmp_path / "repo")


CASES = {
    "s3": (
        {"prefix": "s3://archive/era5/", "region": "eu-west-1", "anonymous": True},
        "s3://stores/era5",
        Access(region="us-west-2"),
        "icechunk.s3_storage(bucket='stores', prefix='era5', region='us-west-2', from_env=True)",
        "icechunk.Credentials.S3(icechunk.s3_credentials(anonymous=True))",
    ),
    "minio": (
        {"prefix": "s3://archive/", "endpoint": "http://127.0.0.1:9000"},
        "s3://stores/a/b",
        Access(endpoint="http://127.0.0.1:9000", repo_anonymous=True),
        "icechunk.s3_storage(bucket='stores', prefix='a/b', region='us-east-1', anonymous=True, "
        "endpoint_url='http://127.0.0.1:9000', force_path_style=True, allow_http=True)",
        "icechunk.Credentials.S3(icechunk.s3_credentials(from_env=True))",
    ),
    "gs": (
        {"prefix": "gs://archive/"},
        "gs://stores/a",
        Access(),
        "icechunk.gcs_storage(bucket='stores', prefix='a', from_env=True)",
        "icechunk.Credentials.Gcs(icechunk.gcs_credentials(from_env=True))",
    ),
    "az": (
        {"prefix": "az://archive/", "account": "acme"},
        "az://stores/a",
        Access(account="acme"),
        "icechunk.azure_storage(account='acme', container='stores', prefix='a', from_env=True)",
        "icechunk.Credentials.Azure(icechunk.azure_credentials(from_env=True))",
    ),
    "https": (
        {"prefix": "https://data.example.org/"},
        "file:///stores/a",
        Access(),
        "icechunk.local_filesystem_storage('/stores/a')",
        "icechunk.credentials.HttpAccess",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_cloud(
    name: str, shown: Shown, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run with an Icechunk that makes all but opens nothing."""
    container, location, access, storage, credentials = CASES[name]
    code = opening_code(replace(shown, repository=location, containers=[container]), access)
    assert f"storage = {storage}" in code
    assert f"{container['prefix']!r}: {credentials}," in code
    opened: dict[str, Any] = {}

    class Repository:
        @staticmethod
        def open(storage: Any, **options: Any) -> Any:
            opened.update(options, storage=storage)
            raise InterruptedError

    monkeypatch.setattr(icechunk, "Repository", Repository)
    with pytest.raises(InterruptedError):
        exec(code, {})
    assert isinstance(opened["storage"], icechunk.Storage)
    assert list(opened["authorize_virtual_chunk_access"]) == [container["prefix"]]


def test_what_readers_set(shown: Shown) -> None:
    rectilinear = ['zarr.config.set({"array.rectilinear_chunks": True}): chunks differ in length']
    code = opening_code(replace(shown, readers=rectilinear, branch="dev"), Access())
    names: dict[str, Any] = {}
    with pytest.raises(icechunk.IcechunkError):
        exec(code, names)  # there is no such branch
    assert isinstance(names["zarr"], ModuleType)
    assert "readonly_session('dev')" in code


def test_a_codec_that_zarr_lacks(shown: Shown) -> None:
    """Then the package that registers it opens the store."""
    arrays = [replace(array, codecs=("gribberish",)) for array in shown.arrays]
    code = opening_code(replace(shown, arrays=arrays, coverage={}), Access())
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["ds"].sizes["time"] == 2
