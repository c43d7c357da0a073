"""The environment of readers: the packages of ``requirements-readers.lock`` and nothing else.

Made once for each lock in the user's cache. Without the package registry the first run fails.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

LOCK = Path(__file__).parents[2] / "requirements-readers.lock"
# Both before any test changes HOME: the cache outlives the test.
_ENVIRONMENT = dict(os.environ)
_CACHE = user_cache_path("virtual-zarr-tests")


@cache
def python() -> Path:
    """The interpreter of this environment.

    Raises
    ------
    subprocess.CalledProcessError
        If the packages cannot be installed.
    """
    _CACHE.mkdir(parents=True, exist_ok=True)
    version = "{}.{}".format(*sys.version_info)
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = _CACHE / f"readers-{digest}-{version}"
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with FileLock(_CACHE / "readers.lock"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _uv("venv", "--python", sys.executable, str(folder))
            install = ["pip", "install", "--python", str(interpreter), "--require-hashes"]
            _uv(*install, "-r", str(LOCK))
            (folder / "complete").touch()
    return interpreter


def _uv(*arguments: str) -> None:
    command = ["uv", "--quiet", *arguments]
    subprocess.run(command, env=_ENVIRONMENT, check=True, capture_output=True)
