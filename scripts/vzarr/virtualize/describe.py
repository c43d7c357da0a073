"""One file's metadata: what its variables are, how they are stored, and what would become of them.

HDF5 is described by h5py and h5netcdf, which read no data but one-dimensional coordinates. Files
of other formats, and HDF5 with unusual types, are parsed as ``build`` would.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from zarr.registry import get_codec_class

from vzarr.errors import InputError, raise_fault
from vzarr.formats.detect import detect_format
from vzarr.formats.hdf5.declared import hdf5_declared
from vzarr.formats.hdf5.hazards import hdf5_hazard, hdf5_is_tree
from vzarr.formats.hdf5.open import child_groups
from vzarr.formats.hdf5.reader import check_contents
from vzarr.formats.hdf5.unwritten import hdf5_unwritten
from vzarr.formats.reasons import TEXT, Code
from vzarr.limits import excesses
from vzarr.sources.content import Content, fetch
from vzarr.sources.discover import Source
from vzarr.sources.elsewhere import closed
from vzarr.sources.schemes import Access
from vzarr.upstream.virtualizarr import codecs_from_dataset, count_references, manifest_chunk_shape
from vzarr.virtualize.assemble import NATIVE_LIMIT
from vzarr.virtualize.model import CF_ENCODING, ParsedFile, is_virtual
from vzarr.virtualize.parse import parse_file
from vzarr.virtualize.selection import nothing_in

COORDINATE_LIMIT = 1_000_000
"""Elements up to which a coordinate is read, to compare it and to find gaps."""


RUN, STEP = "reference_time", "step"
"""The coordinates of the time at which a forecast began, and of the hours since then."""


@dataclass
class Variable:
    """``storage``: "virtual", "loaded" (as numbers, by design), "native" (copied) or "dropped".

    ``references`` counts the chunks that exist; ``reason`` says why it cannot be virtual;
    ``encoding`` is the part of the attributes that decides what stored numbers mean.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    codecs: tuple[str, ...]
    encoding: dict[str, Any]
    storage: str
    reason: str = ""
    references: int = 0

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {**asdict(self), "encoding": {k: json_value(v) for k, v in self.encoding.items()}}


@dataclass
class Description:
    """One file. Variables, coordinates and times have their path in the file as name.

    ``coordinates`` holds the decoded values of each index coordinate that was read, and of scalar
    times; ``runs`` and ``steps`` those of forecasts; ``unlimited`` names of unlimited dimensions;
    ``placeholders`` the root's datasets that are no variables, but that VirtualiZarr returns.
    """

    source: Source
    file_format: str
    variables: dict[str, Variable] = field(default_factory=dict)
    coordinates: dict[str, np.ndarray] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    steps: set[str] = field(default_factory=set)
    unlimited: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()

    @property
    def references(self) -> int:
        """Chunks of all variables that become references."""
        return sum(variable.references for variable in self.variables.values())

    @property
    def groups(self) -> list[str]:
        """The groups with variables; the root is an empty string."""
        return list(dict.fromkeys(path.rpartition("/")[0] for path in self.variables))


def json_value(value: Any) -> Any:
    """A value of NumPy as one of Python's own types; complex numbers as text, which JSON lacks."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return str(value) if isinstance(value, complex) else value  # JSON has no complex numbers


def describe(source: Source, content: Content) -> Description:
    """What a file holds.

    Raises
    ------
    InputError
        For what no parser can take.
    Exception
        Whatever the reader raises for a broken file.
    """
    file_format = detect_format(content)
    if file_format == "hdf5":
        try:
            description = _describe_hdf5(source, content)
        except InputError:
            raise
        except Exception as error:
            raise_fault(content.url, error)
            description = None  # what h5netcdf refuses
        if description:
            return description
    return _describe_parsed(parse_file(source, content.access))


def fetch_source(source: Source, access: Access) -> Content:
    """The bytes of a source.

    Raises
    ------
    InputError
        For a name that references cannot hold.
    """
    return fetch(source.url, access, source.size)


def _describe_hdf5(source: Source, content: Content) -> Description | None:
    """None for a file with types that only the parser itself can judge."""
    if closed(content):
        return None
    description = Description(source, "hdf5")
    if not hdf5_is_tree(content):
        return None
    with h5py.File(content.open(), "r") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with h5netcdf.File(file, "r", phony_dims="sort") as reader:
            for group in ["", *child_groups(content)]:
                nc_group = reader[group] if group else reader
                description.unlimited += tuple(
                    str(name)
                    for name, dimension in nc_group.dimensions.items()
                    if dimension.isunlimited() and name not in description.unlimited
                )
                unwritten = hdf5_unwritten(content, group) if _is_large(file, group) else {}
                too_large = {
                    array.path: "; ".join(sentences)
                    for array in hdf5_declared(content, group)
                    if (sentences := [words for *_, words in excesses(array, content.size)])
                }
                bounds: set[str] = set()
                for name, variable in nc_group.variables.items():
                    path = f"{group}/{name}".lstrip("/")
                    dataset = _dataset(file, group, name)
                    if dataset is None or not _is_number_or_text(dataset):
                        return None
                    described = _describe_dataset(name, variable, dataset, name in unwritten)
                    if name in unwritten and unwritten[name].is_index:
                        described.storage = "dropped"
                        described.reason = "a coordinate of which nothing was ever written"
                    if path in too_large and described.storage != "dropped":
                        described.storage, described.reason = "dropped", too_large[path]
                    description.variables[path] = described
                    _read_coordinate(description, path, name, described, dataset)
                    if described.storage == "loaded":
                        bounds.add(f"{group}/{_attributes(dataset).get('bounds')}".lstrip("/"))
                for path in bounds & description.variables.keys():
                    bound = description.variables[path]
                    bound.storage, bound.references = "loaded", 0
        datasets = [name for name in file if file.get(name, getclass=True) is h5py.Dataset]
        description.placeholders = tuple(
            name for name in datasets if name not in description.variables
        )
    if not description.variables:
        raise InputError(nothing_in(content))
    return description


def _is_large(file: h5py.File, group: str) -> bool:
    h5group = file[group or "/"]
    sizes = (item.size or 0 for item in h5group.values() if isinstance(item, h5py.Dataset))
    return any(size > COORDINATE_LIMIT for size in sizes)


def _dataset(file: h5py.File, group: str, name: str) -> h5py.Dataset | None:
    h5group = file[group or "/"]
    for stored in (f"_nc4_non_coord_{name}", name):
        if stored in h5group and isinstance(h5group[stored], h5py.Dataset):
            return h5group[stored]
    return None


def _is_number_or_text(dataset: h5py.Dataset) -> bool:
    """Numbers, and text of fixed or varying length."""
    if dataset.shape is None:
        return False
    if h5py.check_enum_dtype(dataset.dtype) or h5py.check_ref_dtype(dataset.dtype):
        return False
    return dataset.dtype.kind in "iufS" or h5py.check_string_dtype(dataset.dtype) is not None


def _describe_dataset(
    name: str, variable: h5netcdf.Variable, dataset: h5py.Dataset, unwritten: bool
) -> Variable:
    attributes = _attributes(dataset)
    described = Variable(
        dims=tuple(variable.dimensions),
        shape=tuple(variable.shape),
        dtype="str" if dataset.dtype.kind == "O" else str(dataset.dtype),
        chunks=tuple(dataset.chunks or dataset.shape) if dataset.ndim else (),
        codecs=(),
        encoding={key: attributes[key] for key in CF_ENCODING if key in attributes},
        storage="virtual",
    )
    hazard = hdf5_hazard(dataset)
    reason = str(hazard or "")
    if not reason and described.shape != dataset.shape:
        reason = "it is shorter than its unlimited dimension"
    if not reason and dataset.dtype.kind == "O":
        reason = str(TEXT)
    try:
        described.codecs = tuple(codec.codec_id for codec in codecs_from_dataset(dataset))
        for codec in described.codecs:
            get_codec_class(f"numcodecs.{codec}")
    except Exception:
        described.codecs = tuple(_filter_names(dataset))
        reason = reason or f"Zarr has no codec for one of its filters: {described.codecs}"
    if described.dims == (name,):
        described.storage = "loaded"
    elif reason and not unwritten:
        too_large = dataset.nbytes > NATIVE_LIMIT
        is_out = too_large or (hazard is not None and hazard.code is Code.TOO_LONG)
        described.storage, described.reason = "dropped" if is_out else "native", reason
        if too_large:
            described.reason += f"; too large to copy ({dataset.nbytes // 1024**2} MB)"
    elif dataset.chunks:
        described.references = int(dataset.id.get_num_chunks())
    else:
        described.references = int(dataset.id.get_storage_size() > 0)
    return described


def _filter_names(dataset: h5py.Dataset) -> list[str]:
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    return [item[3].decode(errors="replace").split(";")[0] or str(item[0]) for item in filters]


def _attributes(dataset: h5py.Dataset) -> dict[str, Any]:
    attributes = {}
    for key in (*CF_ENCODING, "bounds"):
        if key not in dataset.attrs:
            continue
        value = dataset.attrs[key]
        if isinstance(value, h5py.Empty):
            continue
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        attributes[key] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return attributes


def _read_coordinate(
    description: Description, path: str, name: str, described: Variable, dataset: h5py.Dataset
) -> None:
    is_index = described.dims == (name,) and described.storage != "dropped"
    is_time = not described.dims and " since " in str(described.encoding.get("units", ""))
    if not (is_index or is_time) or dataset.size > COORDINATE_LIMIT or dataset.dtype.kind in "OS":
        return
    if dataset.shape != described.shape:
        return
    check_contents(dataset, description.source.url)
    values = dataset[...]
    description.coordinates[path] = decoded(values, described.encoding, described.dims)


def decoded(values: np.ndarray, encoding: dict[str, Any], dims: tuple[str, ...]) -> np.ndarray:
    """CF-decoded by xarray; the numbers themselves where their units mean nothing to it."""
    if not encoding:
        return values
    raw = xr.Dataset({"coordinate": (dims, values, encoding)})
    try:
        return xr.decode_cf(raw)["coordinate"].values
    except (ValueError, OverflowError):
        return xr.decode_cf(raw, decode_times=False)["coordinate"].values


def _describe_parsed(parsed: ParsedFile) -> Description:
    description = Description(parsed.source, parsed.file_format)
    for group, part in {"": parsed, **parsed.children}.items():
        description.unlimited += tuple(
            name for name in part.unlimited if name not in description.unlimited
        )
        for name, variable in part.dataset.variables.items():
            path = f"{group}/{name}".lstrip("/")
            description.variables[path] = _describe_variable(part, str(name), variable)
            is_number = variable.dtype.kind != "O" or name in part.dataset.indexes
            if not is_virtual(variable) and variable.dims in ((name,), ()) and is_number:
                description.coordinates[path] = variable.values
            if name == RUN:
                description.runs |= {str(moment) for moment in variable.values.ravel()}
            if name == STEP and not is_virtual(variable):
                description.steps |= {str(hours) for hours in variable.values.ravel()}
        for name, reason in part.dropped.items():
            path = f"{group}/{name}".lstrip("/")
            description.variables[path] = Variable((), (), "", None, (), {}, "dropped", str(reason))
    return description


def _describe_variable(part: ParsedFile, name: str, variable: xr.Variable) -> Variable:
    described = Variable(
        dims=tuple(map(str, variable.dims)),
        shape=variable.shape,
        dtype=str(variable.encoding.get("dtype", variable.dtype)),
        chunks=None,
        codecs=(),
        encoding=part.packing.get(name, {}),
        storage="native" if name in part.native else "loaded",
        reason=str(part.native.get(name, "")),
    )
    if is_virtual(variable):
        metadata = variable.data.metadata
        names = [codec.to_dict()["name"] for codec in metadata.codecs]
        described.codecs = tuple(n.removeprefix("numcodecs.") for n in names if n != "bytes")
        described.chunks = manifest_chunk_shape(metadata)
        described.storage = "virtual"
        described.references = count_references(variable.data.manifest)
    return described


def digest(values: np.ndarray) -> str:
    """A hash of a coordinate's values and their type."""
    data = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()
    return hashlib.sha256(f"{values.dtype.kind}{values.shape}".encode() + data).hexdigest()
