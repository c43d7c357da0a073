"""Other files that a file leads to: which may be read, and why not.

HDF5 keeps values in other files by external links, virtual datasets and external storage, and its
readers follow them without a word; HDF4 has external elements, and a folder may hold symbolic
links. Followed are those below the file's own folder, or below one that the user named.
"""

from __future__ import annotations

import glob
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
from h5py import h5d, h5o

from vzarr.errors import InputError
from vzarr.sources.trust import folder_of, is_below, options_for, places_of

if TYPE_CHECKING:
    from vzarr.sources.content import Content


HOPS = 16
"""Links that are followed one after the other, as HDF5 does."""


HDF4_SPECIAL, HDF4_EXTERNAL = 0x4000, 2
"""Bit of the tag of an element that is not plain, and the code of one in another file."""


def closed(content: Content) -> dict[str, str]:
    """Links and datasets of an HDF5 file that are not followed, by path; each with the reason.

    The reason goes on after the path: it "lies in FILE, which …".
    """
    if content.findings.closed_links is None:
        with h5py.File(content.open(), "r") as file:
            content.findings.closed_links = _Search(content).through(file)
    return content.findings.closed_links


def followed(h5group: h5py.Group, group: str, content: Content) -> list[str]:
    """Names in a group without those of links that are not followed."""
    return [name for name in h5group if f"{group}/{name}".lstrip("/") not in closed(content)]


def leads_elsewhere(dataset: h5py.Dataset) -> bool:
    """Whether an HDF5 dataset's values lie in other files or datasets."""
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    return layout == h5d.VIRTUAL or (layout == h5d.CONTIGUOUS and plan.get_external_count() > 0)


def check_folder(path: Path, content: Content) -> None:
    """Refuse a folder with symbolic links that lead out of it.

    Raises
    ------
    InputError
        With what a link leads to.
    """
    folders = (f"file://{path}/", *content.access.trust)
    for parent, below, files in os.walk(path):
        for name in [*below, *files]:
            link = Path(parent, name)
            if link.is_symlink() and not _may_follow(link, folders):
                raise InputError(
                    f"{content.url}: {link.relative_to(path)} is a link to {os.path.realpath(link)}"
                    f", {_strange(os.path.realpath(link))}."
                )


def check_hdf4(content: Content, path: Path) -> None:
    """Refuse an HDF4 file with elements in other files that may not be read.

    Raises
    ------
    InputError
        With the file that it leads to.
    """
    for name in _hdf4_externals(path):
        if not isinstance(content.handle, Path):
            raise InputError(
                f"{content.url}: holds data that {_beside_remote(name)}; leave it out."
            )
        folders = _own(content)
        for place in _places(name, [os.environ.get("HDFEXTDIR", ""), "", str(path.parent)]):
            if os.path.lexists(place) and not _may_follow(place, folders):
                raise InputError(f"{content.url}: holds data that {_refusal(place)}.")


def _own(content: Content) -> tuple[str, ...]:
    """Folders below which a local file may lead."""
    return (folder_of(content.url), *content.access.trust)


def _may_follow(path: str | Path, folders: tuple[str, ...]) -> bool:
    return is_below(f"file://{os.path.abspath(path)}", folders, resolve=True)


def _strange(path: str) -> str:
    option = options_for(places_of([f"file://{path}"]))
    return f"which is below no folder that was named (if it may be read: {option})"


def _refusal(path: str | Path) -> str:
    real = os.path.realpath(path)
    return f"lies in {real}, {_strange(real)}"


def _beside_remote(name: str) -> str:
    return (
        f"lies in another file ({name}), which no reader of a remote file can see: copy both into "
        "a folder here"
    )


def _places(name: str, folders: Iterable[str]) -> list[str]:
    """Where a library may look for a file; an empty folder is the working directory."""
    if os.path.isabs(name):
        return [name, *(os.path.join(folder, os.path.basename(name)) for folder in folders)]
    return [os.path.join(folder, name) for folder in folders]


class _Search:
    """Goes through one file, and through those that it leads to."""

    def __init__(self, content: Content) -> None:
        self.home = content.handle if isinstance(content.handle, Path) else None
        self.folders = _own(content)
        self.known: dict[tuple[Path, str], str] = {}

    def through(self, file: h5py.File) -> dict[str, str]:
        closed_links: dict[str, str] = {}
        seen: set[int] = set()

        def visit(h5group: h5py.Group, path: str) -> None:
            address = h5o.get_info(h5group.id).addr
            if address in seen:
                return
            seen.add(address)
            for name in h5group:
                below = f"{path}/{name}".lstrip("/")
                item = _own_item(h5group, name)
                if isinstance(item, h5py.Group):
                    visit(item, below)
                elif reason := self.judge(h5group, name, item, self.home, HOPS):
                    closed_links[below] = reason

        visit(file, "")
        return closed_links

    def judge(self, h5group: h5py.Group, name: str, item: Any, home: Path | None, hops: int) -> str:
        """Why a link may not be followed, or what it leads to not be read; else an empty string.

        ``item`` as from ``_plain_item``.
        """
        if item is not None:
            is_dataset = isinstance(item, h5py.Dataset)
            return self._stored(item, home, hops) if is_dataset else ""
        if hops < 0:
            return "is a link that leads on and on"
        try:
            link = h5group.get(name, getlink=True)
        except KeyError:
            return ""  # leads nowhere
        except TypeError:
            return "is a link of a kind that is not known here"
        if isinstance(link, h5py.ExternalLink):
            return self._follow(home, link.filename, link.path, hops)
        if isinstance(link, h5py.SoftLink):
            return self._along(h5group, link.path, home, hops - 1)
        return ""  # an object that cannot be opened

    def _along(self, h5group: h5py.Group, path: str, home: Path | None, hops: int) -> str:
        """As ``judge``, for a path of several links."""
        if path.startswith("/"):
            h5group = h5group.file["/"]
        first, _, rest = path.strip("/").partition("/")
        if first in ("", "."):
            return self._along(h5group, rest, home, hops) if rest else ""
        item = _own_item(h5group, first)
        if not rest:
            return self.judge(h5group, first, item, home, hops)
        if isinstance(item, h5py.Group):
            return self._along(item, rest, home, hops)
        if item is not None or hops < 0:
            return "is a link that leads on and on" if item is None else ""
        try:
            link = h5group.get(first, getlink=True)
        except (KeyError, TypeError):
            return self.judge(h5group, first, None, home, hops)
        if isinstance(link, h5py.ExternalLink):
            return self._follow(home, link.filename, f"{link.path}/{rest}", hops)
        if isinstance(link, h5py.SoftLink):
            return self._along(h5group, f"{link.path}/{rest}", home, hops - 1)
        return ""

    def _follow(
        self, home: Path | None, name: str, path: str, hops: int, whole: bool = False
    ) -> str:
        """Into another file. ``whole``: it has to be there, or readers make up what is in it."""
        if home is None:
            return _beside_remote(name)
        prefixes = os.environ.get("HDF5_VDS_PREFIX" if whole else "HDF5_EXT_PREFIX", "").split(":")
        parents = [str(home.parent), "", os.path.dirname(os.path.realpath(home))]
        folders = [prefix.replace("${ORIGIN}", parents[0]) for prefix in prefixes if prefix]
        there = [place for place in _places(name, [*folders, *parents]) if os.path.lexists(place)]
        for place in there:
            if not _may_follow(place, self.folders):
                return _refusal(place)
        target = next((Path(place) for place in there if os.path.isfile(place)), None)
        if target is None:
            return f"lies in {name}, which is not there" if whole else ""
        key = (target, path)
        if key not in self.known:
            self.known[key] = "is a link that leads on and on"  # until it is known
            try:
                with h5py.File(target, "r") as file:
                    reason = self._along(file, path, target, hops - 1)
                    if whole and not reason and path.strip("/") not in file:
                        reason = f"lies in {target}, in which {path} is missing"
                    self.known[key] = reason
            except (OSError, RuntimeError):
                self.known[key] = f"lies in {target}, which is no HDF5 file" if whole else ""
        return self.known[key]

    def _stored(self, dataset: h5py.Dataset, home: Path | None, hops: int) -> str:
        """Why the values of a dataset may not be read. Its shape is not asked for: HDF5 would look
        for it in other files."""
        plan = dataset.id.get_create_plist()
        layout = plan.get_layout()
        if layout == h5d.VIRTUAL:
            return self._virtual(dataset, plan, home, hops)
        if layout == h5d.CONTIGUOUS and plan.get_external_count():
            return self._external(dataset, plan, home)
        return ""

    def _virtual(self, dataset: h5py.Dataset, plan: Any, home: Path | None, hops: int) -> str:
        parts = {
            (plan.get_virtual_filename(number), plan.get_virtual_dsetname(number))
            for number in range(plan.get_virtual_count())
        }
        for name, path in sorted(parts):
            if name == ".":
                reason = self._along(dataset.file["/"], path, home, hops - 1)
                if not reason and "%" not in path and path.strip("/") not in dataset.file:
                    reason = f"lies in {path}, which is missing"
            elif "%" in name and home is not None:
                reason = self._series(home, name, path, hops)
            else:
                reason = self._follow(home, name, path, hops, whole=True)
            if reason:
                return reason
        return ""

    def _series(self, home: Path, name: str, path: str, hops: int) -> str:
        """Files with numbers in their names, which may have gaps."""
        pattern = re.sub("%[0-9]*b", "*", glob.escape(name).replace("%%", "%"))
        for folder in ("", glob.escape(str(home.parent))):
            for place in sorted(glob.glob(os.path.join(folder, pattern), include_hidden=True)):
                if reason := self._follow(home, os.path.abspath(place), path, hops):
                    return reason
        return ""

    def _external(self, dataset: h5py.Dataset, plan: Any, home: Path | None) -> str:
        present = 0
        prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "")
        for number in range(plan.get_external_count()):
            raw, offset, size = plan.get_external(number)
            name = os.fsdecode(raw)
            if home is None:
                return _beside_remote(name)
            place = os.path.join(prefix.replace("${ORIGIN}", str(home.parent)), name)
            if not os.path.lexists(place):
                return f"lies in {name}, which is not there"
            if not _may_follow(place, self.folders):
                return _refusal(place)
            there = max(0, os.path.getsize(place) - offset)
            present += min(there, size) if size < 2**63 else there
        needed = dataset.size * dataset.dtype.itemsize if dataset.shape is not None else 0
        if present < needed:
            return f"lies in {name}, which ends before its values do: HDF5 would read zeros"
        return ""


def _own_item(h5group: h5py.Group, name: str) -> Any:
    """What lies in this file under a name; None for any other link, and for what is broken."""
    try:
        link = h5group.get(name, getlink=True)
        return h5group[name] if isinstance(link, h5py.HardLink) else None
    except (KeyError, OSError, RuntimeError, TypeError):
        return None


def _hdf4_externals(path: Path) -> list[str]:
    """The files in which elements lie that an HDF4 file's directory lists."""
    size, at, names = path.stat().st_size, 4, []
    seen: set[int] = set()
    with path.open("rb") as file:
        while at and at not in seen and at + 6 <= size:
            seen.add(at)
            file.seek(at)
            count, at = struct.unpack(">HI", file.read(6))
            block = file.read(12 * count)
            whole = block[: len(block) // 12 * 12]
            for tag, _, offset, length in struct.iter_unpack(">HHII", whole):
                if not tag & HDF4_SPECIAL or tag & 0x8000 or length < 14:
                    continue
                file.seek(offset)
                head = file.read(14)
                if len(head) == 14 and struct.unpack(">H", head[:2])[0] == HDF4_EXTERNAL:
                    (data_tag,) = struct.unpack(">I", head[10:])
                    names.append(os.fsdecode(file.read(min(data_tag, 4096)).rstrip(b"\0")))
    return names
