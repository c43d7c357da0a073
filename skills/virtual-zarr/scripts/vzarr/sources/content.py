"""The bytes of one source: a local file, a small object fetched whole, a remote file, a folder."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import obstore

from vzarr.errors import InputError
from vzarr.limits import Declared
from vzarr.sources.discover import look_up
from vzarr.sources.elsewhere import check_folder
from vzarr.sources.remote_file import RangedFile, RemoteFile, read_remote
from vzarr.sources.schemes import Access, object_store


@dataclass(frozen=True)
class RemoteFolder:
    """A prefix of an object store, without a slash at its end."""

    store: Any
    path: str


@dataclass
class Findings:
    """What readers have told of a file beside its values. Variables are named by their paths.

    ``notes`` are sentences for the user; ``reasons`` say why a variable cannot be virtual,
    ``unfit`` what is wrong with one that can neither be virtual nor be copied, ``without_values``
    why one has none. ``instead``: what is in a file that holds no variables; ``no_references``: why
    its parser may not be asked. ``closed_links``: links and datasets of HDF5 that are not followed,
    None while nobody has looked. ``referred``: URLs of the files that references lead to, and
    ``referred_bytes`` the size of all of them. ``declared``: arrays that were checked, by path;
    ``contents_checked``: group and name of HDF5 datasets whose chunks were. ``variables``: all
    names of a group, also of those that were left out. ``combined_along``: the dimension along
    which the file is combined with others: it decides how GRIB messages are laid out.
    ``fingerprint``: of what was selected of a file; ``as_others``: whether that is as in a file
    that was read before, but for its time.
    """

    notes: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    without_values: dict[str, str] = field(default_factory=dict)
    instead: str = ""
    no_references: str = ""
    closed_links: dict[str, str] | None = None
    referred: frozenset[str] = frozenset()
    referred_bytes: int = 0
    declared: dict[str, Declared] = field(default_factory=dict)
    contents_checked: set[tuple[str, str]] = field(default_factory=set)
    variables: dict[str, set[str]] = field(default_factory=dict)
    combined_along: str | None = None
    fingerprint: str | None = None
    as_others: bool = False


@dataclass(frozen=True)
class Content:
    """A file's bytes: a local path, the whole content of a small object, or a remote reader.

    A folder (of Zarr) is a local path or a ``RemoteFolder``. ``size`` is that of the file or of all
    in the folder, in bytes.
    """

    url: str
    handle: Path | bytes | RemoteFile | RangedFile | RemoteFolder
    access: Access = field(default_factory=Access)
    size: int = 0
    findings: Findings = field(default_factory=Findings, repr=False, compare=False)
    _known: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    def once[T, *Parts](self, find: Callable[[Content, *Parts], T], *arguments: *Parts) -> T:
        """What ``find`` returns for this file and these arguments, found out once."""
        key = (find, arguments)
        if key not in self._known:
            self._known[key] = find(self, *arguments)
        return self._known[key]

    def knows(self, find: Callable[..., Any], *arguments: Any) -> bool:
        """Whether ``once`` has been asked for this already."""
        return (find, arguments) in self._known

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, as Zarr is kept in."""
        if isinstance(self.handle, Path):
            return self.handle.is_dir()
        return isinstance(self.handle, RemoteFolder)

    def names(self) -> set[str]:
        """What lies in a folder, one level deep."""
        if isinstance(self.handle, Path):
            return {entry.name for entry in self.handle.iterdir()}
        folder = self._remote_folder()
        listed = obstore.list_with_delimiter(folder.store, folder.path + "/")
        paths = [*listed["common_prefixes"], *(meta["path"] for meta in listed["objects"])]
        return {path.rstrip("/").rpartition("/")[2] for path in paths}

    def member(self, name: str) -> bytes:
        """A file of a folder."""
        if isinstance(self.handle, Path):
            return (self.handle / name).read_bytes()
        folder = self._remote_folder()
        return bytes(obstore.get(folder.store, f"{folder.path}/{name}").bytes())

    def _remote_folder(self) -> RemoteFolder:
        assert isinstance(self.handle, RemoteFolder), f"{self.url} is no folder"
        return self.handle

    def open(self) -> Path | IO[bytes]:
        """A path, or a seekable file object at its start.

        HDF5 follows links to other files from a path only; some may not be followed.
        """
        if self.findings.closed_links and isinstance(self.handle, Path):
            return self.handle.open("rb")
        if isinstance(self.handle, bytes):
            return io.BytesIO(self.handle)
        if isinstance(self.handle, Path):
            return self.handle
        file = self._remote_file()
        file.seek(0)
        return cast("IO[bytes]", file)  # which io.RawIOBase is not by name

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """A seekable file object at its start; of a remote file the one that all share."""
        opened = self.open()
        if isinstance(opened, Path):
            with opened.open("rb") as file:
                yield file
        else:
            yield opened

    def _remote_file(self) -> RemoteFile | RangedFile:
        assert isinstance(self.handle, RemoteFile | RangedFile), f"{self.url} is a folder"
        return self.handle

    def head(self, length: int = 4096) -> bytes:
        """The first bytes, fewer of a shorter file."""
        if isinstance(self.handle, bytes):
            return self.handle[:length]
        if isinstance(self.handle, Path):
            with self.handle.open("rb") as file:
                return file.read(length)
        return self._remote_file().range(0, length)

    def read(self) -> bytes:
        """All bytes of a file."""
        if isinstance(self.handle, bytes):
            return self.handle
        if isinstance(self.handle, Path):
            return self.handle.read_bytes()
        file = self._remote_file()
        return file.range(0, file.size)


def fetch(url: str, access: Access, size: int) -> Content:
    """The content of one source. ``size`` in bytes decides whether it is fetched whole.

    For DMR++ that of the data file that it describes: ``DMRPPParser`` of VirtualiZarr 2.8 ignores
    byte order and leaves out variables, and no value can be compared without the data file.

    Raises
    ------
    InputError
        For a name that references cannot hold.
    """
    try:
        url.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{url}: a reference is a URL, and this name is not UTF-8: rename the file, or link to "
            "it under another name."
        ) from None
    escape = None if url.startswith("https://") else re.search("%[0-9A-Fa-f]{2}", url)
    if lost := re.search("[#?]", url) or escape:
        raise InputError(
            f"{url}: a reference is a URL, in which {lost[0]!r} has a meaning of its own, so it "
            "would lead elsewhere: rename the file, or link to it under another name."
        )
    content = _fetch(url, access, size)
    if access.select:  # of messages: no more of it is read than these
        return content
    if content.is_folder:
        if isinstance(content.handle, Path):
            check_folder(content.handle, content)
        return content
    if b"opendap.org/dap/dmrpp" not in content.head():
        return content
    data_url = url.removesuffix(".dmrpp")
    try:
        if data_url == url:
            raise FileNotFoundError
        return _fetch(data_url, access, look_up(data_url, access).size)
    except FileNotFoundError:
        raise InputError(
            f"{url}: DMR++ without the data file that it describes: put that beside it, under the "
            "same name without .dmrpp, or build from the data file."
        ) from None


def _fetch(url: str, access: Access, size: int) -> Content:
    if url.startswith("file://"):
        path = Path(url.removeprefix("file://"))
        if not path.is_file() and not path.is_dir() and os.path.lexists(path):
            what = "a link that leads nowhere" if path.is_symlink() else "a pipe or a device"
            raise InputError(f"{url}: is no file, but {what}: leave it out.")
        return Content(url, path, access, size)
    store, key = object_store(url, access)
    if access.select:
        return Content(url, RangedFile(store, key, size), access, size)
    try:
        return Content(url, read_remote(store, key, size), access, size)
    except FileNotFoundError:
        folder = RemoteFolder(store, key.rstrip("/"))
        if not any(True for _ in obstore.list(store, folder.path + "/", chunk_size=1)):
            raise
        return Content(url, folder, access, size)


def read_ranges(content: Content, places: list[tuple[int, int]]) -> list[bytes]:
    """Parts of a file, each by its start and its length, and nothing else of a remote one."""
    if isinstance(content.handle, RangedFile):
        return content.handle.ranges(places)
    parts = []
    with content.opened() as file:
        for start, length in places:
            file.seek(start)
            parts.append(file.read(length))
    return parts
