"""Sources that change while they are read, clocks that go back, a network that fails often."""

from __future__ import annotations

import email.utils
import os
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import obstore
import pytest
import virtual_zarr
import vzarr.changes.build as building
import vzarr.changes.build_batch as batches
import vzarr.changes.build_commit as committing
import vzarr.commands.append as appending
import vzarr.virtualize.pool as working
from making import Recipe
from mitmproxy import http
from obstore.store import S3Store
from vzarr.changes import append_writing
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository import claim as claims
from vzarr.sources.schemes import Access
from worlds.faults import FAULTS, Fault
from worlds.proxy import Proxy
from worlds.s3 import ARCHIVE_BUCKET, STORES_BUCKET

WEST = Access(region="us-west-2")
PLACE = f"s3://{STORES_BUCKET}/store"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Seven files of an hour ago."""
    folder = tmp_path / "data"
    folder.mkdir()
    made = [Recipe(start=2 * n).write(folder / f"f{n}.nc") for n in range(7)]
    for file in made:
        os.utime(file, (time.time() - 3600, time.time() - 3600))
    return [str(file) for file in made]


def write_again(file: Path) -> None:
    """Other values in the same bytes of the file, in the very second."""
    Recipe(start=4, shift=1.0).write(file)


def put_in_place(file: Path) -> None:
    os.replace(Recipe(start=4, shift=1.0).write(file.with_suffix(".new")), file)


def grow(file: Path) -> None:
    Recipe(start=4, steps=3).write(file)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def take_away(file: Path) -> None:
    file.unlink()


CHANGES = (write_again, put_in_place, grow, cut, take_away)
MOMENTS = {
    "before it is read": (working, "parse_in_turn"),
    "after it was read": (batches, "combine_groups"),
    "after it was compared": (committing, "commit_batch"),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("change", CHANGES)
def test_source_that_changes_during_a_build(
    files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    moment: tuple[object, str],
) -> None:
    """The third of seven, of which no sample is compared."""
    place, changed = str(tmp_path / "repo"), Path(files[2])
    with monkeypatch.context() as patch:
        once(patch, moment, lambda: change(changed))
        with pytest.raises((InputError, Refused), match=r"f2\.nc"):
            build(files, place, Access(), batch=4)
    Recipe(start=4, shift=2.0).write(changed)
    built = build(files, place, Access(), batch=4)
    assert built.resumed == 0
    report = verify_repository(place, Access(), sample=None)
    assert (report.passed, report.compared, report.native) == (True, 7, {}), report.failures


def once(patch: pytest.MonkeyPatch, step: tuple[object, str], act: Callable[[], None]) -> None:
    owner, name = step
    original, done = getattr(owner, name), []

    def run(*arguments: object, **options: object) -> object:
        if not done:
            done.append(True)
            act()
        return original(*arguments, **options)

    patch.setattr(owner, name, run)


@pytest.mark.parametrize("change", CHANGES)
def test_source_that_changes_during_an_append(
    files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    place = str(tmp_path / "repo")
    build(files[:2], place, Access())
    with monkeypatch.context() as patch:
        once(patch, (append_writing, "combine_groups"), lambda: change(Path(files[2])))
        with pytest.raises((InputError, Refused), match=r"f2\.nc"):
            append(files, place, Access())
    assert verify_repository(place, Access(), sample=None).compared == 2
    Recipe(start=4, shift=2.0).write(Path(files[2]))
    append(files, place, Access())
    report = verify_repository(place, Access(), sample=None)
    assert (report.passed, report.compared) == (True, 7), report.failures


def test_object_that_changes_during_a_build(
    enter_world: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ETag tells, in the very second, too."""
    enter_world("s3-keys")
    store = S3Store(STORES_BUCKET, region="us-west-2")
    for number in range(7):
        content = Recipe(start=2 * number).write(tmp_path / "f.nc").read_bytes()
        obstore.put(store, f"data/f{number}.nc", content)
    again = Recipe(start=4, shift=1.0).write(tmp_path / "f.nc").read_bytes()
    sources = [f"s3://{STORES_BUCKET}/data/*.nc"]
    with monkeypatch.context() as patch:
        moment = MOMENTS["after it was compared"]
        once(patch, moment, lambda: obstore.put(store, "data/f2.nc", again))
        with pytest.raises(InputError, match=r"f2\.nc: .* it changed while it was read"):
            build(sources, PLACE, WEST)
    build(sources, PLACE, WEST)
    report = verify_repository(PLACE, WEST, sample=None)
    assert (report.passed, report.compared) == (True, 7), report.failures


class Late(datetime):
    """A clock that is an hour behind from some moment on."""

    @classmethod
    def now(cls, zone: object = None) -> datetime:
        return datetime.now(zone) - timedelta(hours=1)


def test_clock_that_goes_back(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources that are younger than this moment: their own time counts."""
    place = str(tmp_path / "repo")
    for number, file in enumerate(files):
        Recipe(start=2 * number).write(Path(file))
    build(files[:3], place, Access())
    monkeypatch.setattr(appending, "datetime", Late)
    append(files[:5], place, Access())
    monkeypatch.setattr(building, "datetime", Late)
    build(files, f"{place}2", Access(), batch=3)
    for each, count in ((place, 5), (f"{place}2", 7)):
        report = verify_repository(each, Access(), sample=None)
        assert (report.passed, report.compared) == (True, count), report.failures


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_that_is_not_that_of_the_storage(
    enter_world: Callable[[str], None],
    proxy: Proxy,
    files: list[str],
    hours: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Icechunk refuses to commit; it is said why, and the same command goes on."""
    enter_world("s3-keys")

    def shift(flow: http.HTTPFlow) -> None:
        if said := flow.response.headers.get("Last-Modified"):
            then = email.utils.parsedate_to_datetime(said) + timedelta(hours=hours)
            flow.response.headers["Last-Modified"] = email.utils.format_datetime(then, usegmt=True)

    arguments = ["--repo", PLACE, "--region", "us-west-2", "--quiet"]
    for command, sources in (("build", files[:3]), ("append", files)):
        proxy.fault = Fault(after=shift, matches=lambda request: "/store/" in request.path)
        assert virtual_zarr.main([command, *sources, *arguments]) == 3
        complaint = capsys.readouterr().err
        assert f"{PLACE}: the clock of this machine is not that of the storage" in complaint
        assert len(complaint.splitlines()) == 1
        proxy.fault = None
        assert virtual_zarr.main([command, *sources, *arguments]) == 0
    report = verify_repository(PLACE, WEST, sample=None)
    assert (report.passed, report.compared) == (True, 7), report.failures


@pytest.mark.parametrize("seed", [1, 2])
def test_every_tenth_request_fails(
    enter_world: Callable[[str], None],
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seed: int,
) -> None:
    """Answered by 503, cut, or done with the answer lost: runs end well, or in one sentence.

    503 and lost answers are asked again; Icechunk 2.3 does not ask again for a body that was cut.
    """
    enter_world("s3-keys")
    monkeypatch.setattr(claims, "PATIENCE", 1.0)
    chance = random.Random(seed)
    slow, cut_body = FAULTS["slow-down"]().before, FAULTS["cut-body"]().after

    def before(flow: http.HTTPFlow) -> None:
        if chance.random() < 0.08:
            slow(flow)

    def after(flow: http.HTTPFlow) -> None:
        lot = chance.random()
        if lot < 0.01:
            cut_body(flow)
        elif lot < 0.02:
            flow.kill()

    proxy.fault = Fault(before=before, after=after, matches=lambda request: True)
    sources = [f"s3://{ARCHIVE_BUCKET}/era5/era5_t2m_2024-01-0{day}.nc" for day in range(1, 6)]
    arguments = ["--repo", PLACE, "--region", "us-west-2", "--quiet"]
    for command in (["build", *sources[:3], "--batch", "2"], ["append", *sources]):
        for _ in range(12):
            status = virtual_zarr.main([*command, *arguments])
            complaint = capsys.readouterr().err
            if status == 0 or "something is there already" in complaint:
                break
            assert status == 3, complaint
            assert len(complaint.splitlines()) == 1, complaint
        else:
            pytest.fail(f"no end after twelve runs: {complaint}")
    proxy.fault = None
    report = verify_repository(PLACE, WEST, sample=None)
    assert (report.passed, report.compared, report.native) == (True, 5, {}), report.failures
