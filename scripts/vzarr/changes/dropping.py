"""What ``append --drop`` names: variables of new files that a store is to lack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import icechunk

from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError
from vzarr.formats.reasons import BY_DROP
from vzarr.repository.layouts import open_arrays
from vzarr.sources.schemes import Access
from vzarr.virtualize.model import ParsedFile
from vzarr.virtualize.names import check_names, names_path


def with_dropped(
    metadata: StoreMetadata, names: Iterable[str], store: icechunk.IcechunkStore
) -> StoreMetadata:
    """The metadata with more variables that files have and the store is to lack.

    Raises
    ------
    InputError
        For a variable that the store has.
    """
    names = tuple(name.strip("/") for name in names)
    if not names:
        return metadata
    groups = dict(metadata["groups"])
    for group, stored_group in groups.items():
        for stored_name in open_arrays(store, group):
            path = f"{group}/{stored_name}".lstrip("/")
            if any(names_path(name, path) for name in names):
                raise InputError(
                    f"--drop {path}: the store has it. Only what it lacks can be left out of files "
                    "that are appended."
                )
        own = [name.rpartition("/")[2] for name in names if name.rpartition("/")[0] in ("", group)]
        groups[group] = {
            **stored_group,
            "dropped": {**dict.fromkeys(own, str(BY_DROP)), **stored_group["dropped"]},
            "by_option": sorted({*stored_group.get("by_option", ()), *own}),
        }
    changed: StoreMetadata = {**metadata, "groups": groups}
    if "plan" in metadata:
        plan = metadata["plan"]
        changed["plan"] = {**plan, "drop": sorted({*plan["drop"], *names})}
    return changed


def check_dropped(
    names: Sequence[str], files: Sequence[ParsedFile], metadata: StoreMetadata, access: Access
) -> None:
    """Refuse a name that no new file has, where another variable would begin with them.

    A name that is given on every day need not be in every day's files.

    Raises
    ------
    InputError
        For such a name.
    """
    paths = {
        f"{group}/{name}".lstrip("/")
        for file in files
        for group, part in {"": file, **file.children}.items()
        for name in part.dataset.variables
    }
    if names and not paths <= _variables(metadata):
        check_names([file.source for file in files], access, tuple(names), ())


def begun(before: StoreMetadata, after: StoreMetadata) -> list[str]:
    """The paths of variables that a store has after a run, and had not before."""
    return sorted(_variables(after) - _variables(before))


def _variables(metadata: StoreMetadata) -> set[str]:
    return {
        f"{group}/{name}".lstrip("/")
        for group, stored_group in metadata["groups"].items()
        for name in (*stored_group["virtual"], *stored_group["loaded"], *stored_group["native"])
    }
