"""Nothing is copied in disguise: paths, faults of the machine, and copies that need a word."""

from __future__ import annotations

import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import virtual_zarr
from making import Recipe
from obstore.exceptions import PermissionDeniedError
from vzarr.changes.build import build
from vzarr.combine.copied import parse_bytes, show_bytes
from vzarr.commands.verify import verify_repository
from vzarr.errors import AccessDenied, EnvironmentFault, Refused, environment_fault
from vzarr.paths import local_path
from vzarr.sources.schemes import Access, as_url
from vzarr.virtualize.pool import _layouts

TOOL = Path(__file__).parents[3] / "scripts" / "virtual_zarr.py"


@pytest.fixture(autouse=True)
def unknown_layouts() -> None:
    """Files of a layout that this process knows are not compared again."""
    _layouts.cache_clear()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for number in range(3):
        Recipe(start=2 * number).write(tmp_path / f"data/d{number}.nc")
    return tmp_path / "data"


SPELLINGS = {
    "..": "../data/*.nc",
    "twice": "../desk/../data/d?.nc",
    "dot": "./../data/./*.nc",
    "home": "~/data/*.nc",
    "url": "file://{data}/../data/*.nc",
    "localhost": "file://localhost{data}/*.nc",
    "link": "link/*.nc",
    "pattern": "../[d]ata/*.nc",
    "slashes": "..//data//*.nc",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_path_is_virtual(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    work = tmp_path / "desk"
    work.mkdir()
    (work / "link").symlink_to(data)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    built = build([SPELLINGS[spelling].format(data=data)], "../desk/./repo", Access())
    assert built.virtual == ["crs", "mask", "v"]
    assert built.native == {}
    assert built.sources == [f"file://{data}/d{number}.nc" for number in range(3)]
    folder = tmp_path if spelling == "pattern" else data  # what stands before the pattern
    assert built.containers == [f"file://{folder}/"]
    assert (work / "repo").is_dir()
    assert verify_repository("repo/", Access(), sample=None).passed


def test_one_file_named_twice_is_taken_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    names = [str(data / "d0.nc"), "./d0.nc", "../data/d0.nc", f"file://{data}/d0.nc", "d[0-2].nc"]
    assert len(build(names, "../repo", Access()).sources) == 3


def test_a_file_that_is_a_link_keeps_its_name(data: Path) -> None:
    """Whose name no reference can hold is taken under another (``#`` and ``?``)."""
    (data / "d0.nc").rename(data / "d#0.nc")
    (data / "fine.nc").symlink_to(data / "d#0.nc")
    assert local_path(str(data / "fine.nc")) == data / "fine.nc"
    assert build([str(data / "fine.nc")], str(data / "repo"), Access()).virtual


@pytest.mark.parametrize("location", [".", "..", "data/", "data/.", "data/..", "~"])
def test_folders(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = {"..": tmp_path.parent, "data/": tmp_path / "data", "data/.": tmp_path / "data"}
    assert as_url(location) == f"file://{expected.get(location, tmp_path)}"


@pytest.mark.parametrize("handles", [20, 24, 32, 48])
def test_too_few_file_handles_are_said(data: Path, tmp_path: Path, handles: int) -> None:
    """One sentence, or the right store; never a copy."""
    done = subprocess.run(
        [sys.executable, str(TOOL), "build", f"{data}/*.nc", "--repo", str(tmp_path / "repo")],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (handles, handles)),
    )
    if done.returncode:
        assert done.returncode == 3
        (sentence,) = [line for line in done.stderr.splitlines() if "parsed:" not in line]
        assert "too many open files: raise the limit (ulimit -n 4096)" in sentence
        assert not (tmp_path / "repo").exists()
    else:
        assert "virtual: crs, mask, v" in done.stdout


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(24, "Too many open files"), EnvironmentFault, "too many open files"),
        (OSError("... error message = 'Too many open files'"), EnvironmentFault, "ulimit -n"),
        (MemoryError(), EnvironmentFault, "no memory is left"),
        (OSError(28, "No space left on device"), EnvironmentFault, "no space is left"),
        (PermissionError(13, "Permission denied"), AccessDenied, "permission was denied"),
        (PermissionDeniedError("403"), AccessDenied, "the storage denies access"),
    ],
)
def test_faults_of_the_machine_are_known(error: Exception, kind: type, words: str) -> None:
    try:
        raise ValueError("something in between") from error
    except ValueError as wrapped:
        fault = environment_fault("a.nc", wrapped)
    assert type(fault) is kind
    assert str(fault).startswith("a.nc: ")
    assert words in str(fault)
    assert environment_fault("a.nc", ValueError("cannot decode")) is None


def test_a_fault_while_references_are_read_is_no_reason_to_copy(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("virtualizarr.manifests.store.ManifestStore.get", fail)
    with pytest.raises(EnvironmentFault, match="too many open files"):
        build([f"{data}/*.nc"], str(tmp_path / "repo"), Access())
    assert not (tmp_path / "repo").exists()


def test_why_references_read_differently_is_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value, where it is a wrong reference."""
    from vzarr.formats.hdf5 import parser as hdf

    whole = hdf.manifest_group

    def shifted(*arguments: object) -> object:
        group = whole(*arguments)
        manifest = group.arrays["mask"].manifest
        manifest._offsets[...] -= 4
        return group

    monkeypatch.setattr(hdf, "manifest_group", shifted)
    built = build([str(data / "d0.nc")], str(tmp_path / "repo"), Access())
    assert re.search(
        r"read differently from the file: .* instead of 1.0 at \[0\]", built.native["mask"]
    )


def fixed_text(path: Path, count: int) -> Path:
    """Two variables, of which one lies in the header, as nothing can refer to it."""
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((count,))
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        item = h5py.h5d.create(file.id, b"far", h5py.h5t.IEEE_F64LE, space, plan)
        item.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(count, dtype="f8"))
        file["near"] = np.arange(4.0)
    return path


def test_a_copy_needs_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vzarr.combine.copied.HARMLESS", 1000)
    file = fixed_text(tmp_path / "a.h5", 1000)
    place = str(tmp_path / "repo")
    with pytest.raises(Refused, match=r"about 8kB would be copied, 32B .* --allow-copy 8kB"):
        build([str(file)], place, Access())
    assert not (tmp_path / "repo").exists()
    assert virtual_zarr.main(["build", str(file), "--repo", place, "--allow-copy", "8kB"]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "mostly a copy: 8kB were copied, 32B are virtual; the reasons are below"


def test_less_than_allowed_is_refused(tmp_path: Path) -> None:
    file = fixed_text(tmp_path / "a.h5", 1000)
    with pytest.raises(Refused, match="about 8kB would be copied"):
        build([str(file)], str(tmp_path / "repo"), Access(), allow_copy=7999)
    built = build([str(file)], str(tmp_path / "repo"), Access(), allow_copy=8000)
    assert built.as_json()["bytes"] == {"virtual": 32, "native": 8000}


def test_inspect_prints_a_command_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vzarr.combine.copied.HARMLESS", 1000)
    file = fixed_text(tmp_path / "a.h5", 1000)
    assert virtual_zarr.main(["inspect", str(file)]) == 0
    (line,) = re.findall(r"build .*--repo NAME.icechunk", capsys.readouterr().out)
    assert "--allow-copy 8kB" in line
    command = shlex.split(line.replace("NAME.icechunk", str(tmp_path / "repo")))
    assert virtual_zarr.main(command) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("12", 12), ("8kB", 8000), ("1.5 GB", 1500000000), ("2tb", 2 * 10**12)],
)
def test_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count
    assert parse_bytes(show_bytes(count)) == count


@pytest.mark.parametrize("text", ["", "many", "-1", "1e9", "5 MiB"])
def test_no_number_of_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of bytes"):
        parse_bytes(text)


@pytest.mark.parametrize("count", [1, 999, 1001, 12345, 987654321])
def test_shown_bytes_are_enough(count: int) -> None:
    assert count <= parse_bytes(show_bytes(count)) <= count * 1.1
