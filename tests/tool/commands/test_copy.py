"""``copy``: a repository at another place, whole or not at all."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import icechunk
import numpy as np
import pytest
import vzarr
import vzarr.commands.copy
import zarr
from killing import Kill, Killed, run_killed
from making import Recipe
from vzarr.repository import transfer
from vzarr.repository.claim import BUILDING

HERE = vzarr.Access()
TRUTH = np.concatenate([Recipe(start=2 * n).values for n in range(3)])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "data").mkdir()
    return [Recipe(start=2 * n).write(tmp_path / "data" / f"f{n}.nc") for n in range(3)]


@pytest.fixture
def repo(files: list[Path], tmp_path: Path) -> Path:
    """One commit with a tag, and a branch with another: a native array."""
    place = tmp_path / "store"
    vzarr.build(files[:2], place, concat_dim="time", message="first")
    vzarr.tag(place, "v1")
    repository = vzarr.open_repository(place)
    repository.create_branch("other", repository.lookup_branch("main"))
    write_native(place, 1.0)
    return place


def write_native(repo: Path, factor: float) -> None:
    """Commit ``w``, of one chunk, to the branch ``other``."""
    session = vzarr.open_repository(repo).writable_session("other")
    root = zarr.open_group(session.store, mode="a")
    values = factor * np.arange(9000.0)
    root.create_array("w", data=values, dimension_names=["k"], overwrite=True)
    session.commit("native")


def native(repo: Path) -> np.ndarray:
    return vzarr.open_dataset(repo, branch="other").w.values


def append(repo: Path, files: list[Path]) -> None:
    assert len(vzarr.append(files, repo, message="third").appended) == 1


def tips(repo: Any, access: vzarr.Access = HERE) -> dict[str, str]:
    shown = vzarr.show(repo, access=access)
    return {**shown.branches, **shown.tags}


def test_copy_and_again(repo: Path, files: list[Path], tmp_path: Path) -> None:
    new = tmp_path / "deep" / "copy"
    planned = vzarr.copy(repo, new, dry_run=True)
    assert (planned.is_done, planned.copied) == (False, planned.objects - 1)
    assert not new.parent.exists()
    done = vzarr.copy(repo, new)
    assert (done.copied, done.copied_bytes) == (planned.copied, planned.copied_bytes)
    assert done.bytes == sum(f.stat().st_size for f in repo.rglob("*") if f.is_file())
    assert tips(new) == tips(repo)
    assert {**done.branches, **done.tags} == tips(repo)
    assert vzarr.copy(repo, new).copied == 0
    shutil.rmtree(repo)  # native chunks came along
    np.testing.assert_array_equal(native(new), np.arange(9000.0))
    report = vzarr.verify(new, sample=None)  # trusted as the first was
    assert (report.passed, report.compared) == (True, 2)
    append(new, files)
    np.testing.assert_array_equal(vzarr.open_dataset(new).v, TRUTH)


def test_only_what_is_missing(repo: Path, files: list[Path], tmp_path: Path) -> None:
    new = tmp_path / "copy"
    first = vzarr.copy(repo, new)
    append(repo, files)
    second = vzarr.copy(repo, new)
    assert 0 < second.copied < 12
    assert second.objects == first.objects + second.copied
    assert tips(new) == tips(repo)
    assert vzarr.open_dataset(new).sizes["time"] == 6


def fail_at(step: int, after: bool, error: type[BaseException]) -> Callable[..., Any]:
    """``Objects.put`` that ends the run at one of its calls."""
    original, taken = transfer.Objects.put, 0

    def put(self: transfer.Objects, *arguments: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == step and not after:
            raise error
        result = original(self, *arguments, **options)
        if taken == step and after:
            raise error
        return result

    return put


@pytest.mark.parametrize("after", [False, True])
def test_stopped_anywhere(repo: Path, tmp_path: Path, after: bool) -> None:
    """Until ``repo`` is written nothing is there for readers, then all of it."""
    objects = vzarr.copy(repo, tmp_path / "planned", dry_run=True).objects
    for step in (1, 2, objects // 2, objects - 1, objects):
        new = tmp_path / f"copy{step}"
        with (
            mock.patch.object(transfer, "AT_ONCE", 1),
            mock.patch.object(transfer.Objects, "put", fail_at(step, after, Killed)),
            pytest.raises(Killed),
        ):
            vzarr.copy(repo, new)
        if step == objects and after:
            assert tips(new) == tips(repo)
        else:
            with pytest.raises(vzarr.InputError, match="no Icechunk repository"):
                vzarr.log(new)
        done = vzarr.copy(repo, new)
        assert done.copied <= max(0, objects - step)
        assert tips(new) == tips(repo)


@pytest.mark.parametrize("after", [False, True])
def test_killed(repo: Path, tmp_path: Path, after: bool) -> None:
    """By a signal that nothing can clean up behind: the same command goes on."""
    total = vzarr.copy(repo, tmp_path / "planned", dry_run=True).objects
    for step in (3, total - 1):  # among the first; when ``repo`` is published
        new = tmp_path / f"copy{step}"
        with pytest.raises(Killed):
            run_killed(Kill(step, after=after, in_process=True), vzarr.copy, repo, new)
        is_there = step == total - 1 and after
        assert (new / "repo").exists() == is_there
        assert vzarr.copy(repo, new).copied < total - 1
        assert vzarr.verify(new, sample=None).passed


def test_source_grows_meanwhile(repo: Path, files: list[Path], tmp_path: Path) -> None:
    """The copy is one state of the source, and a note says that there is a newer one."""
    before = tips(repo)
    original, grown = transfer.Objects.put, []

    def put(self: transfer.Objects, *arguments: Any, **options: Any) -> Any:
        if not grown:
            grown.append(True)
            append(repo, files)
        return original(self, *arguments, **options)

    with (
        mock.patch.object(transfer, "AT_ONCE", 1),
        mock.patch.object(transfer.Objects, "put", put),
    ):
        done = vzarr.copy(repo, tmp_path / "copy")
    assert "the same command brings the newer commits" in done.notes[0]
    assert tips(tmp_path / "copy") == before
    assert vzarr.verify(tmp_path / "copy", sample=None).compared == 2
    assert vzarr.copy(repo, tmp_path / "copy").notes == []
    assert tips(tmp_path / "copy") == tips(repo)


def test_source_is_collected_meanwhile(repo: Path, files: list[Path], tmp_path: Path) -> None:
    """Objects that vanish under the copy: it begins anew, with what is there now."""
    lost = next((repo / "chunks").iterdir())
    write_native(repo, 7.0)
    original, gone = transfer.Objects.open, []

    def opening(self: transfer.Objects, name: str) -> Any:
        if name == f"chunks/{lost.name}" and not gone:
            gone.append(True)
            lost.unlink()
        return original(self, name)

    with mock.patch.object(transfer.Objects, "open", opening):
        vzarr.copy(repo, tmp_path / "copy")
    assert gone
    np.testing.assert_array_equal(native(tmp_path / "copy"), 7 * np.arange(9000.0))


def test_damage_on_the_way(repo: Path, tmp_path: Path) -> None:
    original = transfer.Objects.put

    def put(self: transfer.Objects, name: str, content: Any, **options: Any) -> Any:
        if name.startswith("chunks/"):
            content = content[:-1] + b"x"
        return original(self, name, content, **options)

    with (
        mock.patch.object(transfer.Objects, "put", put),
        pytest.raises(vzarr.EnvironmentFault, match="does not read as it was written"),
    ):
        vzarr.copy(repo, tmp_path / "copy")
    assert not (tmp_path / "copy" / "repo").exists()


def test_damage_of_an_earlier_copy(repo: Path, tmp_path: Path) -> None:
    """Of the same length, so only ``content`` sees it; a shorter object is copied anew anyway."""
    new = tmp_path / "copy"
    vzarr.copy(repo, new)
    chunk = next((new / "chunks").iterdir())
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert vzarr.copy(repo, new).copied == 0
    assert vzarr.copy(repo, new, content=True).copied == 1
    assert chunk.read_bytes() == good
    chunk.write_bytes(good[:-1])
    assert vzarr.copy(repo, new).copied == 1
    assert chunk.read_bytes() == good


def test_what_is_there_stays(repo: Path, files: list[Path], tmp_path: Path) -> None:
    new = tmp_path / "copy"
    new.mkdir()
    (new / "notes.txt").write_text("mine")
    with pytest.raises(vzarr.InputError, match=r"something else is there \(notes.txt\)"):
        vzarr.copy(repo, new)
    assert [path.name for path in new.iterdir()] == ["notes.txt"]
    other = tmp_path / "other"
    vzarr.build(files, other, concat_dim="time")
    before = tips(other)
    with pytest.raises(vzarr.Refused, match="holds another repository, or a copy with commits"):
        vzarr.copy(repo, other)
    assert tips(other) == before


def test_a_copy_with_commits_of_its_own(repo: Path, files: list[Path], tmp_path: Path) -> None:
    new = tmp_path / "copy"
    vzarr.copy(repo, new)
    append(new, files)
    before = tips(new)
    with pytest.raises(vzarr.Refused, match="commits of its own"):
        vzarr.copy(repo, new)
    assert tips(new) == before
    assert vzarr.copy(new, repo).copied  # the other way is an update


def test_somebody_else_is_faster(repo: Path, files: list[Path], tmp_path: Path) -> None:
    new = tmp_path / "copy"
    publish = vzarr.commands.copy.publish

    def late(target: Any, *arguments: Any, **options: Any) -> None:
        storage = icechunk.local_filesystem_storage(str(new))
        icechunk.Repository.create(storage, check_clean_root=False)
        publish(target, *arguments, **options)

    with (
        mock.patch.object(vzarr.commands.copy, "publish", late),
        pytest.raises(vzarr.Refused, match="another writer has just written there"),
    ):
        vzarr.copy(repo, new)
    assert len(list(vzarr.open_repository(new).ancestry(branch="main"))) == 1


@pytest.mark.parametrize("there", ["", "below/it", ".."])
def test_not_into_itself(repo: Path, there: str) -> None:
    with pytest.raises(vzarr.InputError, match="Name another place"):
        vzarr.copy(repo, repo / there)


def test_the_same_name_elsewhere_is_another_place() -> None:
    check, place = vzarr.commands.copy._check_apart, "s3://stores/era5"
    minio = vzarr.Access(endpoint="https://minio.example.org")
    check(place, HERE, place, minio)
    check("az://stores/a", vzarr.Access(account="one"), "az://stores/a", vzarr.Access(account="b"))
    with pytest.raises(vzarr.InputError, match="Name another place"):
        check(place, minio, f"{place}/below", minio)


def test_no_copy_of_a_build(repo: Path, tmp_path: Path) -> None:
    repository = vzarr.open_repository(repo)
    repository.create_branch(BUILDING, repository.lookup_branch("main"))
    with pytest.raises(vzarr.InputError, match="a build goes on here, or was stopped"):
        vzarr.copy(repo, tmp_path / "copy")


def test_no_copy_of_icechunk_1(tmp_path: Path) -> None:
    storage = icechunk.local_filesystem_storage(str(tmp_path / "old"))
    icechunk.Repository.create(storage, spec_version=icechunk.SpecVersion.v1)
    with pytest.raises(vzarr.InputError, match="upgrade_icechunk_repository makes it one"):
        vzarr.copy(tmp_path / "old", tmp_path / "copy")


def test_a_copy_that_does_not_open_is_taken_back(repo: Path, tmp_path: Path) -> None:
    for manifest in (repo / "manifests").iterdir():
        manifest.unlink()
    with pytest.raises(vzarr.Refused, match="the source is damaged, and cannot be copied"):
        vzarr.copy(repo, tmp_path / "copy")
    assert not (tmp_path / "copy" / "repo").exists()


def test_large_objects_are_streamed(repo: Path, tmp_path: Path) -> None:
    with mock.patch.object(transfer, "STREAMED", 1000):
        vzarr.copy(repo, tmp_path / "copy")
    np.testing.assert_array_equal(native(tmp_path / "copy"), np.arange(9000.0))


PLACES = {
    "s3-keys": ("s3://acme-virtual-stores/copies/a", vzarr.Access(region="us-west-2")),
    "gcs-service-account": ("gs://acme-virtual-stores/copies/a", vzarr.Access()),
    "azure-key": ("az://stores/copies/a", vzarr.Access(account="acmeclimate")),
}


@pytest.mark.parametrize(
    ("first", "second"), [*itertools.permutations(PLACES, 2), ("s3-keys", "s3-keys")]
)
def test_between_clouds(
    first: str,
    second: str,
    repo: Path,
    files: list[Path],
    tmp_path: Path,
    enter_world: Callable[[str], None],
) -> None:
    """From disk to a cloud, from there to another, and back to disk: first all, then the rest."""
    for world in {first, second}:
        enter_world(world)
    (one, at_one), (two, at_two) = PLACES[first], PLACES[second]
    two += "-second"
    back = tmp_path / "back"
    for grown in (False, True):
        if grown:
            append(repo, files)
        up = vzarr.copy(repo, one, new_access=at_one)
        assert "only machines that have these files can read them" in up.notes[-1]
        over = vzarr.copy(one, two, access=at_one, new_access=at_two)
        down = vzarr.copy(two, back, access=at_two)
        assert up.copied == over.copied == down.copied > 0
        assert (up.copied < 12) == grown
        assert {**up.branches, **up.tags} == {**over.branches, **over.tags} == tips(back)
    assert vzarr.copy(one, two, access=at_one, new_access=at_two).copied == 0
    assert vzarr.verify(back, sample=None).compared == 3
    np.testing.assert_array_equal(native(back), np.arange(9000.0))


def test_lines(repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import virtual_zarr

    new = str(tmp_path / "copy")

    def run(*arguments: str) -> str:
        assert virtual_zarr.main(["copy", str(repo), new, "--quiet", *arguments]) == 0
        return capsys.readouterr().out

    assert "nothing was copied" in run("--dry-run")
    shown = run()
    assert f"copied; shows main {tips(repo)['main']}, other " in shown
    assert f", tag v1 {tips(repo)['v1']}" in shown
    assert json.loads(run("--json"))["copied"] == 0
