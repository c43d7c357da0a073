"""A report of a store, or of files before a build: one page that needs nothing else."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vzarr.errors import InputError
from vzarr.pages.page import Page
from vzarr.pages.render import render
from vzarr.repository.open import open_untrusted
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming


@dataclass(frozen=True)
class Reported:
    """The page that was written: ``file``, its ``bytes``, and whether verification passed (None
    where there was none).
    """

    file: str
    bytes: int
    passed: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return dict(vars(self))


def is_repository(location: str, access: Access) -> bool:
    """Whether something that is named is an Icechunk repository, and no file."""
    if any(char in location for char in "*?["):
        return False
    try:
        open_untrusted(location, naming(access, location=location))
    except InputError:
        return False
    return True


def check_out(out: str | os.PathLike[str]) -> Path:
    """The file to write.

    Raises
    ------
    InputError
        If there is no such folder, or a folder has the name.
    """
    target = Path(out)
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise InputError(f"--out {target}: is a folder, or lies in none: name a file to write.")
    return target


def write_page(page: Page, out: str | os.PathLike[str], passed: bool | None = None) -> Reported:
    """Write a page, all of it or nothing.

    Raises
    ------
    InputError
        If there is no such folder, or a folder has the name.
    """
    target = check_out(out)
    data = render(page).encode("utf-8", "backslashreplace")
    handle, name = tempfile.mkstemp(dir=target.absolute().parent, suffix=".html")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Reported(str(target), len(data), passed)
