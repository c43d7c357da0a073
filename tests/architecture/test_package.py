"""How the package is made: what lies in which room, and what it takes from other libraries."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import vzarr
from vzarr.formats.registry import FORMATS, Registered

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


FITTING = Path(__file__).with_name("formats_fit.py")


def test_mypy_compares_each_registered_format_with_the_protocol() -> None:
    imported = ast.walk(ast.parse(FITTING.read_text()))
    modules = {
        f"{node.module}.{alias.name}"
        for node in imported
        if isinstance(node, ast.ImportFrom) and "protocol" not in (node.module or "")
        for alias in node.names
    }
    assert {form.module for form in FORMATS.values()} <= modules


def test_mypy_finds_nothing_in_the_package_and_its_formats() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(PACKAGE), str(FITTING)],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parents[1],
    )
    assert done.returncode == 0, done.stdout


TOY = '''
"""Files of a word and four numbers, at an hour that stands between them."""

import struct

import numpy as np
import xarray as xr
from virtualizarr.manifests import ChunkManifest, ManifestArray, ManifestGroup
from virtualizarr.manifests.utils import create_v3_array_metadata

from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode
from vzarr.limits import Declared


def list_groups(content):
    return [""]


def open_group(content, group, drop, decode_times):
    check_arrays(content, group, [Declared("v", (1, 4), 8)], drop)
    hour, *numbers = struct.unpack("<q4d", content.read()[4:])
    units = {"units": "hours since 2024-01-01"}
    raw = xr.Dataset({"v": (("time", "x"), [numbers])}, {"time": ("time", [hour], units)})
    return decode(raw, drop, decode_times)


def manifest_group(url, registry, content, group, drop):
    metadata = create_v3_array_metadata(
        shape=(1, 4), data_type=np.dtype("f8"), chunk_shape=(1, 4), fill_value=0.0,
        codecs=[{"name": "bytes", "configuration": {"endian": "little"}}],
        dimension_names=("time", "x"), attributes={},
    )
    chunk = {"path": url, "offset": 12, "length": 32}
    return ManifestGroup({"v": ManifestArray(metadata, ChunkManifest({"0.0": chunk}))})
'''


def test_a_new_format_is_a_module_and_an_entry(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "toy_format.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FORMATS, "toy", Registered("Toy", "toy_format", magic=(b"TOY1",)))
    for hour in range(3):
        numbers = struct.pack("<q4d", hour, *np.arange(4.0) + 10 * hour)
        (tmp_path / f"{hour}.toy").write_bytes(b"TOY1" + numbers)
    (found,) = vzarr.inspect([str(tmp_path / "*.toy")]).sets
    assert (found.file_format, len(found.files), found.along) == ("toy", 3, "time")
    built = vzarr.build([str(tmp_path / "*.toy")], str(tmp_path / "repo"))
    assert built.virtual == ["v"]
    assert vzarr.verify(str(tmp_path / "repo"), sample=None).passed
    (tmp_path / "3.toy").write_bytes(b"TOY1" + struct.pack("<q4d", 3, 1, 2, 3, 4))
    assert vzarr.append([str(tmp_path / "3.toy")], str(tmp_path / "repo")).references == 1
    stored = vzarr.open_dataset(str(tmp_path / "repo"))
    np.testing.assert_array_equal(stored["v"][:, 1], [1, 11, 21, 2])


OVERRIDES = {"readable", "seekable"}
"""What the documentation of Python says already."""


def without_docs(tree: ast.AST, prefix: str = "") -> list[str]:
    """Public functions and classes that say nothing, or not what they raise."""
    found = []
    for node in ast.iter_child_nodes(tree):
        name = getattr(node, "name", "_")
        if not isinstance(name, str) or name.startswith("_") or name in OVERRIDES:
            continue
        if isinstance(node, ast.ClassDef):
            found += [f"{prefix}{name}"] * (ast.get_docstring(node) is None)
            found += without_docs(node, f"{prefix}{name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node) or ""
            own = [inner for inner in ast.walk(node) if isinstance(inner, ast.Raise) and inner.exc]
            if not said or (own and "Raises\n------" not in said):
                found.append(f"{prefix}{name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_public_functions_say_what_they_do_and_raise(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree), "the module says nothing"
    assert without_docs(tree) == []


def test_what_says_nothing_is_found() -> None:
    code = (
        'class A:\n    """One."""\n    def f(self):\n        """Do."""\n        raise ValueError\n'
    )
    assert without_docs(ast.parse(code + "def g(): ...\ndef _h(): ...\n")) == ["A.f", "g"]


VAGUE = {"found", "held", "kept", "again", "plain", "beside", "ends", "room", "named", "wide"}
"""Names that say what was done with a thing, and not what it is."""


def vague_names(code: str) -> list[str]:
    """The variables, arguments, functions and classes of a module with such a name, by line."""
    vague = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = node.name
        else:
            continue
        if name in VAGUE:
            vague.append(f"{node.lineno}: {name}")
    return vague


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_names_say_what_a_thing_is(path: Path) -> None:
    assert vague_names(path.read_text()) == []


@pytest.mark.parametrize(
    "code", ["found = 1", "def f(held): ...", "for kept in x: ...", "def beside(): ..."]
)
def test_vague_names_are_noticed(code: str) -> None:
    assert len(vague_names(code)) == 1
