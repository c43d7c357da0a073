"""Sessions: ``nox -s tests`` is what CI runs; ``nox -l`` lists the others."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import nox

sys.path[:0] = ["scripts", "tools"]

from sections import sections  # noqa: E402
from vzarr.formats.registry import FORMATS  # noqa: E402

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = True

LOCK = "requirements.lock"
READERS_LOCK = "requirements-readers.lock"
# The interpreter that runs nox may be older than the bundle's packages need.
PYTHON = subprocess.run(
    ["uv", "python", "find", ">=3.12"], check=True, capture_output=True, text=True
).stdout.strip()


SECTIONS = sections()
TOOL_SAMPLES = {
    "grib": "grib/forecast_00.grib2",
    "fits": "fits/ccd_0.fits",
    "tiff": "tiff/B04_2024-01-05.tif",
    "hdf4": "hdf4/granule.hdf",
    "zarr": "zarr/v3.zarr",
    "zarr-zip": "zarr/stored.zip",
    "kerchunk-parquet": "kerchunk/sst_1.parquet",
}
"""A sample of each format for which the tool asks for packages."""


def install_locked(session: nox.Session) -> None:
    session.install("--require-hashes", "-r", LOCK)


def run_tests(session: nox.Session) -> None:
    """Print what is installed, then test; arguments go to pytest."""
    packages = ["virtualizarr", "icechunk", "xarray", "zarr", "obstore", "obspec-utils"]
    session.run("uv", "pip", "show", *packages, external=True)
    session.run("pytest", *(session.posargs or ["-n", "auto"]))


COVERED = 94
"""Percent of lines of ``scripts/`` that the suite must run. It ran 95.06 when last measured."""


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """Run everything, in parallel, and measure which lines run. Arguments go to pytest."""
    install_locked(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    options = ["--cov", "--cov-report=term", f"--cov-fail-under={COVERED}", "-n", "auto"]
    # Python's own monitoring: without it each line is slower.
    session.run("pytest", *(session.posargs or options), env={"COVERAGE_CORE": "sysmon"})


@nox.session(python=PYTHON)
def lowest(session: nox.Session) -> None:
    """Test the lowest versions that ``pyproject.toml`` allows, all else as locked."""
    install_locked(session)
    lowered = Path(session.create_tmp()) / "lowest.txt"
    session.run(
        *["uv", "pip", "compile", "pyproject.toml", "--resolution", "lowest-direct", "--no-deps"],
        *["--no-header", "--no-emit-index-url", "--quiet", "--output-file", str(lowered)],
        external=True,
    )
    session.install("-r", str(lowered))
    run_tests(session)


@nox.session(python=PYTHON)
def newest(session: nox.Session) -> None:
    """Test the newest releases of everything."""
    session.install("--upgrade", "-r", "pyproject.toml", "--group", "test")
    run_tests(session)


@nox.session(python=["3.12", "3.13", "3.14"])
def pythons(session: nox.Session) -> None:
    """Test each Python: on the lock, or the newest where the lock has no wheels."""
    if session.python == "3.14":  # pydantic-core 2.33.2 in the lock, through moto
        session.install("--upgrade", "-r", "pyproject.toml", "--group", "test")
    else:
        install_locked(session)
    run_tests(session)


@nox.session(python=PYTHON)
def clients(session: nox.Session) -> None:
    """Install the skill with Claude Code, Codex and Gemini themselves (0.9 GB from npm)."""
    install_locked(session)
    session.run("pytest", "tests/bundle/clients.py", *session.posargs)


@nox.session(python=PYTHON)
def benchmarks(session: nox.Session) -> None:
    """Print all tables of ``benchmarks/`` (``-- parsing``: one topic; ``-- --small``: quickly)."""
    install_locked(session)
    session.run("python", "-m", "benchmarks", *session.posargs)


def write_samples(session: nox.Session) -> Path:
    """The ``formats`` world, made once by the locked packages: a folder with ``data/formats``."""
    text = Path("tests/worlds/formats.py").read_bytes()
    folder = Path(session.cache_dir).absolute() / f"formats-{hashlib.sha256(text).hexdigest()[:8]}"
    if not folder.exists():
        code = (
            "import pathlib, sys, worlds.formats as formats\n"
            "place = pathlib.Path(sys.argv[1] + '-new/data/formats')\n"
            "place.mkdir(parents=True, exist_ok=True)\n"
            "formats.write_all(place)\n"
            "place.parents[1].rename(sys.argv[1])\n"
        )
        session.run(
            *["uv", "run", "--no-project", "--python", PYTHON, "--with-requirements", LOCK],
            *["python", "-W", "ignore", "-c", code, str(folder)],
            env={"PYTHONPATH": "tests"},
            external=True,
        )
    return folder


EXTRAS = [*sorted(SECTIONS), *(f"tool-{name}" for name in sorted(TOOL_SAMPLES))]


@nox.session(python=PYTHON)
@nox.parametrize("case", EXTRAS, ids=EXTRAS)
def extras(session: nox.Session, case: str) -> None:
    """Run one section on a format with nothing installed but what it says, or the tool's own line.

    Asks the registry, so it is no part of ``tests``.
    """
    samples = write_samples(session)
    folder = Path(session.create_tmp()).absolute() / "work"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(samples, folder)
    session.env["ICECHUNK_LOG"] = "error"
    if case in SECTIONS:
        session.install("--constraint", LOCK, *SECTIONS[case].install)
        session.run("python", "-W", "ignore", "tools/sections.py", case, str(folder))
        return
    name = case.removeprefix("tool-")
    packages = FORMATS[name].packages.values()
    options = [word for package in packages for word in ("--with", package)]
    tool = ["uv", "run", "--python", PYTHON, *options, "scripts/virtual_zarr.py"]
    sample = str(folder / "data" / "formats" / TOOL_SAMPLES[name])
    repository = str(folder / "repository")
    session.run(*tool, "inspect", sample, external=True)
    session.run(*tool, "build", sample, "--repo", repository, external=True)
    session.run(*tool, "verify", "--repo", repository, "--all", external=True)


@nox.session(python=False)
def bundle(session: nox.Session) -> None:
    """Write ``skills/virtual-zarr/`` anew from the files at the top (``--check``: compare)."""
    session.run(PYTHON, "tools/bundle.py", *session.posargs, external=True)


@nox.session(python=PYTHON)
def tokens(session: nox.Session) -> None:
    """Write README's table of tokens as they are counted (``--check``: compare)."""
    install_locked(session)
    session.run("python", "tools/tokens.py", *session.posargs)


@nox.session(python=False)
def index(session: nox.Session) -> None:
    """Write ``references/index.md`` from all Markdown files (``--check``: compare)."""
    session.run(PYTHON, "tools/index.py", *session.posargs, external=True)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Lint and format Python files; check the Markdown blocks."""
    install_locked(session)
    session.run("ruff", "check", "--fix", ".")
    session.run("ruff", "format", ".")
    session.run("pytest", "tests/docs/test_fences.py", "tests/docs/test_links.py", "-q")


@nox.session(python=PYTHON)
def update(session: nox.Session) -> None:
    """Rewrite ``#>`` comments and ``tests/golden/`` with what blocks and commands print now."""
    install_locked(session)
    printing = ["tests/docs/test_blocks.py", "tests/tool/cli/test_golden.py"]
    session.run("pytest", *printing, "--update-examples", *session.posargs)


@nox.session(python=False)
def lock(session: nox.Session) -> None:
    """Resolve ``pyproject.toml`` anew into its two locks (``-P NAME`` for one package)."""
    for group, file in (("test", LOCK), ("readers", READERS_LOCK)):
        session.run(
            *["uv", "pip", "compile", "pyproject.toml", "--group", group, "--universal"],
            *["--python-version", "3.12", "--generate-hashes", "--no-header", "--no-annotate"],
            *["--no-emit-index-url", "--quiet", "--output-file", file, *session.posargs],
            external=True,
        )
