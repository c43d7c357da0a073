"""``--select``: chosen messages of GRIB files, by the index beside each, and nothing else read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest
from stores import opened
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError
from vzarr.formats.grib import indexed
from vzarr.sources.schemes import Access
from worlds.grib import GRID, at, field, over, write

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.latency import FarStore, serve

WIDE = {
    **GRID,
    "Ni": 120,
    "Nj": 90,
    "latitudeOfLastGridPointInDegrees": -39.0,
    "longitudeOfLastGridPointInDegrees": 119.0,
}
PARAMETERS = {"UGRD": (0, 2, 2), "VGRD": (0, 2, 3), "TMP": (0, 0, 0), "RH": (0, 1, 1)}
NEAR = {"TMP": 2, "RH": 2, "UGRD": 10, "VGRD": 10}
FILES, LEVELS = 12, 49
SELECTED = ("param=TMP,RH;level=2", "param=UGRD,VGRD;level=10 m above ground")


@pytest.fixture(scope="session")
def messages() -> list[tuple[str, str, bytes]]:
    """200 messages of one step: name and level as in an index, and the bytes."""
    random = np.random.default_rng(6)
    keys: dict[str, Any] = {"shape": (90, 120), "grid": WIDE, "forecastTime": 1}
    found = [
        (name, f"{20 * level} mb", field(random, numbers, **at(100, 2000 * level), **keys))
        for level in range(1, LEVELS + 1)
        for name, numbers in PARAMETERS.items()
    ]
    return found + [
        (
            name,
            f"{height} m above ground",
            field(random, PARAMETERS[name], **at(103, height), **keys),
        )
        for name, height in NEAR.items()
    ]


def write_step(path: Path, messages: list[tuple[str, str, bytes]], step: int) -> None:
    """One file of a series with its ``.idx``: the same messages at another step."""
    handle = eccodes.codes_new_from_message(messages[0][2])
    where = eccodes.codes_get_offset(handle, "forecastTime")
    eccodes.codes_release(handle)
    parts, lines, offset = [], [], 0
    told = f"{step} hour fcst" if step else "anl"
    for number, (name, level, octets) in enumerate(messages, 1):
        parts.append(octets[:where] + step.to_bytes(4, "big") + octets[where + 4 :])
        lines.append(f"{number}:{offset}:d=2026011500:{name}:{level}:{told}:\n")
        offset += len(octets)
    path.write_bytes(b"".join(parts))
    path.with_name(f"{path.name}.idx").write_text("".join(lines))


@pytest.fixture
def far(
    clean_environment: Path, tmp_path: Path, messages: list[tuple[str, str, bytes]]
) -> Iterator[tuple[FarStore, Access]]:
    folder = tmp_path / "served"
    folder.mkdir()
    for step in range(FILES):
        write_step(folder / f"gfs.f{step:03d}", messages, step)
    indexed._patterns.clear()
    with serve(folder, delay=0) as store, store.entered():
        yield store, Access(anonymous=True, endpoint=store.endpoint, select=SELECTED)


def test_only_what_is_selected_is_read(
    far: tuple[FarStore, Access], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests and a hundredth of the bytes a file, without the sample that is compared."""
    store, access = far
    size = (tmp_path / "served" / "gfs.f000").stat().st_size
    repository = str(tmp_path / "repo")
    files = [f"{store.prefix}gfs.f{step:03d}" for step in range(FILES)]
    build([f"{store.prefix}gfs.f*[0-9]"], repository, access, workers=1)
    store.take_counts()
    build([f"{store.prefix}gfs.f*[0-9]"], str(tmp_path / "again"), access, workers=1)
    counts = store.take_counts()
    # One list; of each file the index and one header; of the five that are compared, again, and
    # four messages twice.
    assert counts.requests <= 1 + 2 * FILES + 5 * (2 + 2 * 4)
    compared = 5 * 2 * 4 * size / 200
    assert counts.bytes - compared < 0.01 * FILES * size
    report = verify_repository(repository, access, sample=None)
    assert report.failures == []
    assert report.values >= FILES * 4 * 90 * 120
    assert len(files) == report.compared


def test_appends_select_the_same(far: tuple[FarStore, Access], tmp_path: Path) -> None:
    store, access = far
    repository = str(tmp_path / "repo")
    build([f"{store.prefix}gfs.f00[0-3]"], repository, access)
    appended = append([f"{store.prefix}gfs.f00[4-6]"], repository, replace(access, select=()))
    assert appended.references == 3 * 4
    assert verify_repository(repository, replace(access, select=()), sample=None).passed


def test_a_later_file_of_another_grid_is_read_itself(
    tmp_path: Path, messages: list[tuple[str, str, bytes]]
) -> None:
    """Its index says the same as those before; what it holds does not."""
    indexed._patterns.clear()
    write_step(tmp_path / "a.f001", messages, 1)
    random = np.random.default_rng(1)
    others = [
        (name, level, field(random, PARAMETERS[name], **at(103, NEAR[name]), forecastTime=1))
        for name, level, _ in messages[-4:]
    ]
    write_step(tmp_path / "b.f001", others, 2)
    access = Access(select=SELECTED)
    build([str(tmp_path / "a.f001")], str(tmp_path / "a"), access)
    build([str(tmp_path / "b.f001")], str(tmp_path / "b"), access)
    assert opened(tmp_path / "b")["hag/instant"].sizes["longitude"] == 8
    assert verify_repository(str(tmp_path / "b"), Access(), sample=None).passed


@pytest.mark.parametrize(
    ("select", "names"),
    [
        (("param=tmp;level=500",), {"isobar/instant/tmp"}),
        (("param=tmp;level=50000",), {"isobar/instant/tmp"}),
        (("level=2 m above ground",), {"hag/instant/tmp", "hag/instant/rh"}),
        ((":(UGRD|VGRD):10 m above",), {"hag/instant/ugrd", "hag/instant/vgrd"}),
        (
            ("param=rh;level=2", "param=ugrd;step=3;level=10"),
            {"hag/instant/rh", "hag/instant/ugrd"},
        ),
    ],
)
def test_what_is_taken(
    select: tuple[str, ...],
    names: set[str],
    tmp_path: Path,
    messages: list[tuple[str, str, bytes]],
) -> None:
    write_step(tmp_path / "gfs.f003", [*messages[96:104], *messages[-4:]], 3)
    built = build([str(tmp_path / "gfs.f003")], str(tmp_path / "repo"), Access(select=select))
    assert set(built.virtual) == names
    assert built.references == len(names)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed


@pytest.mark.parametrize("has_index", [True, False])
def test_the_same_without_an_index(has_index: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    rain = {**at(1), **over(0, 6)}
    parts = [
        field(random, (0, 0, 0), **at(103, 2), forecastTime=6),
        field(random, (0, 1, 8), **rain),
    ]
    file = write(tmp_path / "a.grib2", *parts)
    if has_index:
        offset = len(parts[0])
        (tmp_path / "a.grib2.idx").write_text(
            "1:0:d=2026011500:TMP:2 m above ground:6 hour fcst:\n"
            f"2:{offset}:d=2026011500:APCP:surface:0-6 hour acc fcst:\n"
        )
    built = build([str(file)], str(tmp_path / "repo"), Access(select=("param=apcp",)))
    assert built.virtual == ["sfc/acc/apcp"]
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed


def test_an_index_of_ecmwf(tmp_path: Path) -> None:
    """``NAME.index`` beside ``NAME.grib2``: keys of MARS, members of an ensemble, steps."""
    random = np.random.default_rng(3)
    files = []
    for step in (0, 6, 12):
        parts, lines, offset = [], [], 0
        for number in (1, 2):
            for short, numbers in (("2t", (0, 0, 0)), ("10u", (0, 2, 2))):
                keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": number}
                keys |= {"numberOfForecastsInEnsemble": 50, "forecastTime": step, "centre": "ecmf"}
                height = 2 if short == "2t" else 10
                parts.append(field(random, numbers, **keys, **at(103, height)))
                line = {"date": "20260115", "time": "0000", "type": "pf", "levtype": "sfc"}
                line |= {"step": str(step), "number": str(number), "param": short}
                line |= {"_offset": offset, "_length": len(parts[-1])}
                lines.append(json.dumps(line))
                offset += len(parts[-1])
        files.append(write(tmp_path / f"20260115-{step}h-enfo-ef.grib2", *parts))
        files[-1].with_suffix(".index").write_text("\n".join(lines))
    access = Access(select=("param=2t;type=pf",))
    built = build([str(file) for file in files], str(tmp_path / "repo"), access)
    assert (built.virtual, built.references) == (["hag/instant/tmp"], 6)
    assert opened(tmp_path / "repo")["hag/instant"].sizes["number"] == 2
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("param=nothing", "takes none of its 4 messages; they are of RH, TMP, UGRD, VGRD"),
        ("param=", "'param=' is not KEY=VALUE"),
        (":(TMP", "no pattern"),
    ],
)
def test_what_cannot_be_selected(
    select: str, words: str, tmp_path: Path, messages: list[tuple[str, str, bytes]]
) -> None:
    write_step(tmp_path / "gfs.f003", messages[-4:], 3)
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        build([str(tmp_path / "gfs.f003")], str(tmp_path / "repo"), Access(select=(select,)))


def test_a_pattern_needs_an_index(tmp_path: Path, messages: list[tuple[str, str, bytes]]) -> None:
    write_step(tmp_path / "gfs.f003", messages[-4:], 3)
    (tmp_path / "gfs.f003.idx").unlink()
    with pytest.raises(InputError, match="a pattern is of the lines of an index"):
        build([str(tmp_path / "gfs.f003")], str(tmp_path / "repo"), Access(select=(":TMP:",)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace(":0:", ":7:", 1), "no message begins at byte 7"),
        (lambda text: text + text.splitlines()[-1].replace("4:", "5:9999999:", 1), "is of another"),
        (lambda text: "something else\n", "is no index of GRIB messages"),
    ],
)
def test_an_index_of_another_file(
    change: Any, words: str, tmp_path: Path, messages: list[tuple[str, str, bytes]]
) -> None:
    indexed._patterns.clear()
    write_step(tmp_path / "gfs.f003", messages[-4:], 3)
    index = tmp_path / "gfs.f003.idx"
    index.write_text(change(index.read_text()))
    with pytest.raises(InputError, match=words):
        build([str(tmp_path / "gfs.f003")], str(tmp_path / "repo"), Access(select=("level=2,10",)))
