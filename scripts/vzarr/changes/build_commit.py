"""One batch of a build in the repository: written, compared, committed to the build's branch."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime

import icechunk
import xarray as xr
import zarr

import vzarr
from vzarr.changes.build_state import BuildRequest, BuildState
from vzarr.combine.groups import describe, stored_groups
from vzarr.combine.merge import records_of
from vzarr.combine.named_coordinates import NONE
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.combine.times import finer_unit
from vzarr.errors import Refused
from vzarr.formats.registry import FORMATS
from vzarr.progress import silent
from vzarr.repository.append_datasets import append_datasets
from vzarr.repository.claim import BUILDING, Claim
from vzarr.repository.create import create_repository, write_datasets
from vzarr.repository.history import commit_metadata, with_more
from vzarr.repository.ledger import write_ledger
from vzarr.repository.open import open_any_repository
from vzarr.repository.splitting import manifest_config
from vzarr.sources.prefixes import container_prefixes
from vzarr.upstream.virtualizarr import referred_urls
from vzarr.verification.open import spread
from vzarr.verification.references import follow
from vzarr.verification.store import compare_store
from vzarr.virtualize.model import ParsedFile, is_virtual, part_of

SAMPLE, SAMPLE_OF_BATCH = 3, 2
"""Files that are compared with the store, of all or of each batch: verify compares more."""


def write_first(
    request: BuildRequest,
    claim: Claim,
    state: BuildState,
    datasets: dict[str, xr.Dataset],
    files: list[ParsedFile],
    checksum: datetime,
    sample: int,
) -> BuildState:
    """Make the repository and write the first files; returns the state after the commit.

    Raises
    ------
    Refused
        If the store would not read as the files do.
    """
    metadata = _metadata(files, state.dimension, datasets)
    metadata["plan"] = request.plan
    metadata["irregular"] = request.policy.irregular
    if request.policy.tolerance:
        for stored_group in metadata["groups"].values():
            stored_group["tolerance"] = request.policy.tolerance
    metadata["left_out"] = dict(state.left_out)
    metadata["bytes"] = state.share.as_json()
    if request.policy.overlap is not None:
        metadata["overlap"] = request.policy.overlap
    if request.coordinates != NONE:
        metadata["coord"] = request.coordinates.rule
    if request.inner is not None:
        metadata["inner"] = request.inner
    if request.access.select:
        metadata["select"] = list(request.access.select)
    places = _places(files, datasets)
    if len(files) < len(request.sources):
        places = sorted({*places, *(source.url for source in request.sources)})
    refer = any(FORMATS[file.file_format].references for file in files)
    prefixes = container_prefixes(places, () if refer else request.patterns, request.prefixes)
    manifest = manifest_config(datasets, metadata["concat_dim"])
    repository = create_repository(claim, prefixes, request.access, manifest)
    session = repository.writable_session(BUILDING)
    metadata["references"] = write_datasets(session.store, datasets, checksum)
    _compare(request, session.store, metadata, range(len(metadata["sources"])), sample)
    if refer:
        followed = follow(
            session.store,
            metadata,
            request.access,
            everything=request.everything,
            progress=request.progress("followed"),
        )
        metadata = followed.metadata
        state = replace(state, notes=(*state.notes, *followed.notes))
    state = replace(state, repository=repository)
    return commit_batch(request, claim, state, session, metadata, len(files))


def write_more(
    request: BuildRequest,
    claim: Claim,
    state: BuildState,
    datasets: dict[str, xr.Dataset],
    files: list[ParsedFile],
    checksum: datetime,
    sample: int,
) -> BuildState:
    """Write files behind those that are written; returns the state after the commit.

    Raises
    ------
    Refused
        If the store would not read as the files do.
    """
    assert state.metadata is not None
    assert state.dimension is not None
    # One that is kept keeps 170 bytes of each reference that it has committed.
    repository = open_any_repository(request.location, request.access)
    session = repository.writable_session(BUILDING)
    groups = stored_groups(state.metadata)
    growing = [group for group in groups if groups[group]["concat_dim"] is not None]
    _check_times(request, state.dimension, session.store, files, growing)
    references = append_datasets(
        session.store,
        datasets,
        growing,
        state.dimension,
        checksum,
        files,
        state.metadata["sources"],
    )
    described = {group: describe(files, group, state.dimension) for group in groups}
    records = [record for file in files for record in records_of(file, state.dimension)]
    metadata = with_more(state.metadata, records, described)
    metadata["left_out"] = dict(state.left_out)
    metadata["bytes"] = state.share.as_json()
    metadata["references"] += references
    new = range(len(state.metadata["sources"]), len(metadata["sources"]))
    _compare(request, session.store, metadata, new, sample)
    state = replace(state, repository=repository)
    return commit_batch(request, claim, state, session, metadata, len(files))


def commit_batch(
    request: BuildRequest,
    claim: Claim,
    state: BuildState,
    session: icechunk.Session,
    metadata: StoreMetadata,
    added: int,
) -> BuildState:
    """Commit what a session has written of ``added`` files; returns the state after it.

    Raises
    ------
    Refused
        If another build writes to the same branch.
    """
    done, total = len(metadata["sources"]), len(request.sources)
    message = request.message or f"{total - len(state.left_out)} files"
    if done < total - len(state.left_out) or state.metadata is not None:
        message += f" ({done} of {total})"
    write_ledger(session.store, metadata)
    claim.check()
    try:
        tip = session.commit(message, metadata=commit_metadata("build", added=added))
    except icechunk.ConflictError as error:
        raise Refused(
            f"{request.location}: another build writes there. Let it end, or name another place "
            "with --repo."
        ) from error
    claim.keeps = True
    return replace(state, tip=tip, metadata=metadata)


def _check_times(
    request: BuildRequest,
    dimension: str,
    store: icechunk.IcechunkStore,
    files: list[ParsedFile],
    growing: list[str],
) -> None:
    for group, file in itertools.product(growing, files):
        for name, variable in part_of(file, group).dataset.variables.items():
            if dimension not in variable.dims or is_virtual(variable):
                continue
            path = f"{group}/{name}".lstrip("/")
            if units := finer_unit(variable, zarr.open_array(store, path=path, mode="r")):
                raise Refused(
                    f"{file.source.url}: {path}: the resolution of its times is {units[0]}, "
                    f"but {units[1]} in the files written before. Build in another place, all "
                    f"at once: --batch {len(request.sources)}."
                )


def _compare(
    request: BuildRequest,
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    numbers: range,
    sample: int,
) -> None:
    """A sample of the files that are new, as they read in the store."""
    if not sample:
        return
    report = compare_store(
        store,
        metadata,
        request.access,
        numbers=[numbers[n] for n in spread(len(numbers), sample)],
        progress=(request.progress if sample == SAMPLE else silent)("compared"),
    )
    if not report.passed:
        raise Refused(
            f"The store would not read as its sources do: {report.failures[0]}. "
            "Nothing was committed; leave it out with --drop."
        )


def _places(files: list[ParsedFile], datasets: dict[str, xr.Dataset]) -> list[str]:
    """The URLs that references lead to: the sources, or what these refer to themselves."""
    places = {each.data_url for file in files for each in file.files}
    if any(FORMATS[file.file_format].references for file in files):
        for dataset in datasets.values():
            for variable in dataset.variables.values():
                if is_virtual(variable):
                    places |= referred_urls(variable.data.manifest)
    return sorted(places)


def _metadata(
    files: list[ParsedFile], concat_dim: str | None, datasets: dict[str, xr.Dataset]
) -> StoreMetadata:
    """What the ledger keeps, for ``verify`` and for appends to come."""
    root_is_empty = len(datasets) > 1 and not datasets[""].variables
    paths = [path for path in datasets if path or not root_is_empty]
    return {
        "version": vzarr.__version__,
        "concat_dim": concat_dim,
        "sources": [record for file in files for record in records_of(file, concat_dim)],
        "replaced": [],
        "groups": {path: describe(files, path, concat_dim) for path in paths},
    }
