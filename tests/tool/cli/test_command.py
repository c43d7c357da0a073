"""The command line: exit status, JSON, one sentence on errors, nothing half-written; S3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
import virtual_zarr
from making import Recipe
from obstore.store import S3Store
from worlds.s3 import ARCHIVE_BUCKET, STORES_BUCKET

README = Path(__file__).parents[3] / "README.md"
TOOL = Path(__file__).parents[3] / "scripts" / "virtual_zarr.py"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in this process, which spares the imports of a new one."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = virtual_zarr.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return subprocess.CompletedProcess(arguments, status, captured.out, captured.err)

    return call


@pytest.fixture
def files(clean_environment: Path) -> list[Path]:
    return [Recipe(start=2 * n).write(clean_environment / f"f{n}.nc") for n in range(2)]


def test_demo_prints_code_that_opens_the_result(run, clean_environment: Path) -> None:
    """The whole command in its own process, as README starts it; README shows what it says."""
    command = [sys.executable, str(TOOL), "demo", "--dir", "demo"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.partition("\n\nOpen it:")[0].replace(f"{Path('demo').absolute()}/", "demo/")
    assert said.replace("demo/", "virtual-zarr-demo/") in README.read_text()
    code = done.stdout.partition("Open it:\n")[2]
    opened = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "t2m" in opened.stdout, opened.stderr
    again = run("demo", "--dir", "demo")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_build_and_verify_as_json(run, files: list[Path], clean_environment: Path) -> None:
    built = run("build", "f*.nc", "--repo", "repo", "--json")
    assert built.returncode == 0, built.stderr
    result = json.loads(built.stdout)
    assert result["concat_dim"] == "time"
    assert result["sizes"]["time"] == 4
    assert "parsed: 2/2" in built.stderr
    verified = run("verify", "--repo", "repo", "--all", "--json", "--quiet")
    assert verified.returncode == 0
    assert json.loads(verified.stdout)["passed"] is True
    assert verified.stderr == ""
    files[0].unlink()
    assert run("verify", "--repo", "repo").returncode == 1


def test_existing_repository_is_left_alone(run, files: list[Path], clean_environment: Path) -> None:
    assert run("build", *files, "--repo", "repo").returncode == 0
    before = sorted(path.name for path in Path("repo").rglob("*"))
    again = run("build", *files, "--repo", "repo")
    assert again.returncode == 2
    assert "something is there already" in again.stderr
    assert len(again.stderr.splitlines()) == 1
    assert sorted(path.name for path in Path("repo").rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "nowhere.nc", "--repo", "repo"], "no such file"),
        (["build", "ftp://host/a.nc", "--repo", "repo"], "ftp:// is not supported"),
        (["build", "f0.nc", "--repo", "s3://bucket"], "name a prefix below the bucket"),
        (["build", "f0.nc", "f1.nc", "--repo", "repo", "--concat-dim", "lat"], "stored once"),
        (["build", "f0.nc", "--repo", "https://host/repo"], "cannot be written"),
        (["build", "https://host/*.nc", "--repo", "repo"], "name each file"),
        (["build", "az://archive/a.nc", "--repo", "repo"], "needs --account"),
        (["verify", "--repo", "nowhere"], "no Icechunk repository"),
    ],
)
def test_bad_input_is_one_sentence(
    run, files: list[Path], clean_environment: Path, arguments: list[str], message: str
) -> None:
    done = run(*arguments, "--quiet")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not Path("repo").exists()


def test_failed_comparison_leaves_nothing(
    files: list[Path], clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that would read wrong is refused after writing, before the commit."""
    from vzarr.changes import build_commit as committing
    from vzarr.changes.build import build
    from vzarr.errors import Refused
    from vzarr.sources.schemes import Access

    def wrong(store, datasets, last_updated_at):
        datasets[""].v.attrs["scale_factor"] = 0.25
        return write(store, datasets, last_updated_at)

    write = committing.write_datasets
    monkeypatch.setattr(committing, "write_datasets", wrong)
    with pytest.raises(Refused, match=r"v\[0, 0\] reads 15.0, in the file 20.0"):
        build([str(file) for file in files], "repo", Access())
    assert not Path("repo").exists()


def test_s3_sources_and_repository(
    run, enter_world: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_world("s3-keys")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    repository = f"s3://{STORES_BUCKET}/era5"
    built = run("build", f"s3://{ARCHIVE_BUCKET}/era5/*.nc", "--repo", repository, "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["sizes"]["time"] == 20
    verified = run("verify", "--repo", repository, "--all")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = run("build", f"s3://{ARCHIVE_BUCKET}/era5/*.nc", "--repo", repository)
    assert again.returncode == 2
    assert "something is there already" in again.stderr


def test_public_bucket(run, enter_world: Callable[[str], None], clean_environment: Path) -> None:
    enter_world("s3-public")
    built = run(
        *["build", "s3://noaa-goes16/ABI-L2-CMIPF/2024/001/*/*.nc", "--anonymous"],
        *["--concat-dim", "t", "--repo", "goes"],
    )
    assert built.returncode == 0, built.stderr
    verified = run("verify", "--repo", "goes", "--all", "--anonymous")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_role(run, enter_world: Callable[[str], None], clean_environment: Path) -> None:
    enter_world("s3-ec2-role")
    source = f"s3://{ARCHIVE_BUCKET}/era5/era5_t2m_2024-01-01.nc"
    repository = f"s3://{STORES_BUCKET}/one"
    built = run("build", source, "--repo", repository, "--region", "us-west-2")
    assert built.returncode == 0, built.stderr


@pytest.mark.parametrize(
    ("world", "sources", "repository"),
    [
        (
            "gcs-service-account",
            "gs://acme-climate-archive/era5/*.nc",
            "gs://acme-virtual-stores/a",
        ),
        ("azure-key", "az://archive/era5/*.nc", "az://stores/a"),
        ("azure-sas", "abfs://archive/era5/*.nc", "abfs://stores/b"),
        ("https", "https://data.example.org/era5/era5_t2m_2024-01-01.nc", "repo"),
        (
            "clouds",
            "https://data.example.org/era5/era5_t2m_2024-01-01.nc",
            f"s3://{STORES_BUCKET}/x",
        ),
    ],
)
def test_other_clouds(
    run,
    enter_world: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    world: str,
    sources: str,
    repository: str,
) -> None:
    enter_world(world)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acmeclimate")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    built = run("build", sources, "--repo", repository)
    assert built.returncode == 0, built.stderr
    verified = run("verify", "--repo", repository, "--all")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_public_gcs_and_azure(run, enter_world: Callable[[str], None]) -> None:
    enter_world("gcs-public")
    source = "gs://gcp-public-data-goes-16/ABI-L2-CMIPF/2024/001/00/*.nc"
    assert run("build", source, "--anonymous", "--repo", "gcs").returncode == 0
    assert run("verify", "--repo", "gcs", "--anonymous").returncode == 0
    enter_world("azure-public")
    arguments = ["--anonymous", "--account", "goeseuwest"]
    source = "az://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc"
    assert run("build", source, *arguments, "--repo", "azure").returncode == 0
    assert run("verify", "--repo", "azure", *arguments).returncode == 0


def test_wrong_key_leaves_nothing(
    run, enter_world: Callable[[str], None], clean_environment: Path
) -> None:
    enter_world("s3-wrong-key")
    done = run(
        *["build", f"s3://{ARCHIVE_BUCKET}/era5/*.nc", "--repo", "repo", "--region", "us-west-2"]
    )
    assert done.returncode == 2
    assert "SignatureDoesNotMatch" in done.stderr or "403" in done.stderr
    assert not Path("repo").exists()


def test_unwritable_place_leaves_nothing(run, enter_world: Callable[[str], None]) -> None:
    """The archive may be read but not written: the repository's first object is refused."""
    enter_world("s3-keys")
    done = run(
        *["build", f"s3://{ARCHIVE_BUCKET}/era5/*.nc", "--region", "us-west-2"],
        *["--repo", f"s3://{ARCHIVE_BUCKET}/stores/era5"],
    )
    assert done.returncode == 3
    assert "AccessDenied" in done.stderr
    archive = S3Store(ARCHIVE_BUCKET, region="us-west-2")
    assert obstore.list(archive, "stores/").collect() == []


def test_interpreter_needs_nothing_but_the_folder(clean_environment: Path) -> None:
    """The scripts work from a copy of their folder, and from any working directory."""
    copied = clean_environment / "elsewhere" / "scripts"
    shutil.copytree(TOOL.parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, copied / "virtual_zarr.py", "--help"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "examples:" in done.stdout
