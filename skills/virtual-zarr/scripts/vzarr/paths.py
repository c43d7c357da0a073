"""Local paths, resolved once, where they enter: what they lead to has one name everywhere."""

from __future__ import annotations

import os
from pathlib import Path


def local_path(location: str) -> Path:
    """The absolute path of a local path, pattern or ``file://`` URL, without links in its folders.

    ``~``, ``.``, ``..`` and links are resolved: a reference with ``..`` in it leads nowhere, since
    Icechunk refuses it, and one file with two names would be taken twice. A file that is a link
    itself keeps its name, so that a link can give a file another name.
    """
    text = location.removeprefix("file://localhost").removeprefix("file://")
    path = Path(text).expanduser().absolute()
    if path.name in ("", "..") or text.rstrip("/").rpartition("/")[2] == ".":
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent)) / path.name
