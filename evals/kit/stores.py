"""A store that was left behind, opened as any reader would: with Icechunk and xarray alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ICECHUNK_LOG", "error")  # read once, when Icechunk is imported

import icechunk
import numpy as np
import xarray as xr
import zarr

from kit.grading import Grade


@dataclass
class Opened:
    """One state of a repository, and the dataset at its root."""

    repo: icechunk.Repository
    session: icechunk.Session
    ds: xr.Dataset


def newest(opened: Opened) -> str:
    """The message of the newest commit of ``main``."""
    return next(opened.repo.ancestry(branch="main")).message


def open_store(
    grade: Grade,
    storage: Path | icechunk.Storage,
    *,
    group: str | None = None,
    what: str = "store",
    s3: Any = None,
    **state: str,
) -> Opened | None:
    """Open a repository with what it saved itself; ``state``: ``branch``, ``tag``, ``snapshot_id``.

    ``s3``: keys for S3, else those of the environment. Notes whether it opens, and whether it says
    where its virtual chunks lie.
    """
    try:
        if isinstance(storage, Path):
            if not storage.is_dir():
                raise FileNotFoundError(f"no {storage.name}")
            storage = icechunk.local_filesystem_storage(str(storage))
        config = icechunk.Repository.fetch_config(storage)
        prefixes = list((config.virtual_chunk_containers or {}) if config else {})
        repo = icechunk.Repository.open(
            storage, authorize_virtual_chunk_access=authorize(prefixes, s3)
        )
        session = repo.readonly_session(**(state or {"branch": "main"}))
        zarr.config.set({"array.rectilinear_chunks": True})
        ds = xr.open_zarr(session.store, group=group, consolidated=False, chunks=None)
    except Exception as error:  # whatever an agent left: it does not open
        grade.check(f"{what} opens", False, f"{type(error).__name__}: {error}")
        return None
    grade.check(f"{what} opens", True)
    grade.check("container saved", prefixes, "the repository names no virtual chunk container")
    return Opened(repo, session, ds)


def authorize(prefixes: list[str], s3: Any = None) -> dict[str, Any]:
    """Access to what the containers name, with the credentials of the environment."""
    access: dict[str, Any] = {}
    for prefix in prefixes:
        if prefix.startswith("file://"):
            access[prefix] = icechunk.credentials.LocalFileSystemAccess
        elif prefix.startswith("http"):
            access |= icechunk.containers_credentials({prefix: icechunk.credentials.HttpAccess})
        else:
            keys = icechunk.s3_credentials(from_env=True) if s3 is None else s3
            access |= icechunk.containers_credentials({prefix: keys})
    return access


def compare(
    grade: Grade,
    ds: xr.Dataset,
    truth: xr.Dataset,
    *,
    record: str = "time",
    attrs: tuple[str, ...] = ("units", "long_name"),
    what: str = "",
) -> None:
    """Compare variables, dimensions, records, values, coordinates and ``attrs`` with the truth."""
    lead = f"{what}: " if what else ""
    names = [str(name) for name in truth.variables]
    lacking = [name for name in names if name not in ds.variables]
    grade.check(f"{lead}variables", not lacking, f"lacks {lacking}")
    there = [name for name in names if name not in lacking]
    other = {name: ds[name].dims for name in there if ds[name].dims != truth[name].dims}
    grade.check(f"{lead}dimensions", not other, other)
    places = _records(grade, ds, truth, record, lead)
    wrong: dict[str, str] = {}
    for name in there:
        if name in other or name == record or (record in truth[name].dims and places is None):
            continue
        told = _difference(ds[name], truth[name], record, places)
        if told:
            wrong[name] = told
    unread = {name: told for name, told in wrong.items() if told.startswith("cannot")}
    grade.check(f"{lead}readable", not unread, unread)
    axes = {name: told for name, told in wrong.items() if name in truth.coords} | {}
    values = {name: told for name, told in wrong.items() if name not in truth.coords}
    for title, found in (("coordinates", axes), ("values", values)):
        found = {name: told for name, told in found.items() if name not in unread}
        grade.check(f"{lead}{title}", not found, found, silent=True)
    moved = {
        f"{name}.{key}": (ds[name].attrs.get(key), truth[name].attrs[key])
        for name in there
        for key in attrs
        if key in truth[name].attrs and ds[name].attrs.get(key) != truth[name].attrs[key]
    }
    grade.check(f"{lead}attributes", not moved, moved)


def _records(
    grade: Grade, ds: xr.Dataset, truth: xr.Dataset, record: str, lead: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Note what is wrong with the records; the places, in store and truth, of those in both."""
    if record not in truth.coords:
        return np.arange(0), np.arange(0)
    if record not in ds.variables or ds[record].ndim != 1:
        grade.check(f"{lead}records", False, f"no coordinate {record}")
        return None
    try:
        stored, meant = ds[record].values, truth[record].values
        if meant.dtype.kind == "M":
            stored = stored.astype("M8[ns]")
    except Exception as error:
        grade.check(f"{lead}records", False, f"cannot be read: {error}")
        return None
    strange = np.setdiff1d(stored, meant)
    detail = f"{strange[:3]} are in no file" if len(strange) else ""
    if not detail and len(stored) > 1 and not (stored[1:] > stored[:-1]).all():
        detail = f"{record} does not increase strictly: {stored[:8]}"
    grade.check(f"{lead}records", not detail, detail, silent=True)
    absent = np.setdiff1d(meant, stored)
    grade.check(f"{lead}all records", not len(absent), f"{len(absent)} lack: {absent[:3]}")
    shared = np.isin(stored, meant)
    mine = np.flatnonzero(shared)
    order = np.argsort(meant)
    return mine, order[np.searchsorted(meant[order], stored[mine])]


def _difference(
    stored: xr.DataArray,
    meant: xr.DataArray,
    record: str,
    places: tuple[np.ndarray, np.ndarray] | None,
) -> str:
    """What differs, in a sentence; nothing if nothing does."""
    try:
        values = np.asarray(stored.values)
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {error}"
    right = meant.values
    if record in meant.dims and places is not None:
        axis = meant.dims.index(record)
        if max(places[0], default=-1) < values.shape[axis]:
            values, right = values.take(places[0], axis), right.take(places[1], axis)
    if values.shape != right.shape:
        return f"shape {values.shape}, not {right.shape}"
    if right.dtype.kind in "Mm":
        return "" if (values.astype(right.dtype) == right).all() else "other times"
    if right.dtype.kind not in "fiu":
        return "" if (values == right).all() else "differs"
    try:
        numbers = values.astype("f8")
    except (TypeError, ValueError):
        return f"{values.dtype}, not numbers"
    near = np.isclose(numbers, right.astype("f8"), rtol=1e-5, atol=1e-6, equal_nan=True)
    if near.all():
        return ""
    first = tuple(int(n) for n in np.argwhere(~near)[0])
    return f"{(~near).sum()} of {near.size} values, {numbers[first]} for {right[first]} at {first}"


def check_virtual(
    grade: Grade, opened: Opened, names: Mapping[str, float] | list[str], group: str = ""
) -> None:
    """Note whether at least the given share of each array's chunks lies in the sources."""
    wanted = names if isinstance(names, Mapping) else dict.fromkeys(names, 1.0)
    low = {}
    for name, least in wanted.items():
        share = virtual_share(opened.session, f"{group}/{name}".strip("/"))
        if share < least:
            low[name] = f"{share:.2f} of its chunks are virtual, not {least}"
    grade.check("virtual", not low, low)


def virtual_share(session: icechunk.Session, path: str) -> float:
    """The share of an array's chunks that are references; 0 of none."""

    async def kinds() -> list[Any]:
        try:
            found = session.chunk_coordinates(f"/{path}")
            return [session.chunk_type(f"/{path}", list(at)) async for at in found]
        except Exception:
            return []

    found = asyncio.run(kinds())
    return sum(kind == icechunk.ChunkType.virtual for kind in found) / max(1, len(found))
