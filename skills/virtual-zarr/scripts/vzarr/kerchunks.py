"""Kerchunk references in JSON and Parquet, compared with the bytes that they lead to.

Kerchunk keeps a source's ``_FillValue`` as the arrays' fill value only, where it cannot be told
from the zero that HDF5 gives to arrays without one: the source file itself is asked.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import obstore
import xarray as xr
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers.kerchunk.translator import manifestgroup_from_kerchunk_refs
from zarr.core.buffer import Buffer, default_buffer_prototype

from vzarr.errors import InputError
from vzarr.find import look_up, look_up_all
from vzarr.native import Content, detect_format, fetch
from vzarr.storage import Access, as_url, object_store, refuse_secrets, without_secrets
from vzarr.trust import folder_of, is_below, options_for, places_of


def list_groups(content: Content) -> list[str]:
    names = (".zarray", "zarr.json")
    arrays = [key.rpartition("/")[0] for key in _references(content) if _last(key) in names]
    arrays = [path for path in arrays if path and _is_array(content, path)]
    return sorted({"", *(path.rpartition("/")[0] for path in arrays)})


def open_raw(content: Content, group: str) -> xr.Dataset:
    store = zarr.storage.MemoryStore(_Values(content), read_only=True)
    raw = xr.open_zarr(store, group=group or None, consolidated=False, chunks=None, decode_cf=False)
    for name, variable in raw.variables.items():
        fill = variable.attrs.get("_FillValue")
        if fill is not None and not _declares_fill(content, group, str(name), fill):
            del variable.attrs["_FillValue"]
    return raw


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    references = {"version": 1, "refs": dict(_references(content))}
    return manifestgroup_from_kerchunk_refs(references, group=group or None, skip_variables=drop)


def _last(key: str) -> str:
    return key.rpartition("/")[2]


def _is_array(content: Content, path: str) -> bool:
    references = _references(content)
    if f"{path}/.zarray" in references:
        return True
    return json.loads(_text(references[f"{path}/zarr.json"])).get("node_type") == "array"


def _references(content: Content) -> dict[str, Any]:
    """Key to text or ``[url, offset, length]``, with absolute URLs and without templates."""
    if "refs" not in content.cache:
        found = _from_parquet(content) if content.is_folder else _from_json(content)
        _check_targets(content, found)
        content.cache["refs"] = found
        content.cache["targets"] = {ref[0] for ref in found.values() if isinstance(ref, list)}
    return content.cache["refs"]


def _from_json(content: Content) -> dict[str, Any]:
    whole = json.loads(content.read())
    references = whole.get("refs", whole)
    if whole.get("gen"):
        raise InputError(
            f"{content.url}: Kerchunk references with gen, which no parser here expands; "
            "save them expanded (fsspec's ReferenceFileSystem.save_json)."
        )
    templates = whole.get("templates", {})
    return {key: _absolute(content, ref, templates) for key, ref in references.items()}


def _from_parquet(content: Content) -> dict[str, Any]:
    from fsspec.implementations.local import LocalFileSystem
    from fsspec.implementations.reference import LazyReferenceMapper

    if not isinstance(content.handle, Path):
        raise InputError(
            f"{content.url}: Kerchunk Parquet is read from local folders only: copy it here."
        )
    mapper = LazyReferenceMapper(str(content.handle), fs=LocalFileSystem())
    found = {}
    for key in mapper:
        reference = mapper._load_one_key(key) if _last(key)[0] != "." else mapper[key]
        found[key] = _absolute(content, reference, {})
    return found


def _absolute(content: Content, reference: Any, templates: dict[str, str]) -> Any:
    if isinstance(reference, dict):
        return json.dumps(reference)
    if isinstance(reference, bytes):
        return reference.decode("latin-1") if reference.isascii() else _base64(reference)
    if not isinstance(reference, list | tuple):
        return reference
    url, *span = reference
    for name, value in templates.items():
        url = url.replace("{{" + name + "}}", value).replace("{{ " + name + " }}", value)
    if "{{" in url:
        raise InputError(f"{content.url}: a template that is not defined: {url}.")
    refuse_secrets(url)
    place = _moved(content.access, url)
    if place is None:
        if "://" not in url and not url.startswith("/"):
            url = f"{content.url.rpartition('/')[0]}/{url}"
        places = content.cache.setdefault("places", {})
        if url not in places:  # resolving a local path asks the file system for each folder
            places[url] = as_url(url)
        url = places[url]
        place = _moved(content.access, url)
    if place is not None:
        content.cache["moved"] = True
    return [place or url, *map(int, span)]


def _moved(access: Access, url: str) -> str | None:
    """Where a reference leads now, if what it begins with has moved."""
    if access.moved is None:
        return None
    old, new = access.moved
    for prefix in {old, as_url(old) if "://" not in old else old}:
        if url.startswith(prefix.rstrip("/") + "/"):
            return as_url(new).rstrip("/") + url[len(prefix.rstrip("/")) :]
    return None


def _base64(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


def _check_targets(content: Content, references: dict[str, Any]) -> None:
    """Every file must be named, be there, and be long enough for what is wanted of it."""
    needed: dict[str, int] = {}
    for reference in references.values():
        if isinstance(reference, list):
            url, *span = reference
            needed[url] = max(sum(span), needed.get(url, 0))
    folders = (folder_of(content.url), *content.access.trust)
    if strange := [url for url in needed if not is_below(url, folders, resolve=True)]:
        places = places_of(sorted(strange))
        raise InputError(
            f"{content.url}: its references lead to {without_secrets(strange[0])}, which is below "
            f"no folder that was named: if they are right, add {options_for(places)}."
        )
    found = look_up_all(sorted(needed), content.access)
    for url, state in found.items():
        if isinstance(state, Exception):
            raise InputError(
                f"{content.url}: its references lead to {url}, which cannot be read "
                f"({type(state).__name__}): put the data there, or correct the paths (migrate "
                "takes --from and --to)."
            ) from state
        if state.size < needed[url]:
            raise InputError(
                f"{content.url}: its references need {needed[url]} bytes of {url}, which has "
                f"{state.size}: it is not the file that they were made of; make them anew."
            )
    old = (content.access.moved or ("",))[0]
    if old and not content.cache.get("moved"):
        first = next(iter(needed), "nothing")
        raise InputError(f"{content.url}: no reference begins with {old}; one leads to {first}.")


def _text(value: Any) -> bytes:
    if isinstance(value, str) and value.startswith("base64:"):
        return base64.b64decode(value[7:])
    return value.encode() if isinstance(value, str) else bytes(value)


class _Values(MutableMapping[str, Buffer]):
    """What the references lead to, fetched when it is asked for."""

    def __init__(self, content: Content) -> None:
        self._content, self._references = content, _references(content)

    def __getitem__(self, key: str) -> Buffer:
        reference = self._references[key]
        if isinstance(reference, list):
            store, path = object_store(reference[0], self._content.access)
            if len(reference) == 1:
                data = bytes(obstore.get(store, path).bytes())
            else:
                start, length = reference[1:]
                data = bytes(obstore.get_range(store, path, start=start, length=length))
        else:
            data = _text(reference)
        return default_buffer_prototype().buffer.from_bytes(data)

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def __setitem__(self, key: str, value: Buffer) -> None:
        raise TypeError("read only")

    def __delitem__(self, key: str) -> None:
        raise TypeError("read only")


def _declares_fill(content: Content, group: str, name: str, fill: Any) -> bool:
    """Whether the source has a ``_FillValue``, where it is HDF5; else it is taken to have one.

    A variable whose values all lie in the references says no source: then the first source of
    others is asked. Without any, zero is taken for the value that HDF5 gives by itself.
    """
    path = f"{group}/{name}".lstrip("/")
    if _declares_in_attributes(content, path):
        return True
    targets = [
        reference[0]
        for key, reference in _references(content).items()
        if isinstance(reference, list) and key.startswith(f"{path}/")
    ]
    known = content.cache.setdefault("declared", {})
    for url in (targets or sorted(content.cache["targets"]))[:1]:
        if url not in known:
            known[url] = _declared(content, url)
        declared = known[url]
        if declared is not None and path in declared:
            return declared[path]
        if targets:
            return True
    if np.any(np.asarray(fill) != 0):
        return True
    note = f"{path}: the references say that 0 is missing, which Kerchunk does always; it is kept"
    content.cache.setdefault("notes", []).append(note)
    return False


def _declares_in_attributes(content: Content, path: str) -> bool:
    return b"_FillValue" in _text(_references(content).get(f"{path}/.zattrs", "{}"))


def _declared(content: Content, url: str) -> dict[str, bool] | None:
    """Which datasets of an HDF5 file declare ``_FillValue``; None for other formats."""
    try:
        source = fetch(url, content.access, look_up(url, content.access).size)
        if detect_format(source) != "hdf5":
            return None
    except InputError:
        return None
    names: dict[str, bool] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names[name] = "_FillValue" in item.attrs

    with h5py.File(source.open(), "r") as file:
        file.visititems(note)
    return names
