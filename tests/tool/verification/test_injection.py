"""Every silent trap: written behind the tool's back ``verify`` fails; ``build`` never makes it."""

from __future__ import annotations

import re
from pathlib import Path

import icechunk
import pytest
import xarray as xr
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands.verify import verify_named, verify_repository
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access
from wrong_stores import COMBINE, FILES, TRAPS, combined, inject, pair, virtual
from wrong_stores import Case as WrongStore

TRAP_PAGES = sorted((Path(__file__).parents[3] / "references").glob("traps-*.md"))

NO_STORE = {
    "T15": "raises while appending",
    "T23": "raises while parsing",
    "T27": "loads less than was meant; of several files that is T04",
    "T28": "a call that does nothing, before anything is written",
    "T29": "reads right, only slowly",
    "T30": "raises while writing",
    "T31": "a setting of the repository that is not made",
    "T32": "a container that is missing from the configuration, found as T34",
    "T33": "how a repository is opened; verify authorizes its containers itself",
    "T38": "reads right in Icechunk",
    "T39": "raises while parsing, or two dimensions share a name and read right",
    "T40": "raises while parsing",
    "T41": "the guard against others",
    "T43": "reads right within rounding",
    "T55": "raises while parsing",
    "T58": "every command refuses such names",
}
"""Traps of which no wrong store can be written, and why."""

RIGHT = ""
GUARDS = {
    "T01": "v: scale_factor is 0.25, but 0.5 in",
    "T02": "v: _FillValue is -5, but -99 in",
    "T03": "v: units is degC, but K in",
    "T04": RIGHT,
    "T05": RIGHT,
    "T06": RIGHT,
    "T07": "v: 4 to 5 steps of time a file, in chunks of 2, which no regular grid of Zarr holds",
    "T08": "v: 2 steps of time a file, in chunks of 16, which no regular grid of Zarr holds",
    "T10": RIGHT,
    "T12": "mask: the value is 2.0, but 1.0 in",
    "T13": RIGHT,
    "T14-disorder": RIGHT,
    "T14-overlap": "time: the first value is 2000-01-02 00:00:00, but has to be later than 2000",
    "T15": RIGHT,
    "T16": RIGHT,
    "T17": "lat: the value is 1e-09, but 0.0 in",
    "T18": "lat: the value is 3.0, but 0.0 in",
    "T19": RIGHT,
    "T21": "v[0, 0] reads 30.0, in the file 20.0",
    "T22-compact": RIGHT,
    "T22-external": RIGHT,
    "T22-mask": RIGHT,
    "T22-virtual": RIGHT,
    "T23": RIGHT,
    "T24": RIGHT,
    "T25": RIGHT,
    "T26": RIGHT,
    "T29": RIGHT,
    "T30": RIGHT,
    "T38": RIGHT,
    "T39": RIGHT,
    "T40": RIGHT,
    "T42": RIGHT,
    "T43": RIGHT,
    "T44": "mask: the value is 2.0, but 1.0 in",
    "T45": "q: the variable is absent, but present in",
    "T46": RIGHT,
    "T47": RIGHT,
    "T48": RIGHT,
    "T49": RIGHT,
    "T50": RIGHT,
    "T51": RIGHT,
    "T52": RIGHT,
    "T53": "v is of a compound type that cannot be virtual",
    "T54": RIGHT,
    "T55": RIGHT,
    "T57": "v: the fill value is 5.0, but 0.0 in",
    "T58": "a reference is a URL, in which '%20' has a meaning of its own",
    "T56": "v: scale_factor is 50.0, but 0.5 in",
    "T59": RIGHT,
    "T60": RIGHT,
    "T61": "v: the tuple of dimensions is ('time', 'x', 'y'), but ('time', 'y', 'x') in",
}
"""What ``build`` says to a trap's files, or nothing if it builds them right."""

NOT_OF_FILES = {
    "T09": "a region write",
    "T11": "a commit after an exception",
    "T14-repeated": "the same file appended twice; build takes each once",
    "T20": "a file that is replaced during the build; the tests of refresh replace files",
    "T27": "an argument of VirtualiZarr",
    "T28": "a call of xarray",
    "T31": "a setting of Icechunk",
    "T32": "a setting of Icechunk",
    "T33": "a setting of Icechunk",
    "T34": "an argument of VirtualiZarr",
    "T35": "two forks of a session",
    "T36": "a mode of writing",
    "T37": "a call of VirtualiZarr",
    "T41": "the guard against others",
}
"""Traps that are in what someone does, and not in the files."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (folder := tmp_path / "here").mkdir()
    return folder


def identifiers(names: object) -> set[str]:
    return {str(name).partition("-")[0] for name in names}


def test_every_trap_of_the_page_is_here() -> None:
    text = "\n".join(page.read_text() for page in TRAP_PAGES)
    page = set(re.findall(r"^### (T\d\d):", text, re.MULTILINE))
    assert identifiers(TRAPS) | identifiers(NO_STORE) == page
    assert not identifiers(TRAPS) & identifiers(NO_STORE)
    assert identifiers([*GUARDS, *NOT_OF_FILES]) == page
    assert not GUARDS.keys() & NOT_OF_FILES.keys()


@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.filterwarnings("ignore")
def test_verify_finds_what_was_written_wrong(name: str, place: Path) -> None:
    """By the commit's metadata, and beside named files as for a store that a user wrote."""
    case = TRAPS[name](place)
    repository = str(inject(case, place))
    trusting = Access(trust=(str(place.parent),))  # nothing says that this user made it
    by_metadata = verify_repository(repository, trusting, sample=None)
    named = [str(file) for file in case.files]
    by_names = verify_named(repository, named, Access(), sample=None)
    for report in (by_metadata, by_names):
        assert not report.passed
        found = [
            failure
            for failure in map(str, report.failures)
            if re.search(rf"\b{case.variable}\b", failure) and case.file in failure
        ]
        assert found, report.failures


@pytest.mark.parametrize("name", GUARDS)
@pytest.mark.filterwarnings("ignore")
def test_build_refuses_or_gets_it_right(name: str, place: Path) -> None:
    case = TRAPS[name](place) if name in TRAPS else None
    files = (case.build_from or case.files) if case else FILES[name](place)
    repository = str(place.parent / "built")
    arguments = ([str(file) for file in files], repository, Access())
    if GUARDS[name]:
        with pytest.raises((Refused, InputError), match=re.escape(GUARDS[name])) as caught:
            build(*arguments)
        assert f"{files[0].parent}/" in str(caught.value)
        assert not Path(repository).exists()
        return
    build(*arguments)
    if case is None:
        report = verify_repository(repository, Access(), sample=None)
    else:
        named = [str(file) for file in case.files]
        report = verify_named(repository, named, Access(), sample=None)
    assert report.failures == []
    assert report.values


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_right_store_of_a_user_passes(place: Path, order: tuple[int, int]) -> None:
    files = pair(place)
    repository = inject(WrongStore(files, combined(*files)), place)
    named = [str(files[n]) for n in order]
    report = verify_named(str(repository), named, Access(), sample=None)
    assert report.failures == []
    assert report.virtual == ["crs", "mask", "v"]
    assert report.values == 2 * (8 + 4 + 4 + 2 + 1)  # v, mask, lat, time, crs


def test_a_file_that_is_not_in_the_store_of_a_user(place: Path) -> None:
    files = pair(place)
    repository = inject(WrongStore(files, combined(*files)), place)
    other = Recipe(start=4).write(place / "f2.nc")
    named = [str(file) for file in (*files, other)]
    report = verify_named(str(repository), named, Access())
    assert "f2.nc: v has 4 steps along time, all files together 6" in "\n".join(
        map(str, report.failures)
    )


def test_a_variable_left_out_on_purpose(place: Path) -> None:
    """A store that lacks a variable on purpose passes when that is said."""
    files = pair(place)

    def write(session: icechunk.Session) -> None:
        parts = [virtual(path).drop_vars("mask") for path in files]
        xr.concat(parts, "time", **COMBINE).vz.to_icechunk(session.store)

    repository = str(inject(WrongStore(files, write), place))
    named = [str(file) for file in files]
    report = verify_named(repository, named, Access())
    assert "mask is in the file, but not in the store" in "\n".join(map(str, report.failures))
    assert verify_named(repository, named, Access(), skip=("mask",)).passed
