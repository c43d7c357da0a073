"""Real files through the tool: right, or refused with a sentence, and never a traceback."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from vzarr.changes.build import build
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
CORPUS = ROOT.parent / "shared" / "corpus"
REFUSED = {"ref_tst_dims.nc": "holds no variables"}
"""Files without arrays, and what the sentence says."""


def real_files() -> list[Path]:
    """Those of this repository, and the corpus where it is present."""
    files = [path for path in sorted(DATA.iterdir()) if path.suffix not in (".md", ".zip")]
    manifest = CORPUS / "manifest.csv"
    if manifest.exists():
        with manifest.open(newline="") as rows:
            files += [CORPUS / row["path"] for row in csv.DictReader(rows)]
    return files


def names(path: Path) -> str:
    return path.name if path.is_relative_to(DATA) else f"corpus-{path.name}"


def build_or_refuse(path: Path, repository: Path) -> str:
    """An empty string for a repository that reads as the file does, or the refusal."""
    refusal = ""
    try:
        built = build([str(path)], str(repository), Access())
    except (InputError, Refused) as error:
        refusal = str(error)
    if refusal:
        assert path.name in refusal
        assert not repository.exists()
        return refusal
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.failures == []
    assert built.virtual or built.native or built.loaded
    assert all({**built.native, **built.dropped}.values()), "each has its reason"
    return ""


@pytest.mark.parametrize("path", real_files(), ids=names)
def test_every_variable_reads_as_in_the_file_or_the_file_is_refused(
    path: Path, tmp_path: Path
) -> None:
    refusal = build_or_refuse(path, tmp_path / "repo")
    assert bool(refusal) == (path.name in REFUSED), refusal
    assert REFUSED.get(path.name, "") in refusal


@pytest.mark.parametrize(
    "name", ["air.nc", "RGBA.uint16.tif", "test0.fits", "ref_groups.h5", "era5_levels_members.grib"]
)
def test_truncated_files_are_refused_or_right(name: str, tmp_path: Path) -> None:
    whole = (DATA / name).read_bytes()
    cuts = np.random.default_rng(5).integers(1, len(whole), 5)
    for number, length in enumerate(cuts.tolist()):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(whole[:length])
        build_or_refuse(path, tmp_path / f"repo{number}")


@pytest.mark.parametrize("name", ["with space.nc", "ümlaut.nc", "100%.nc"])
def test_names_that_urls_would_quote(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((DATA / "air.nc").read_bytes())
    assert build_or_refuse(path, tmp_path / "repo") == ""


@pytest.mark.parametrize("name", ["number#1.nc", "a?b.nc", "20%25.nc"])
def test_names_that_references_cannot_hold(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((DATA / "air.nc").read_bytes())
    assert "has a meaning of its own" in build_or_refuse(path, tmp_path / "repo")
