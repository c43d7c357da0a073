"""What files hold by their formats' own libraries, read without anything of the tool.

Runs in a process of its own: a damaged file can end it. ``compare`` is the judge of a repository.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

SIZES = {"b": "bands", "y": "lines", "x": "samples"}
ROUNDED = 1e-6
"""Of the largest value: unpacking in float32 or float64, and how GRIB's decoders round."""


def compare(kind: str, path: str, repository: str) -> dict[str, Any]:
    """The values that differ, as sentences; how many were compared; why nothing could be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            truths = READERS[kind](Path(path))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return {"wrong": [], "values": 0, "unread": f"{type(error).__name__}: {error}"[:200]}
        stored = read_store(Path(repository))
        if kind == "grib":
            wrong, values = _compare_fields(stored, truths)
        else:
            wrong, values = _compare_named(stored, truths)
    return {"wrong": wrong, "values": values, "unread": ""}


def read_store(repository: Path) -> dict[str, xr.Variable]:
    """All variables of a repository over local files, decoded, by path."""
    import icechunk
    import virtual_tiff  # noqa: F401  (registers its codecs)
    import zarr

    storage = icechunk.local_filesystem_storage(str(repository))
    config = icechunk.Repository.fetch_config(storage)
    prefixes = list(config.virtual_chunk_containers or {}) if config else []
    access = dict.fromkeys(prefixes, icechunk.credentials.LocalFileSystemAccess)
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    store = repo.readonly_session("main").store
    found = {}
    groups = [
        "",
        *(
            name
            for name, item in zarr.open_group(store, mode="r").members(None)
            if isinstance(item, zarr.Group)
        ),
    ]
    for group in groups:
        raw = xr.open_zarr(
            store,
            group=group or None,
            consolidated=False,
            chunks=None,
            decode_cf=False,
            create_default_indexes=False,
        )
        for name, variable in raw.variables.items():
            found[f"{group}/{name}".lstrip("/")] = decode(variable)
    return found


def decode(variable: xr.Variable) -> xr.Variable:
    """By CF; the numbers of a time whose units mean nothing."""
    for times in (True, False):
        try:
            decoded = xr.conventions.decode_cf_variable(
                "v", variable, decode_times=times, decode_timedelta=False
            )
            return decoded.load()
        except (ValueError, OverflowError, TypeError, KeyError):
            continue
    return variable.load()


def _compare_named(
    stored: dict[str, xr.Variable], truths: dict[str, xr.Variable]
) -> tuple[list[str], int]:
    wrong, count = [], 0
    for path, variable in stored.items():
        if path not in truths:
            continue
        mine, theirs = np.asarray(variable.values), np.asarray(decode(truths[path]).values)
        if mine.shape != theirs.shape:  # readers of NetCDF show all as long as the longest
            if mine.ndim != theirs.ndim:
                wrong.append(f"{path} has the shape {mine.shape}, in the file {theirs.shape}")
                continue
            mine = mine[tuple(slice(0, size) for size in theirs.shape)]
        count += theirs.size
        if mine.shape != theirs.shape or not _equal(mine, theirs):
            wrong.append(f"{path} reads {_shown(mine)}, in the file {_shown(theirs)}")
    return wrong, count


def _compare_fields(
    stored: dict[str, xr.Variable], truths: dict[str, xr.Variable]
) -> tuple[list[str], int]:
    """Each field of the store must be one of the file's messages."""
    wrong, count = [], 0
    names = {"latitude", "longitude", "time", "level", "number", "step", "valid_time"}
    for path, variable in stored.items():
        if path.rpartition("/")[2] in names or variable.ndim < 2 or variable.dtype.kind != "f":
            continue
        values = variable.values
        flat = variable.dims[-1] == "point"
        for field in values.reshape(-1, *values.shape[-1 if flat else -2 :]):
            if np.isnan(field).all():
                continue
            count += field.size
            same = [truth.values for truth in truths.values() if truth.size == field.size]
            if not any(_equal(field.ravel(), truth.ravel()) for truth in same):
                wrong.append(f"{path} has a field {_shown(field)} that is no message's")
    return wrong, count


def _equal(mine: np.ndarray, theirs: np.ndarray) -> bool:
    if mine.dtype.kind in "iufb" and theirs.dtype.kind in "iufb":
        mine, theirs = mine.astype("f8"), theirs.astype("f8")
        if mine.size == 0:
            return True
        with np.errstate(all="ignore"):
            largest = np.nanmax(np.abs(theirs[np.isfinite(theirs)]), initial=0.0)
            close = np.abs(mine - theirs) <= ROUNDED * (np.abs(theirs) + largest)
        return bool((close | (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))).all())
    if "M" in (mine.dtype.kind, theirs.dtype.kind):
        if mine.dtype.kind != theirs.dtype.kind:
            return True  # one of them could not be decoded; its numbers are compared by verify
        return bool(((mine == theirs) | (np.isnat(mine) & np.isnat(theirs))).all())
    if mine.dtype.names or theirs.dtype.names or "c" in (mine.dtype.kind, theirs.dtype.kind):
        return mine.tolist() == theirs.tolist() or bool(np.isnan(np.abs(theirs)).any())
    pairs = zip(mine.ravel().tolist(), theirs.ravel().tolist(), strict=True)
    return all(_text(a) == _text(b) for a, b in pairs)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value).rstrip("\x00")


def _shown(values: np.ndarray) -> str:
    return np.array2string(values.ravel()[:6], separator=", ")


def _hdf5(path: Path) -> dict[str, xr.Variable]:
    import h5py
    import hdf5plugin  # noqa: F401

    found: dict[str, xr.Variable] = {}

    def note(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.shape is None or item.nbytes > 10**8:
            return
        values = item.asstr(errors="replace")[...] if item.dtype.kind == "O" else item[...]
        attributes = {}
        for key in (
            "units",
            "calendar",
            "scale_factor",
            "add_offset",
            "_FillValue",
            "missing_value",
            "_Unsigned",
        ):
            if key in item.attrs:
                value = item.attrs[key]
                value = value.decode() if isinstance(value, bytes) else value
                attributes[key] = value[0] if np.size(value) == 1 and np.ndim(value) else value
        room, _, own = name.rpartition("/")
        own = own.removeprefix("_nc4_non_coord_")
        dims = [f"d{axis}" for axis in range(np.ndim(values))]
        found[f"{room}/{own}".lstrip("/")] = xr.Variable(dims, values, attributes)

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def _netcdf3(path: Path) -> dict[str, xr.Variable]:
    from scipy.io import netcdf_file

    with netcdf_file(path, "r", mmap=False, maskandscale=False) as file:
        found = {}
        for name, variable in file.variables.items():
            attributes = {
                key: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                for key, value in variable._attributes.items()
            }
            values = np.array(variable.data)
            values = values.astype(values.dtype.newbyteorder("="))
            found[name] = xr.Variable(variable.dimensions, values, attributes)
        return found


def _fits(path: Path) -> dict[str, xr.Variable]:
    from astropy.io import fits

    found = {}
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        names: list[str] = []
        for number, hdu in enumerate(hdus):
            name = hdu.name or str(number)
            names.append(f"{name}_{number}" if name in names else name)
            if not hdu.is_image or isinstance(hdu, fits.GroupsHDU) or hdu.data is None:
                continue
            values = np.asarray(hdu.data).astype("f8")
            blank = hdu._orig_blank
            if blank is not None and hdu.header["BITPIX"] > 0:
                values = np.where(values == blank, np.nan, values)
            values = values * hdu._orig_bscale + hdu._orig_bzero
            dims = [f"d{axis}" for axis in range(values.ndim)]
            found[names[-1]] = xr.Variable(dims, values)
    return found


def _tiff(path: Path) -> dict[str, xr.Variable]:
    import tifffile

    found = {}
    with tifffile.TiffFile(path) as tiff:
        pages = [page.aspage() for page in tiff.pages]
        kept = {n: p for n, p in enumerate(pages) if n == 0 or not int(p.subfiletype) & 5}
        for number, page in kept.items():
            values = page.asarray()
            if page.samplesperpixel > 1 and int(page.planarconfig) == 1:
                values = np.moveaxis(values, -1, 0)
            values = values.astype(values.dtype.newbyteorder("="))
            attributes = {}
            if 42113 in page.tags:
                try:
                    fill = float(str(page.tags[42113].value).strip("\x00 "))
                    if values.dtype.kind == "f" or fill == int(fill):
                        attributes["_FillValue"] = values.dtype.type(fill)
                except (ValueError, OverflowError):
                    pass
            name = "image" if len(kept) == 1 else f"image_{number}"
            dims = [f"d{axis}" for axis in range(values.ndim)]
            found[name] = xr.Variable(dims, values, attributes)
    return found


def _hdf4(path: Path) -> dict[str, xr.Variable]:
    from pyhdf.SD import SD

    found = {}
    file = SD(str(path))
    for index in range(file.info()[0]):
        dataset = file.select(index)
        name = dataset.info()[0]
        values = np.asarray(dataset.get())
        dims = [f"d{axis}" for axis in range(values.ndim)]
        name = f"{name}_{index}" if name in found else name
        found[name] = xr.Variable(dims, values, dataset.attributes())
    file.end()
    return found


def _zarr(path: Path) -> dict[str, xr.Variable]:
    import zarr

    store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
    found = {}
    for name, item in zarr.open_group(store, mode="r").members(None):
        if not isinstance(item, zarr.Array):
            continue
        attributes = dict(item.attrs)
        attributes.pop("_ARRAY_DIMENSIONS", None)
        if item.metadata.zarr_format == 2 and item.fill_value is not None:
            attributes.setdefault("_FillValue", item.fill_value)
        elif "_FillValue" in attributes:
            coder = xr.backends.zarr.FillValueCoder
            attributes["_FillValue"] = coder.decode(attributes["_FillValue"], item.dtype)
        dims = [f"d{axis}" for axis in range(item.ndim)]
        found[name] = xr.Variable(dims, item[...], attributes)
    return found


def _envi(path: Path) -> dict[str, xr.Variable]:
    types = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4"}
    types |= {14: "i8", 15: "u8"}
    header = next(p for p in (Path(f"{path}.hdr"), path.with_suffix(".hdr")) if p.exists())
    fields = {}
    for line in header.read_text(errors="replace").splitlines():
        name, sign, value = line.partition("=")
        if sign:
            fields[name.strip().lower()] = value.strip()
    sizes = {axis: int(fields[key]) for axis, key in SIZES.items()}
    axes = {"bsq": "byx", "bil": "ybx", "bip": "yxb"}[fields["interleave"].lower()]
    order = ">" if int(fields.get("byte order", 0)) else "<"
    shape = [sizes[axis] for axis in axes]
    dtype = np.dtype(order + types[int(fields["data type"])])
    offset = int(fields.get("header offset", 0))
    values = np.fromfile(path, dtype, int(np.prod(shape)), offset=offset).reshape(shape)
    attributes = {}
    if "data ignore value" in fields and dtype.kind in "iuf":
        attributes["_FillValue"] = np.asarray(float(fields["data ignore value"])).astype(dtype)[()]
    values = values.astype(dtype.newbyteorder("="))
    return {"image": xr.Variable(list(axes), values, attributes)}


def _grib(path: Path) -> dict[str, xr.Variable]:
    import eccodes

    found = {}
    eccodes.codes_grib_multi_support_on()
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            eccodes.codes_set(handle, "missingValue", 1e100)
            values = np.asarray(eccodes.codes_get_values(handle))
            values = np.where(values == 1e100, np.nan, values)
            found[str(len(found))] = xr.Variable(["point"], values)
            eccodes.codes_release(handle)
    return found


def _kerchunk(path: Path) -> dict[str, xr.Variable]:
    """Numbers as they are stored: which of them are missing is not for the references to say."""
    import base64

    import zarr
    from zarr.core.buffer import default_buffer_prototype

    make = default_buffer_prototype().buffer.from_bytes
    whole = json.loads(path.read_text())
    members = {}
    for key, reference in whole["refs"].items():
        if isinstance(reference, list):
            url = reference[0]
            for name, value in (whole.get("templates") or {}).items():
                url = url.replace("{{" + name + "}}", value)
            file = path.parent / url.removeprefix("file://")
            data = file.read_bytes()
            if len(reference) == 3:
                data = data[reference[1] : reference[1] + reference[2]]
        elif isinstance(reference, dict):
            data = json.dumps(reference).encode()
        else:
            is_coded = reference.startswith("base64:")
            data = base64.b64decode(reference[7:]) if is_coded else reference.encode()
        members[key] = make(data)
    store = zarr.storage.MemoryStore(members, read_only=True)
    found = {}
    for name, item in zarr.open_group(store, mode="r").members(None):
        if isinstance(item, zarr.Array):
            attributes = dict(item.attrs)
            attributes.pop("_ARRAY_DIMENSIONS", None)
            values = item[...]
            dims = [f"d{axis}" for axis in range(item.ndim)]
            found[name] = xr.Variable(dims, values, attributes)
    return found


READERS: dict[str, Callable[[Path], dict[str, xr.Variable]]] = {
    "hdf5": _hdf5,
    "netcdf3": _netcdf3,
    "fits": _fits,
    "tiff": _tiff,
    "hdf4": _hdf4,
    "zarr": _zarr,
    "envi": _envi,
    "grib": _grib,
    "kerchunk": _kerchunk,
}
