"""How the package is made: what lies in which room, and what it takes from other libraries."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "scripts" / "vzarr"
UPSTREAM = PACKAGE / "upstream"
MODULES = sorted(PACKAGE.rglob("*.py"))
INNER = re.compile(
    r"(zarr|xarray|h5netcdf)\.core\b|virtualizarr\.(manifests|parsers|types)\.|"
    r"fsspec\.implementations\.reference|.*\._"
)
"""Modules of other libraries that they do not document for use from outside."""


def private_names(code: str) -> list[str]:
    """What a module takes from the inside of others, by line."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("vzarr"):
            names = [alias.name for alias in node.names if alias.name.startswith("_")]
            if INNER.match(node.module or "") or (names and node.module != "__future__"):
                found.append(f"{node.lineno}: {node.module}")
        elif isinstance(node, ast.Import):
            found += [f"{node.lineno}: {a.name}" for a in node.names if INNER.match(a.name)]
        elif isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner not in ("self", "cls") and (owner, node.attr) != ("os", "_exit"):
                found.append(f"{node.lineno}: {node.attr}")
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if UPSTREAM not in path.parents],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_private_names_of_libraries_are_used_in_upstream_only(path: Path) -> None:
    assert private_names(path.read_text()) == []


@pytest.mark.parametrize(
    "code",
    [
        "from zarr.core.sync import sync",
        "import virtualizarr.parsers.hdf.hdf as hdf",
        "from h5netcdf import _core",
        "manifest._paths",
        "self._pool._processes",
    ],
)
def test_private_names_are_found(code: str) -> None:
    assert len(private_names(code)) == 1


@pytest.mark.parametrize(
    "path",
    sorted({*UPSTREAM.glob("*.py")} - {UPSTREAM / "__init__.py"}),
    ids=lambda path: path.stem,
)
def test_each_module_of_upstream_says_when_it_goes(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    if path.stem in ("patches", "versions"):  # which serve the others
        return
    reason, _, condition = said.partition("Remove when: ")
    assert condition, "no 'Remove when'"
    assert "https://github.com/" in said, "no place where the matter is discussed"
    assert re.search(r"\d", reason + condition), "no release that it was checked with"


PATCHED = """
import importlib.metadata
real = importlib.metadata.version
importlib.metadata.version = lambda name: {versions}.get(name) or real(name)
import h5netcdf.core, numcodecs, virtualizarr.parsers.hdf.hdf as hdf
before = h5netcdf.core.BaseVariable._lookup_dimensions, hdf._dataset_dims, numcodecs.Zlib.decode
from vzarr.upstream.patches import apply_patches
apply_patches()
after = h5netcdf.core.BaseVariable._lookup_dimensions, hdf._dataset_dims, numcodecs.Zlib.decode
print([old is not new for old, new in zip(before, after)])
"""


@pytest.mark.parametrize(
    ("versions", "patched"),
    [
        ({}, [True, True, True]),
        ({"h5netcdf": "1.9.0"}, [False, True, True]),
        ({"virtualizarr": "2.9.0rc1"}, [True, False, True]),
    ],
    ids=["as installed", "h5netcdf 1.9", "VirtualiZarr 2.9"],
)
def test_releases_that_nobody_looked_at_are_left_as_they_are(
    versions: dict[str, str], patched: list[bool]
) -> None:
    """But for the bound on what chunks unpack to, which any release gets."""
    done = subprocess.run(
        [sys.executable, "-c", PATCHED.format(versions=versions)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(PACKAGE.parent)},
    )
    assert done.stdout.strip() == str(patched), done.stderr


def test_the_installed_releases_are_those_that_were_looked_at() -> None:
    """Else files of thousands of variables are slow again: look, and move the bounds."""
    assert importlib.metadata.version("h5netcdf").startswith(("1.6.", "1.7.", "1.8."))
    assert importlib.metadata.version("virtualizarr").startswith("2.8.")
