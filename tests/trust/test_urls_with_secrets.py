"""A password or a token in a URL: refused before it is kept, sent or said again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import virtual_zarr
from making import Recipe
from vzarr.sources.schemes import without_secrets

SECRET = "made-up"
URLS = [
    f"https://user:{SECRET}@data.example.org/a.nc",
    f"https://{SECRET}@data.example.org/a.nc",
    f"https://user:{SECRET}/more@data.example.org/a.nc",
    f"https://user:{SECRET}?more@data.example.org/a.nc",
    f"https://data.example.org/a.nc?X-Amz-Signature={SECRET}",
    f"https://data.example.org/a.nc#{SECRET}",
    f"s3://AKIA:{SECRET}@bucket/a.nc",
    f"s3://AKIA:{SECRET}/more@bucket/*.nc",
    f"s3://bucket/a.nc?X-Amz-Security-Token={SECRET}",
    f"gs://user:{SECRET}@bucket/a.nc",
    f"az://container/a.nc?sv=2022-11-02&sig={SECRET}",
    f"abfs://container:{SECRET}@account.dfs.core.windows.net/a.nc",
    f"http://user:{SECRET}@data.example.org/a.nc",
    f"ftp://user:{SECRET}@data.example.org/a.nc",
]


@pytest.fixture
def run(clean_environment: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command line says when it refuses."""

    def call(*arguments: str | Path) -> str:
        capsys.readouterr()
        status = virtual_zarr.main([*map(str, arguments), "--quiet"])
        said = capsys.readouterr()
        assert status == 2, said
        assert SECRET not in said.out + said.err
        assert "more" not in said.out + said.err
        assert len(said.err.splitlines()) == 1
        for path in Path().rglob("*"):
            assert path.is_dir() or path.suffix in (".nc", ".json") or path.parts[0] == "repo"
        return said.err

    return call


@pytest.mark.parametrize("url", URLS)
def test_no_command_takes_it(url: str, run) -> None:
    file = Recipe().write(Path("f0.nc"))
    assert virtual_zarr.main(["build", str(file), "--repo", "repo", "--quiet"]) == 0
    for arguments in (
        ["build", url, "--repo", "other"],
        ["build", file, "--repo", url],
        ["build", file, "--repo", "other", "--trust", url],
        ["inspect", url],
        ["migrate", url, "--repo", "other"],
        ["append", url, "--repo", "repo"],
        ["verify", "--repo", url],
        ["verify", "--repo", "repo", "--source", url],
        ["refresh", "--repo", "repo", "--from", url, "--to", "here"],
        ["refresh", "--repo", "repo", "--from", ".", "--to", url],
    ):
        said = run(*arguments)
        if not url.startswith(("http:", "ftp:")):
            assert "would be kept in the repository" in said
            assert "references/storage.md" in said


@pytest.mark.parametrize("url", URLS)
def test_references_do_not_bring_it_in(url: str, run) -> None:
    array = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "|u1", "order": "C"}
    array |= {"compressor": None, "filters": None, "fill_value": None}
    references = {
        ".zgroup": '{"zarr_format":2}',
        "v/.zarray": json.dumps(array),
        "v/0": [url, 0, 4],
    }
    Path("refs.json").write_text(json.dumps({"version": 1, "refs": references}))
    run("build", "refs.json", "--repo", "other")
    run("migrate", "refs.json", "--repo", "other")
    run("migrate", "refs.json", "--repo", "other", "--from", url.rpartition("/")[0], "--to", ".")


@pytest.mark.parametrize(
    "url",
    [
        "data/user:word@host.nc",
        "file:///data/a@b.nc",
        "s3://bucket/f?.nc",
        "s3://bucket/user:word@host/[0-9]*.nc",
        "https://data.example.org:8443/a@b.nc",
        "https://[::1]:8443/a.nc",
        "gs://bucket/a=b.nc",
        "abfs://container@account.dfs.core.windows.net/a.nc",
    ],
)
def test_what_only_looks_like_it(url: str) -> None:
    assert without_secrets(url) == url
