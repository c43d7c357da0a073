"""Prepare a release: a zip of ``skills/virtual-zarr``, and its notes from ``CHANGELOG.md``.

``python tools/release.py VERSION --output FOLDER`` refuses (exit status 1) when the copy is stale,
when the version is not the one of ``pyproject.toml``, or when the changelog has nothing on it.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import bundle

ROOT = Path(__file__).resolve().parents[1]


def notes(changelog: str, version: str) -> str:
    """The section of a version."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        title, _, body = section.partition("\n")
        if re.match(rf"v?{re.escape(version)}\b(?!\.\d)", title) and body.strip():
            return body.strip() + "\n"
    raise SystemExit(f"release: CHANGELOG.md has no section {version}")


def write_zip(root: Path, target: Path) -> None:
    """All shipped files below ``virtual-zarr/``; the same sources give the same zip."""
    sources = bundle.shipped(root)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in sorted(bundle.render(root).items()):
            entry = zipfile.ZipInfo(f"{bundle.NAME}/{path}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if bundle.executable(sources[path]) else 0o100644) << 16
            archive.writestr(entry, data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root = arguments.root
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    if project != arguments.version:
        raise SystemExit(f"release: pyproject.toml says {project}, not {arguments.version}")
    if stale := bundle.differences(root):
        raise SystemExit("release: stale copy: " + ", ".join(stale))
    text = notes((root / "CHANGELOG.md").read_text(), arguments.version)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "notes.md").write_text(text)
    write_zip(root, arguments.output / f"{bundle.NAME}.zip")
    return 0


if __name__ == "__main__":
    sys.exit(main())
