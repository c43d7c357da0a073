"""Write ``skills/virtual-zarr/``, the folder that clients install, from the files at the top.

``skill.md`` becomes ``SKILL.md``, links are rewritten so that they resolve inside the folder, and
what nobody reads there (caches) is left out. Nothing else is changed; nothing is a symbolic link.
``python tools/bundle.py`` writes, with ``--check`` it only compares (exit status 1: stale).
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "virtual-zarr"
FOLDER = Path("skills") / NAME

RENAMED = {"skill.md": "SKILL.md"}
FILES = ("skill.md", "examples.md", "troubleshooting.md", "LICENSE")
FOLDERS = ("references", "scripts")
UNWANTED = re.compile(r"(^|/)(\.|__pycache__(/|$))|\.pyc$|~$")

INTERNAL = "  internal: true\n"
"""Line of the front matter that hides the top-level file from installers.

Where file names ignore case it would be taken for a second skill, the whole repository.
"""

_LINK = re.compile(r"(?P<label>!?\[(?:[^\[\]`]|`[^`]*`)*\])\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r"^ *(```|~~~)")


class BundleError(ValueError):
    """What cannot be shipped, with the file's name."""


def shipped(root: Path) -> dict[str, Path]:
    """Source file of each shipped file, by its path in the folder."""
    sources = [root / name for name in FILES]
    for folder in FOLDERS:
        sources += sorted((root / folder).rglob("*"))
    found = {}
    for source in sources:
        path = source.relative_to(root).as_posix()
        if UNWANTED.search(path) or source.is_dir():
            continue
        if source.is_symlink():
            raise BundleError(f"{path}: a symbolic link; clients skip those")
        found[RENAMED.get(path, path)] = source
    if clash := _case_clash(found):
        raise BundleError(f"names that differ only in case: {clash}")
    return found


def _case_clash(paths: dict[str, Path]) -> list[str]:
    lower = [path.lower() for path in paths]
    return sorted(path for path in paths if lower.count(path.lower()) > 1)


def render(root: Path) -> dict[str, bytes]:
    """Contents of each shipped file, by its path in the folder."""
    sources = shipped(root)
    contents = {}
    for path, source in sources.items():
        data = source.read_bytes()
        if path.endswith(".md"):
            text = rewrite_links(data.decode(), path, set(sources))
            data = text.encode()
        if path == "SKILL.md":
            data = data.replace(INTERNAL.encode(), b"", 1)
        contents[path] = data
    return contents


def rewrite_links(text: str, path: str, paths: set[str]) -> str:
    """Point links to renamed files at their new names; keep only the words of those that leave.

    ``path`` is where the text goes, ``paths`` all that is shipped, both relative to the folder.
    """
    folder = posixpath.dirname(path)

    def rewrite(match: re.Match[str]) -> str:
        label, target = match["label"], match["target"]
        file, mark, anchor = target.partition("#")
        if not file or re.match(r"[a-z][a-z+.-]*:", target):
            return match[0]
        linked = posixpath.normpath(posixpath.join(folder, file))
        linked = RENAMED.get(linked, linked)
        inside = linked in paths or any(other.startswith(f"{linked}/") for other in paths)
        if not inside:
            if label.startswith("!"):
                raise BundleError(f"{path}: the image {target} is not shipped")
            return label[1:-1]
        label = re.sub(r"(?<=\[)[\w.]+(?=\]$)", lambda name: RENAMED.get(name[0], name[0]), label)
        slash = "/" if file.endswith("/") else ""
        return f"{label}({posixpath.relpath(linked, folder or '.')}{slash}{mark}{anchor})"

    return "".join(
        line if fenced else _LINK.sub(rewrite, line) for line, fenced in _lines_with_fences(text)
    )


def _lines_with_fences(text: str) -> Iterator[tuple[str, bool]]:
    """Lines, and whether each belongs to a fenced block."""
    fenced = False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            fenced = not fenced
            yield line, True
        else:
            yield line, fenced


def executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)


def differences(root: Path) -> list[str]:
    """What is stale, missing or too much in the committed folder. Empty when it is current."""
    folder = root / FOLDER
    expected, sources = render(root), shipped(root)
    present = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() and not UNWANTED.search(path.relative_to(folder).as_posix())
    }
    found = [f"{path}: not in the sources" for path in present if path not in expected]
    for path, data in expected.items():
        copy = present.get(path)
        if copy is None:
            found.append(f"{path}: missing")
        elif copy.is_symlink():
            found.append(f"{path}: a symbolic link")
        elif copy.read_bytes() != data:
            found.append(f"{path}: stale")
        elif executable(copy) != executable(sources[path]):
            found.append(f"{path}: executable bit differs")
    return found


def write(root: Path) -> None:
    """Replace the folder."""
    contents, sources = render(root), shipped(root)
    folder = root / FOLDER
    if folder.exists():
        shutil.rmtree(folder)
    for path, data in contents.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        shutil.copymode(sources[path], target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.check:
            stale = differences(arguments.root)
            for line in stale:
                print(f"{FOLDER.as_posix()}/{line}", file=sys.stderr)
            if stale:
                print("Write it anew: uvx nox -s bundle", file=sys.stderr)
            return bool(stale)
        write(arguments.root)
    except BundleError as error:
        print(f"bundle: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
