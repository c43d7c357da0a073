"""``examples.md`` as users live with it: run again, killed, overtaken, after an expiry.

Every example is tested, in its first world; a new one without doing anything. What the runs leave
is compared with what one undisturbed run leaves, as readers see it.
"""

from __future__ import annotations

import ast
import os
import pickle
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import h5py
import icechunk
import numpy as np
import pytest
import vzarr
import xarray as xr
from astropy.io import fits
from harness import reruns
from harness.blocks import Chain, read_chains
from harness.reruns import Killed, Watch
from harness.running import run_chain
from pytest_examples import EvalExample

DOCUMENT = Path(__file__).parents[2] / "examples.md"
CHAINS = [chain for chain in read_chains(DOCUMENT) if not chain.blocks[0].is_module]
NUMBER = re.compile(r"^\d+\. ")
"""Of a section, by which other files name it."""

RUNS = 40
"""More than an example has changes; one that never gets to its end fails."""


def title_of(chain: Chain) -> str:
    return NUMBER.sub("", chain.blocks[0].fence.heading.partition(" ")[2])


BY_HAND = [chain for chain in CHAINS if "import vzarr" not in chain.blocks[0].example.source]
WITH_THE_TOOL = [chain for chain in CHAINS if chain not in BY_HAND]
"""Their commits are the tool's, which ``tests/reliability`` stops and overtakes at every step."""

PROGRAMS = [
    chain
    for chain in BY_HAND
    if "publish.py" not in chain.modules or title_of(chain) == "Local files"
]
"""Without those that call the same program with another store."""

each_program = pytest.mark.parametrize("chain", PROGRAMS, ids=[chain.name for chain in PROGRAMS])
each_example = pytest.mark.parametrize("chain", BY_HAND, ids=[chain.name for chain in BY_HAND])
each_with_the_tool = pytest.mark.parametrize(
    "chain", WITH_THE_TOOL, ids=[chain.name for chain in WITH_THE_TOOL]
)


GROWING = [chain for chain in BY_HAND if re.search(r"\bingest\(", chain.blocks[0].example.source)]
"""Examples that take whatever files are there; the others publish once."""

each_growing = pytest.mark.parametrize("chain", GROWING, ids=[chain.name for chain in GROWING])


def is_script(chain: Chain) -> bool:
    return any(block.script for block in chain.blocks)


class Example:
    """A chain in its world; ``changes`` and ``places`` are of its last run."""

    def __init__(
        self,
        chain: Chain,
        enter_world: Callable[[str], None],
        eval_example: EvalExample,
        log: Path,
        shared: Path | None = None,
    ) -> None:
        self.chain = chain
        self.changes: list[str] = []
        self.parsed = 0
        self.places: dict[str, Any] = {}
        self._enter_world = enter_world
        self._eval_example = eval_example
        self._log = log
        self._kept = None if shared is None else shared / f"{chain.name}.undisturbed"
        self.enter()

    def enter(self) -> None:
        """The world as it is before the first run."""
        for path in Path.cwd().iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._enter_world(self.chain.worlds[0])

    def run(
        self,
        hook: Callable[[Watch, str], None] = lambda watch, name: None,
        script: str = "",
        prints: bool = False,
    ) -> dict[str, Any]:
        """Run it; ``hook`` meets its steps, ``script`` says what befalls a script's process."""
        self._log.write_text("")
        try:
            with Watch(hook) as watch, reruns.scripts_watched(self._log, script):
                return run_chain(self.chain, self._eval_example, prints=prints)
        finally:
            self.changes = [*watch.changes, *self._log.read_text().split()]
            self.parsed = watch.parsed
            self.places |= watch.places
            if is_script(self.chain):
                self.places |= reruns.local_places(Path.cwd())

    def act(self) -> None:
        """What another run of the same program does, beside this one."""
        names: dict[str, Any] = {"__name__": "__main__"}
        for block in self.chain.blocks:
            with redirect_stdout(StringIO()):
                try:
                    exec(compile(block.example.source, "the other run", "exec"), names)
                except Exception:
                    if not block.raises:
                        raise

    def content(self) -> dict[str, Any]:
        found = {place: reruns.content(*opened) for place, opened in self.places.items()}
        return without_place(found, str(Path.cwd()))

    def undisturbed(self) -> dict[str, Any]:
        """What one run leaves, in a world that is new afterwards.

        The first test of a chain, of any worker, runs it for all.
        """
        if self._kept is not None and self._kept.exists():
            return pickle.loads(self._kept.read_bytes())
        self.run()
        return self.keep_undisturbed()

    def keep_undisturbed(self) -> dict[str, Any]:
        """The content after a first run, for ``undisturbed`` of other tests."""
        found = self.content()
        if self._kept is not None:
            written = self._kept.with_suffix(f".{os.getpid()}")
            written.write_bytes(pickle.dumps(found))
            written.replace(self._kept)
        return found


def without_place(value: Any, folder: str) -> Any:
    """Without the working directory, which is another one in each test."""
    if isinstance(value, dict):
        return {without_place(k, folder): without_place(v, folder) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_place(item, folder) for item in value)
    if isinstance(value, str):  # a type of text is as long as the longest path in it
        return re.sub(r"^[<>]U\d+$", "U", value.replace(folder, "/work"))
    return value


@pytest.fixture
def example(
    chain: Chain,
    enter_world: Callable[[str], None],
    eval_example: EvalExample,
    clean_environment: Path,
    run_folder: Path,
) -> Example:
    log = clean_environment.parent / "changes"
    return Example(chain, enter_world, eval_example, log, run_folder)


@each_example
def test_second_run_does_nothing(example: Example) -> None:
    """After an expiry too, which leaves nothing of the history."""
    example.run(prints=True)
    assert example.changes or not example.places
    first = example.keep_undisturbed()
    example.run()
    assert example.changes == []
    if not any(block.raises for block in example.chain.blocks):
        assert example.parsed == 0 or not example.places
    for storage, access in example.places.values():
        repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
        now = datetime.now(UTC)
        repo.expire_snapshots(now)
        repo.garbage_collect(now)
    example.run()
    assert example.changes == []
    assert example.content() == first


@each_program
def test_killed_runs_get_to_the_end(example: Example) -> None:
    """Each run is killed before its second change: after the first, before and after a commit."""
    undisturbed = example.undisturbed()
    example.enter()
    for _ in range(RUNS):
        try:
            example.run(reruns.one_change, script="kill")
        except Killed:
            continue
        break
    else:
        pytest.fail(f"{RUNS} runs did not get to the end, the last one changed {example.changes}")
    assert example.content() == undisturbed


NOT_FIRST = ("ConflictError", "clean prefixes")
"""What the one that is second meets, at its commit or where it makes the repository."""


@each_program
def test_overtaken_runs_leave_what_one_leaves(example: Example) -> None:
    """Another run does all its work before one of this one's steps, each in turn.

    Of a script only its commit is such a step.
    """
    undisturbed = example.undisturbed()
    scripts = sum(block.script for block in example.chain.blocks)
    step, is_over = 2, False
    while not is_over:
        example.enter()
        acted: list[int] = []

        def act(acted: list[int] = acted) -> None:
            acted.append(1)
            example.act()

        for _ in range(scripts or 1):
            try:
                example.run(reruns.overtaking(step, act), script="overtake")
            except (Exception, pytest.fail.Exception) as error:
                found = f"{type(error).__name__} {error}"
                assert any(text in found for text in NOT_FIRST), f"step {step}: {found}"
        is_over = bool(scripts) or not acted
        example.run()
        assert example.changes == [], f"step {step}"
        assert example.content() == undisturbed, f"step {step}"
        step += 1


def source_files() -> list[Path]:
    return sorted(path for path in Path("data").rglob("*") if path.is_file())


def without_sources(content: dict[str, Any]) -> dict[str, Any]:
    """What a store holds, without what it says of its files' state."""
    return {
        place: {
            path: {key: value for key, value in seen.items() if key != "sources"}
            for path, seen in nodes.items()
            if path.rpartition("/")[2] != "source"
        }
        for place, nodes in content.items()
    }


@each_growing
def test_files_delivered_again_are_read(example: Example) -> None:
    """The same bytes at a later time: their references do not hold any more."""
    example.run()
    before = example.content()
    time.sleep(1.1)  # Icechunk compares whole seconds
    for path in source_files():
        path.touch()
    with pytest.raises(icechunk.StorageError, match="has changed"):
        example.content()
    time.sleep(1.1)
    example.run()
    assert without_sources(example.content()) == without_sources(before)
    assert example.content() != before
    example.run()
    assert example.changes == []


def change_netcdf(path: Path, *groups: str) -> None:
    with h5py.File(path, "r+") as file:
        for name in groups:
            file[name][...] = file[name][...][::-1]


def change_fits(path: Path) -> None:
    with fits.open(path, mode="update") as hdus:
        hdus["MASK"].data = 1 - hdus["MASK"].data


REISSUED = {
    "A growing time series": (
        "data/era5/era5_t2m_2024-01-02.nc",
        lambda path: change_netcdf(path, "t2m"),
    ),
    "FITS image series": ("data/formats/fits/ccd_1.fits", change_fits),
    "COG time series": (
        "data/formats/tiff/B04_2024-02-05.tif",
        lambda path: shutil.copy(path.with_name("B04_2024-01-05.tif"), path),
    ),
}
"""By the section's title: a file in the middle, and how it is issued again with other values."""


def test_every_growing_example_has_a_file_that_is_issued_again() -> None:
    assert {title_of(chain) for chain in GROWING} == set(REISSUED)


@pytest.mark.parametrize(
    "chain",
    [chain for chain in GROWING if title_of(chain) in REISSUED],
    ids=lambda chain: chain.name,
)
def test_file_issued_again_replaces_its_own_steps(example: Example) -> None:
    """What is there then is what a new store would hold."""
    name, change = REISSUED[title_of(example.chain)]
    example.run()
    before = example.content()
    time.sleep(1.1)
    change(Path(name))
    time.sleep(1.1)
    example.run()
    replaced = example.content()
    assert without_sources(replaced) != without_sources(before)
    for path in Path.cwd().glob("*.icechunk"):
        shutil.rmtree(path)
    example.run()
    assert replaced == example.content()


OPENED: list[str] | None = None


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and OPENED is not None and isinstance(arguments[0], str | os.PathLike):
        OPENED.append(os.path.abspath(arguments[0]))


sys.addaudithook(_note_opened)


@each_growing
def test_files_that_are_in_are_not_read(chain: Chain, example: Example) -> None:
    """Neither parsed nor opened to be compared."""
    global OPENED
    example.chain = replace(chain, blocks=chain.blocks[:1])  # others may be about what is refused
    example.run()
    OPENED = []
    try:
        example.run()
        opened = set(OPENED)
    finally:
        OPENED = None
    assert example.parsed == 0
    assert not opened & {str(path.absolute()) for path in source_files()}


@each_program
def test_repository_without_container_gets_one(example: Example) -> None:
    """As ``create`` and ``open_or_create`` leave it without a configuration."""
    undisturbed = example.undisturbed()
    if not example.places:
        example.run()
    example.enter()
    for storage, _ in example.places.values():
        icechunk.Repository.create(storage)
    example.run()
    assert example.content() == undisturbed


def section(title: str) -> Chain:
    (chain,) = [chain for chain in BY_HAND if title_of(chain) == title]
    return chain


@pytest.mark.parametrize("chain", [section("A growing time series")])
def test_static_coordinates_stay_coordinates(example: Example) -> None:
    for path in Path("data").glob("era5*/*.nc"):
        changed = path.stat().st_mtime
        with h5py.File(path, "r+") as file:
            file["t2m"].attrs["coordinates"] = "lsm crs"
        os.utime(path, (changed, changed))
    names = example.run()
    ds = xr.open_zarr(names["repo"].readonly_session("main").store, consolidated=False)
    assert ds.sizes["time"] == 20
    assert {"lsm", "crs"} < set(ds.coords)


@pytest.mark.parametrize("chain", [section("COG time series")])
def test_reference_system_of_images_stays_a_coordinate(example: Example) -> None:
    names = example.run()
    ds = names["read"](names["repo"].readonly_session("main").store)
    assert ds.sizes["time"] == 3
    assert ds.spatial_ref.attrs == {"spatial_ref": "EPSG:32633"}
    assert set(ds.coords) == {"time", "x", "y", "spatial_ref"}


@pytest.mark.parametrize("chain", [section("Ensemble members")])
def test_member_with_other_packing_is_refused(example: Example) -> None:
    with h5py.File("data/ensemble/member_02.nc", "r+") as file:
        file["tas"].attrs["scale_factor"] = 0.5
    with pytest.raises(xr.MergeError):
        example.run()
    assert list(example.content().values()) == [{}]


@each_with_the_tool
def test_second_run_with_the_tool_does_nothing(example: Example) -> None:
    example.run(prints=True)
    places = reruns.local_places(Path.cwd())
    assert places

    def tips() -> list[str]:
        repos = [icechunk.Repository.open(storage) for storage, _ in places.values()]
        return [repo.lookup_branch("main") for repo in repos]

    first = tips()
    example.run(prints=True)
    assert tips() == first


@pytest.mark.parametrize("chain", GROWING, ids=lambda c: c.name)
def test_late_file_is_refused(example: Example) -> None:
    """It would stand behind later ones; the sentence says what to do."""
    names = example.run()
    files = names["files"]
    repo = names["open_repository"]("late.icechunk", files[0].parent)
    update = names.get("update", names["ingest"])
    update(repo, files[1:])
    tip = repo.lookup_branch("main")
    with pytest.raises(ValueError, match=rf"{files[0].name}.* start a new repository"):
        update(repo, files)
    assert repo.lookup_branch("main") == tip


COMMANDS = {
    NUMBER.sub("", heading.partition("\n")[0]): code
    for heading in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]
    for code in re.findall(r"^Command: `([^`]+)`", heading, flags=re.MULTILINE)
}
BEFORE = {"A growing time series": COMMANDS["Local files"]}
"""A command that changes a store, and the one that makes it."""


def test_every_job_but_one_has_a_command() -> None:
    """That one names commands on a store that is there, without its files."""
    assert {title_of(chain) for chain in CHAINS} - set(COMMANDS) == {"Version control"}


@pytest.mark.parametrize("title", COMMANDS)
def test_command_does_the_job(
    title: str,
    enter_world: Callable[[str], None],
    run: Callable[..., tuple[int, str]],
    eval_example: EvalExample,
) -> None:
    """In the section's world; the store reads as its sources afterwards."""
    first = next(chain for chain in CHAINS if title_of(chain) == title)
    enter_world("s3-keys" if title == "Private archive" else first.worlds[0])
    if "--coord-table" in COMMANDS[title]:
        run_chain(first, eval_example)  # it writes the table
        shutil.rmtree("ensemble.icechunk")
    if title in BEFORE:
        assert run(*shlex.split(BEFORE[title]))[0] == 0
    words = shlex.split(COMMANDS[title])
    status, output = run(*words)
    assert status == 0, output
    repo = words[words.index("--repo") + 1]
    options = ["--anonymous"] if "--anonymous" in words else []
    options += words[words.index("--region") :][:2] if "--region" in words else []
    status, output = run("verify", "--repo", repo, "--all", *options)
    assert status == 0, output


def change_first_file(name: str, change: Callable[[h5py.Dataset], None]) -> None:
    with h5py.File("data/era5/era5_t2m_2024-01-01.nc", "r+") as file:
        change(file[name])


def test_largest_set_of_mixed_files(
    enter_world: Callable[[str], None],
    run: Callable[..., tuple[int, str]],
    eval_example: EvalExample,
) -> None:
    """The block leaves out the file that is odd; ``--skip-bad`` all others, as it is the first."""
    enter_world("files")
    change_first_file("t2m", lambda values: values.attrs.modify("units", "degC"))
    names = run_chain(WITH_THE_TOOL[0], eval_example, prints=False)
    command = COMMANDS["Local files"]
    assert len(names["most"].files) == 4
    status, output = run(*shlex.split(command.replace("era5.icechunk", "other")), "--skip-bad")
    assert status == 0, output
    assert vzarr.show("other").sources.count == 1


def test_static_variable_that_differs_by_rounding(
    enter_world: Callable[[str], None], run: Callable[..., tuple[int, str]]
) -> None:
    enter_world("files")
    change_first_file("lsm", lambda values: values.write_direct(values[...] * np.float32(1.000001)))
    command = shlex.split(COMMANDS["Local files"])
    status, output = run(*command)
    assert status == 2
    assert "lsm" in output
    status, output = run(*command, "--drop", "lsm")
    assert status == 0, output


def test_no_branch_is_moved_without_a_guard() -> None:
    """``from_snapshot_id`` must be a snapshot known before, not what the branch is at by then."""
    found = []
    for block in [block for chain in CHAINS for block in chain.blocks]:
        for call in ast.walk(ast.parse(block.example.source)):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".reset_branch"):
                guards = [each.value for each in call.keywords if each.arg == "from_snapshot_id"]
                found += [isinstance(guard, ast.Name) for guard in guards] or [False]
    assert found
    assert all(found)


OPENING = """
```python
import icechunk
import zarr

storage = icechunk.local_filesystem_storage("repo.icechunk")
if not icechunk.Repository.exists(storage):
    repo = icechunk.Repository.create(storage)
{first}repo = icechunk.Repository.open(storage)
{then}
```
"""
APPENDING = """
with repo.transaction("main", message="a day") as store:
    root = zarr.open_group(store, mode="a")
    root.attrs["days"] = [*root.attrs.get("days", []), 1]
"""
UNSOUND = {
    "commits on every run": OPENING.format(first="", then=APPENDING),
    "takes an empty repository for a full one": OPENING.format(
        first="""    with repo.transaction("main", message="all") as store:
        zarr.create_group(store)
""",
        then='zarr.open_group(repo.readonly_session("main").store, mode="r")',
    ),
    "looks at one tip, writes on another": OPENING.format(
        first="",
        then="if len(list(repo.ancestry(branch='main'))) == 1:" + APPENDING.replace("\n", "\n    "),
    ),
}
"""Programs with one fault each, and the test that finds it."""


@pytest.mark.parametrize(
    ("name", "check"),
    list(
        zip(
            UNSOUND,
            [
                test_second_run_does_nothing,
                test_killed_runs_get_to_the_end,
                test_overtaken_runs_leave_what_one_leaves,
            ],
            strict=True,
        )
    ),
)
def test_unsound_program_is_found(
    name: str,
    check: Callable[[Example], None],
    tmp_path: Path,
    enter_world: Callable[[str], None],
    eval_example: EvalExample,
    clean_environment: Path,
) -> None:
    document = tmp_path / "document.md"
    document.write_text(UNSOUND[name])
    (chain,) = read_chains(document)
    example = Example(chain, enter_world, eval_example, tmp_path / "changes")
    with pytest.raises((AssertionError, FileNotFoundError)):
        check(example)
