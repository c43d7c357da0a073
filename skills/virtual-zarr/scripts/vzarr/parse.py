"""One file to references, checked against what a native reader sees in it.

Whatever the parser loses, invents or reads wrong is replaced by a native copy or dropped, and the
reason is kept. Files are parsed one by one, or in processes that cannot deadlock.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import obstore
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import MemoryStore
from virtualizarr.manifests import ManifestArray, ManifestStore
from virtualizarr.parsers import HDFParser, NetCDF3Parser

from vzarr.errors import InputError, Refused
from vzarr.find import Source
from vzarr.native import (
    Content,
    child_groups,
    detect_format,
    fetch,
    hdf5_hazards,
    hdf5_placeholders,
    open_native,
    values_equal,
)
from vzarr.storage import Access, object_store, root_of

NATIVE_LIMIT = 64 * 1024**2
"""A variable that cannot be virtual is copied up to this many bytes; a larger one is refused."""
PROBE_LIMIT = 4 * 1024**2
"""Variables up to this many bytes are compared whole with the native reader, larger in part."""
PARALLEL_FROM_LOCAL, PARALLEL_FROM_REMOTE = 400, 60
"""Number of files from which processes pay for their start (several seconds of imports each)."""


@dataclass
class ParsedFile:
    """What became of one file.

    ``dataset`` holds virtual variables (ManifestArray) and loaded ones (NumPy); ``native`` and
    ``dropped`` give the reason for each variable that did not become virtual; ``packing`` holds the
    CF encoding of every variable; ``digests`` the hash of the decoded values of each variable
    without the record dimension.
    """

    source: Source
    file_format: str
    dataset: xr.Dataset
    unlimited: tuple[str, ...] = ()
    native: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    packing: dict[str, dict[str, Any]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def virtual(self) -> list[str]:
        return [str(name) for name, v in self.dataset.variables.items() if is_virtual(v)]


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be parsed, and the sentence that says why."""

    source: Source
    reason: str


CF_ENCODING = (
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "_Unsigned",
    "units",
    "calendar",
)


def is_virtual(variable: xr.Variable) -> bool:
    return isinstance(variable._data, ManifestArray)


def parse_files(
    sources: list[Source],
    access: Access,
    *,
    drop: tuple[str, ...] = (),
    record_dimension: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ParsedFile | Unreadable]:
    """Parse files, in their order. ``record_dimension`` names the dimension to combine along.

    Uses worker processes from ``PARALLEL_FROM_LOCAL`` (or ``_REMOTE``) files on, or as ``workers``
    says. They are started by forkserver: after a fork of this process, whose libraries hold
    threads, they would hang.
    """
    jobs = [(source, access, drop, record_dimension) for source in sources]
    local = sources[0].url.startswith("file://")
    enough = PARALLEL_FROM_LOCAL if local else PARALLEL_FROM_REMOTE
    if workers is None:
        workers = (os.cpu_count() or 1) if len(sources) >= enough else 1
    results: list[ParsedFile | Unreadable] = []
    for result in _map(jobs, min(workers, len(jobs))):
        results.append(result)
        progress(len(results), len(jobs))
    return results


def _map(jobs: list[tuple], workers: int) -> Iterator[ParsedFile | Unreadable]:
    if workers <= 1:
        yield from map(_parse_job, jobs)
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_parse_job, jobs, chunksize=4)


def _parse_job(job: tuple) -> ParsedFile | Unreadable:
    source = job[0]
    try:
        return parse_file(*job)
    except (InputError, Refused) as error:
        return Unreadable(source, str(error))
    except Exception as error:
        return Unreadable(source, f"{source.url}: cannot be read: {_first_line(error)}.")


def parse_file(
    source: Source,
    access: Access,
    drop: tuple[str, ...] = (),
    record_dimension: str | None = None,
) -> ParsedFile:
    """References to one file, each variable compared with the native reader.

    Raises
    ------
    InputError
        If the format is not supported, or the root group is empty.
    Refused
        If a variable can neither be virtual nor be copied.
    """
    content = fetch(source.url, access, source.size)
    file_format = detect_format(content)
    with warnings.catch_warnings(), open_native(content, file_format) as native:
        warnings.simplefilter("ignore")
        native = native.drop_vars([name for name in drop if name in native.variables])
        if not native.variables:
            groups = child_groups(content) if file_format == "hdf5" else []
            held = f"only groups ({', '.join(groups[:5])}), which this tool does not read"
            raise InputError(f"{source.url}: holds {held if groups else 'no variables'}.")
        packing = {str(name): cf_encoding(v) for name, v in native.variables.items()}
        parsed = ParsedFile(
            source,
            file_format,
            _assemble(source, access, content, file_format, native, drop, record_dimension),
            tuple(native.encoding.get("unlimited_dims", ())),
            packing=packing,
        )
        parsed.native = parsed.dataset.attrs.pop("__native__")
        parsed.dropped = parsed.dataset.attrs.pop("__dropped__")
        parsed.dropped.update({name: "named by --drop" for name in drop})
        parsed.notes = clean_attributes(parsed.dataset)
        groups = child_groups(content) if file_format == "hdf5" else []
        if groups and not parsed.virtual and not parsed.native:
            raise InputError(
                f"{source.url}: the data lie in groups ({', '.join(groups[:5])}), "
                "which this tool does not read."
            )
        if record_dimension is not None:
            parsed.digests = {
                str(name): _digest(variable)
                for name, variable in native.variables.items()
                if record_dimension not in variable.dims and name != record_dimension
            }
        if groups:
            parsed.notes.append(f"groups left out: {', '.join(groups[:5])}")
    return parsed


def cf_encoding(variable: xr.Variable) -> dict[str, Any]:
    """What decides how stored numbers of a decoded variable become values."""
    merged = {**variable.attrs, **variable.encoding}
    return {key: merged[key] for key in CF_ENCODING if merged.get(key) is not None}


def _digest(variable: xr.Variable) -> str:
    values = variable.values
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values)
    data = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()
    return hashlib.sha256(repr((variable.dims, values.shape)).encode() + data).hexdigest()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def _registry(source: Source, access: Access, content: Content) -> ObjectStoreRegistry:
    store, path = object_store(source.url, access)
    if isinstance(content.handle, bytes):
        # The parser reads the bytes that were fetched; its references still name the source.
        store = MemoryStore()
        obstore.put(store, path, content.handle)
    return ObjectStoreRegistry({root_of(source.url): store})


def _manifest_store(
    source: Source, registry: ObjectStoreRegistry, file_format: str, drop: list[str]
) -> ManifestStore:
    parser = (
        HDFParser(drop_variables=drop)
        if file_format == "hdf5"
        else NetCDF3Parser(skip_variables=drop)
    )
    return parser(url=source.url, registry=registry)


def _assemble(
    source: Source,
    access: Access,
    content: Content,
    file_format: str,
    native: xr.Dataset,
    drop: tuple[str, ...],
    record_dimension: str | None,
) -> xr.Dataset:
    """The file's dataset: virtual where that reads right, loaded or copied where it has to be."""
    registry = _registry(source, access, content)
    copied = dict(hdf5_hazards(content)) if file_format == "hdf5" else {}
    copied = {name: reason for name, reason in copied.items() if name in native.variables}
    loaded = _loaded_names(native, record_dimension)
    placeholders = hdf5_placeholders(content, native) if file_format == "hdf5" else []
    unwanted = list({*drop, *copied, *placeholders})
    store, failures = _open_store(source, registry, file_format, native, unwanted)
    copied.update(failures)
    virtual = store.to_virtual_dataset(loadable_variables=[], decode_times=False)
    virtual, dropped = _matching(virtual, native, copied)
    probe = xr.open_zarr(store, consolidated=False, zarr_format=3, decode_times=False, chunks=None)
    probe = probe.rename({name: _without_padding(name) for name in probe.variables})
    for name, variable in virtual.variables.items():
        if (
            is_virtual(variable)
            and name not in loaded
            and not _reads_right(probe, native, str(name))
        ):
            copied[str(name)] = "its references read differently from the file"
    for name in native.variables:
        if name not in virtual.variables:
            copied.setdefault(str(name), "the parser does not return it")
    for name in {*loaded, *copied} & set(native.variables):
        if name in copied and native[name].nbytes > NATIVE_LIMIT:
            raise Refused(
                f"{source.url}: {name} cannot be virtual ({copied[name]}) and is too large to copy "
                f"({native[name].nbytes // 1024**2} MB). Leave it out with --drop {name}."
            )
        try:
            variable = native[name].variable.load()
        except Exception as error:
            raise Refused(
                f"{source.url}: {name} cannot be virtual ({copied.get(name, 'loaded')}), and the "
                f"native reader fails ({_first_line(error)}). Leave it out with --drop {name}."
            ) from error
        if variable.dtype.names:
            raise Refused(
                f"{source.url}: {name} is a compound type that cannot be virtual "
                f"({copied.get(name)}). Leave it out with --drop {name}."
            )
        variable.encoding = _portable_encoding(variable)
        virtual = virtual.drop_vars(name, errors="ignore").assign({name: variable})
    coordinates = [name for name in native.coords if name in virtual.variables]
    virtual = virtual.reset_coords().set_coords(coordinates)
    virtual.attrs["__native__"] = copied
    virtual.attrs["__dropped__"] = dropped
    return virtual


def _loaded_names(native: xr.Dataset, record_dimension: str | None) -> set[str]:
    """Index coordinates, bounds of times and the scalar to combine along are kept as numbers."""
    names = {str(name) for name, variable in native.variables.items() if variable.dims == (name,)}
    names |= {str(native[name].attrs["bounds"]) for name in names if "bounds" in native[name].attrs}
    if record_dimension in native.variables and native[record_dimension].ndim == 0:
        names.add(record_dimension)
    return names & {str(name) for name in native.variables}


def _portable_encoding(variable: xr.Variable) -> dict[str, Any]:
    """The CF part of a source's encoding; chunking and codecs are the source format's own."""
    keys = {*CF_ENCODING, "dtype"} - {"_Unsigned"}
    encoding = {key: variable.encoding[key] for key in keys if key in variable.encoding}
    text = variable.dtype.kind in "OSU" and "calendar" not in encoding
    if text or variable.encoding.get("_Unsigned"):
        return {}
    if encoding.get("_FillValue") is None:
        encoding["_FillValue"] = None
    return encoding


def _open_store(
    source: Source,
    registry: ObjectStoreRegistry,
    file_format: str,
    native: xr.Dataset,
    drop: list[str],
) -> tuple[ManifestStore, dict[str, str]]:
    """The parser's store, without the variables that it cannot parse, and why it cannot."""
    try:
        store = _manifest_store(source, registry, file_format, drop)
        store.to_virtual_dataset(loadable_variables=[], decode_times=False)
        return store, {}
    except Exception as error:
        first = error
    names = [str(name) for name in native.variables if name not in drop]
    failures: dict[str, str] = {}
    for name in names:
        others = [other for other in names if other != name]
        try:
            _manifest_store(source, registry, file_format, [*drop, *others]).to_virtual_dataset(
                loadable_variables=[], decode_times=False
            )
        except Exception as error:
            failures[name] = _first_line(error)
    if not failures:
        raise Refused(f"{source.url}: the parser fails: {_first_line(first)}.") from first
    try:
        return _manifest_store(source, registry, file_format, [*drop, *failures]), failures
    except Exception as error:
        raise Refused(f"{source.url}: the parser fails: {_first_line(error)}.") from error


def _matching(
    virtual: xr.Dataset, native: xr.Dataset, copied: dict[str, str]
) -> tuple[xr.Dataset, dict[str, str]]:
    """The virtual variables that the native reader knows too, by the same name and shape."""
    dropped: dict[str, str] = {}
    for name in list(virtual.variables):
        stripped = _without_padding(name)
        if stripped != name and stripped in native.variables:
            virtual = virtual.rename({name: stripped})
            name = stripped
        if name not in native.variables:
            dropped[str(name)] = "not a variable of the file, but a placeholder of the format"
            virtual = virtual.drop_vars(name)
        elif virtual[name].shape != native[name].shape:
            copied[str(name)] = "the parser returns another shape"
            virtual = virtual.drop_vars(name)
        elif virtual[name].dims != native[name].dims:
            renamed = dict(zip(virtual[name].dims, native[name].dims, strict=True))
            variable = virtual[name].variable
            variable.dims = tuple(renamed[dim] for dim in variable.dims)
            virtual = virtual.drop_vars(name).assign({name: variable})
    return virtual, dropped


def _without_padding(name: Any) -> str:
    """A name without the NULs that some NetCDF3 writers pad it with."""
    return str(name).rstrip("\x00")


def _reads_right(probe: xr.Dataset, native: xr.Dataset, name: str) -> bool:
    """Compare a variable read through its references with the native reader."""
    try:
        reference = probe[name]
    except KeyError:
        return False
    truth = native[name]
    if truth.dtype.kind in "mM" or truth.dtype == object or truth.dtype.kind in "SU":
        # Decoded by xarray from the same numbers in both; strings and times are compared raw.
        reference, truth = probe[name], truth.copy(deep=False)
    parts = _probe_parts(truth)
    packed = bool({"scale_factor", "add_offset"} & truth.encoding.keys())
    try:
        for part in parts:
            left, right = reference.isel(part).values, truth.isel(part).values
            if right.dtype.kind in "mM" or (right.dtype == object and left.dtype.kind in "iuf"):
                continue  # a virtual time: decoding is compared when the store is read back
            if not values_equal(left, right, packed):
                return False
    except Exception:
        return False
    return True


def _probe_parts(truth: xr.DataArray) -> list[dict[str, slice]]:
    if truth.nbytes <= PROBE_LIMIT or truth.ndim == 0:
        return [{}]
    first, size = str(truth.dims[0]), truth.shape[0]
    width = max(1, min(size, PROBE_LIMIT * size // max(truth.nbytes, 1)))
    return [{first: slice(0, width)}, {first: slice(size - width, size)}]


def clean_attributes(dataset: xr.Dataset) -> list[str]:
    """Make every attribute fit for JSON, which knows no NaN, infinity or complex numbers.

    Returns a note for each attribute changed. Icechunk refuses the metadata otherwise.
    """
    notes = []
    owners: list[tuple[str, dict]] = [("the dataset", dataset.attrs)]
    owners += [(str(name), variable.attrs) for name, variable in dataset.variables.items()]
    for owner, attributes in owners:
        for key, value in list(attributes.items()):
            if key == "_FillValue":
                continue  # VirtualiZarr encodes it
            clean = _clean(value)
            if clean is not value:
                attributes[key] = clean
                notes.append(f"attribute {key} of {owner} stored as text: {clean!r}")
    return notes


def _clean(value: Any) -> Any:
    array = np.asarray(value)
    finite = array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
    if finite and array.dtype.kind in "iufbUS":
        return value
    if isinstance(value, str | bool | int | list | tuple) and array.dtype.kind != "f":
        return value
    return str(value)
