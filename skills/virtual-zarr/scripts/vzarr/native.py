"""What a file holds, by a reader that knows nothing of manifests: h5netcdf, netCDF-C and others.

The truth that references are compared with, and the values of what is stored natively.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters that h5py lacks)
import netCDF4
import numpy as np
import obstore
import xarray as xr

from vzarr import formats, hdf5_raw, unpacking, wide
from vzarr.elsewhere import check_folder, closed, followed
from vzarr.errors import InputError
from vzarr.find import look_up
from vzarr.limits import Declared, box_shape, check, check_number, limit
from vzarr.reading import RemoteFile, read_remote
from vzarr.storage import Access, object_store

if TYPE_CHECKING:
    from vzarr.parse import ParsedFile

wide.patch_readers()
unpacking.patch_decoders()

FINGERPRINT_PART, FINGERPRINT_PARTS = 64 * 1024, 16
"""Bytes in a part, and parts, of a large file that its fingerprint is made of."""
UNWRITTEN_FROM = 1_000_000
"""Elements from which a dataset that was never written is not given to the parser."""
EMPTY_CHUNK = 4 * 1024**2
"""Elements in a chunk of an array that was never written, whose source has no chunks of its own."""
COMPACT = "HDF5 compact layout: its values lie in the file's header"
VIRTUAL_DATASET = "HDF5 virtual dataset: its values lie in other files"
EXTERNAL = "HDF5 external storage: its values lie in another file"
WIDE = 300
"""Datasets from which h5netcdf reads faster than netCDF-C, which looks through all for each."""
TWICE = "the same HDF5 filter more than once, of which the parser sees one"
VLEN_STRINGS = "strings of varying length"


@dataclass(frozen=True)
class RemoteFolder:
    """A prefix of an object store, without a slash at its end."""

    store: Any
    path: str


@dataclass(frozen=True)
class Content:
    """A file's bytes: a local path, the whole content of a small object, or a remote reader.

    A folder (of Zarr) is a local path or a ``RemoteFolder``. ``size`` is that of the file or of all
    in the folder, in bytes. ``cache`` is for what readers want to find out once.
    """

    url: str
    handle: Path | bytes | Any
    access: Access = field(default_factory=Access)
    size: int = 0
    cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_folder(self) -> bool:
        if isinstance(self.handle, Path):
            return self.handle.is_dir()
        return isinstance(self.handle, RemoteFolder)

    def names(self) -> set[str]:
        """What lies in a folder, one level deep."""
        if isinstance(self.handle, Path):
            return {entry.name for entry in self.handle.iterdir()}
        listed = obstore.list_with_delimiter(self.handle.store, self.handle.path + "/")
        paths = [*listed["common_prefixes"], *(meta["path"] for meta in listed["objects"])]
        return {path.rstrip("/").rpartition("/")[2] for path in paths}

    def member(self, name: str) -> bytes:
        """A file of a folder."""
        if isinstance(self.handle, Path):
            return (self.handle / name).read_bytes()
        return bytes(obstore.get(self.handle.store, f"{self.handle.path}/{name}").bytes())

    def open(self) -> Any:
        """A path or a seekable file object.

        HDF5 follows links to other files from a path only; some may not be followed.
        """
        if self.cache.get("closed") and isinstance(self.handle, Path):
            return self.handle.open("rb")
        return io.BytesIO(self.handle) if isinstance(self.handle, bytes) else self.handle

    def head(self, length: int = 4096) -> bytes:
        if isinstance(self.handle, bytes):
            return self.handle[:length]
        if isinstance(self.handle, Path):
            with self.handle.open("rb") as file:
                return file.read(length)
        self.handle.seek(0)
        return bytes(self.handle.read(length))

    def read(self) -> bytes:
        """All bytes of a file."""
        if isinstance(self.handle, bytes):
            return self.handle
        if isinstance(self.handle, Path):
            return self.handle.read_bytes()
        self.handle.seek(0)
        return bytes(self.handle.read())


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
    store, path = object_store(url, access)
    try:
        return Content(url, read_remote(store, path, size), access, size)
    except FileNotFoundError:
        folder = RemoteFolder(store, path.rstrip("/"))
        if not any(True for _ in obstore.list(store, folder.path + "/", chunk_size=1)):
            raise
        return Content(url, folder, access, size)


def fingerprint(content: Content, size: int) -> str | None:
    """A hash of a file's content, whatever its name: of all of it, or of parts of a large file."""
    if content.is_folder:
        return None
    whole = size <= FINGERPRINT_PARTS * FINGERPRINT_PART
    starts = np.linspace(0, max(size - FINGERPRINT_PART, 0), FINGERPRINT_PARTS, dtype=int)
    digest = hashlib.sha256(str(size).encode())
    if whole:
        digest.update(content.read())
    elif isinstance(content.handle, RemoteFile):
        for part in content.handle.samples(starts.tolist(), FINGERPRINT_PART):
            digest.update(part)
    else:
        is_local = isinstance(content.handle, Path)
        with content.handle.open("rb") if is_local else io.BytesIO(content.handle) as file:
            for start in starts.tolist():
                file.seek(start)
                digest.update(file.read(FINGERPRINT_PART))
    # Half of it tells files apart; every commit keeps one for each of its files.
    return digest.hexdigest()[:32]


def is_same_content(record: Mapping[str, Any], now: ParsedFile) -> bool:
    """Whether a file that was written again surely holds what its record is of.

    By its ETag, or by a fingerprint of all its bytes: that of a large file is of parts only.
    """
    if now.source.size != record["size"]:
        return False
    if record["etag"] and record["etag"] == now.source.etag:
        return True
    is_whole = now.source.size <= FINGERPRINT_PARTS * FINGERPRINT_PART
    return is_whole and now.fingerprint is not None and now.fingerprint == record.get("fingerprint")


def detect_format(content: Content) -> str:
    """A key of ``formats.FORMATS``, by the first bytes and never by the name.

    Raises
    ------
    InputError
        For what cannot be virtualized: it names what it is, and what to do.
    """
    if "format" not in content.cache:
        content.cache["format"] = formats.sniff(content)
    return content.cache["format"]


def list_groups(content: Content) -> list[str]:
    """Paths of the groups that may hold variables; the root is an empty string."""
    return formats.load(detect_format(content)).list_groups(content)


@contextmanager
def open_native(
    content: Content,
    file_format: str,
    group: str = "",
    drop: Iterable[str] = (),
    quick: bool = False,
) -> Iterator[xr.Dataset]:
    """One group, CF-decoded; times stay undecoded where xarray cannot decode their units.

    Without the variables in ``drop``, which are not looked at. ``quick``: by netCDF-C where that
    wrote the file, which opens it many times faster than h5netcdf.

    Raises
    ------
    Refused
        If the group declares more than ``vzarr.limits`` allow.
    Exception
        Whatever the reader raises for a file that it cannot read.
    """
    drop = list(drop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if file_format in CHECKED:
            check_arrays(content, group, CHECKED[file_format](content, group), drop)
        if file_format == "hdf5":
            _check_what_is_loaded(content, group, drop)
        if quick and file_format == "hdf5" and is_by_netcdf(content):
            file_format = "netcdf4"
        try:
            dataset = _open(content, file_format, group, drop, decode_times=True)
        except (ValueError, OverflowError) as error:
            if "decode time" not in str(error):
                raise
            dataset = _open(content, file_format, group, drop, decode_times=False)
        with dataset:
            yield with_distinct_dimensions(dataset, content.cache.setdefault("notes", []))


def with_distinct_dimensions(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Rename the second of two equal dimensions of a variable: ``layer, layer`` to ``layer_2``.

    Says so in ``notes``.

    xarray can neither combine nor index a variable that has one dimension twice.
    """
    renamed = {}
    for name, variable in dataset.variables.items():
        if len(set(variable.dims)) < len(variable.dims):
            dims = distinct(variable.dims)
            renamed[name] = xr.Variable(dims, variable._data, variable.attrs, variable.encoding)
            notes.append(f"{name} has the dimensions {', '.join(dims)}: one name stood there twice")
    if not renamed:
        return dataset
    found = dataset.drop_vars(list(renamed)).assign(renamed)
    found = found.set_coords([name for name in renamed if name in dataset.coords])
    found.encoding = dataset.encoding
    return found


def distinct(dims: Sequence[Hashable]) -> tuple[str, ...]:
    """Names of dimensions, each once."""
    found: list[str] = []
    for dim in map(str, dims):
        count = 1
        while (name := dim if count == 1 else f"{dim}_{count}") in found:
            count += 1
        found.append(name)
    return tuple(found)


def check_arrays(
    content: Content, group: str, arrays: Iterable[Declared], drop: Iterable[str] = ()
) -> None:
    """Refuse a group whose arrays, without those in ``drop``, declare more than is allowed.

    Raises
    ------
    Refused
        With what leaves them out, and what allows them.
    """
    left_out = {f"{group}/{name}".lstrip("/") for name in drop}
    wanted = (array for array in arrays if array.path not in left_out)
    size = content.cache.get("size", content.size)  # of the files behind references, too
    check(content.url, size, wanted, content.cache.setdefault("checked", {}))


def is_by_netcdf(content: Content) -> bool:
    """Whether netCDF-C wrote a local file, of types that it reads as h5netcdf does."""
    if not isinstance(content.handle, Path):
        return False
    if "by netcdf" not in content.cache:
        is_safe = not closed(content) and hdf5_is_tree(content)
        content.cache["by netcdf"] = is_safe and _is_by_netcdf(content.handle)
    return content.cache["by netcdf"]


def _is_by_netcdf(path: Path) -> bool:
    with h5py.File(path, "r") as file:
        items: list[h5py.Dataset] = []
        file.visititems(lambda name, item: items.append(item))
        datasets = [item for item in items if isinstance(item, h5py.Dataset)]
        if "_NCProperties" not in file.attrs or len(datasets) > WIDE:
            return False
        return all(
            item.dtype.kind in "iuf" and not h5py.check_enum_dtype(item.dtype) for item in datasets
        )


def _open(
    content: Content, file_format: str, group: str, drop: list[str], decode_times: bool
) -> xr.Dataset:
    options: dict[str, Any] = {
        "decode_times": decode_times,
        "drop_variables": drop,
        "cache": False,
    }
    if file_format == "hdf5":
        return _open_hdf5(content, group, options)
    if file_format == "netcdf4":
        return xr.open_dataset(content.handle, engine="netcdf4", group=group or None, **options)
    if file_format == "netcdf3":
        if isinstance(content.handle, Path):
            return xr.open_dataset(content.handle, engine="netcdf4", **options)
        store = xr.backends.NetCDF4DataStore(_open_netcdf3(content))
        return xr.open_dataset(store, **options)
    raw = formats.load(file_format).open_raw(content, group, drop)
    return xr.decode_cf(raw, decode_times=decode_times, drop_variables=drop)


def _open_hdf5(content: Content, group: str, options: dict[str, Any]) -> xr.Dataset:
    """By h5netcdf, or by h5py alone where that refuses the file for something beside the data."""
    try:
        if closed(content):
            raise ValueError("links that are not followed")
        with h5py.File(content.open(), "r") as file:
            if not hdf5_is_tree(content) or not hdf5_raw.is_plain(file, group):
                raise ValueError("a type that NetCDF does not have")
        return xr.open_dataset(
            content.open(), engine="h5netcdf", phony_dims="sort", group=group or None, **options
        )
    except Exception as error:
        if "decode time" in str(error):
            raise
        try:
            file = h5py.File(content.open(), "r")
            found = hdf5_raw.open_raw(file, group, closed(content))
            decoded = xr.decode_cf(
                found.dataset,
                decode_times=options["decode_times"],
                drop_variables=options["drop_variables"],
            )
        except Exception:
            raise error from None
    for key, reasons in (("without values", found.nothing), ("unfit", found.unfit)):
        known = content.cache.setdefault(key, {})
        known.update({f"{group}/{name}".lstrip("/"): why for name, why in reasons.items()})
    decoded.set_close(file.close)
    return decoded


def hdf5_is_tree(content: Content) -> bool:
    """Whether each group of an HDF5 file has one path.

    Raises
    ------
    InputError
        If groups lie deeper within each other than is allowed.
    """
    if "is tree" not in content.cache:
        with h5py.File(content.open(), "r") as file:
            is_tree, depth = hdf5_raw.walk_groups(file)
        check_number(content.url, "depth", depth, "groups within each other:")
        content.cache["is tree"] = is_tree
    return content.cache["is tree"]


def _check_what_is_loaded(content: Content, group: str, drop: list[str]) -> None:
    """Coordinates, and text, of which xarray reads all to find its type.

    Raises
    ------
    InputError
        If HDF5 would unpack more than a dataset declares.
    """
    checked = content.cache.setdefault("hdf5 contents", set())
    with h5py.File(content.open(), "r") as file:
        room = file[group or "/"]
        for name in room:
            known = (group, name) in checked or name in drop
            if known or hdf5_raw.kind_of(room, name) is not h5py.Dataset:
                continue
            dataset = room[name]
            if hdf5_raw.is_text(dataset) or (dataset.ndim == 1 and dataset.is_scale):
                hdf5_raw.check_contents(dataset, content.url)
            checked.add((group, name))


def hdf5_check(content: Content, group: str, name: str) -> None:
    """Refuse a dataset that HDF5 would unpack to more than it declares.

    Raises
    ------
    InputError
        With what is wrong with it.
    """
    with h5py.File(content.open(), "r") as file:
        room = file[group or "/"]
        stored = next((key for key in (hdf5_raw.HIDDEN + name, name) if key in room), None)
        if stored and hdf5_raw.kind_of(room, stored) is h5py.Dataset:
            hdf5_raw.check_contents(room[stored], content.url)


def child_groups(content: Content) -> list[str]:
    """Names of an HDF5 file's groups below its root that hold datasets."""
    hdf5_is_tree(content)
    names: set[str] = set()

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and "/" in name:
            names.add(name.rpartition("/")[0])

    with h5py.File(content.open(), "r") as file:
        file.visititems(note)
    return sorted(names)


def hdf5_hazards(content: Content, group: str = "") -> dict[str, str]:
    """Variables of one group whose bytes references cannot describe, each with its reason.

    VirtualiZarr 2.8 reads these as fill values or garbage, without an error.
    """
    hazards: dict[str, str] = {}
    with h5py.File(content.open(), "r") as file:
        room = file[group or "/"]
        for name in followed(room, group, content):
            kind = hdf5_raw.kind_of(room, name)
            if kind is not h5py.Dataset:
                continue
            reason = hdf5_raw.foreign(room[name]) or hdf5_hazard(room[name])
            if not reason and hdf5_raw.is_text(room[name]):
                reason = VLEN_STRINGS  # the parser would read them, too
            if reason == hdf5_raw.TOO_LONG:
                raise InputError(f"{content.url}: {group}/{name}: {reason}; fetch the file again.")
            if isinstance(room.get(name, getlink=True), h5py.ExternalLink):
                reason = "HDF5 external link: its values lie in another file"
            if reason:
                hazards[name] = reason
    return hazards


@dataclass(frozen=True)
class Unwritten:
    """A large dataset of which nothing was ever written."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fill: Any
    attributes: dict[str, Any]
    is_index: bool


def hdf5_unwritten(content: Content, group: str = "") -> dict[str, Unwritten]:
    """Datasets of one group with more than ``UNWRITTEN_FROM`` elements and no storage at all."""
    known = content.cache.setdefault("unwritten", {})
    if group not in known:
        known[group] = _find_unwritten(content, group)
    return dict(known[group])


def _find_unwritten(content: Content, group: str) -> dict[str, Unwritten]:
    found: dict[str, Unwritten] = {}
    with h5py.File(content.open(), "r") as file:
        room = file[group or "/"]
        for name in followed(room, group, content):
            if hdf5_raw.kind_of(room, name) is not h5py.Dataset:
                continue
            dataset = room[name]
            small = dataset.shape is None or dataset.size <= UNWRITTEN_FROM
            if small or hdf5_raw.foreign(dataset):
                continue
            placeholder = hdf5_raw.is_placeholder(dataset)
            plain = dataset.dtype.kind in "iuf"
            if placeholder or not plain or hdf5_hazard(dataset) or dataset.id.get_storage_size():
                continue
            attributes = {
                key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
                for key, value in dataset.attrs.items()
                if isinstance(value, str | np.number)
                or (isinstance(value, np.ndarray) and value.dtype.kind in "iuf")
            }
            attributes = {key: _only(value) for key, value in attributes.items()}
            attributes.pop("_Netcdf4Dimid", None)
            attributes.pop("_Netcdf4Coordinates", None)
            attributes.pop("_FillValue", None)  # comes back with the mask
            fill = dataset.fillvalue.item()
            is_index = dataset.ndim == 1 and dataset.is_scale
            dtype = dataset.dtype.newbyteorder("=")
            found[name] = Unwritten(dataset.shape, dtype, fill, attributes, is_index)
    return found


def empty_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of an array that was never written, whose source may have none of its own."""
    return box_shape(shape, 1, EMPTY_CHUNK)


def hdf5_declared(content: Content, group: str) -> list[Declared]:
    """What an HDF5 file says of the datasets of one group, before any of them is read."""
    known = content.cache.setdefault("hdf5 declared", {})
    if group not in known:
        unwritten = hdf5_unwritten(content, group)
        with h5py.File(content.open(), "r") as file:
            room = file[group or "/"]
            datasets = {
                name: room[name] for name in room if hdf5_raw.kind_of(room, name) is h5py.Dataset
            }
            lengths: dict[int, int] = {}
            known[group] = [
                _declared(f"{group}/{name}".lstrip("/"), dataset, name in unwritten, lengths)
                for name, dataset in datasets.items()
                if dataset.shape is not None and not hdf5_raw.is_placeholder(dataset)
            ]
    return known[group]


def _declared(
    path: str, dataset: h5py.Dataset, is_unwritten: bool, lengths: dict[int, int]
) -> Declared:
    shape = _padded_shape(dataset, lengths)
    itemsize = dataset.id.get_type().get_size()
    has_filters = dataset.id.get_create_plist().get_nfilters() > 0
    array = Declared(
        path,
        shape,
        itemsize,
        empty_chunk(shape) if is_unwritten else dataset.chunks,
        unpacked=math.prod(dataset.chunks or ()) * itemsize * has_filters,
        is_loaded=dataset.ndim == 1 and dataset.is_scale,
        is_written=not is_unwritten,
    )
    if is_unwritten or dataset.chunks is None or array.chunks <= limit("empty"):
        return array
    return replace(array, held=dataset.id.get_num_chunks())  # which goes through the index


def _padded_shape(dataset: h5py.Dataset, lengths: dict[int, int]) -> tuple[int, ...]:
    """Readers of NetCDF show a dataset as long as its unlimited dimensions have become.

    ``lengths`` is of scales that were looked at before, by their place in the file.
    """
    if dataset.maxshape is None or None not in dataset.maxshape:
        return dataset.shape
    shape = list(dataset.shape)
    for axis, most in enumerate(dataset.maxshape):
        with suppress(AttributeError, KeyError, OSError, RuntimeError):  # a scale that is gone
            scale = dataset if dataset.ndim == 1 and dataset.is_scale else None
            if scale is None and most is None and len(dataset.dims[axis]):
                scale = dataset.dims[axis][0]
            if scale is None or scale.maxshape != (None,):
                continue
            place = h5py.h5o.get_info(scale.id).addr
            if place not in lengths:
                lengths[place] = hdf5_raw.length_of_scale(scale)
            shape[axis] = max(shape[axis], lengths[place])
    return tuple(shape)


def _netcdf3_declared(content: Content, group: str) -> list[Declared]:
    """What a NetCDF3 file says of its variables, which are stored as they are.

    Raises
    ------
    InputError
        If it is shorter than they are.
    """
    if "netcdf3 declared" in content.cache:
        return content.cache["netcdf3 declared"]
    arrays = []
    with _open_netcdf3(content) as file:
        for name, variable in file.variables.items():
            grows = any(file.dimensions[dim].isunlimited() for dim in variable.dimensions)
            shape = tuple(variable.shape)
            chunk = (1, *shape[1:]) if grows else None
            is_loaded = variable.dimensions == (name,)
            itemsize = np.dtype(variable.dtype).itemsize
            arrays.append(Declared(name, shape, itemsize, chunk, is_loaded=is_loaded))
    if content.size and sum(array.nbytes for array in arrays) > content.size:
        needed = sum(array.nbytes for array in arrays)
        raise InputError(
            f"{content.url}: its variables take {needed} bytes, the file at {content.size}: it is "
            "incomplete; fetch it again."
        )
    content.cache["netcdf3 declared"] = arrays
    return arrays


def _open_netcdf3(content: Content) -> netCDF4.Dataset:
    if isinstance(content.handle, Path):
        return netCDF4.Dataset(content.handle)
    return netCDF4.Dataset(content.url, memory=content.read())


CHECKED = {"hdf5": hdf5_declared, "netcdf3": _netcdf3_declared}
"""Formats that libraries open, which load coordinates: others are checked by their own modules."""


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def hdf5_placeholders(content: Content, native: xr.Dataset, group: str = "") -> list[str]:
    """Datasets of one group that are no variables, such as dimensions without coordinates.

    VirtualiZarr 2.8 returns some of them as variables of zeros.
    """
    with h5py.File(content.open(), "r") as file:
        room = file[group or "/"]
        names = followed(room, group, content)
        datasets = [name for name in names if hdf5_raw.kind_of(room, name) is h5py.Dataset]
        datasets += [name for name in room if name not in names]
    return [name for name in datasets if name not in native.variables]


def hdf5_hazard(dataset: h5py.Dataset) -> str | None:
    """Why references cannot describe a dataset's bytes, if they cannot."""
    if dataset.shape is None or dataset.size == 0:
        return None
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    if layout == h5py.h5d.COMPACT:
        return COMPACT
    if layout == h5py.h5d.VIRTUAL:
        return VIRTUAL_DATASET
    if layout == h5py.h5d.CONTIGUOUS and plan.get_external_count():
        return EXTERNAL
    codes = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
    if len(set(codes)) < len(codes):
        return TWICE
    if layout == h5py.h5d.CHUNKED and codes:
        masks: list[int] = []
        sizes: list[int] = [0]

        def note(chunk: Any) -> None:
            masks.append(chunk.filter_mask)
            sizes[0] = max(sizes[0], chunk.size)

        dataset.id.chunk_iter(note)
        if any(masks):
            return "HDF5 chunks that skip a filter"
        if sizes[0] > hdf5_raw.longest_chunk(dataset):
            return hdf5_raw.TOO_LONG
    return None


def rounding(variable: xr.DataArray | xr.Variable) -> float | None:
    """What readers of a variable round beside its values, or None where they must agree exactly.

    Of packed values that is their offset; infinity stands for the largest of computed ones. HDF5
    readers unpack float32 scale factors in float32, Zarr readers in float64, because JSON
    attributes carry no width.
    """
    if "computed" in variable.encoding:
        return np.inf
    if {"scale_factor", "add_offset"} & variable.encoding.keys():
        return float(np.abs(np.asarray(variable.encoding.get("add_offset", 0.0))).max())
    return None


def mismatch(left: np.ndarray, right: np.ndarray, rounded: float | None) -> np.ndarray:
    """Where two arrays of one shape differ, as booleans. ``rounded`` as from ``rounding``."""
    if left.dtype.kind in "fc" and right.dtype.kind in "fc":
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        if rounded is not None:
            if np.isinf(rounded):
                rounded = np.nanmax(np.abs(right), initial=0.0, where=np.isfinite(right))
            # A value near zero has lost its digits in the sum with the offset.
            with np.errstate(invalid="ignore"):
                same |= np.abs(left - right) <= 1e-6 * (np.abs(right) + rounded)
        return ~same
    if left.dtype.kind in "mM" and right.dtype.kind in "mM":
        return ~((left == right) | (np.isnat(left) & np.isnat(right)))
    if left.dtype.names or right.dtype.names:
        return np.array(
            [a.tolist() != b.tolist() for a, b in zip(left.flat, right.flat, strict=True)]
        )
    if "O" in (left.dtype.kind, right.dtype.kind) or left.dtype.kind in "SUT":
        pairs = zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)
        return np.array([_text(a) != _text(b) for a, b in pairs], dtype=bool)
    return np.asarray(left != right)


def _text(value: object) -> object:
    # Zarr pads fixed-length strings with NUL, readers differ in bytes or text.
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    return value.rstrip("\x00") if isinstance(value, str) else value
