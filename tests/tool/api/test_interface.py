"""The package as scripts use it: what it offers, with which results, and what it never does."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import icechunk
import numpy as np
import pytest
import vzarr
import xarray as xr
from making import Recipe

PACKAGE = Path(vzarr.__file__).parent
OPTIONS_OF = {
    "inspect": "inspect",
    "build": "build",
    "append": "append",
    "add": "add",
    "verify": "verify",
    "refresh": "refresh",
    "relocate": "refresh",
    "migrate": "migrate",
    "report": "report",
}
"""The command that does what a function does."""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "data").mkdir()
    return [Recipe(start=2 * n).write(tmp_path / "data" / f"f{n}.nc") for n in range(3)]


def test_life_of_a_store(files: list[Path], tmp_path: Path) -> None:
    repo, data = tmp_path / "store", tmp_path / "data"
    seen = vzarr.inspect(data / "*.nc")
    assert (seen.files, len(seen.sets), seen.unreadable) == (3, 1, {})
    built = vzarr.build(files[:2], repo)
    assert (built.concat_dim, built.virtual, built.resumed) == ("time", ["crs", "mask", "v"], 0)
    added = vzarr.append(data / "*.nc", repo)
    assert added.appended == [f"file://{files[2]}"]
    assert not vzarr.append(data / "*.nc", repo).snapshot
    report = vzarr.verify(repo, sample=None)
    assert (report.passed, report.compared, report.failures) == (True, 3, [])
    ds = vzarr.open_dataset(repo)
    truth = np.concatenate([Recipe(start=2 * n).values for n in range(3)])
    np.testing.assert_array_equal(ds.v.values, truth)
    Recipe(start=2, shift=1.0).write(files[1])
    assert not vzarr.verify(repo, sample=None).passed
    assert list(vzarr.refresh(repo).changed) == [f"file://{files[1]}"]
    shutil.copytree(data, tmp_path / "moved")
    assert vzarr.relocate(repo, str(data), str(tmp_path / "moved")).references
    shutil.rmtree(data)
    assert vzarr.verify(repo, sample=None).passed


def test_references_become_a_store(files: list[Path], tmp_path: Path) -> None:
    parsed = vzarr.parse(files[0], record_dimension="time")
    assert (parsed.virtual, parsed.native, parsed.dropped) == (["v", "mask", "crs"], {}, {})
    parsed.dataset.vz.to_kerchunk(str(tmp_path / "refs.json"), format="json")
    built = vzarr.migrate(tmp_path / "refs.json", tmp_path / "store")
    assert "v" in built.virtual
    with xr.open_dataset(files[0]) as truth:
        xr.testing.assert_equal(vzarr.open_dataset(tmp_path / "store").load(), truth)  # and crs


@pytest.mark.parametrize("is_wrong", [False, True])
def test_comparison_in_the_session_that_commits(
    files: list[Path], tmp_path: Path, is_wrong: bool
) -> None:
    """For a store that is written by hand: nothing that reads wrong is committed."""
    prefix = f"file://{tmp_path}/data/"
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(prefix[7:]))
    )
    repository = icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(tmp_path / "store")),
        config,
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    session = repository.writable_session("main")
    parts = [vzarr.parse(file, record_dimension="time").dataset for file in files]
    parts = [parts[n] for n in ([0, 2, 1] if is_wrong else [0, 1, 2])]
    combined = xr.concat(
        parts, "time", data_vars="minimal", coords="minimal", compat="override", join="exact"
    )
    combined.vz.to_icechunk(session.store)
    report = vzarr.compare(session, files, concat_dim="time")
    assert report.passed != is_wrong, report.failures


def test_references_are_rewritten(files: list[Path], tmp_path: Path) -> None:
    """The part that scripts need of ``relocate``."""
    repo, moved = tmp_path / "store", tmp_path / "data" / "moved"
    vzarr.build(files, repo)
    moved.mkdir()
    for file in files:
        shutil.move(file, moved / file.name)
    repository = vzarr.open_repository(repo)
    session = repository.writable_session("main")

    def follow(url: str) -> str:
        return url.replace("/data/f", "/data/moved/f")

    assert vzarr.rewrite_references(session, follow) == 8  # of v six, of crs and mask one each
    assert vzarr.rewrite_references(session, follow) == 0
    assert vzarr.compare(session, moved / "*.nc", concat_dim="time").passed
    session.commit("moved")
    np.testing.assert_array_equal(vzarr.open_dataset(repo).v[:2], Recipe().values)


def test_errors_are_sentences(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(vzarr.InputError, match="no such file"):
        vzarr.inspect(tmp_path / "nothing*.nc")
    with pytest.raises(vzarr.InputError, match="--drop nonsense: no file has a variable"):
        vzarr.build(files, tmp_path / "store", drop=["nonsense"])
    Recipe(start=6, scale=0.25).write(files[2])
    with pytest.raises(vzarr.Refused, match="scale_factor"):
        vzarr.build(files, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_import_is_quick() -> None:
    """Nothing heavy is loaded before it is used."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import vzarr; vzarr.InputError; "
        "print({'icechunk', 'xarray', 'numpy', 'h5py'} & sys.modules.keys() or 'light')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, PACKAGE.parent], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "light"


def test_all_names_are_there_and_documented() -> None:
    for name in vzarr.__all__:
        assert inspect.getdoc(getattr(vzarr, name)), name
    assert set(vzarr.__all__) <= set(dir(vzarr))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = vzarr.nonsense


def test_results_can_be_json(files: list[Path], tmp_path: Path) -> None:
    repo = tmp_path / "store"
    results = [vzarr.inspect(files), vzarr.build(files[:2], repo), vzarr.append(files, repo)]
    results += [vzarr.verify(repo), vzarr.refresh(repo)]
    for result in results:
        assert json.loads(json.dumps(result.as_json()))


def test_nothing_below_the_command_line_prints_or_ends_the_process() -> None:
    guilty = []
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0]
        if room in ("cli", "process.py", "text.py") or file.name == "ending.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "sys.exit", "exit", "os._exit", "input"):
                    guilty.append(f"{file.name}:{node.lineno}: {called}")
    assert not guilty


@pytest.mark.parametrize("name", OPTIONS_OF)
def test_functions_take_what_their_commands_take(name: str) -> None:
    """An option that a command has and its function lacks would be out of reach for scripts."""
    import virtual_zarr

    parser = virtual_zarr.make_parser()
    (commands,) = (a for a in parser._actions if a.dest == "command")
    options = {a.dest for a in commands.choices[OPTIONS_OF[name]]._actions}
    taken = set(inspect.signature(getattr(vzarr, name)).parameters)
    renamed = {
        **{"group": "groups" if name == "build" else "group", "prefix": "prefixes"},
        **{"source": "sources", "all": "sample" if name == "verify" else "everything"},
        **{"old": "moved" if name == "migrate" else "old", "new": "new"},
    }
    shared = {"help", "json", "quiet", "limit", "anonymous", "account", "region", "endpoint"}
    shared |= {"auth", "profile", "retries", "timeout", "trust"}
    shared |= {f"repo_{word}" for word in ("account", "anonymous", "endpoint", "profile", "region")}
    if name == "refresh":
        shared |= {"old", "new", "all"}
    if name == "relocate":
        shared |= {"content"}
    if name == "migrate":
        shared |= {"new"}
    assert {renamed.get(option, option) for option in options - shared} <= taken
