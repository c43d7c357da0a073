"""Which room may import from which, how long a module may be, and what a start may import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "scripts").rglob("*.py"))
LINES = 400
"""More than anybody reads at once: such a module holds two things."""


def test_imports_go_downwards(capsys: pytest.CaptureFixture[str]) -> None:
    """The contracts of ``pyproject.toml``, by import-linter."""
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, by way of others or not; each circle once."""
    found: list[list[str]] = []
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> None:
        if module in path:
            circle = path[path.index(module) :]
            if not any(set(circle) == set(known) for known in found):
                found.append(circle)
        elif module not in done:
            for other in sorted(imports.get(module, ())):
                follow(other, [*path, module])
            done.add(module)

    for module in sorted(imports):
        follow(module, [])
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports within functions count, those for types alone do not."""
    graph = grimp.build_graph("vzarr", exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 80
    assert circles(imports) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES


def test_help_and_bad_input_import_no_library() -> None:
    """They would take seconds, of which ten thousand starts are made."""
    code = (
        "import sys, virtual_zarr; virtual_zarr.make_parser();"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert "vzarr" in imported
    assert not imported & {"icechunk", "numpy", "virtualizarr", "xarray", "zarr", "obstore"}


def test_noxfile_needs_nothing_but_nox() -> None:
    """It reads the table of formats where no package is installed."""
    code = (
        "import sys, vzarr.formats.registry;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, 'scripts'); {code}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"vzarr"} | ({"__main__"} & set(done.stdout.split()))
