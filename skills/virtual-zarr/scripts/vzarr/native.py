"""What a file holds, by a reader that knows nothing of manifests: h5netcdf or netCDF-C.

The truth that references are compared with, and the values of what is stored natively.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters that h5py lacks)
import netCDF4
import numpy as np
import obstore
import xarray as xr

from vzarr.errors import InputError
from vzarr.storage import Access, object_store

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIGNATURES = [
    (b"CDF\x01", "netcdf3"),
    (b"CDF\x02", "netcdf3"),
    (b"CDF\x05", "netcdf3"),
    (b"GRIB", "GRIB"),
    (b"SIMPLE  =", "FITS"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x0e\x03\x13\x01", "HDF4"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
]
SUPPORTED = ("hdf5", "netcdf3")
IN_MEMORY_LIMIT = 256 * 1024**2
"""Remote files up to this many bytes are fetched whole, in one request, and parsed from memory."""


@dataclass(frozen=True)
class Content:
    """A file's bytes: a local path, the whole content of a small object, or a remote reader."""

    url: str
    handle: Path | bytes | Any

    def open(self) -> Any:
        """A path or a seekable file object."""
        return io.BytesIO(self.handle) if isinstance(self.handle, bytes) else self.handle

    def head(self, length: int = 4096) -> bytes:
        if isinstance(self.handle, bytes):
            return self.handle[:length]
        if isinstance(self.handle, Path):
            with self.handle.open("rb") as file:
                return file.read(length)
        self.handle.seek(0)
        return bytes(self.handle.read(length))


def fetch(url: str, access: Access, size: int) -> Content:
    """The content of one source. ``size`` in bytes decides whether it is fetched whole."""
    if url.startswith("file://"):
        return Content(url, Path(url.removeprefix("file://")))
    store, path = object_store(url, access)
    if size <= IN_MEMORY_LIMIT:
        return Content(url, bytes(obstore.get(store, path).bytes()))
    return Content(url, obstore.open_reader(store, path, buffer_size=4 * 1024**2))


def detect_format(content: Content) -> str:
    """``hdf5`` or ``netcdf3``, by the first bytes and never by the name.

    Raises
    ------
    InputError
        For an empty file and for any other format, which it names where it knows it.
    """
    head = content.head()
    if not head:
        raise InputError(f"{content.url}: the file is empty.")
    # HDF5 allows a user block of 512, 1024, 2048... bytes before the signature.
    if any(head[offset : offset + 8] == HDF5_SIGNATURE for offset in (0, 512, 1024, 2048)):
        return "hdf5"
    found = next((name for magic, name in _SIGNATURES if head.startswith(magic)), None)
    if found == "netcdf3":
        return found
    if found is None:
        raise InputError(f"{content.url}: not NetCDF or HDF5 (begins with {head[:8]!r}).")
    raise InputError(f"{content.url}: {found} is not supported by this tool, only NetCDF and HDF5.")


@contextmanager
def open_native(content: Content, file_format: str) -> Iterator[xr.Dataset]:
    """The root group, CF-decoded; times stay undecoded where xarray cannot decode their units.

    Raises
    ------
    Exception
        Whatever the reader raises for a file that it cannot read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = _open(content, file_format, decode_times=True)
        except (ValueError, OverflowError) as error:
            if "decode time" not in str(error):
                raise
            dataset = _open(content, file_format, decode_times=False)
        with dataset:
            yield dataset


def _open(content: Content, file_format: str, decode_times: bool) -> xr.Dataset:
    options: dict[str, Any] = {"decode_times": decode_times, "cache": False}
    if file_format == "hdf5":
        return xr.open_dataset(content.open(), engine="h5netcdf", phony_dims="sort", **options)
    if isinstance(content.handle, Path):
        return xr.open_dataset(content.handle, engine="netcdf4", **options)
    file = netCDF4.Dataset(content.url, memory=_all_bytes(content))
    return xr.open_dataset(xr.backends.NetCDF4DataStore(file), **options)


def _all_bytes(content: Content) -> bytes:
    if isinstance(content.handle, bytes):
        return content.handle
    content.handle.seek(0)
    return bytes(content.handle.read())


def child_groups(content: Content) -> list[str]:
    """Names of an HDF5 file's groups below its root that hold datasets."""
    names: set[str] = set()

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and "/" in name:
            names.add(name.rpartition("/")[0])

    with h5py.File(content.open(), "r") as file:
        file.visititems(note)
    return sorted(names)


def hdf5_hazards(content: Content) -> dict[str, str]:
    """Variables of the root group whose bytes references cannot describe, each with its reason.

    VirtualiZarr 2.8 reads these as fill values or garbage, without an error.
    """
    hazards: dict[str, str] = {}
    with h5py.File(content.open(), "r") as file:
        for name in file:
            kind = file.get(name, getclass=True, getlink=False)
            if kind is not h5py.Dataset:
                continue
            reason = _hazard(file[name])
            if reason:
                hazards[name] = reason
    return hazards


def hdf5_placeholders(content: Content, native: xr.Dataset) -> list[str]:
    """Datasets of the root group that are no variables, such as dimensions without coordinates.

    VirtualiZarr 2.8 returns some of them as variables of zeros.
    """
    with h5py.File(content.open(), "r") as file:
        datasets = [name for name in file if file.get(name, getclass=True) is h5py.Dataset]
    return [name for name in datasets if name not in native.variables]


def _hazard(dataset: h5py.Dataset) -> str | None:
    if dataset.shape is None or dataset.size == 0:
        return None
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    if layout == h5py.h5d.COMPACT:
        return "HDF5 compact layout: its values lie in the file's header"
    if layout == h5py.h5d.VIRTUAL:
        return "HDF5 virtual dataset: its values lie in other files"
    if layout == h5py.h5d.CONTIGUOUS and plan.get_external_count():
        return "HDF5 external storage: its values lie in another file"
    if layout == h5py.h5d.CHUNKED and plan.get_nfilters():
        masks: list[int] = []
        dataset.id.chunk_iter(lambda chunk: masks.append(chunk.filter_mask))
        if any(masks):
            return "HDF5 chunks that skip a filter"
    return None


def values_equal(left: np.ndarray, right: np.ndarray, packed: bool) -> bool:
    """Equal shape and values, NaN equal to NaN.

    ``packed`` floats may differ by rounding: HDF5 readers unpack float32 scale factors in float32,
    Zarr readers in float64, because JSON attributes carry no width.
    """
    return left.shape == right.shape and not mismatch(left, right, packed).any()


def mismatch(left: np.ndarray, right: np.ndarray, packed: bool) -> np.ndarray:
    """Where two arrays of one shape differ, as booleans."""
    if left.dtype.kind in "fc" and right.dtype.kind in "fc":
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        if packed:
            same |= np.isclose(left, right, rtol=1e-6, atol=0, equal_nan=True)
            # A value near zero loses its digits in the sum of scale and offset.
            spread = np.nanmax(np.abs(right), initial=0.0, where=np.isfinite(right))
            same |= np.abs(left - right) <= 1e-6 * spread
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
        value = value.decode("utf-8", "replace")
    return value.rstrip("\x00") if isinstance(value, str) else value
