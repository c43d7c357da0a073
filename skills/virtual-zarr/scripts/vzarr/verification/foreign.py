"""A repository that this tool did not build, beside the files that someone says it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import icechunk
import zarr

import vzarr
from vzarr.combine.store_metadata import GroupRecord, StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.formats.detect import detect_format
from vzarr.formats.open import list_groups, open_native
from vzarr.formats.reasons import BY_DROP
from vzarr.repository.references import array_paths, read_references
from vzarr.sources.content import Content, fetch
from vzarr.sources.discover import Source, SourceRecord, find_sources
from vzarr.sources.fingerprint import fingerprint
from vzarr.sources.schemes import Access
from vzarr.upstream.zarr import array_at, dimension_names
from vzarr.virtualize.names import names_path, unknown

BY_SKIP = "named by --skip"


@dataclass(frozen=True)
class FileGroup:
    """One group of one file: sizes of dimensions, and names of variables.

    ``firsts``: the first value of each coordinate, in a list that is empty where there is none;
    ``times``: coordinates that may be the record dimension.
    """

    sizes: dict[str, int]
    firsts: dict[str, list[Any]]
    times: list[str]
    names: list[str]


Contents = dict[str, dict[str, FileGroup]]
"""By the URL of a file, and by group."""


Sizes = dict[str, dict[str, int]]
"""Of dimensions, by group."""


def describe_named(
    store: icechunk.IcechunkStore,
    patterns: list[str],
    access: Access,
    *,
    concat_dim: str | None = None,
    source_group: str | None = None,
    skip: tuple[str, ...] = (),
) -> StoreMetadata:
    """What ``build`` would have kept, as far as ``verify`` needs it.

    ``source_group`` of the files lies at the store's root; ``skip`` names variables to leave alone,
    by their path, or in any group by their name.
    The files are put in the order of their record coordinate, as a right store has them.

    Raises
    ------
    InputError
        For files that cannot be read, if the dimension along which they lie is not clear, and for
        a name that selects nothing.
    """
    sources = find_sources(patterns, access)
    read_from = None if source_group is None else source_group.strip("/")
    skip = tuple(name.strip("/") for name in skip)
    contents = {source.url: _look_into(source, access, read_from, skip) for source in sources}
    stored_sizes = _stored_sizes(store)
    if concat_dim is None and len(sources) > 1:
        concat_dim = _guess_dimension(contents, stored_sizes)
    elif concat_dim is not None:
        _check_dimension(concat_dim, contents, stored_sizes)
    _check_skipped(skip, contents, array_paths(store))
    order = _in_order(sources, contents, concat_dim)
    below = sorted({*stored_sizes, *(path for groups in contents.values() for path in groups)})
    virtual = [
        path for path in array_paths(store) if any(True for _ in read_references(store, path))
    ]
    described: dict[str, GroupRecord] = {
        path: {
            "concat_dim": concat_dim if _grows(contents, stored_sizes, path, concat_dim) else None,
            "lengths": [_length(contents[source.url].get(path), concat_dim) for source in order],
            "virtual": [name.rpartition("/")[2] for name in virtual if _parent(name) == path],
            "loaded": [] if path in stored_sizes else _names(contents, path),
            "native": {},
            "dropped": dict.fromkeys(_names_in(skip, path), BY_SKIP),
            "by_option": _names_in(skip, path),
            "without_source": _names_in(skip, path),
        }
        for path in below
    }
    if read_from is not None:
        for group in described.values():
            group["source_group"] = read_from
    records = [source.as_record() for source in order]
    return {"concat_dim": concat_dim, "sources": records, "replaced": [], "groups": described}


def complete_named(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, access: Access
) -> StoreMetadata:
    """What ``describe_named`` found, with all that the ledger keeps for appends to come."""
    groups: dict[str, GroupRecord] = {
        path: {
            **known,
            "loaded": [
                name.rpartition("/")[2]
                for name in array_paths(store)
                if _parent(name) == path and name.rpartition("/")[2] not in known["virtual"]
            ],
            "dropped": dict.fromkeys(known["dropped"], str(BY_DROP)),
        }
        for path, known in metadata["groups"].items()
    }
    sources: list[SourceRecord] = [
        {
            **record,
            "fingerprint": fingerprint(
                fetch(record["url"], access, record["size"]), record["size"]
            ),
        }
        for record in metadata["sources"]
    ]
    return {"version": vzarr.__version__, **metadata, "sources": sources, "groups": groups}


def _look_into(
    source: Source, access: Access, group: str | None, skip: tuple[str, ...]
) -> dict[str, FileGroup]:
    """The groups of a file that have variables, or the one that is to be read as the root."""
    content = fetch(source.url, access, source.size)
    file_format = detect_format(content)
    groups: dict[str, FileGroup] = {}
    available = list_groups(content)
    if group and group not in available:
        what = f"{source.url} has no group of this name"
        raise unknown("--group", group, what, filter(None, available))
    for path in available if group is None else [group]:
        left_out = _names_in(skip, path)
        names = _all_names(content, file_format, path, left_out)
        with open_native(content, file_format, path, left_out) as native:
            if native.variables:
                firsts = {
                    str(name): native[name].values.ravel()[:1].tolist()
                    for name in native.variables
                    if native[name].ndim == 0 or native[name].dims == (name,)
                }
                times = [name for name in firsts if native[name].dtype.kind == "M"]
                times += list(native.encoding.get("unlimited_dims", ()))
                sizes = {str(name): size for name, size in native.sizes.items()}
                groups[path if group is None else ""] = FileGroup(sizes, firsts, times, names)
    return groups


def _all_names(content: Content, file_format: str, path: str, skip: list[str]) -> list[str]:
    """The variables of a group, also those to leave alone."""
    try:
        with open_native(content, file_format, path) as native:
            return sorted(map(str, native.variables))
    except Refused:  # one declares more than is allowed, which is why it is left alone
        with open_native(content, file_format, path, skip) as native:
            return sorted({*map(str, native.variables), *skip})


def _stored_sizes(store: icechunk.IcechunkStore) -> Sizes:
    """By group: the length of each dimension, the longest where arrays do not agree."""
    root = zarr.open_group(store, mode="r")
    by_group: Sizes = {}
    for path in array_paths(store):
        sizes = by_group.setdefault(_parent(path), {})
        array = array_at(root, path)
        for name, size in zip(dimension_names(array), array.shape, strict=False):
            sizes[str(name)] = max(size, sizes.get(str(name), 0))
    return by_group


def _guess_dimension(contents: Contents, stored_sizes: Sizes) -> str:
    names: dict[str, bool] = {}
    for path, sizes in stored_sizes.items():
        parts = [groups[path] for groups in contents.values() if path in groups]
        for name, size in sizes.items():
            lengths = [part.sizes.get(name, 1) for part in parts]
            if parts and set(lengths) != {size}:
                is_time = any(name in part.times for part in parts)
                names[name] = names.get(name, False) or is_time
    chosen = [name for name, is_time in names.items() if is_time] or list(names)
    if len(chosen) != 1:
        candidates = ", ".join(chosen) or "none is longer than in one file"
        raise InputError(
            f"The dimension along which the files lie is not clear ({candidates}): name it with "
            "--concat-dim."
        )
    return chosen[0]


def _check_dimension(
    dimension: str,
    contents: Contents,
    stored_sizes: Sizes,
) -> None:
    parts = [part for groups in contents.values() for part in groups.values()]
    sizes = [*stored_sizes.values(), *(part.sizes for part in parts)]
    names = sorted({name for group_sizes in sizes for name in group_sizes})
    if dimension not in names:
        what = "neither the store nor a file has a dimension of this name"
        raise unknown("--concat-dim", dimension, what, names)


def _check_skipped(skip: tuple[str, ...], contents: Contents, stored: list[str]) -> None:
    in_files = [
        f"{path}/{name}".lstrip("/")
        for groups in contents.values()
        for path, part in groups.items()
        for name in part.names
    ]
    paths = sorted({*stored, *in_files})
    for name in skip:
        if not any(names_path(name, path) for path in paths):
            what = "neither the store nor a file has a variable of this name"
            raise unknown("--skip", name, what, paths)


def _in_order(sources: list[Source], contents: Contents, dimension: str | None) -> list[Source]:
    def first(source: Source) -> Any:
        parts = contents[source.url].values()
        values = [part.firsts.get(dimension or "") for part in parts]
        return next(value for value in values if value)

    try:
        return sorted(sources, key=first)
    except (StopIteration, TypeError):  # no such coordinate, or values that cannot be compared
        return sources


def _grows(
    contents: Contents,
    stored_sizes: Sizes,
    path: str,
    dimension: str | None,
) -> bool:
    parts = [groups[path] for groups in contents.values() if path in groups]
    in_files = any(dimension in part.sizes for part in parts)
    return in_files or dimension in stored_sizes.get(path, {})


def _names(contents: Contents, path: str) -> list[str]:
    return next((groups[path].names for groups in contents.values() if path in groups), [])


def _length(part: FileGroup | None, dimension: str | None) -> int:
    return 1 if part is None else part.sizes.get(dimension or "", 1)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _names_in(names: tuple[str, ...], group: str) -> list[str]:
    return [name.rpartition("/")[2] for name in names if _parent(name) in ("", group)]
