"""Compare a repository with its sources."""

from __future__ import annotations

from collections.abc import Callable

import icechunk
import numpy as np
import zarr

from vzarr.combine.groups import stored_groups
from vzarr.repository.history import Held
from vzarr.repository.open import open_any_repository, open_repository
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming, reaching
from vzarr.upstream.zarr import dimension_names
from vzarr.verification.foreign import describe_named
from vzarr.verification.open import spread
from vzarr.verification.report import Report
from vzarr.verification.standing import check_sources, check_virtual
from vzarr.verification.store import DEFAULT_SAMPLE, compare_store


def verify_repository(
    location: str,
    access: Access,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compare a repository that this tool built with its sources.

    ``sample`` files spread over the whole, or all for None. Every source's size and time of change
    is looked up in any case.

    Raises
    ------
    InputError
        If there is no such repository.
    """
    access = naming(access, location=location)
    repository, session, account = open_repository(location, access)
    access = reaching(access, repository.config, location)
    metadata = account.metadata
    numbers = None
    if sample is not None:
        total = len(metadata["sources"])
        touched = _touched(repository, session, account) if account.others else set()
        numbers = sorted({*spread(total, sample), *touched})
    report = compare_store(session.store, metadata, access, numbers=numbers, progress=progress)
    report.notes += account.notes
    check_virtual(session, metadata, report, everything=sample is None)
    check_sources(metadata["sources"], access, report)
    return report


def _touched(repository: icechunk.Repository, session: icechunk.Session, account: Held) -> set[int]:
    """The sources whose chunks others wrote since this tool's last commit; all if it is gone."""
    metadata = account.metadata
    everything = set(range(len(metadata["sources"])))
    if account.own is None:
        return everything
    changes = repository.diff(from_snapshot_id=account.own, to_snapshot_id=session.snapshot_id)
    root = zarr.open_group(session.store, mode="r")
    touched: set[int] = set()
    for path, chunks in changes.updated_chunks.items():
        group = path.strip("/").rpartition("/")[0]
        stored_group = stored_groups(metadata).get(group)
        array = root.get(path.strip("/"))
        if stored_group is None or not isinstance(array, zarr.Array):
            continue
        names = dimension_names(array)
        if stored_group["concat_dim"] not in names:
            continue  # of all files, so the comparison of any shows it
        axis = names.index(stored_group["concat_dim"])
        last_records = np.cumsum([record["length"] for record in stored_group["sources"]])
        begins = np.cumsum([0, *array.write_chunk_sizes[axis][:-1]])
        steps = begins[sorted({index[axis] for index in chunks})]
        touched |= set(np.searchsorted(last_records, steps, "right").tolist())
    return touched & everything


def verify_named(
    location: str,
    patterns: list[str],
    access: Access,
    *,
    concat_dim: str | None = None,
    source_group: str | None = None,
    skip: tuple[str, ...] = (),
    sample: int | None = DEFAULT_SAMPLE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compare any Icechunk repository with the files that it was made of.

    Raises
    ------
    InputError
        If there is no such repository, or no such file.
    """
    access = naming(access, patterns, location)
    repository = open_any_repository(location, access)
    access = reaching(access, repository.config, location)
    session = repository.readonly_session("main")
    metadata = describe_named(
        session.store,
        patterns,
        access,
        concat_dim=concat_dim,
        source_group=source_group,
        skip=skip,
    )
    report = compare_store(session.store, metadata, access, sample=sample, progress=progress)
    check_virtual(session, metadata, report, everything=sample is None)
    return report
